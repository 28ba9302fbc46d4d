"""Near-duplicates planted among sequences, so that one knows what must be found; and a slow exact judge of two.

Imports nothing of encre: what it plants and how it judges must not depend on what it is the measure of.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import numpy as np

#: identity: 0-5 % of the bases substituted; shift: a window shifted by up to half; both; reverse: both, on the other
#: strand; indel: 1-10 bases inserted or deleted at one place; all: everything at once.
KINDS = ("identity", "shift", "both", "reverse", "indel", "all")


class Truth(NamedTuple):
    """What was planted, ``(P,)`` each: row ``b`` is a changed copy of row ``a``."""

    a: np.ndarray
    b: np.ndarray
    kind: np.ndarray  # index into KINDS
    identity: np.ndarray  # of what both have
    shift: np.ndarray  # bases


def random_sequences(
    rng: np.random.Generator, count: int, *, shortest: int = 150, longest: int = 350
) -> tuple[np.ndarray, np.ndarray]:
    """Flat codes and offsets of ``count`` sequences of random bases, lengths even from shortest to longest."""
    offsets = np.append(0, np.cumsum(rng.integers(shortest, longest + 1, count)))
    return rng.integers(0, 4, int(offsets[-1]), dtype=np.uint8), offsets


def plant(
    codes: np.ndarray,
    offsets: np.ndarray,
    rng: np.random.Generator,
    *,
    pairs: int,
    kinds: tuple[str, ...] = KINDS,
    lowest: float = 0.95,
) -> tuple[np.ndarray, np.ndarray, Truth]:
    """The sequences, then ``pairs`` changed copies of as many of them drawn at random, and which is of which.

    Identity is even from ``lowest`` to 1; every kind is as frequent as the next.
    """
    chosen = rng.choice(len(offsets) - 1, pairs, replace=False)
    kind = rng.choice([KINDS.index(name) for name in kinds], pairs)
    copies, identity, shift = [], np.ones(pairs), np.zeros(pairs, dtype=np.int64)
    for i, (row, name) in enumerate(zip(chosen, (KINDS[k] for k in kind), strict=True)):
        copy = codes[offsets[row] : offsets[row + 1]]
        if name in ("shift", "both", "reverse", "all"):
            shift[i] = rng.integers(-(len(copy) // 2), len(copy) // 2 + 1)
            copy = shifted(copy, int(shift[i]), rng)
        if name in ("identity", "both", "reverse", "all"):
            changes = int(len(copy) * rng.uniform(0, 1 - lowest))
            copy = substituted(copy, changes, rng)
            identity[i] = 1 - changes / len(copy)
        if name in ("indel", "all"):
            copy = with_indel(copy, rng)
        if name in ("reverse", "all"):
            copy = (3 - copy[::-1]).astype(np.uint8)
        copies.append(copy)
    b = len(offsets) - 1 + np.arange(pairs)
    codes, offsets = followed_by(codes, offsets, copies)
    return codes, offsets, Truth(chosen, b, kind, identity, shift)


def plant_family(
    codes: np.ndarray, offsets: np.ndarray, rng: np.random.Generator, *, copies: int, divergence: float = 0.12
) -> tuple[np.ndarray, np.ndarray]:
    """The sequences, then ``copies`` of one repeat, such as Alu: 300 bp, cut at random, each base changed by chance.

    ``divergence`` is from the family's common ancestor, so two copies differ by nearly twice as much.
    """
    ancestor = rng.integers(0, 4, 300, dtype=np.uint8)
    family = []
    for _ in range(copies):
        begin = int(rng.integers(0, 101))
        copy = ancestor[begin : begin + int(rng.integers(150, 201))]
        copy = substituted(copy, int(rng.binomial(len(copy), divergence)), rng)
        around = rng.integers(0, 4, 100, dtype=np.uint8)
        copy = np.concatenate([around[: len(around) // 2], copy, around[len(around) // 2 :]])
        family.append((3 - copy[::-1]).astype(np.uint8) if rng.random() < 0.5 else copy)
    return followed_by(codes, offsets, family)


def shifted(codes: np.ndarray, shift: int, rng: np.random.Generator) -> np.ndarray:
    """A window as long, ``shift`` bases further along (negative: back), with random bases where the old one ends."""
    fresh = rng.integers(0, 4, abs(shift), dtype=np.uint8)
    return np.concatenate([codes[shift:], fresh] if shift >= 0 else [fresh, codes[:shift]])


def substituted(codes: np.ndarray, changes: int, rng: np.random.Generator) -> np.ndarray:
    """A copy with another base at ``changes`` places."""
    copy = codes.copy()
    places = rng.choice(len(copy), changes, replace=False)
    copy[places] = (copy[places] + rng.integers(1, 4, changes, dtype=np.uint8)) % 4
    return copy


def with_indel(codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A copy with 1-10 bases inserted, or deleted, at one place."""
    size, place = int(rng.integers(1, 11)), int(rng.integers(0, len(codes) - 10))
    if rng.random() < 0.5:
        return np.concatenate([codes[:place], codes[place + size :]])
    return np.concatenate([codes[:place], rng.integers(0, 4, size, dtype=np.uint8), codes[place:]])


def followed_by(codes: np.ndarray, offsets: np.ndarray, more: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The sequences, then some more."""
    lengths = np.append(np.diff(offsets), [len(one) for one in more]).astype(np.int64)
    return np.concatenate([codes, *more]), np.append(0, np.cumsum(lengths))


def slow_similar(a: np.ndarray, b: np.ndarray, similarity: float, min_overlap: float) -> bool:
    """Whether two sequences (codes, 4 = N) are similar, by trying every diagonal of both strands."""
    other = np.where(b < 4, 3 - b.astype(int), 4)[::-1]
    return any(_on_any_diagonal(a, strand, similarity, min_overlap) for strand in (b, other))


def _on_any_diagonal(a: np.ndarray, b: np.ndarray, similarity: float, min_overlap: float) -> bool:
    shortest = int(-(-min(len(a), len(b)) * Fraction(str(min_overlap)) // 1))
    identity = Fraction(str(similarity))
    # Matches on every diagonal: only where there are enough to fill the shortest stretch need one look closer.
    matches = sum(np.correlate((a == base).astype(int), (b == base).astype(int), "full") for base in range(4))
    for shift in np.flatnonzero(matches >= float(identity * shortest)) - len(b) + 1:
        ours, theirs = a[max(shift, 0) :], b[max(-shift, 0) :]
        size = min(len(ours), len(theirs))
        match = (ours[:size] == theirs[:size]) & (ours[:size] < 4)
        sums = np.append(0, np.cumsum(match))
        for length in range(shortest, size + 1):
            if (sums[length:] - sums[:-length]).max() * identity.denominator >= identity.numerator * length:
                return True
    return False
