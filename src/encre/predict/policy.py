"""What becomes of rows that are not just what the model was trained on: said here once, counted for every table.

=============================================  =====================================================  ============
a row                                          what happens                                           counted as
=============================================  =====================================================  ============
region narrower than the model's window        widened around its centre (window models only)         widened
window that reaches off a chromosome's end     N there, as in training                                padded
sequence longer than the window                windows that overlap by half, their mean or maximum    tiled
sequence shorter than those of training        scored as it is                                        short
more than a tenth of its bases are N           scored; see the column ``n_share``                     n_rich
only N, or shorter than the model can read     an error; listed apart when that is asked for          unscorable
=============================================  =====================================================  ============

A model that was trained on elements takes regions as they are; both strands are always averaged.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

#: Share of N above which a row is counted: a window that long without sequence says little.
N_RICH = 0.1

ONLY_N = "only N (no A, C, G or T)"
TOO_SHORT = "shorter than the model can read"


class Counts(NamedTuple):
    """How many rows met which policy; one may meet several."""

    rows: int
    scored: int
    unscorable: int
    widened: int
    padded: int
    tiled: int
    short: int
    n_rich: int


def unscorable(length: np.ndarray, n_share: np.ndarray, *, shortest: int) -> tuple[np.ndarray, list[str]]:
    """The rows, of N, that cannot be scored (U,), and why."""
    short = length < shortest
    rows = np.flatnonzero(short | (n_share >= 1))
    return rows, [TOO_SHORT if short[row] else ONLY_N for row in rows]


def news(counts: Counts, *, window: int, trained_from: int, combine: str) -> list[str]:
    """The counts that are not zero, a sentence each."""
    total = f"of {counts.scored:,}"
    said = [
        (counts.widened, f"{total} regions are narrower than {window:,} bp and were widened around their centre."),
        (counts.padded, f"{total} windows reach off a chromosome's end and hold N there."),
        (
            counts.tiled,
            f"{total} sequences are longer than the model's {window:,} bp: each was covered by windows that overlap "
            f"by half, and its row holds the {combine} of their logits (column 'windows' counts them).",
        ),
        (
            counts.short,
            f"{total} sequences are shorter than the {trained_from:,} bp that the model was trained on; take their "
            "values with care.",
        ),
        (counts.n_rich, f"{total} rows hold more than {N_RICH:.0%} N (column 'n_share')."),
        (counts.unscorable, f"of {counts.rows:,} rows cannot be scored ({ONLY_N}; {TOO_SHORT}): listed apart."),
    ]
    return [f"{count:,} {text}" for count, text in said if count]
