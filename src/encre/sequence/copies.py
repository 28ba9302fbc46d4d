"""From pairs of distinct sequences, on their canonical strands, to pairs of the rows that they stand in."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from encre.sequence.candidates import Diagonals
from encre.sequence.flat import offsets_of
from encre.sequence.seeds import Distinct

#: Pairs of copies of two sequences that are written out in full; of more, each copy gets one partner a side.
FEW = 64


class Spread(NamedTuple):
    """Pairs of rows ``a < b``, each once and in order, and the pair of distinct sequences behind each, ``(P,)``.

    ``pair`` is -1 where the two rows are the same sequence (or each other's reverse complement).
    """

    a: np.ndarray
    b: np.ndarray
    pair: np.ndarray


class _Copies(NamedTuple):
    """The rows of each distinct sequence u: ``rows[begin[u]:begin[u + 1]]``."""

    rows: np.ndarray
    begin: np.ndarray

    def many(self, u: np.ndarray) -> np.ndarray:
        return self.begin[u + 1] - self.begin[u]


def only_side(sequences: Distinct, sides: np.ndarray | None) -> np.ndarray:
    """The side that all copies of a distinct sequence are on, ``(U,)`` int64; -1 for several, or without sides."""
    only = np.full(len(sequences), -1, dtype=np.int64)
    if sides is None:
        return only
    _, part = np.unique(sides, return_inverse=True)
    only = part[sequences.first_row]
    only[sequences.of_row[part != only[sequences.of_row]]] = -1
    return only


def spread_pairs(u: np.ndarray, v: np.ndarray, sequences: Distinct, sides: np.ndarray | None) -> Spread:
    """The pairs of rows of which one is u and one is v ``(C,)``, and the pairs of rows that are the same sequence.

    With ``sides (N,)``, only rows on different sides. Where more than ``FEW`` pairs have the same two sequences,
    every row is paired with the other sequence's first row on each side only.
    """
    of_row, count = sequences.of_row, len(sequences)
    side = np.zeros(len(of_row), dtype=np.int64) if sides is None else np.unique(sides, return_inverse=True)[1]
    every = _Copies(np.argsort(of_row, kind="stable"), offsets_of(np.bincount(of_row, minlength=count)))
    first = np.unique(of_row * (int(side.max(initial=0)) + 1) + side, return_index=True)[1]
    some = _Copies(first, offsets_of(np.bincount(of_row[first], minlength=count)))
    repeated = np.flatnonzero(every.many(np.arange(count)) > 1)
    pair = np.append(np.arange(len(u)), np.full(len(repeated), -1))
    u, v = np.append(u, repeated), np.append(v, repeated)
    few = every.many(u) * every.many(v) <= FEW
    crossed = [
        _crossed(u[few], v[few], pair[few], ours=every, theirs=every),
        _crossed(u[~few], v[~few], pair[~few], ours=every, theirs=some),
        _crossed(u[~few], v[~few], pair[~few], ours=some, theirs=every),
    ]
    a, b, pair = (np.concatenate(parts) for parts in zip(*crossed, strict=True))
    good = (a != b) if sides is None else (side[a] != side[b])
    a, b, pair = a[good], b[good], pair[good]
    a, b = np.minimum(a, b), np.maximum(a, b)
    _, once = np.unique(a * len(of_row) + b, return_index=True)
    return Spread(a[once], b[once], pair[once])


def _crossed(
    u: np.ndarray, v: np.ndarray, pair: np.ndarray, *, ours: _Copies, theirs: _Copies
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each of our rows of u with each of their rows of v: rows, rows, and the pair that they come from."""
    times = theirs.many(v)
    total = ours.many(u) * times
    of = np.repeat(np.arange(len(u)), total)
    place = np.arange(len(of)) - offsets_of(total)[of]
    return (
        ours.rows[ours.begin[u[of]] + place // times[of]],
        theirs.rows[theirs.begin[v[of]] + place % times[of]],
        pair[of],
    )


def as_rows_lie(pairs: Diagonals, spread: Spread, sequences: Distinct) -> tuple[np.ndarray, np.ndarray]:
    """``reverse`` and ``shift`` of each pair of rows, read with row a as it stands.

    Parameters
    ----------
    pairs
        The diagonals of the pairs of distinct sequences, both in canonical form.
    spread
        The pairs of rows that came of them.
    sequences
        The distinct sequences, and which rows are flipped.
    """
    of_a, of_b = sequences.of_row[spread.a], sequences.of_row[spread.b]
    long_a, long_b = sequences.lengths[of_a], sequences.lengths[of_b]
    equal = spread.pair < 0
    # The last entry stands for rows that are the same sequence.
    reverse = np.append(pairs.reverse, False)[spread.pair]
    shift = np.append(pairs.shift, 0)[spread.pair]
    # Seen from v: v against u, on the strand on which v stands as it is.
    swapped = ~equal & (np.append(pairs.u, -1)[spread.pair] != of_a)
    shift = np.where(swapped, np.where(reverse, shift + long_a - long_b, -shift), shift)
    # Where row a is the other strand of its canonical form, the whole picture is turned round.
    flip_a, flip_b = sequences.flipped[spread.a], sequences.flipped[spread.b]
    return reverse ^ flip_a ^ flip_b, np.where(flip_a, long_a - shift - long_b, shift)
