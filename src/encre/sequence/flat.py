"""Many sequences in one array: flat codes ``(sum of lengths,)`` uint8 and offsets ``(N + 1,)`` int64.

Sequence ``i`` is ``codes[offsets[i]:offsets[i + 1]]``. Everything works in blocks that stay in the
processor's cache: on large arrays, fresh memory costs more than the arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from encre.shapes import N_CODE

#: Bases that a block of work holds: with its temporaries, a few MiB.
BLOCK = 1 << 19


def offsets_of(lengths: np.ndarray) -> np.ndarray:
    """Offsets ``(N + 1,)`` int64 of sequences with these lengths ``(N,)``, one after the other."""
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def blocks(offsets: np.ndarray, bases: int = BLOCK) -> Iterator[tuple[int, int]]:
    """Yield ``(first, last)`` row ranges of about ``bases`` bases (at least one row) that cover all rows."""
    count = len(offsets) - 1
    first = 0
    while first < count:
        last = int(np.searchsorted(offsets, offsets[first] + bases, side="right")) - 1
        last = min(max(last, first + 1), count)
        yield first, last
        first = last


def windows(codes: np.ndarray, starts: np.ndarray, width: int) -> np.ndarray:
    """Copy one window of ``width`` bases at each start.

    Parameters
    ----------
    codes
        Flat codes, contiguous uint8.
    starts
        Positions ``(B,)``, each at most ``len(codes) - width``.
    width
        Bases a window, W.

    Returns
    -------
    numpy.ndarray
        Codes ``(B, W)`` uint8, a fresh array.
    """
    if width == 0 or len(starts) == 0:
        return np.empty((len(starts), width), dtype=np.uint8)
    # One opaque item a window: NumPy then copies each with a single memcpy (3-5 times the rate of
    # indexing a sliding_window_view).
    items = np.ndarray((len(codes) - width + 1,), dtype=f"V{width}", buffer=codes, strides=(1,))
    return items[starts].view(np.uint8).reshape(len(starts), width)


def padded(codes: np.ndarray, starts: np.ndarray, lengths: np.ndarray, *, width: int) -> np.ndarray:
    """Copy sequences into rows of ``width``, filled up with the padding code 4.

    Parameters
    ----------
    codes
        Flat codes, contiguous uint8.
    starts, lengths
        Where each sequence begins, and its bases, ``(B,)`` int64; none longer than ``width``.
    width
        Columns of the result, L.

    Returns
    -------
    numpy.ndarray
        Codes ``(B, L)`` uint8.
    """
    reach = len(codes) - width
    over = starts > reach
    if not over.any():
        rows = windows(codes, starts, width)
    else:  # the last few sequences of the array have fewer than `width` bases behind their start
        rows = np.empty((len(starts), width), dtype=np.uint8)
        rows[~over] = windows(codes, starts[~over], width)
        for row in np.flatnonzero(over):
            tail = codes[starts[row] : starts[row] + lengths[row]]
            rows[row, : len(tail)] = tail
    if over.any():  # those rows are not initialised beyond their length
        rows[over] = np.where(np.arange(width) < lengths[over, None], rows[over], N_CODE)
    return blank_beyond(rows, lengths)


def blank_beyond(rows: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Write the padding code 4 into rows ``(B, L)`` behind their lengths ``(B,)``, in place."""
    width = rows.shape[1]
    if (lengths == width).all():
        return rows
    # 0 where a base is, 4 beyond: the maximum of two bytes is cheaper than a masked assignment.
    edge = np.zeros(2 * width, dtype=np.uint8)
    edge[width:] = N_CODE
    return np.maximum(rows, windows(edge, width - lengths, width), out=rows)


def take_flat(codes: np.ndarray, offsets: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sequences ``rows`` in that order, as flat codes and offsets of their own."""
    starts, ends = offsets[rows], offsets[np.asarray(rows) + 1]
    return join(codes, starts, ends), offsets_of(ends - starts)


def join(codes: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Pieces ``codes[start:end]`` one after the other, as one flat array."""
    out = np.empty(int((ends - starts).sum()), dtype=np.uint8)
    done = 0
    for first in range(0, len(starts), 4096):
        pair = zip(starts[first : first + 4096].tolist(), ends[first : first + 4096].tolist(), strict=True)
        pieces = [codes[a:b] for a, b in pair]
        size = sum(map(len, pieces))
        np.concatenate(pieces, out=out[done : done + size])
        done += size
    return out


def pack(codes: np.ndarray) -> np.ndarray:
    """Codes ``(M,)``, two a byte: base ``2 i`` in the high half, ``((M + 1) // 2,)`` uint8; odd ends get a 4."""
    out = np.empty((len(codes) + 1) // 2, dtype=np.uint8)
    for first in range(0, len(out), BLOCK):
        part = codes[2 * first : 2 * (first + BLOCK)]
        if len(part) % 2:
            part = np.append(part, np.uint8(N_CODE))
        out[first : first + BLOCK] = (part[0::2] << 4) | part[1::2]
    return out


def unpack(packed: np.ndarray, count: int, *, out: np.ndarray) -> None:
    """Write the ``count`` codes that :func:`pack` packed into ``out`` ``(count,)`` uint8."""
    for first in range(0, len(packed), BLOCK):
        part = np.asarray(packed[first : first + BLOCK])
        target = out[2 * first : min(2 * (first + BLOCK), count)]
        np.right_shift(part, 4, out=target[0::2])
        low = target[1::2]
        np.bitwise_and(part[: len(low)], 15, out=low)
