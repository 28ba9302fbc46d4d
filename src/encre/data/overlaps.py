"""Intervals of two sets of rows that share bases of the genome, by two binary searches a row."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl

from encre.data.rows import Rows

#: A place is one number: the chromosome's above these bits, the position (which may be before the chromosome's
#: first base, for a window that leaves it) and this below them.
_BITS = 40
_ZERO = 1 << 34


class Spans(NamedTuple):
    """Where rows stand: ``begin, end (N,)`` int64 with the chromosome in the high bits, and ``placed (N,)`` bool."""

    begin: np.ndarray
    end: np.ndarray
    placed: np.ndarray


def spans_of(rows: Rows) -> Spans:
    """The places of rows, for the functions below.

    A row without coordinates is not placed, and neither is a shuffle: it keeps its element's coordinates, but
    its bases stand nowhere in the genome.
    """
    begin, end = rows.spans()
    table = rows.table
    chrom = table["chrom"].cast(pl.String).cast(pl.Categorical).to_physical().fill_null(0).to_numpy()
    shuffle = table["kind"].str.contains("shuffle", literal=True).fill_null(False).to_numpy()
    first = (chrom.astype(np.int64) << _BITS) + _ZERO
    return Spans(first + begin, first + end, (end > begin) & ~shuffle)


def overlap_counts(spans: Spans, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """How many of ``others`` share at least one base with each of ``rows``, ``(len(rows),)`` int64.

    Those that begin before a row ends, less those that have ended where it begins: both are binary searches.

    Parameters
    ----------
    spans
        From :func:`spans_of`.
    rows, others
        Row numbers, all placed.
    """
    begun = np.searchsorted(np.sort(spans.begin[others]), spans.end[rows], side="left")
    return begun - np.searchsorted(np.sort(spans.end[others]), spans.begin[rows], side="right")


def overlap_partners(spans: Spans, rows: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One of ``others`` that overlaps each of ``rows``, and by how many bases; -1 and 0 where none does.

    Of all that overlap, two are compared (the one that begins last and the one that reaches furthest) and the
    one with the larger overlap is given.
    """
    if not len(others):
        return np.full(len(rows), -1), np.zeros(len(rows), dtype=np.int64)
    order = others[np.argsort(spans.begin[others], kind="stable")]
    ends = spans.end[order]
    furthest = np.maximum.accumulate(ends)
    reaching = np.maximum.accumulate(np.where(ends == furthest, np.arange(len(order)), 0))
    last = np.searchsorted(spans.begin[order], spans.end[rows], side="left") - 1
    at = np.maximum(last, 0)
    candidates = np.stack([order[at], order[reaching[at]]])
    low = np.maximum(spans.begin[candidates], spans.begin[rows])
    shared = np.where(last >= 0, np.minimum(spans.end[candidates], spans.end[rows]) - low, 0)
    better = (shared[1] > shared[0]).astype(np.int64)
    column = np.arange(len(rows))
    partner, shared = candidates[better, column], np.maximum(shared[better, column], 0)
    return np.where(shared > 0, partner, -1), shared
