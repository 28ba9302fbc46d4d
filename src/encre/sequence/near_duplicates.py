"""Near-duplicates among millions of sequences: similar pairs, and the clusters that they chain together.

Two sequences are similar when, on either strand, some ungapped stretch of a diagonal has an identity of at least
``similarity`` over at least ``min_overlap`` of the shorter one's bases. So copies, reverse complements, windows
shifted by up to half, and copies with substitutions or with one insertion or deletion all count. Candidates come
from shared seeds (``sequence.seeds``), and each is then checked base by base (``sequence.diagonals``): what is
reported is similar; what is missed shares no seed, or none that a crowd of repeats does not share as well
(``sequence.candidates``). Among random sequences of 150-350 bases no pair in 6000 is missed at 95 % identity; at
90 %, the edge of what counts, 1 in 1000, or 1 in 100 when just half of the bases overlap. Sequences of less than
50 bases have few seeds, and below 25 none: of those only equal ones are sure to be found.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from encre.progress import SILENT, Progress
from encre.sequence.candidates import candidates, crowd_size, ends, unpack
from encre.sequence.copies import as_rows_lie, only_side, spread_pairs
from encre.sequence.diagonals import Similarity, are_similar, by_overlap, longest_stretches
from encre.sequence.seeds import Distinct, Layout, distinct_sequences, sketch

#: Candidates gathered before they are checked, and checked in one go by a thread.
_BATCH, _CHECKED = 1 << 20, 1 << 17


class Pairs(NamedTuple):
    """Similar pairs of rows, ``(P,)`` each, ordered by ``a``, then ``b``.

    Parameters
    ----------
    a, b
        Rows, int64, ``a < b``; no pair stands twice.
    reverse
        Whether b is compared as its reverse complement, bool.
    shift
        The base of a at which base 0 of b (as compared) lies, int64; negative when b begins before a.
    identity
        Share of matching bases in the longest stretch that is similar enough, float32.
    length
        Bases of that stretch, int64.
    """

    a: np.ndarray
    b: np.ndarray
    reverse: np.ndarray
    shift: np.ndarray
    identity: np.ndarray
    length: np.ndarray


def near_duplicate_pairs(
    codes: np.ndarray,
    offsets: np.ndarray,
    *,
    similarity: float = 0.9,
    min_overlap: float = 0.5,
    sides: np.ndarray | None = None,
    progress: Progress = SILENT,
) -> Pairs:
    """Similar pairs of rows, each once, with its longest similar stretch; equal sequences among them, identity 1.

    Whatever is found connects rows that :func:`near_duplicate_clusters` of the same rows puts into one cluster.
    Where more than 64 pairs of copies have the same two sequences, each copy is paired with one row a side only,
    so that every row with a partner is still named.

    Parameters
    ----------
    codes, offsets
        Flat codes ``(sum of lengths,)`` uint8 and offsets ``(N + 1,)`` int64.
    similarity
        Identity that a stretch needs, 0.8-1.
    min_overlap
        Length that it needs, as a share of the shorter sequence, above 0 up to 1.
    sides
        ``(N,)`` small whole numbers, for example splits: only pairs whose sides differ are reported.
    progress
        Told of the rows read and the parts compared.

    Raises
    ------
    SequenceError
        When a share is out of range, or there are more bases than 64-bit seeds can tell apart.
    """
    wanted = Similarity.at_least(similarity, min_overlap)
    sequences = distinct_sequences(codes, offsets)
    layout = Layout.of(sequences)
    only = only_side(sequences, sides)
    found: list[np.ndarray] = []

    def useful(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        return (only[u] < 0) | (only[u] != only[v])

    with ThreadPoolExecutor(_workers()) as pool:
        search = _Search(sequences, layout, wanted, pool)
        search.run(offsets, useful, found.append, progress)
        keys = np.sort(np.concatenate(found)) if found else np.empty(0, dtype=np.uint64)
        bases, matches = search.stretches(keys)
    u, v = ends(keys, layout)
    best = np.lexsort((keys, -matches, -bases, v, u))
    best = best[np.append(True, (np.diff(u[best]) != 0) | (np.diff(v[best]) != 0))[: len(best)]]
    here, bases, matches = unpack(keys[best], layout), bases[best], matches[best]
    spread = spread_pairs(here.u, here.v, sequences, sides)
    reverse, shift = as_rows_lie(here, spread, sequences)
    equal = spread.pair < 0
    bases = np.where(equal, sequences.lengths[sequences.of_row[spread.a]], np.append(bases, 0)[spread.pair])
    identity = np.where(equal, 1, np.append(matches, 0)[spread.pair] / np.maximum(bases, 1))
    return Pairs(spread.a, spread.b, reverse, shift, identity.astype(np.float32), bases)


def near_duplicate_clusters(
    codes: np.ndarray,
    offsets: np.ndarray,
    *,
    similarity: float = 0.9,
    min_overlap: float = 0.5,
    links: np.ndarray | None = None,
    progress: Progress = SILENT,
) -> np.ndarray:
    """The cluster of every row ``(N,)`` int64: what similar pairs connect, numbered by first rows from 0.

    The clusters are the same for any order of the rows, and for either strand of each.

    Parameters
    ----------
    codes, offsets, similarity, min_overlap, progress
        As for :func:`near_duplicate_pairs`.
    links
        ``(M, 2)`` pairs of rows that belong together for another reason, such as overlapping intervals.

    Raises
    ------
    SequenceError
        As :func:`near_duplicate_pairs`.
    """
    wanted = Similarity.at_least(similarity, min_overlap)
    sequences = distinct_sequences(codes, offsets)
    layout = Layout.of(sequences)
    labels = np.arange(len(sequences))
    if links is not None and len(links):
        labels = _joined(labels, sequences.of_row[links[:, 0]], sequences.of_row[links[:, 1]])

    def apart(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        return labels[u] != labels[v]

    def join(keys: np.ndarray) -> None:
        nonlocal labels
        labels = _joined(labels, *ends(keys, layout))

    with ThreadPoolExecutor(_workers()) as pool:
        _Search(sequences, layout, wanted, pool).run(offsets, apart, join, progress)
    return numbered(labels[sequences.of_row])


def numbered(labels: np.ndarray) -> np.ndarray:
    """The same partition, its parts numbered from 0 in the order of their first rows, ``(N,)`` int64."""
    _, first, part = np.unique(labels, return_index=True, return_inverse=True)
    number = np.empty(len(first), dtype=np.int64)
    number[np.argsort(first)] = np.arange(len(first))
    return number[part]


def _joined(labels: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Labels after each u has been joined with its v; a part is called after its lowest label."""
    nodes, index = np.unique(np.concatenate([labels[u], labels[v]]), return_inverse=True)
    one, other = index[: len(u)], index[len(u) :]
    edges = coo_array((np.ones(len(u), dtype=bool), (one, other)), shape=(len(nodes), len(nodes)))
    _, part = connected_components(edges, directed=False)
    _, first = np.unique(part, return_index=True)
    name = np.arange(len(labels))
    name[nodes] = nodes[first[part]]
    return name[labels]


class _Seen:
    """Candidates that were checked before, in a few sorted arrays, each at least twice as long as the next."""

    def __init__(self) -> None:
        self.sorted: list[np.ndarray] = []

    def new(self, keys: np.ndarray) -> np.ndarray:
        """Those of the sorted ``keys`` that are not here."""
        for known in self.sorted:
            place = np.minimum(np.searchsorted(known, keys), len(known) - 1)
            keys = keys[known[place] != keys]
        return keys

    def add(self, keys: np.ndarray) -> None:
        """Remember these sorted keys."""
        if not len(keys):
            return
        self.sorted.append(keys)
        while len(self.sorted) > 1 and len(self.sorted[-2]) < 2 * len(self.sorted[-1]):
            last = self.sorted.pop()
            self.sorted[-1] = np.sort(np.concatenate([self.sorted[-1], last]))


class _Search:
    """Candidates in batches: those that are of use and new are checked, those that are similar handed on."""

    def __init__(self, sequences: Distinct, layout: Layout, wanted: Similarity, pool: ThreadPoolExecutor) -> None:
        self.sequences, self.layout, self.wanted, self.pool = sequences, layout, wanted, pool
        self.seen = _Seen()

    def run(
        self,
        offsets: np.ndarray,
        useful: Callable[[np.ndarray, np.ndarray], np.ndarray],
        take: Callable[[np.ndarray], None],
        progress: Progress,
    ) -> None:
        """Hand similar candidates, packed, to ``take``, as long as their two ends are ``useful (u, v)``."""
        sequences, layout = self.sequences, self.layout
        with progress.track("sketching", len(offsets) - 1) as advance:
            parts = sketch(sequences, offsets, layout=layout, pool=self.pool, advance=advance)
        crowd = crowd_size(sum(len(seeds) for part in parts for seeds in part))
        with progress.track("comparing", len(parts), "parts") as advance:
            while parts:
                seeds = np.concatenate([np.empty(0, dtype=np.uint64), *parts.pop()])
                for batch in _batches(candidates(seeds, sequences, layout, crowd=crowd)):
                    keys = np.sort(batch[useful(*ends(batch, layout))])
                    keys = self.seen.new(keys[np.append(True, keys[1:] != keys[:-1])[: len(keys)]])
                    similar = self._similar(keys)
                    take(keys[similar])
                    self.seen.add(keys)
                advance(1, "")

    def _similar(self, keys: np.ndarray) -> np.ndarray:
        def check(part: np.ndarray) -> np.ndarray:
            return are_similar(unpack(part, self.layout), self.sequences, self.wanted)

        order = by_overlap(unpack(keys, self.layout), self.sequences)
        similar = np.zeros(len(keys), dtype=bool)
        similar[order] = np.concatenate([similar[:0], *self.pool.map(check, _pieces(keys[order]))])
        return similar

    def stretches(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Bases and matches of the longest similar stretch of each packed candidate, ``(C,)`` int64 each."""

        def measure(part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return longest_stretches(unpack(part, self.layout), self.sequences, self.wanted)

        done = [(np.empty(0, dtype=np.int64),) * 2, *self.pool.map(measure, _pieces(keys))]
        return np.concatenate([bases for bases, _ in done]), np.concatenate([matches for _, matches in done])


def _batches(arrays: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Candidates in batches of about a million, so that what one batch connects is spared in the next."""
    waiting: list[np.ndarray] = []
    for array in arrays:
        waiting.append(array)
        if sum(map(len, waiting)) < _BATCH:
            continue
        together = np.concatenate(waiting)
        yield from (together[i : i + _BATCH] for i in range(0, len(together), _BATCH))
        waiting = []
    if waiting:
        yield np.concatenate(waiting)


def _pieces(keys: np.ndarray) -> list[np.ndarray]:
    return [keys[i : i + _CHECKED] for i in range(0, len(keys), _CHECKED)]


def _workers() -> int:
    """Threads that are worth having: what the process may use, four at most."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(usable, 4)
