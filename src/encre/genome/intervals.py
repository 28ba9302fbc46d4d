"""Intervals: 0-based half-open everywhere; only a region string is 1-based inclusive, and it changes here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np

from encre.errors import IntervalError

Strand = Literal["+", "-", "."]

_REGION = re.compile(r"(?P<chrom>[^:\s]+):(?P<first>[\d,]+)(?:-|\.\.)(?P<last>[\d,]+)(?::(?P<strand>[+-]))?\Z")
# Bits of the packed key: starts of whole chromosomes need 28, wide plant and lungfish ones 32; elements are far
# narrower than 1 Mb; 2,048 chromosomes and scaffolds fill the rest.
_WIDTH_BITS, _START_BITS, _CHROM_BITS = 20, 32, 11


@dataclass(frozen=True)
class Interval:
    """A stretch of a chromosome.

    Parameters
    ----------
    chrom
        Chromosome name.
    start, end
        0-based, half-open, in bases: ``end - start`` bases, the first at ``start``.
    strand
        ``"+"``, ``"-"`` or ``"."``.

    Raises
    ------
    IntervalError
        When the start is negative or the end is not beyond the start.
    """

    chrom: str
    start: int
    end: int
    strand: Strand = "+"

    def __post_init__(self) -> None:
        if not self.chrom:
            raise IntervalError("an interval needs a chromosome")
        if self.strand not in ("+", "-", "."):
            raise IntervalError("a strand is '+', '-' or '.'", got=f"'{self.strand}'")
        if self.start < 0:
            raise IntervalError("the start is negative", where=f"{self.chrom}:{self.start}-{self.end} (0-based)")
        if self.end <= self.start:
            raise IntervalError(
                "the end is not beyond the start", where=f"{self.chrom}:{self.start}-{self.end} (0-based, half-open)"
            )

    @property
    def width(self) -> int:
        """Bases in it."""
        return self.end - self.start

    @property
    def region(self) -> str:
        """As a region string, 1-based inclusive: ``chr1:1,001-2,000``."""
        return f"{self.chrom}:{self.start + 1:,}-{self.end:,}"

    @classmethod
    def from_region(cls, text: str) -> Interval:
        """Read ``chr1:1,001-2,000`` (1-based inclusive, as genome browsers write it), commas optional.

        Raises
        ------
        IntervalError
            When the text is not a region, or the region is empty or begins at 0.
        """
        found = _REGION.match(text.strip())
        if not found:
            raise IntervalError(
                "this is not a region", expected="chrom:first-last, as chr1:1,001-2,000", got=f"'{text.strip()[:60]}'"
            )
        first, last = (int(found[key].replace(",", "") or 0) for key in ("first", "last"))
        if first < 1:
            raise IntervalError("a region string counts bases from 1", got=f"'{text.strip()}'")
        if last < first:
            raise IntervalError("the region's last base lies before its first", got=f"'{text.strip()}'")
        if last >= 1 << _START_BITS:
            raise IntervalError("no chromosome is as long as this region", got=f"'{text.strip()[:60]}'")
        strand: Strand = "-" if found["strand"] == "-" else "+"
        return cls(found["chrom"], first - 1, last, strand)


def pack(chrom: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """One sortable 64-bit key per exact interval, for joins by coordinate.

    Parameters
    ----------
    chrom
        Chromosome numbers (N,), 0 to 2047.
    start, end
        0-based half-open (N,); starts below 2^32, widths below 2^20.

    Returns
    -------
    np.ndarray
        Keys (N,) int64, ordered by chromosome, then start, then end.

    Raises
    ------
    IntervalError
        When a number does not fit its bits.
    """
    chrom, start, width = (np.asarray(a, dtype=np.int64) for a in (chrom, start, np.subtract(end, start)))
    limits = ((chrom, _CHROM_BITS, "chromosome number"), (start, _START_BITS, "start"), (width, _WIDTH_BITS, "width"))
    for values, bits, name in limits:
        if len(values) and (values.min() < 0 or values.max() >= 1 << bits):
            bad = values[(values < 0) | (values >= 1 << bits)][0]
            raise IntervalError(f"the {name} {bad:,} is too large to join on coordinates (or negative)")
    return (chrom << (_START_BITS + _WIDTH_BITS)) | (start << _WIDTH_BITS) | width


def overlaps(
    chrom: np.ndarray, start: np.ndarray, end: np.ndarray, *, with_: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> np.ndarray:
    """Which intervals share at least one base with any interval of a second set.

    Parameters
    ----------
    chrom, start, end
        The queries (N,): chromosome numbers and 0-based half-open positions.
    with_
        The second set, the same three arrays (M,), in any order, overlapping or not.

    Returns
    -------
    np.ndarray
        (N,) bool.
    """
    queries = np.asarray(chrom, dtype=np.int64) << _START_BITS
    other_chrom, other_start, other_end = (np.asarray(a, dtype=np.int64) for a in with_)
    if not len(other_chrom):
        return np.zeros(len(queries), dtype=bool)
    base = other_chrom << _START_BITS
    order = np.argsort(base + other_start, kind="stable")
    starts = (base + other_start)[order]
    # The chromosome stands in the high bits, so a running maximum never carries over to the next one.
    furthest = np.maximum.accumulate((base + other_end)[order])
    before = np.searchsorted(starts, queries + np.asarray(end, dtype=np.int64), side="left")
    reached = np.where(before > 0, furthest[np.maximum(before - 1, 0)], -1)
    return reached > queries + np.asarray(start, dtype=np.int64)
