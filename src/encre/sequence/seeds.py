"""Sketches: some of each sequence's spaced k-mers, the same on both strands, which similar sequences share.

A seed is 17 of 25 neighbouring bases, chosen by a symmetric mask (Ma, Tromp and Li 2002: matches of a spaced
seed hang together less than those of a plain k-mer, so that one of them survives more often), on whichever strand
its packed bases are the smaller number. A seed is kept when its hash is below a bound (FracMinHash: Irber et al.
2022), so that two sequences keep or drop it alike; the bound is higher for short sequences.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from encre.errors import SequenceError
from encre.progress import Advance
from encre.sequence.alphabet import canonical_flat
from encre.sequence.flat import blocks
from encre.shapes import N_CODE

#: Bases that a seed reaches over. Odd, with the middle base in the mask: no seed is its own reverse complement.
SPAN = 25
_PATTERN = "1111011010101010101101111"
_MASK = np.uint64(int("".join("11" if sign == "1" else "00" for sign in _PATTERN), 2))
#: One seed of this many is kept; of short sequences more, so that each has this many, as far as it goes.
THINNING, AT_LEAST = 4, 64
#: Parts by the seeds' first hash bits; one is sorted at a time.
PARTS = 16
_PART_BITS = 4
_BLOCK = 1 << 17
_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93))


@dataclass(frozen=True)
class Distinct:
    """The different sequences among many, in an order that depends on nothing but themselves.

    Parameters
    ----------
    codes
        Flat codes of every row in canonical form (the smaller strand).
    starts, lengths
        Where distinct sequence u lies in ``codes``, and its bases, ``(U,)`` int64.
    of_row
        Which distinct sequence row n is, ``(N,)`` int64.
    flipped
        Whether its canonical form is the row's other strand, ``(N,)`` bool.
    first_row
        The first row that is distinct sequence u, ``(U,)`` int64.
    """

    codes: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    of_row: np.ndarray
    flipped: np.ndarray
    first_row: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)


def distinct_sequences(codes: np.ndarray, offsets: np.ndarray) -> Distinct:
    """Put sequences that are the same, or each other's reverse complement, together; and order them by content.

    What follows then cannot depend on the order or the strands of the rows. Sequences are told apart by their
    length and a 64-bit digest (two of ten million differ unseen with a probability of 3 in a million).
    """
    canonical, flipped = canonical_flat(codes, offsets)
    lengths = np.diff(offsets)
    digest = np.empty(len(lengths), dtype=np.uint64)
    for first, last in blocks(offsets, _BLOCK):
        low = int(offsets[first])
        edges = offsets[first : last + 1] - low
        digest[first:last] = _digests(canonical[low : offsets[last]], edges)
    digest = mixed(digest ^ (lengths.astype(np.uint64) * _MIX[1]))
    _, first_row, of_row = np.unique(digest, return_index=True, return_inverse=True)
    return Distinct(
        canonical, offsets[:-1][first_row], lengths[first_row], of_row.astype(np.int64), flipped, first_row
    )


def _digests(codes: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """A 64-bit digest of each sequence of a block ``(B,)``: the sum of its mixed (place, base) pairs."""
    counts = np.diff(edges)
    out = np.zeros(len(counts), dtype=np.uint64)
    filled = counts > 0
    if not filled.any():
        return out
    place = np.arange(len(codes), dtype=np.uint64) - np.repeat(edges[:-1], counts).astype(np.uint64)
    word = (place * np.uint64(8) + codes + np.uint64(1)) * _MIX[0]
    word ^= word >> np.uint64(29)
    word *= _MIX[1]
    out[filled] = np.add.reduceat(word, edges[:-1][filled])
    return out


def mixed(words: np.ndarray) -> np.ndarray:
    """Scatter 64-bit words over all 64 bits, one to one (as the finaliser of splitmix64 does)."""
    words = (words ^ (words >> np.uint64(32))) * _MIX[1]
    words ^= words >> np.uint64(29)
    words *= _MIX[0]
    words ^= words >> np.uint64(32)
    return words


@dataclass(frozen=True)
class Layout:
    """How a seed is packed into 64 bits: its hash, its sequence, its place there, its strand; highest first.

    Sorting the packed seeds brings equal hashes together, and within them the sequences in order.
    """

    row_bits: int
    place_bits: int
    row_shift: np.uint64 = field(init=False)
    hash_shift: np.uint64 = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "row_shift", np.uint64(self.place_bits + 1))
        object.__setattr__(self, "hash_shift", np.uint64(self.place_bits + 1 + self.row_bits))

    @classmethod
    def of(cls, sequences: Distinct) -> Layout:
        """The narrowest layout that holds these sequences.

        Raises
        ------
        SequenceError
            When there are so many or so long ones that too few bits are left for the hash.
        """
        longest = int(sequences.lengths.max(initial=0))
        layout = cls(len(sequences).bit_length(), longest.bit_length())
        if 2 * layout.row_bits + layout.place_bits + 3 > 64 or layout.row_bits + layout.place_bits > 43:
            raise SequenceError(
                "these are too many and too long sequences to search for near-duplicates",
                expected="numbers such as 10 million of 16 kb, or 1 million of 1 Mb, at most",
                got=f"{len(sequences):,} distinct sequences, the longest of {longest:,} bp",
                remedy="Cut the long ones into windows first.",
            )
        return layout

    def pack(self, hashed: np.ndarray, row: np.ndarray, place: np.ndarray, strand: np.ndarray) -> np.ndarray:
        """Packed seeds of uint64 hashes (their lowest bits fall off at the top), rows, places, strands."""
        return (
            (hashed << self.hash_shift)
            | (row.astype(np.uint64) << self.row_shift)
            | (place.astype(np.uint64) << np.uint64(1))
            | strand.astype(np.uint64)
        )

    def row(self, seeds: np.ndarray) -> np.ndarray:
        """The distinct sequence that a packed seed is of, int64."""
        return ((seeds >> self.row_shift) & np.uint64((1 << self.row_bits) - 1)).astype(np.int64)

    def place(self, seeds: np.ndarray) -> np.ndarray:
        """Where in its sequence a packed seed begins, int64."""
        return ((seeds >> np.uint64(1)) & np.uint64((1 << self.place_bits) - 1)).astype(np.int64)


def sketch(
    sequences: Distinct, offsets: np.ndarray, *, layout: Layout, pool: ThreadPoolExecutor, advance: Advance
) -> list[list[np.ndarray]]:
    """The packed seeds of all distinct sequences, in ``PARTS`` lists by the first bits of their hash.

    Parameters
    ----------
    sequences, offsets
        The distinct sequences, and the offsets of all rows in their flat codes.
    layout
        How to pack.
    pool
        Threads to work in; the seeds do not depend on how many.
    advance
        Told of every row that is done.
    """
    parts: list[list[np.ndarray]] = [[] for _ in range(PARTS)]
    chosen = np.full(len(offsets) - 1, -1, dtype=np.int64)
    chosen[sequences.first_row] = np.arange(len(sequences))

    def work(first: int, last: int) -> tuple[int, list[np.ndarray]]:
        low = int(offsets[first])
        rows = chosen[first:last]
        found = _seeds(sequences.codes[low : offsets[last]], offsets[first : last + 1] - low, rows, layout)
        return last - first, found

    for done, found in pool.map(lambda both: work(*both), blocks(offsets, _BLOCK)):
        for part, seeds in zip(parts, found, strict=True):
            part.append(seeds)
        advance(done, "")
    return parts


def _seeds(codes: np.ndarray, edges: np.ndarray, rows: np.ndarray, layout: Layout) -> list[np.ndarray]:
    """Packed seeds of a block, in parts; ``rows (B,)`` are the distinct sequences, -1 where a row is left out."""
    if len(codes) < SPAN:
        return [np.empty(0, dtype=np.uint64)] * PARTS
    forward, canonical = _words(codes)
    hashed = canonical * _MIX[0]
    hashed ^= hashed >> np.uint64(32)
    hashed *= _MIX[1]
    bounds = _bounds(np.diff(edges))
    at = np.flatnonzero(hashed <= bounds.max(initial=0))
    row = np.repeat(np.arange(len(rows)), np.diff(np.searchsorted(at, edges)))
    at = at[: len(row)]
    good = (at + SPAN <= edges[1:][row]) & (rows[row] >= 0) & (hashed[at] <= bounds[row])
    unknown = codes == N_CODE
    if unknown.any():
        before = np.append(0, np.cumsum(unknown, dtype=np.int32))
        good &= before[at + SPAN] == before[at]
    at, row = at[good], row[good]
    strand = canonical[at] != forward[at]
    hashed = mixed(hashed[at])  # its highest bits were small in every seed that is kept
    part = (hashed >> np.uint64(64 - _PART_BITS)).astype(np.uint8)
    order = np.argsort(part, kind="stable")
    packed = layout.pack(hashed, rows[row], at - edges[:-1][row], strand)[order]
    return np.split(packed, np.searchsorted(part[order], np.arange(1, PARTS)))


def _bounds(lengths: np.ndarray) -> np.ndarray:
    """The highest hash that a seed of a sequence of this length may have to be kept, ``(B,)`` uint64."""
    share = np.clip(AT_LEAST / np.maximum(lengths - SPAN + 1, 1), 1 / THINNING, 1)
    return (share * (2.0**32 - 1)).astype(np.uint64) << np.uint64(32)


def _words(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Masked words ``(M - 24,)`` uint64 of the bases from each position on: as read, and the smaller of both strands.

    Two bits a base, the first base highest; words of 2, 4, 8 and 16 bases are put together from halves.
    """
    forward = codes & np.uint8(3)
    other = forward ^ np.uint8(3)
    for width, kind in ((1, np.uint8), (2, np.uint8), (4, np.uint16), (8, np.uint32)):
        shift = kind(2 * width)
        ahead, behind = forward[:-width].astype(kind), forward[width:].astype(kind)
        forward = (ahead << shift) | behind
        ahead, behind = other[:-width].astype(kind), other[width:].astype(kind)
        other = (behind << shift) | ahead
    rest, low = SPAN - 16, np.uint32((1 << 18) - 1)
    ahead = forward[:-rest].astype(np.uint64) << np.uint64(18)
    ahead |= forward[rest:] & low
    ahead &= _MASK
    behind = other[rest:].astype(np.uint64) << np.uint64(18)
    behind |= other[:-rest] & low
    behind &= _MASK
    return ahead, np.minimum(ahead, behind)
