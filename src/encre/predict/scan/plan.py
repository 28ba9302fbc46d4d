"""What a scan is to score: regions -> runs of windows on one grid per chromosome -> shards.

Window k begins at base ``k * stride`` of its chromosome, whatever the regions, so that a place has the same value in
every scan. Its value stands for the ``stride`` bases around its centre: its bin, which begins :func:`bin_shift` bases
behind the window's begin. A region is scored by the windows whose bins it touches.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from encre.errors import IntervalError, MissingFileError, nearest
from encre.genome.stretches import merged
from encre.predict.regions import read_intervals

if TYPE_CHECKING:
    from encre.genome.store import Genome

#: Bases of a shard: some seconds of work on one core, and a finished shard is what a killed scan keeps.
SHARD = 1_000_000


class Shard(NamedTuple):
    """Windows that are scored together, on one chromosome.

    Parameters
    ----------
    chrom
        The chromosome.
    runs
        (R, 2) int64: the first window of each run and the one behind its last, sorted and apart.
    """

    chrom: str
    runs: np.ndarray

    @property
    def windows(self) -> int:
        """How many windows."""
        return int((self.runs[:, 1] - self.runs[:, 0]).sum())


class Plan(NamedTuple):
    """The windows of a scan.

    Parameters
    ----------
    window, stride
        Bases.
    shards
        In genome order.
    regions
        How many were given.
    without
        Regions that no whole window is centred in (1-based, as text): at a chromosome's end, or on one that is
        shorter than a window.
    """

    window: int
    stride: int
    shards: list[Shard]
    regions: int
    without: list[str]

    @property
    def windows(self) -> int:
        """Windows of all shards."""
        return sum(shard.windows for shard in self.shards)


def window_numbers(runs: np.ndarray) -> np.ndarray:
    """The windows of runs (R, 2), one after the other, counted from the first: (n,) int64, from 0."""
    count = runs[:, 1] - runs[:, 0]
    begin = runs[:, 0] - runs[0, 0] - (np.cumsum(count) - count)
    return np.repeat(begin, count) + np.arange(count.sum())


def bin_shift(window: int, stride: int) -> int:
    """Bases from a window's begin to its bin's; negative when the stride is wider than the window."""
    return window // 2 - stride // 2


def read_scan_regions(regions: str | Path | Sequence[str | Path], genome: Genome) -> pl.DataFrame:
    """The intervals that are to be scanned.

    Parameters
    ----------
    regions
        ``"genome"``, chromosome names, 1-based inclusive regions (``"chr1:1,001-2,000"``), and files of
        intervals as :func:`encre.predict.regions.read_regions` takes them; one or many.

    Returns
    -------
    pl.DataFrame
        ``chrom``, ``start``, ``end``, 0-based half-open, inside the genome.

    Raises
    ------
    MissingFileError, FormatError, IntervalError, UnknownChromosomeError
        Naming what cannot be read.
    """
    words = [regions] if isinstance(regions, str | Path) else list(regions)
    parts = [_read_word(str(word), genome) for word in words]
    if not parts:
        raise IntervalError("there is no region to scan", remedy="Name a region, a chromosome, a file, or 'genome'.")
    return pl.concat(parts)


def _read_word(word: str, genome: Genome) -> pl.DataFrame:
    from encre.genome.bed import check_bounds
    from encre.genome.intervals import Interval

    path = Path(word)
    if path.is_file():
        return read_intervals(path, genome).select("chrom", pl.col("start", "end").cast(pl.Int64))
    if word == "genome":
        return _frame(genome.lengths)
    if (chrom := genome.name_of(word)) is not None:
        return _frame({chrom: genome.lengths[chrom]})
    if ":" not in word:
        raise MissingFileError(
            "this is no chromosome of the genome, no region, and no file",
            where=word,
            remedy=f"Name a chromosome, a region such as chr1:1000-2000, a file, or 'genome'. "
            f"{nearest(word, list(genome.lengths)[:30])}",
        )
    found = Interval.from_region(word)
    chrom = genome.name_of(found.chrom) or found.chrom
    frame = pl.DataFrame({"chrom": [chrom], "start": [found.start], "end": [found.end]})
    check_bounds(frame, genome.lengths, where=word)
    return frame


def _frame(lengths: dict[str, int]) -> pl.DataFrame:
    """Whole chromosomes."""
    return pl.DataFrame({"chrom": list(lengths), "start": [0] * len(lengths), "end": list(lengths.values())})


def plan_scan(regions: pl.DataFrame, genome: Genome, *, window: int, stride: int) -> Plan:
    """Lay the windows of a scan out in shards.

    Parameters
    ----------
    regions
        From :func:`read_scan_regions`; those that overlap are scored once.
    window, stride
        Bases.

    Raises
    ------
    IntervalError
        When no region has a window.
    """
    shift, per_shard = bin_shift(window, stride), max(SHARD // stride, 1)
    shards: list[Shard] = []
    without: list[str] = []
    by_chrom = {str(key[0]): part for key, part in regions.partition_by("chrom", as_dict=True).items()}
    for chrom in filter(by_chrom.__contains__, genome.lengths):
        here, length = by_chrom[chrom], genome.lengths[chrom]
        start, end = here["start"].to_numpy(), here["end"].to_numpy()
        first = np.maximum((start - shift) // stride, 0)
        last = np.minimum((end - 1 - shift) // stride, (length - window) // stride) + 1
        bare = first >= last
        without += [f"{chrom}:{a + 1}-{b}" for a, b in zip(start[bare].tolist(), end[bare].tolist(), strict=True)]
        runs = merged(first[~bare], last[~bare])
        shards += [Shard(chrom, part) for part in _cut(runs.begin, runs.end, per_shard)]
    if not shards:
        raise IntervalError(
            "no region has room for a window",
            where=without[0] if without else "",
            expected=f"{window:,} bases around a base of the region, inside the chromosome",
            remedy=f"Give wider chromosomes or a smaller --window. ({len(without):,} regions like it.)",
        )
    return Plan(window, stride, shards, regions.height, without)


def _cut(begin: np.ndarray, end: np.ndarray, size: int) -> list[np.ndarray]:
    """Runs (R,) cut at multiples of ``size``, and those of each multiple together: (n, 2) int64 each."""
    count = (end - 1) // size - begin // size + 1
    run = np.repeat(np.arange(len(begin)), count)
    tile = begin[run] // size + np.arange(len(run)) - np.repeat(np.cumsum(count) - count, count)
    pieces = np.stack([np.maximum(begin[run], tile * size), np.minimum(end[run], (tile + 1) * size)], axis=1)
    return np.split(pieces, np.flatnonzero(np.diff(tile)) + 1) if len(pieces) else []
