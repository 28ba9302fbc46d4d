"""Sequences longer than a model's window: covered by windows that overlap by half, then combined again."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from encre.sequence.flat import join, offsets_of
from encre.shapes import N_CODE


class Tiles(NamedTuple):
    """Windows of N sequences, in order.

    Parameters
    ----------
    codes, offsets
        Flat codes of the M windows and their offsets (M + 1,).
    per_sequence
        (N,) windows of each sequence, at least 1.
    first
        (M,) where each begins in its sequence, 0-based.
    only_n
        Windows that were left out because they hold only N.
    """

    codes: np.ndarray
    offsets: np.ndarray
    per_sequence: np.ndarray
    first: np.ndarray
    only_n: int = 0


def tile(codes: np.ndarray, offsets: np.ndarray, *, window: int) -> Tiles:
    """Cover each sequence longer than ``window`` by windows at a stride of half a window.

    The last window ends with the sequence. Windows of only N are left out (their sequence keeps the
    others). Sequences no longer than ``window`` are taken as they are.

    Parameters
    ----------
    codes
        Flat codes ``uint8``; ``offsets`` (N + 1,) point into it and need not begin at 0.
    window
        Bases of a window, 2 or more.
    """
    length = np.diff(offsets)
    if (length <= window).all():
        whole = np.ones(len(length), np.int64)
        return Tiles(codes[offsets[0] : offsets[-1]], offsets - offsets[0], whole, np.zeros_like(whole))
    stride = max(window // 2, 1)
    count = np.where(length > window, -(-(length - window) // stride) + 1, 1)
    owner = np.repeat(np.arange(len(length)), count)
    order = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    width = np.minimum(length, window)[owner]
    first = np.minimum(order * stride, length[owner] - width)
    begin = first + offsets[:-1][owner]
    flat, ends = _take(codes, begin, width)
    known = np.add.reduceat(flat != N_CODE, ends[:-1], dtype=np.int64) > 0
    if not known.all():
        owner, first, begin, width = owner[known], first[known], begin[known], width[known]
        flat, ends = _take(codes, begin, width)
    return Tiles(flat, ends, np.bincount(owner, minlength=len(length)), first, int((~known).sum()))


def combine_tiles(logits: np.ndarray, tiles: Tiles, *, how: str) -> np.ndarray:
    """Bring the logits of M windows (M, K) back to N sequences (N, K), by ``"mean"`` or ``"max"``."""
    if len(tiles.per_sequence) == len(logits):
        return logits
    first = np.cumsum(tiles.per_sequence) - tiles.per_sequence
    if how == "max":
        return np.maximum.reduceat(logits, first, axis=0)
    return (np.add.reduceat(logits.astype(np.float64), first, axis=0) / tiles.per_sequence[:, None]).astype(
        np.float32
    )


def _take(codes: np.ndarray, begin: np.ndarray, width: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flat copy of the pieces that begin at ``begin`` and are ``width`` long, with its offsets."""
    return join(codes, begin, begin + width), offsets_of(width)
