"""Transcription start sites: reading their files, and how far the nearest one is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from encre.errors import FormatError, IntervalError
from encre.genome.assembly import Assembly
from encre.genome.bed import canonical_names
from encre.tables import Column, categories, first_row, place, read_rows

#: The distance of a place whose chromosome has no start site: farther than any chromosome is long.
FAR = 1_000_000_000
_CHROM_SHIFT = 32  # keys hold the chromosome's number above the position, as in encre.genome.intervals
_MOST_COLUMNS = 12


class Tss(NamedTuple):
    """Start sites: chromosome (M,) and 0-based position (M,) int64."""

    chrom: pl.Series
    position: np.ndarray


def read_tss(path: str | Path, *, assembly: Assembly | None = None) -> Tss:
    """Read a BED-like file with one start site a row.

    A row whose start and end are equal names a 1-based position (the form of SCREEN's GENCODE files: ``chrom pos pos
    transcript . strand gene``); one whose end is the start + 1 is ordinary BED, 0-based.

    Parameters
    ----------
    path
        Plain or gzip, at least three tab-separated columns.
    assembly
        Chromosome names are brought to this assembly's, and positions checked against its lengths.

    Raises
    ------
    MissingFileError, FormatError
        Naming file, line and column; for a row that is wider than one base, too.
    IntervalError
        For a position beyond its chromosome's end, or a 1-based position 0.
    """
    row = first_row(path)
    count = len(row.fields)
    if not 3 <= count <= _MOST_COLUMNS:
        raise FormatError(
            "this is not a file of transcription start sites",
            where=place(path, row.line),
            expected=f"3 to {_MOST_COLUMNS} columns separated by tabs: chrom, start, end …",
            got=f"{count}: '{' | '.join(row.fields)[:60]}'",
        )
    columns = [Column("chrom", "category"), Column("start", "int", 0), Column("end", "int", 0)]
    frame = read_rows(path, columns=[*columns, *(Column(f"_{i}", "skip") for i in range(count - 3))])
    frame = canonical_names(frame, assembly)
    start, end = frame["start"].to_numpy(), frame["end"].to_numpy()
    if (bad := (end - start > 1) | (end < start)).any():
        first = int(np.argmax(bad))
        raise FormatError(
            "a transcription start site is one base, and this row is an interval",
            where=place(path, int(frame["line"][first]), column=3, name="end"),
            expected="end = start (a 1-based position) or end = start + 1 (BED)",
            got=f"{start[first]} {end[first]}",
            remedy="Give the 5' end of each transcript: its start on strand +, its end - 1 on strand -.",
        )
    position = end.astype(np.int64) - 1
    numbers, names = categories(frame["chrom"])
    lengths = assembly.lengths if assembly else {}
    limit = np.array([lengths.get(name, FAR) for name in names], dtype=np.int64)[numbers]
    if (bad := (position < 0) | (position >= limit)).any():
        first = int(np.argmax(bad))
        raise IntervalError(
            "the position lies off its chromosome",
            where=place(path, int(frame["line"][first]), column=3, name="end"),
            expected=f"1 to {limit[first]:,}" if limit[first] < FAR else "1 or more",
            got=f"{frame['chrom'][first]} {start[first]} {end[first]}",
            remedy="Is the file of another assembly?",
        )
    return Tss(frame["chrom"], position)


def tss_keys(tss: Tss, names: Sequence[str]) -> np.ndarray:
    """The sorted keys that :func:`nearest_tss_distance` searches, (K,) int64; unknown chromosomes are left out.

    Parameters
    ----------
    tss
        As :func:`read_tss` gives it.
    names
        The chromosomes; a number is a place in this list.
    """
    rows, found = categories(tss.chrom)
    number = {name: i for i, name in enumerate(names)}
    home = np.array([number.get(name, -1) for name in found], dtype=np.int64)[rows]
    return np.unique((home[home >= 0] << _CHROM_SHIFT) + tss.position[home >= 0])


def nearest_tss_distance(chrom: np.ndarray, centre: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Bases from each place to the nearest start site of its chromosome.

    Parameters
    ----------
    chrom, centre
        Chromosome numbers and 0-based positions (N,).
    keys
        From :func:`tss_keys`, with the same numbers.

    Returns
    -------
    np.ndarray
        Distances (N,) int64; :data:`FAR` on a chromosome without a start site.
    """
    if not len(keys):
        return np.full(len(chrom), FAR, dtype=np.int64)
    query = (np.asarray(chrom, dtype=np.int64) << _CHROM_SHIFT) + centre
    right = np.searchsorted(keys, query)
    behind = np.abs(query - keys[np.maximum(right - 1, 0)])
    ahead = np.abs(query - keys[np.minimum(right, len(keys) - 1)])
    return np.minimum(np.minimum(behind, ahead), FAR)
