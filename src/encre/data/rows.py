"""The rows of a dataset on their way: a table and, for each row, its sequence."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from encre.sequence.alphabet import canonical_flat, canonical_groups
from encre.sequence.flat import offsets_of, take_flat


@dataclass(frozen=True)
class Rows:
    """A table of elements beside their sequences; row i of one is row i of the other.

    Parameters
    ----------
    table
        ``chrom, start, end, accession, ccre_class, kind, split``, one Float32 column a task and, once
        :meth:`grouped`, ``group`` and ``flipped``.
    codes, offsets
        Flat codes as stored (with ``jitter`` bases on each side) and their offsets.
    jitter
        Bases on each side of every sequence that only training sees.
    """

    table: pl.DataFrame
    codes: np.ndarray
    offsets: np.ndarray
    jitter: int = 0

    def __len__(self) -> int:
        return self.table.height

    @property
    def lengths(self) -> np.ndarray:
        """Bases that a model sees of each row, ``(N,)``."""
        return np.diff(self.offsets) - 2 * self.jitter

    def seen(self) -> tuple[np.ndarray, np.ndarray]:
        """Flat codes and offsets of what a model sees: without jitter's flanks."""
        if not self.jitter:
            return self.codes, self.offsets
        width = int(self.lengths[0]) if len(self) else 0  # windows are all of one width
        grid = self.codes.reshape(len(self), -1)[:, self.jitter : self.jitter + width]
        return np.ascontiguousarray(grid).ravel(), offsets_of(self.lengths)

    def spans(self) -> tuple[np.ndarray, np.ndarray]:
        """Begin and end ``(N,)`` int64, 0-based half-open on the chromosome, of what a model sees of each row.

        Without jitter's flanks. Rows without coordinates have begin = end = -1.
        """
        placed = (self.table["start"].is_not_null() & self.table["chrom"].is_not_null()).to_numpy()
        start, end = (self.table[name].fill_null(0).to_numpy().astype(np.int64) for name in ("start", "end"))
        begin = (start + end) // 2 - self.lengths // 2
        return np.where(placed, begin, -1), np.where(placed, begin + self.lengths, -1)

    def keep(self, chosen: np.ndarray) -> Rows:
        """The rows where ``chosen (N,)`` is True."""
        if chosen.all():
            return self
        codes, offsets = take_flat(self.codes, self.offsets, np.flatnonzero(chosen))
        return replace(self, table=self.table.filter(pl.Series(chosen)), codes=codes, offsets=offsets)

    def grouped(self) -> Rows:
        """The same rows with their ``group``, and ``flipped``: whether the canonical form is the other strand."""
        codes, offsets = self.seen()
        canonical, flipped = canonical_flat(codes, offsets)
        return self.with_columns(group=canonical_groups(canonical, offsets), flipped=flipped)

    def followed_by(self, other: Rows) -> Rows:
        """These rows, then the other's."""
        return replace(
            self,
            table=pl.concat([self.table, other.table], how="vertical"),
            codes=np.concatenate([self.codes, other.codes]),
            offsets=np.concatenate([self.offsets, other.offsets[1:] + self.offsets[-1]]),
        )

    def with_columns(self, **columns: np.ndarray | pl.Series) -> Rows:
        """The same rows with columns set."""
        return replace(self, table=self.table.with_columns(**{k: pl.Series(k, v) for k, v in columns.items()}))
