"""Letters <-> codes, strands, the canonical form and its group, base composition.

Codes are uint8: A 0, C 1, G 2, T 3, everything else (N and the other IUPAC letters) 4. The canonical
form is the smaller, **as text**, of a sequence and its reverse complement, so N stands between G and T.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence

import numpy as np

from encre.errors import SequenceError
from encre.sequence.flat import blocks, join, offsets_of
from encre.shapes import CODE_LETTERS, N_CODE

_BAD = 255
#: Letters and the gap signs of FASTA are read; digits, blanks and the rest mean that this is no sequence.
_NOT_ACGT = b"BDEFHIJKLMNOPQRSUVWXYZbdefhijklmnopqrsuvwxyz-*."
_TEXT = CODE_LETTERS.encode() + b"?" * (256 - len(CODE_LETTERS))
#: Rank of each code as text: A < C < G < N < T.
_RANK = np.array([0, 1, 2, 4, 3], dtype=np.uint8)
#: Positions compared for all undecided sequences at once before the few left are compared one by one.
_TOGETHER = 48


def _code_table() -> bytes:
    table = bytearray([_BAD] * 256)
    for letter in _NOT_ACGT:
        table[letter] = N_CODE
    for code, letters in enumerate((b"Aa", b"Cc", b"Gg", b"Tt")):
        for letter in letters:
            table[letter] = code
    return bytes(table)


_CODES = _code_table()


def encode(text: str | bytes) -> np.ndarray:
    """Codes of one sequence; any case, every letter but A, C, G and T becomes N.

    Parameters
    ----------
    text
        The sequence; letters and the gap signs ``- * .`` only.

    Returns
    -------
    numpy.ndarray
        Codes ``(L,)`` uint8.

    Raises
    ------
    SequenceError
        At a digit, a blank or another sign that no sequence has, with its 1-based position.
    """
    raw = text.encode("ascii", "replace") if isinstance(text, str) else bytes(text)
    codes = np.frombuffer(raw.translate(_CODES), dtype=np.uint8)
    if codes.size and codes.max() == _BAD:
        position = int(np.argmax(codes == _BAD))
        raise SequenceError(
            "this is not a DNA sequence",
            expected="letters only",
            got=f"{text[position : position + 1]!r} at position {position + 1}",
        )
    return codes


def encode_many(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Codes of many sequences, flat, with offsets; as :func:`encode`, naming the sequence at fault."""
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    raw = "".join(texts).encode("ascii", "replace")
    codes = np.frombuffer(raw.translate(_CODES), dtype=np.uint8)
    offsets = offsets_of(lengths)
    if codes.size and codes.max() == _BAD:
        place = int(np.argmax(codes == _BAD))
        row = int(np.searchsorted(offsets, place, side="right")) - 1
        position = place - int(offsets[row])
        raise SequenceError(
            f"sequence {row + 1} is not DNA",
            expected="letters only",
            got=f"{texts[row][position]!r} at position {position + 1}",
        )
    return codes, offsets


def decode(codes: np.ndarray) -> str:
    """The letters of one sequence's codes ``(L,)``, upper case."""
    return codes.tobytes().translate(_TEXT).decode("ascii")


def decode_many(codes: np.ndarray, offsets: np.ndarray) -> list[str]:
    """The letters of many sequences, upper case."""
    text = decode(codes)
    edges = offsets.tolist()
    return [text[a:b] for a, b in itertools.pairwise(edges)]


def complement(codes: np.ndarray) -> np.ndarray:
    """A <-> T, C <-> G, N stays N; any shape, uint8."""
    # NumPy takes the minimum of two byte arrays ten times faster than that of an array and a number.
    return np.minimum(codes ^ np.uint8(3), np.full(codes.shape, N_CODE, dtype=np.uint8))


def reverse_complement(codes: np.ndarray) -> np.ndarray:
    """The other strand, read 5' to 3', of codes ``(..., L)`` without padding."""
    return complement(codes[..., ::-1])


def reverse_complement_flat(codes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """The other strand of every sequence, in the same order; flat codes, same offsets."""
    return _oriented(codes, offsets, np.ones(len(offsets) - 1, dtype=bool))


def canonical_flat(codes: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The canonical form of every sequence: the smaller, as text, of itself and its reverse complement.

    Returns
    -------
    tuple
        Flat codes (same offsets), and ``flipped (N,)`` bool: True where the reverse complement was taken.
    """
    flipped = np.zeros(len(offsets) - 1, dtype=bool)
    for first, last in blocks(offsets):
        low, high = int(offsets[first]), int(offsets[last])
        flipped[first:last] = _reverse_is_smaller(codes[low:high], offsets[first : last + 1] - low)
    return _oriented(codes, offsets, flipped), flipped


def group_ids(codes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """The group of every sequence: the MD5 of its canonical text; both strands share it.

    Returns
    -------
    numpy.ndarray
        ``(N,)`` text of 32 hexadecimal digits.
    """
    return canonical_groups(canonical_flat(codes, offsets)[0], offsets)


def canonical_groups(canonical: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """As :func:`group_ids`, of sequences that are in canonical form already."""
    md5 = hashlib.md5
    out = np.empty(len(offsets) - 1, dtype="U32")
    for first, last in blocks(offsets):
        low = int(offsets[first])
        text = memoryview(canonical[low : offsets[last]].tobytes().translate(_TEXT))
        edges = (offsets[first : last + 1] - low).tolist()
        digests = b"".join([md5(text[a:b], usedforsecurity=False).digest() for a, b in itertools.pairwise(edges)])
        out[first:last] = np.frombuffer(digests.hex().encode(), dtype="S32")
    return out


def gc_share(codes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Share of G and C among the known bases of every sequence ``(N,)`` float64, 0-1; 0 when none is known."""
    gc = _count(codes, offsets, low=1, high=2)
    known = _count(codes, offsets, low=0, high=3)
    return gc / np.maximum(known, 1)


def n_share(codes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Share of unknown bases in every sequence ``(N,)`` float64, 0-1; 1 when the sequence is empty."""
    lengths = np.diff(offsets)
    unknown = _count(codes, offsets, low=N_CODE, high=N_CODE)
    return np.where(lengths > 0, unknown / np.maximum(lengths, 1), 1.0)


def _count(codes: np.ndarray, offsets: np.ndarray, *, low: int, high: int) -> np.ndarray:
    """Bases with ``low <= code <= high`` in every sequence, ``(N,)`` int64."""
    out = np.empty(len(offsets) - 1, dtype=np.int64)
    for first, last in blocks(offsets):
        start = int(offsets[first])
        part = codes[start : offsets[last]]
        running = np.zeros(len(part) + 1, dtype=np.int32 if len(part) < 2**31 else np.int64)
        np.cumsum((part >= low) & (part <= high), out=running[1:], dtype=running.dtype)
        out[first:last] = np.diff(running[offsets[first : last + 1] - start])
    return out


def _oriented(codes: np.ndarray, offsets: np.ndarray, flipped: np.ndarray) -> np.ndarray:
    """Flat copy in which the sequences marked ``flipped`` are reverse complemented."""
    out = np.empty(len(codes), dtype=np.uint8)
    for first, last in blocks(offsets):
        low, high = int(offsets[first]), int(offsets[last])
        size = high - low
        part = codes[low:high]
        # Reversing the whole block puts sequence i at size - end .. size - start.
        both = np.concatenate([part, reverse_complement(part)])
        starts, ends = offsets[first:last] - low, offsets[first + 1 : last + 1] - low
        chosen = flipped[first:last]
        out[low:high] = join(
            both, np.where(chosen, 2 * size - ends, starts), np.where(chosen, 2 * size - starts, ends)
        )
    return out


def _reverse_is_smaller(codes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Where the reverse complement comes before the sequence as text, ``(N,)`` bool.

    Three of four sequences are decided by their first and last base, so one position is compared at a
    time, for those still undecided; after that a tie means a palindrome, or a run of N.
    """
    starts, ends = offsets[:-1], offsets[1:]
    smaller = np.zeros(len(starts), dtype=bool)
    half = (ends - starts + 1) // 2  # a tie over the first half is a tie over both
    open_rows = np.flatnonzero(half > 0)
    for position in range(_TOGETHER):
        if not len(open_rows):
            return smaller
        here = _RANK[codes[starts[open_rows] + position]]
        there = _RANK[complement(codes[ends[open_rows] - 1 - position])]
        smaller[open_rows] = there < here
        tied = (here == there) & (half[open_rows] > position + 1)
        open_rows = open_rows[tied]
    for row in open_rows:
        piece = codes[starts[row] : ends[row]]
        smaller[row] = _RANK[reverse_complement(piece)].tobytes() < _RANK[piece].tobytes()
    return smaller
