"""Sets of stretches on one axis, a genome's chromosomes one after the other, so that one sorted array serves all.

A set is sorted and disjoint. Positions are 0-based half-open.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl

from encre.genome.store import Genome
from encre.tables import categories


class Stretches(NamedTuple):
    """Where each stretch begins and ends on the axis: two sorted arrays (S,) int64; none touches the next."""

    begin: np.ndarray
    end: np.ndarray

    def hold(self, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
        """Which intervals (N,) lie wholly within one stretch: (N,) bool."""
        at = np.searchsorted(self.begin, begin, side="right") - 1
        found = at >= 0
        found[found] = self.end[at[found]] >= np.asarray(end)[found]
        return found

    def without(self, other: Stretches) -> Stretches:
        """What is left of this set outside of the other."""
        # The gaps of the other set, before its first and behind its last stretch included.
        low = np.concatenate([[np.iinfo(np.int64).min], other.end])
        high = np.concatenate([other.begin, [np.iinfo(np.int64).max]])
        first = np.searchsorted(high, self.begin, side="right")
        count = np.searchsorted(low, self.end, side="left") - first
        mine = np.repeat(np.arange(len(count)), count)
        gap = np.arange(len(mine)) - np.repeat(np.cumsum(count) - count - first, count)
        begin, end = np.maximum(self.begin[mine], low[gap]), np.minimum(self.end[mine], high[gap])
        return Stretches(begin[begin < end], end[begin < end])


def merged(begin: np.ndarray, end: np.ndarray) -> Stretches:
    """The set that covers these intervals (N,), in any order, overlapping or not."""
    order = np.argsort(begin, kind="stable")
    begin, end = np.asarray(begin, dtype=np.int64)[order], np.asarray(end, dtype=np.int64)[order]
    if not len(begin):
        return Stretches(begin, end)
    furthest = np.maximum.accumulate(end)
    first = np.flatnonzero(np.append(True, begin[1:] > furthest[:-1]))
    return Stretches(begin[first], furthest[np.append(first[1:] - 1, len(begin) - 1)])


class Axis:
    """The axis of a genome, as that of :meth:`Genome.known`."""

    def __init__(self, genome: Genome) -> None:
        self.names = list(genome.lengths)
        self._name_of = genome.name_of
        self.edges = np.concatenate([[0], np.cumsum(list(genome.lengths.values()), dtype=np.int64)])
        """Where each chromosome begins, and the end of the last, (chromosomes + 1,) int64."""

    def numbers(self, chrom: pl.Series) -> np.ndarray:
        """The number of each row's chromosome (N,) int64, named in any style; -1 for one that the genome lacks."""
        if not len(chrom):
            return np.empty(0, dtype=np.int64)
        rows, names = categories(chrom)
        place = {name: number for number, name in enumerate(self.names)}
        return np.array([place.get(self._name_of(name) or "", -1) for name in names], dtype=np.int64)[rows]

    def chroms(self, numbers: np.ndarray) -> pl.Series:
        """The names of chromosomes (N,), categorical."""
        return pl.Series(self.names, dtype=pl.Categorical).gather(numbers)

    def cover(self, numbers: np.ndarray, start: np.ndarray, end: np.ndarray, *, margin: int = 0) -> Stretches:
        """The set that covers intervals (N,) of chromosomes, ``margin`` bases wider on both sides.

        What lies off a chromosome, or on one with the number -1, is left out.
        """
        known = numbers >= 0
        home = numbers[known]
        low, high = self.edges[home], self.edges[home + 1]
        begin = np.clip(low + start[known] - margin, low, high)
        return merged(begin, np.clip(low + end[known] + margin, low, high))
