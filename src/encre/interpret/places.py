"""Where the windows lie: in their sequences, and on the genome when regions were given."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from encre.errors import ConfigError
from encre.files import staged_file
from encre.genome.bigwig import BigWigWriter
from encre.genome.intervals import Interval
from encre.genome.store import Genome
from encre.interpret.attribution import Attributions
from encre.interpret.windows import Windows
from encre.predict.inputs import Records
from encre.sequence.alphabet import n_share
from encre.shapes import CODE_LETTERS, N_CODE

#: Two windows further apart than this are summed up in arrays of their own.
_GAP = 1 << 10


class Places(NamedTuple):
    """Where N windows lie.

    Parameters
    ----------
    name
        (N,) names of the windows' records.
    chrom
        (N,) chromosome or, for sequences without coordinates, the name again.
    start, end
        (N,) 0-based half-open, on the chromosome or in the sequence.
    """

    name: list[str]
    chrom: list[str]
    start: np.ndarray
    end: np.ndarray

    def find(self, region: str) -> tuple[int, int, int]:
        """The window that holds all of a region, and the region's first and last base (half-open) in it.

        Parameters
        ----------
        region
            1-based inclusive, on a chromosome or ``NAME:first-last`` in a sequence.

        Raises
        ------
        ConfigError
            When no window holds all of it.
        """
        wanted = Interval.from_region(region)
        for row, (name, chrom) in enumerate(zip(self.name, self.chrom, strict=True)):
            start = int(self.start[row])
            if wanted.chrom in (chrom, name) and start <= wanted.start and wanted.end <= self.end[row]:
                return row, wanted.start - start, wanted.end - start
        raise ConfigError(
            "no explained window holds the whole region", where=region,
            remedy="A region is 1-based inclusive, on a chromosome or NAME:first-last in a sequence.",
        )  # fmt: skip


def places_of(records: Records, windows: Windows) -> Places:
    """Where the windows lie; windows around a region's centre may begin before 0."""
    names, start = [str(records.names[row]) for row in windows.record], windows.first
    if records.chrom is None or records.first is None:
        return Places(names, names, start, start + windows.length)
    start = start + records.first[windows.record]
    chrom = [str(records.chrom[row]) for row in windows.record]
    return Places(names, chrom, start, start + windows.length)


def base_table(found: Attributions) -> pl.DataFrame:
    """One row a base: ``row`` (of the arrays), ``name``, ``chrom`` and ``start`` (0-based) where known,
    ``position`` (0-based in the window), ``base``, and ``contribution_<task>``.
    """
    places, length = places_of(found.records, found.windows), found.windows.length
    row = np.repeat(np.arange(len(found), dtype=np.int32), length)
    position = np.arange(len(row)) - found.windows.offsets[:-1][row]
    columns: dict[str, object] = {"row": row, "name": pl.Series(places.name).gather(row)}
    if found.records.chrom is not None:
        columns |= {"chrom": pl.Series(places.chrom).gather(row), "start": places.start[row] + position}
    columns |= {
        "position": position.astype(np.int32),
        "base": pl.Series(list(CODE_LETTERS)).gather(found.windows.codes),
    }
    values = np.concatenate([found.contributions(row) for row in range(len(found))], axis=1)
    return pl.DataFrame(columns | {f"contribution_{task}": values[k] for k, task in enumerate(found.tasks)})


def window_table(found: Attributions) -> pl.DataFrame:
    """One row a window: ``row`` (of the arrays), ``name``, ``chrom`` where known, ``start`` and ``end`` (0-based
    half-open, on the chromosome or in the sequence), ``length``, ``n_share``; of each task its logit, the sum of
    contributions and, where there is a reference, the difference from it and the completeness error.
    """
    places = places_of(found.records, found.windows)
    columns: dict[str, object] = {"row": np.arange(len(found)), "name": places.name}
    if found.records.chrom is not None:
        columns["chrom"] = places.chrom
    columns |= {"start": places.start, "end": places.end, "length": found.windows.length}
    columns["n_share"] = n_share(found.windows.codes, found.windows.offsets)
    sums = np.array([found.contributions(row).sum(axis=1, dtype=np.float64) for row in range(len(found))])
    for k, task in enumerate(found.tasks):
        columns |= {f"logit_{task}": found.logits[:, k], f"sum_{task}": sums[:, k]}
        if found.settings.reference_name:
            columns |= {f"difference_{task}": found.difference[:, k], f"error_{task}": found.error[:, k]}
    if found.steps is not None:
        columns["steps"] = found.steps
    return pl.DataFrame(columns)


def write_bigwig(path: Path, found: Attributions, *, task: int, genome: Genome) -> None:
    """Contributions to one task along the genome; where windows overlap, their mean. N has no value.

    Parameters
    ----------
    path
        The file.
    found
        Contributions of windows with coordinates.
    task
        Which of its tasks.
    genome
        Where the windows are from.
    """
    with staged_file(path) as staged, BigWigWriter(staged, genome.lengths) as writer:
        for chrom, start, values in _stretches(found, task, genome):
            writer.add(chrom, start, values)


def _stretches(found: Attributions, task: int, genome: Genome) -> Iterator[tuple[str, int, np.ndarray]]:
    """Yield (chrom, start, values) of neighbouring windows joined, in order; NaN where there is no value."""
    places = places_of(found.records, found.windows)
    order = {chrom: number for number, chrom in enumerate(genome.lengths)}
    number = np.array([order[genome.name_of(chrom) or chrom] for chrom in places.chrom])
    rows = np.lexsort((places.start, number))
    far = number << 40  # chromosomes one behind the other, further apart than any is long
    reach = np.maximum.accumulate((places.end + far)[rows])
    apart = (places.start + far)[rows][1:] > reach[:-1] + _GAP
    for group in np.split(rows, np.flatnonzero(apart) + 1):
        first, last = int(places.start[group].min()), int(places.end[group].max())
        total, count = np.zeros(last - first), np.zeros(last - first, np.int64)
        for row in group:
            here = slice(places.start[row] - first, places.end[row] - first)
            total[here] += found.contributions(row)[task]
            count[here] += found.codes(row) < N_CODE
        values = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        chrom, low = list(order)[number[group[0]]], max(first, 0)
        yield chrom, low, values[low - first : min(last, genome.lengths[chrom]) - first]
