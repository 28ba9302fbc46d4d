"""A reference genome as a memory-mapped array of one byte a base, gathered by whole batches of intervals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import polars as pl

from encre.errors import IntervalError, UnknownChromosomeError, nearest
from encre.genome.assembly import Assembly, get_assembly
from encre.genome.cache import BASES, cache_root, open_cache, source_digest
from encre.genome.fasta import CODE_BITS, SOFT_MASK
from encre.genome.intervals import Interval
from encre.progress import SILENT, Progress
from encre.tables import categories

Pad = Literal["N"] | None
Names = Sequence[str] | pl.Series | np.ndarray

_BLOCK = 1 << 14  # windows gathered at a time: a few megabytes, which stay in the processor's cache
_N = 4


class _Rows(NamedTuple):
    """Intervals, each with the place of its chromosome: arrays (N,) int64."""

    chrom: Names
    start: np.ndarray
    end: np.ndarray
    origin: np.ndarray
    length: np.ndarray


class Genome:
    """A reference genome.

    Parameters
    ----------
    path
        FASTA (plain, gzip or bgzip) or 2bit. Chromosomes may carry UCSC, plain, RefSeq or GenBank names.
    assembly
        Name (``"GRCh38"``, ``"hg19"``, ``"mm10"`` …), :class:`Assembly`, or None / ``"custom:NAME"`` to take names
        and lengths from the file as they are.
    cache
        Folder for the base cache instead of ``$ENCRE_CACHE`` (by default ``~/.cache/encre``). A source is imported
        once, and again only when its size or time and its SHA-256 have changed.
    keep_scaffolds
        Keep sequences that the assembly does not know (scaffolds, alts, patches, decoys), under their own names.
    progress
        Where the one-time import reports.

    Raises
    ------
    MissingFileError
        When there is no such file.
    FormatError
        When it is neither FASTA nor 2bit, empty, damaged, or a name stands twice.
    AssemblyMismatchError
        When a chromosome has another length than the assembly's, or no name is known.
    ResourceError
        When the cache cannot be written.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        assembly: str | Assembly | None = "GRCh38",
        cache: str | Path | None = None,
        keep_scaffolds: bool = False,
        progress: Progress = SILENT,
    ) -> None:
        self.path = Path(path)
        self.assembly = get_assembly(assembly)
        self.digest: str = source_digest(self.path, cache_root(cache))
        """SHA-256 of the source file."""
        self.cache, self._index = open_cache(
            self.path,
            digest=self.digest,
            root=cache_root(cache),
            assembly=self.assembly,
            keep_scaffolds=keep_scaffolds,
            progress=progress,
        )
        self._bases = np.memmap(self.cache / BASES, dtype=np.uint8, mode="r")

    def __repr__(self) -> str:
        total = sum(self.lengths.values())
        return f"Genome({self.path.name}, {self.assembly.name}, {len(self.lengths)} sequences, {total:,} bp)"

    @property
    def lengths(self) -> dict[str, int]:
        """Chromosome name -> length in bases, in file order."""
        return {name: length for name, (_, length) in self._index.items()}

    def name_of(self, name: str) -> str | None:
        """The genome's name of a chromosome in any naming style (``1``, ``NC_000001.11``), or None."""
        known = name if name in self._index else self.assembly.canonical(name)
        return known if known in self._index else None

    def fetch(self, interval: Interval, *, pad: Pad = None) -> np.ndarray:
        """The bases of one interval.

        Parameters
        ----------
        interval
            0-based half-open; a strand of ``-`` does not turn the bases round.
        pad
            ``"N"`` fills what lies off the chromosome's end with N; otherwise that is an error.

        Returns
        -------
        np.ndarray
            Codes (W,) uint8, A 0, C 1, G 2, T 3, N 4; the soft mask is left out.

        Raises
        ------
        UnknownChromosomeError, IntervalError
            When the genome lacks the chromosome, or the interval reaches off its end.
        """
        codes, _ = self.gather([interval.chrom], np.array([interval.start]), np.array([interval.end]), pad=pad)
        return codes

    def gather(
        self, chrom: Names, start: np.ndarray, end: np.ndarray, *, pad: Pad = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The bases of many intervals at once.

        Parameters
        ----------
        chrom
            Chromosome names (N,).
        start, end
            0-based half-open positions (N,) in bases; with ``pad="N"`` they may lie off the chromosome.
        pad
            As in :meth:`fetch`.

        Returns
        -------
        tuple of np.ndarray
            Flat codes (sum of widths,) uint8 and offsets (N + 1,) int64.

        Raises
        ------
        UnknownChromosomeError, IntervalError
            As :meth:`fetch`, naming the first such row.
        """
        rows = self._locate(chrom, start, end)
        off = (rows.start < 0) | (rows.end > rows.length)
        _refuse(rows, bad=rows.end <= rows.start, what="the end is not beyond the start")
        if pad is None:
            _refuse(rows, bad=off, what="the interval reaches off the chromosome's end")
        offsets = np.zeros(len(rows.start) + 1, dtype=np.int64)
        np.cumsum(rows.end - rows.start, out=offsets[1:])
        codes = np.empty(int(offsets[-1]), dtype=np.uint8)
        inside = np.flatnonzero(~off)
        _copy_windows(
            self._bases,
            (rows.origin + rows.start)[inside],
            codes,
            offsets[:-1][inside],
            widths=(rows.end - rows.start)[inside],
        )
        for row in np.flatnonzero(off).tolist():
            begin, length = int(rows.origin[row]), int(rows.length[row])
            chromosome = self._bases[begin : begin + length]
            _copy_padded(chromosome, int(rows.start[row]), codes[offsets[row] : offsets[row + 1]])
        return codes, offsets

    def soft_masked(self, interval: Interval) -> np.ndarray:
        """Which bases of an interval (W,) the source has in lower case (repeats): bool."""
        rows = self._locate([interval.chrom], np.array([interval.start]), np.array([interval.end]))
        _refuse(rows, bad=rows.end > rows.length, what="the interval reaches off the chromosome's end")
        begin = int(rows.origin[0]) + interval.start
        return (self._bases[begin : begin + interval.width] & SOFT_MASK).astype(bool)

    def _locate(self, chrom: Names, start: np.ndarray, end: np.ndarray) -> _Rows:
        numbers, found = categories(chrom if isinstance(chrom, pl.Series) else pl.Series(chrom, dtype=pl.String))
        homes = [self.name_of(name) for name in found]
        if None in homes:
            missing = found[homes.index(None)]
            raise UnknownChromosomeError(
                f"the genome has no chromosome '{missing}'",
                where=self.path,
                remedy=nearest(missing, list(self._index)[:30]),
            )
        place = np.array([self._index[str(home)] for home in homes], dtype=np.int64).reshape(-1, 2)[numbers]
        starts, ends = np.asarray(start, dtype=np.int64), np.asarray(end, dtype=np.int64)
        return _Rows(chrom, starts, ends, place[:, 0], place[:, 1])


def _refuse(rows: _Rows, *, bad: np.ndarray, what: str) -> None:
    if not bad.any():
        return
    row = int(np.argmax(bad))
    raise IntervalError(
        what,
        where=f"{rows.chrom[row]}:{rows.start[row]:,}-{rows.end[row]:,} (0-based, half-open)",
        expected=f"within 0-{rows.length[row]:,}",
        remedy='Correct it, or fill what lies off the end with pad="N".' if rows.end[row] > rows.start[row] else "",
    )


def _copy_windows(
    bases: np.ndarray, begin: np.ndarray, codes: np.ndarray, out: np.ndarray, *, widths: np.ndarray
) -> None:
    """Copy windows of ``bases`` into ``codes``, all windows of one width in one step, without the soft mask.

    Parameters
    ----------
    bases
        The cache (G,) uint8.
    begin, out
        Where each window begins in ``bases`` and in ``codes`` (N,) int64.
    codes
        Flat result, written in place.
    widths
        Width of each window (N,), in bases.
    """
    if not len(widths):
        return
    order = np.argsort(widths, kind="stable")
    groups, first = np.unique(widths[order], return_index=True)
    for width, rows in zip(groups.tolist(), np.split(order, first[1:]), strict=True):
        source = np.lib.stride_tricks.sliding_window_view(bases, width)
        target = np.lib.stride_tricks.sliding_window_view(codes, width, writeable=True)
        packed = bool((np.diff(out[rows]) == width).all())
        step = max(1, _BLOCK * 256 // width)
        for at in range(0, len(rows), step):
            block = rows[at : at + step]
            windows = source[begin[block]]
            windows &= CODE_BITS
            if packed:
                where = int(out[block[0]])
                codes[where : where + windows.size] = windows.reshape(-1)
            else:
                target[out[block]] = windows


def _copy_padded(chromosome: np.ndarray, start: int, codes: np.ndarray) -> None:
    """Copy one interval that reaches off its chromosome; what lies outside becomes N."""
    codes[:] = _N
    first, last = max(start, 0), min(start + len(codes), len(chromosome))
    if first < last:
        codes[first - start : last - start] = chromosome[first:last] & CODE_BITS
