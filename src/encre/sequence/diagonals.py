"""Is a pair of sequences similar on a diagonal? Exactly, many pairs at a time.

Similar means: some ungapped stretch of the diagonal, at least a stated share of the shorter sequence long, has a
stated identity. With F the running sum of +(1 - s) for a match and -s for a mismatch, a stretch from i to j has
identity s or more just when F[j] >= F[i]; so the lowest F that lies far enough back decides for each j. All of it
in whole numbers. An unknown base (N) matches nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from encre.errors import SequenceError
from encre.sequence.candidates import Diagonals
from encre.sequence.flat import windows
from encre.sequence.seeds import Distinct

#: Bases compared at once.
_BLOCK = 1 << 19


@dataclass(frozen=True)
class Similarity:
    """What counts as similar: an identity of ``matched / of`` at least, over ``part / whole`` of the shorter one."""

    matched: int
    of: int
    part: int
    whole: int

    @classmethod
    def at_least(cls, similarity: float, min_overlap: float) -> Similarity:
        """Check the two shares and take them as the decimal fractions that they are written as.

        Raises
        ------
        SequenceError
            When one is out of its range.
        """
        if not 0.8 <= similarity <= 1:
            raise SequenceError(
                "near-duplicates cannot be searched at this similarity",
                expected="0.8 to 1 (below, too few seeds are left to find them by)",
                got=f"{similarity:g}",
            )
        if not 0 < min_overlap <= 1:
            raise SequenceError(
                "the overlap is a share of the shorter sequence", expected="above 0, up to 1", got=f"{min_overlap:g}"
            )
        identity, overlap = (Fraction(str(x)).limit_denominator(10_000) for x in (similarity, min_overlap))
        return cls(identity.numerator, identity.denominator, overlap.numerator, overlap.denominator)

    def needed(self, shorter: np.ndarray) -> np.ndarray:
        """Bases that a stretch needs, given those of the shorter sequence, ``(C,)``; at least 1."""
        return np.maximum(-(-shorter * self.part // self.whole), 1)


@dataclass(frozen=True)
class _Overlap:
    """Where the overlaps lie in the flat codes, and the bases of the shorter sequence, ``(C,)`` each."""

    begin_u: np.ndarray
    begin_v: np.ndarray
    length: np.ndarray
    reverse: np.ndarray
    shorter: np.ndarray


def _overlap(pairs: Diagonals, sequences: Distinct) -> _Overlap:
    long_u, long_v = sequences.lengths[pairs.u], sequences.lengths[pairs.v]
    from_u, from_v = np.maximum(pairs.shift, 0), np.maximum(-pairs.shift, 0)
    length = np.minimum(long_u - from_u, long_v - from_v)
    from_v = np.where(pairs.reverse, long_v - from_v - length, from_v)
    return _Overlap(
        sequences.starts[pairs.u] + from_u,
        sequences.starts[pairs.v] + from_v,
        length,
        pairs.reverse,
        np.minimum(long_u, long_v),
    )


def by_overlap(pairs: Diagonals, sequences: Distinct) -> np.ndarray:
    """An order, ``(C,)``, with the overlaps of one length together: so they are checked fastest."""
    overlap = _overlap(pairs, sequences)
    return np.argsort(overlap.length * 2 + overlap.reverse, kind="stable")


def are_similar(pairs: Diagonals, sequences: Distinct, wanted: Similarity) -> np.ndarray:
    """Whether each pair has a stretch on its diagonal that is long and identical enough, ``(C,)`` bool."""
    overlap = _overlap(pairs, sequences)
    needed = wanted.needed(overlap.shorter)
    found = np.zeros(len(pairs.u), dtype=bool)
    for chosen, match in _matches(overlap, needed, sequences.codes):
        length = match.shape[1]
        need = needed[chosen]
        total = _count(match) * wanted.of
        whole = total >= wanted.matched * length
        unsure = np.flatnonzero(~whole & (total >= wanted.matched * need))
        found[chosen] = whole
        if len(unsure):
            found[chosen[unsure]] = _has_stretch(match[unsure], need[unsure], wanted)
    return found


def longest_stretches(pairs: Diagonals, sequences: Distinct, wanted: Similarity) -> tuple[np.ndarray, np.ndarray]:
    """The longest stretch of each diagonal with the identity asked for: its bases and its matches, ``(C,)`` int64.

    Of equally long stretches the one with more matches; 0 bases where there is none.
    """
    overlap = _overlap(pairs, sequences)
    needed = wanted.needed(overlap.shorter)
    bases, matches = np.zeros(len(pairs.u), dtype=np.int64), np.zeros(len(pairs.u), dtype=np.int64)
    for chosen, match in _matches(overlap, needed, sequences.codes):
        length = match.shape[1]
        total = _count(match)
        whole = total * wanted.of >= wanted.matched * length
        bases[chosen], matches[chosen] = length, total
        if not whole.all():
            part = chosen[~whole]
            bases[part], matches[part] = _longest(match[~whole], wanted)
    return bases, matches


def _matches(overlap: _Overlap, needed: np.ndarray, codes: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield rows ``(B,)`` with overlaps of one length and strand, and where they match, ``(B, L)`` bool.

    Overlaps that are too short for any stretch are passed over.
    """
    rows = np.flatnonzero(overlap.length >= needed)
    kind = overlap.length[rows] * 2 + overlap.reverse[rows]
    order = np.argsort(kind, kind="stable")
    rows, kind = rows[order], kind[order]
    edges = np.append(np.flatnonzero(np.append(True, kind[1:] != kind[:-1])[: len(kind)]), len(kind))
    for first, last in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        length, reverse = divmod(int(kind[first]), 2)
        step = max(_BLOCK // length, 1)
        for begin in range(first, last, step):
            chosen = rows[begin : min(begin + step, last)]
            left = windows(codes, overlap.begin_u[chosen], length)
            right = windows(codes, overlap.begin_v[chosen], length)
            # An unknown base, 4, becomes 7 or 5 on one of the two sides only, so that it matches nothing.
            right = right[:, ::-1] ^ np.uint8(3) if reverse else right + (right >> np.uint8(2))
            yield chosen, left == right


def _count(match: np.ndarray) -> np.ndarray:
    """Matches of each row ``(B,)`` int64; sums of bytes are several times faster in 16 bits than in 64."""
    kind = np.uint16 if match.shape[1] < 1 << 16 else np.int64
    return np.add.reduce(match.view(np.uint8), axis=1, dtype=kind).astype(np.int64)


def _running(match: np.ndarray, wanted: Similarity) -> np.ndarray:
    """F ``(B, L + 1)``: the sum so far of ``of - matched`` for a match and ``-matched`` for a mismatch."""
    return _summed(match, wanted, bases=1)


def _summed(matches: np.ndarray, wanted: Similarity, *, bases: int) -> np.ndarray:
    """F after every ``bases`` bases, given the matches among them, ``(B, G)``; ``(B, G + 1)``."""
    kind = np.int32 if matches.shape[1] * bases * wanted.of < 1 << 30 else np.int64
    steps = np.zeros((len(matches), matches.shape[1] + 1), dtype=kind)
    np.multiply(matches, kind(wanted.of), out=steps[:, 1:])
    steps[:, 1:] -= kind(wanted.matched * bases)
    return np.cumsum(steps, axis=1, dtype=kind)


def _rises(running: np.ndarray, apart: np.ndarray, *, slack: int = 0) -> np.ndarray:
    """Whether F is anywhere as high, but for ``slack``, as ``apart (B,)`` places or more before, ``(B,)`` bool."""
    count, places = running.shape
    # Each row's lowest sums so far stand behind as many impossible ones; shifting a row is then copying a window.
    lowest = np.full((count, 2 * places), np.iinfo(running.dtype).max, dtype=running.dtype)
    np.minimum.accumulate(running, axis=1, out=lowest[:, places:])
    width = running.itemsize
    begin = (np.arange(count) * 2 * places + places - np.minimum(apart, places)) * width
    before = windows(lowest.reshape(-1).view(np.uint8), begin, places * width).view(running.dtype)
    return (running + running.dtype.type(slack) >= before).any(axis=1)


def _has_stretch(match: np.ndarray, needed: np.ndarray, wanted: Similarity) -> np.ndarray:
    """Whether a stretch of at least ``needed (B,)`` bases has the identity, ``(B,)`` bool.

    First on a grid of 8 bases: a stretch that is cut back to the grid loses 14 bases at most, so at most as many
    matches, and one that cannot be found there, with that allowed for, is not found base by base either.
    """
    grid = match.shape[1] // 8
    eights = np.bitwise_count(np.ascontiguousarray(match[:, : grid * 8]).view(np.uint64))
    apart = np.maximum(-(-(needed - 14) // 8), 0)
    maybe = _rises(_summed(eights, wanted, bases=8), apart, slack=14 * (wanted.of - wanted.matched))
    found = np.zeros(len(match), dtype=bool)
    found[maybe] = _rises(_running(match[maybe], wanted), needed[maybe])
    return found


def _longest(match: np.ndarray, wanted: Similarity) -> tuple[np.ndarray, np.ndarray]:
    """Bases and matches of the longest stretch with the identity, ``(B,)`` int64 each."""
    running = _running(match, wanted).astype(np.int64)
    count, ends = running.shape
    lowest = np.minimum.accumulate(running, axis=1)
    # Row after row, each on a level of its own, -lowest never falls: one search finds, for every end, the first
    # place at which the sum was no higher than it is there.
    level = np.arange(count)[:, None] * (2 * wanted.of * ends + 1)
    place = np.searchsorted((level - lowest).ravel(), (level - running).ravel()).reshape(count, ends)
    bases = np.arange(ends) - (place - np.arange(count)[:, None] * ends)
    risen = running - lowest.ravel()[np.minimum(place, lowest.size - 1)]
    best = np.argmax(bases * (2 * wanted.of * ends) + risen, axis=1)[:, None]
    bases, risen = (np.take_along_axis(x, best, axis=1)[:, 0] for x in (bases, risen))
    return bases, (risen + wanted.matched * bases) // wanted.of
