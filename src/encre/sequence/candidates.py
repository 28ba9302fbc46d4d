"""Pairs of sequences that share a seed, and so may be similar: each as its diagonal, packed into 64 bits.

Seeds of few sequences give all their pairs. A seed that stands in many (an Alu, a run of A, (AC)n) gives none by
itself: its places are told apart by the bases beside it, 8, 16, 24 and 32 of them, to the right and, on their own,
to the left. Only what is crowded even then is chained, each with the next few in order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from encre.sequence.flat import windows
from encre.sequence.seeds import SPAN, Distinct, Layout, mixed
from encre.shapes import N_CODE

#: Pairs that seeds may suggest, roughly and at the very most: what a crowd is depends on how many seeds there are.
_PAIRS = 1 << 28
_FEWEST, _MOST = 16, 512
#: Next sequences in order that each is compared with where even 57 bases are shared by a crowd.
CHAIN = 4
#: Bases beside a crowded seed that tell its places apart, a step (one 64-bit word); and steps.
_BESIDE = 8
_STEPS = 4


def crowd_size(seeds: int) -> int:
    """Sequences that may share a seed and are still compared each with each, given the number of all seeds."""
    return min(max(_PAIRS // max(seeds, 1), _FEWEST), _MOST)


@dataclass(frozen=True)
class Diagonals:
    """Diagonals of pairs of distinct sequences, ``(C,)`` each: ``u`` as it is against ``v`` on one of its strands.

    Base 0 of ``v`` (as compared) lies at base ``shift`` of ``u``; ``reverse`` is whether v is compared as its
    reverse complement; ``u < v``.
    """

    u: np.ndarray
    v: np.ndarray
    reverse: np.ndarray
    shift: np.ndarray


def unpack(keys: np.ndarray, layout: Layout) -> Diagonals:
    """The diagonals that :func:`candidates` packed."""
    width = layout.place_bits + 2
    low = (keys & np.uint64((1 << width) - 1)).astype(np.int64)
    u, v = ends(keys, layout)
    return Diagonals(
        u, v, (low >> (width - 1)).astype(bool), (low & ((1 << (width - 1)) - 1)) - (1 << layout.place_bits)
    )


def ends(keys: np.ndarray, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """The two distinct sequences of packed diagonals, int64."""
    both = keys >> np.uint64(layout.place_bits + 2)
    v = (both & np.uint64((1 << layout.row_bits) - 1)).astype(np.int64)
    return (both >> np.uint64(layout.row_bits)).astype(np.int64), v


def candidates(seeds: np.ndarray, sequences: Distinct, layout: Layout, *, crowd: int) -> Iterator[np.ndarray]:
    """Yield packed diagonals of all pairs that the seeds of one part suggest; the same one may come more than once.

    Parameters
    ----------
    seeds
        Packed seeds; sorted in place.
    sequences, layout
        What they are seeds of, and how they are packed.
    crowd
        Sequences that share a seed and are still compared each with each.
    """
    seeds, crowded = _runs(seeds, layout, crowd)
    yield from _all_pairs(seeds, sequences, layout, reach=crowd)
    for right in (True, False):
        rest = crowded
        for step in range(_STEPS):
            rest, more = _runs(_told_apart(rest, sequences, layout, right=right, step=step), layout, crowd)
            yield from _all_pairs(rest, sequences, layout, reach=crowd)
            rest = more
        yield from _all_pairs(rest, sequences, layout, reach=CHAIN)


def _runs(seeds: np.ndarray, layout: Layout, crowd: int) -> tuple[np.ndarray, np.ndarray]:
    """Sort seeds, keep the first of each sequence and hash, drop hashes that stand alone; the few, and the crowds."""
    seeds.sort()
    of = seeds >> layout.row_shift
    seeds = seeds[np.append(True, of[1:] != of[:-1])[: len(seeds)]]
    of = seeds >> layout.hash_shift
    same = of[1:] == of[:-1]
    shared = np.append(same, False)[: len(seeds)]
    shared[1:] |= same
    seeds, of = seeds[shared], of[shared]
    edges = np.flatnonzero(np.append(True, of[1:] != of[:-1])[: len(of)])
    counts = np.diff(np.append(edges, len(of)))
    few = np.repeat(counts <= crowd, counts)
    return seeds[few], seeds[~few]


def _all_pairs(seeds: np.ndarray, sequences: Distinct, layout: Layout, *, reach: int) -> Iterator[np.ndarray]:
    """Yield the packed diagonals of seeds that have the same hash and at most ``reach`` others between them."""
    of = seeds >> layout.hash_shift
    at = np.arange(len(seeds))
    for lag in range(1, reach + 1):
        at = at[: np.searchsorted(at, len(seeds) - lag)]
        at = at[of[at] == of[at + lag]]
        if not len(at):
            return
        yield _packed(seeds[at], seeds[at + lag], sequences, layout)


def _packed(one: np.ndarray, other: np.ndarray, sequences: Distinct, layout: Layout) -> np.ndarray:
    u, v = layout.row(one), layout.row(other)
    reverse = ((one ^ other) & np.uint64(1)).astype(bool)
    there = layout.place(other)
    there = np.where(reverse, sequences.lengths[v] - SPAN - there, there)
    shift = layout.place(one) - there + (1 << layout.place_bits)
    key = (u << layout.row_bits) | v
    key = (key << 1) | reverse
    return ((key << (layout.place_bits + 1)) | shift).view(np.uint64)


def _told_apart(seeds: np.ndarray, sequences: Distinct, layout: Layout, *, right: bool, step: int) -> np.ndarray:
    """The seeds with a hash of their own hash and 8 bases beside them, step by step away from the seed.

    Right and left are the seed's own, whatever strand it was read on. Seeds are left out when the bases would lie
    outside their sequence, or one is unknown.
    """
    row, place, other = layout.row(seeds), layout.place(seeds), (seeds & np.uint64(1)).astype(bool)
    behind = other ^ right
    begin = np.where(behind, place + SPAN + _BESIDE * step, place - _BESIDE * (step + 1))
    inside = (begin >= 0) & (begin + _BESIDE <= sequences.lengths[row])
    seeds, row, place, other, begin = (x[inside] for x in (seeds, row, place, other, begin))
    beside = windows(sequences.codes, sequences.starts[row] + begin, _BESIDE)
    beside[other] = beside[other, ::-1] ^ np.uint8(3)
    known = (beside < N_CODE).all(axis=1)
    hashed = mixed((seeds >> layout.hash_shift) ^ mixed(beside.view(np.uint64)[:, 0]))
    return layout.pack(hashed, row, place, other)[known]
