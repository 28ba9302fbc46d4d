"""Which bases are hidden, and what stands in their place (Devlin et al. 2019; spans as in DNABERT, Ji et al. 2021).

Bases are hidden, not tokens: any k-mer over a hidden base becomes the unknown k-mer, so that no neighbour tells it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from encre.shapes import N_CODE

_HIDDEN, _REPLACED = 0.8, 0.9  # of BERT: 80 % hidden, 10 % replaced by random ones, 10 % left, all of them asked for


class Masked(NamedTuple):
    """Codes (B, L) uint8 with bases hidden, and where a base is asked for (B, L) bool."""

    codes: np.ndarray
    asked: np.ndarray


def masked(
    codes: np.ndarray, length: np.ndarray, rng: np.random.Generator, *, share: float, span: int, mixed: bool = True
) -> Masked:
    """Hide a share of each sequence's bases in stretches.

    Parameters
    ----------
    codes, length
        (B, L) uint8 and (B,) bases.
    rng
        A named random stream.
    share, span
        Share of the bases, and bases of a stretch; stretches may overlap, so that the share is met nearly.
    mixed
        As BERT does, replace a tenth of the stretches by random bases and leave another as it is.
    """
    span = int(min(span, length.min(initial=span)))
    count = np.maximum(np.rint(share * length / span).astype(np.int64), 1)
    most = int(count.max(initial=0))
    start = (rng.random((len(codes), most)) * (length[:, None] - span + 1)).astype(np.int64)
    fate = rng.random((len(codes), most))
    random = rng.integers(0, N_CODE, codes.shape, dtype=np.uint8)
    row, number = np.nonzero(np.arange(most) < count[:, None])
    place = start[row, number][:, None] + np.arange(span)
    asked = np.zeros(codes.shape, bool)
    asked[row[:, None], place] = True
    asked &= codes < N_CODE
    shown = codes.copy()
    chosen = fate[row, number] if mixed else np.zeros(len(row))
    for kind, value in ((chosen < _HIDDEN, N_CODE), ((chosen >= _HIDDEN) & (chosen < _REPLACED), None)):
        at = row[kind][:, None], place[kind]
        shown[at] = random[at] if value is None else value
    return Masked(np.where(asked, shown, codes), asked)
