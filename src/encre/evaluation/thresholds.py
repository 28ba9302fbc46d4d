"""The probability from which a row is called positive: the one that maximises MCC on valid."""

from __future__ import annotations

import numpy as np

from encre.evaluation.metrics import Confusion, counts_by_score, matthews


def best_threshold(targets: np.ndarray, probabilities: np.ndarray) -> float:
    """Threshold that maximises Matthews correlation; a row is positive when its probability reaches it.

    It lies half-way between two neighbouring probabilities, so that rounding moves no row. Where no cut
    tells the classes apart (constant scores), it is 0: everything is called positive.

    Parameters
    ----------
    targets, probabilities
        (N,) 0 or 1, and calibrated probabilities.
    """
    levels = np.unique(probabilities)[::-1]
    positives, negatives = (np.cumsum(part[::-1]) for part in counts_by_score(targets, probabilities))
    cut = Confusion(positives, negatives, negatives[-1] - negatives, positives[-1] - positives)
    skill = np.nan_to_num(matthews(cut), nan=-np.inf)
    best = int(np.argmax(skill))
    if best == len(levels) - 1:
        return 0.0
    return float((levels[best] + levels[best + 1]) / 2)
