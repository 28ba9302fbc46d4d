"""Isotonic calibration: the steps that fit best among those that never fall (Zadrozny and Elkan 2002).

More freely shaped than temperature and bias, and for that in need of more rows; equal within a step, so that it
keeps the order of two logits but not always their difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from encre.errors import FormatError

_DOUBT = 0.5
"""Rows of the other class that are added beyond both ends: no probability is ever 0 or 1."""


@dataclass(frozen=True)
class Steps:
    """Breakpoints between which the probability is a straight line, and beyond which it stays as it is.

    Parameters
    ----------
    logits, probabilities
        Ascending, of equal length.
    """

    logits: list[float]
    probabilities: list[float]

    def log_odds(self, logits: np.ndarray) -> np.ndarray:
        """Calibrated log odds (N,) of logits (N,)."""
        p = np.interp(logits, self.logits, self.probabilities)
        return np.log(p) - np.log1p(-p)

    @classmethod
    def from_dict(cls, values: dict[str, Any], *, where: object) -> Steps:
        """Read back what stands in ``calibration.json``; a damaged one is a :class:`FormatError`."""
        try:
            found = cls(**values)
            x, y = np.array(found.logits, float), np.array(found.probabilities, float)
            rising = all((np.diff(values) >= 0).all() for values in (x, y))
            sound = rising and len(x) == len(y) > 0 and 0 < y[0] <= y[-1] < 1
        except (TypeError, ValueError) as error:
            raise FormatError(f"not isotonic steps ({error})", where=where, remedy="Run `encre evaluate`.") from error
        if not sound:
            raise FormatError("the isotonic steps do not ascend", where=where, remedy="Run `encre evaluate`.")
        return found


def fit_isotonic(targets: np.ndarray, logits: np.ndarray) -> Steps:
    """The steps of targets (N,) 0 or 1 over logits (N,), by pooling adjacent violators."""
    x, place = np.unique(logits, return_inverse=True)
    weight = np.bincount(place).astype(float)
    positives = np.bincount(place, weights=targets)
    positives[0] += _DOUBT
    np.add.at(weight, [0, -1], _DOUBT)  # twice where there is one logit alone
    sizes, sums, counts = _pool(positives, weight)
    last = np.cumsum(counts) - 1
    first = last - counts + 1
    ends = np.column_stack([first, last]).ravel()
    kept = np.concatenate([[True], np.diff(ends) > 0])  # a step of one logit has one breakpoint
    y = np.repeat(sums / sizes, 2)[kept]
    return Steps([float(f"{v:.7g}") for v in x[ends[kept]]], [float(f"{v:.7g}") for v in y])


def _pool(sums: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sizes, sums and numbers of members of neighbouring entries, pooled until their means ascend."""
    pooled: list[list[float]] = []
    for total, size in zip(sums.tolist(), sizes.tolist(), strict=True):
        pooled.append([size, total, 1])
        while len(pooled) > 1 and pooled[-2][1] * pooled[-1][0] >= pooled[-1][1] * pooled[-2][0]:
            size_, total_, count_ = pooled.pop()
            pooled[-1] = [pooled[-1][0] + size_, pooled[-1][1] + total_, pooled[-1][2] + count_]
    found = np.array(pooled)
    return found[:, 0], found[:, 1], found[:, 2].astype(np.int64)
