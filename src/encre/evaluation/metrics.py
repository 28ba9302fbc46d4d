"""Point metrics of one task, each undefined (NaN) where its definition is, never 0.

Scores may tie; rows with equal scores share a threshold, as in scikit-learn.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

CALIBRATION_BINS = 15

REGRESSION = ("pearson", "spearman", "r2", "mse")
"""Metrics of a regression task; all others are of a task with classes."""


class Confusion(NamedTuple):
    """Counts (or resampled counts, any shape) of the four outcomes at a threshold."""

    tp: np.ndarray
    fp: np.ndarray
    tn: np.ndarray
    fn: np.ndarray


def confusion(targets: np.ndarray, called: np.ndarray) -> Confusion:
    """Count the outcomes; targets (N,) 0 or 1, called (N,) bool."""
    true = targets > 0
    return Confusion(
        *(
            np.asarray(np.sum(part), float)
            for part in (true & called, ~true & called, ~true & ~called, true & ~called)
        )
    )


def auroc(targets: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve: the chance that a positive outscores a negative, ties counted half.

    NaN when there is no positive or no negative.
    """
    positives, negatives = counts_by_score(targets, scores)
    total = positives.sum() * negatives.sum()
    if not total:
        return float("nan")
    below = np.cumsum(negatives) - negatives
    return float(np.sum(positives * (below + negatives / 2)) / total)


def average_precision(targets: np.ndarray, scores: np.ndarray) -> float:
    """Area under the precision-recall curve as average precision (no interpolation).

    NaN when there is no positive. Beside it belongs the prevalence, which is what chance scores.
    """
    positives, negatives = counts_by_score(targets, scores)
    if not positives.sum():
        return float("nan")
    above = np.cumsum(positives[::-1])
    called = above + np.cumsum(negatives[::-1])
    return float(np.sum(positives[::-1] * above / called) / positives.sum())


def counts_by_score(targets: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positives and negatives at each distinct score, ascending."""
    _, place = np.unique(scores, return_inverse=True)
    count = int(place.max()) + 1 if len(place) else 0
    positives = np.bincount(place, weights=targets, minlength=count)
    return positives, np.bincount(place, minlength=count) - positives


def ranks(values: np.ndarray) -> np.ndarray:
    """Rank of each value (N,), from 1 up; equal values share their mean rank."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[place]


def matthews(c: Confusion) -> np.ndarray:
    """Matthews correlation; NaN when a row or column of the confusion table is empty."""
    margin = (c.tp + c.fp) * (c.tp + c.fn) * (c.tn + c.fp) * (c.tn + c.fn)
    return ratio(c.tp * c.tn - c.fp * c.fn, np.sqrt(margin))


def balanced_accuracy(c: Confusion) -> np.ndarray:
    """Mean of sensitivity and specificity; NaN when there is no positive or no negative."""
    return (ratio(c.tp, c.tp + c.fn) + ratio(c.tn, c.tn + c.fp)) / 2


def precision(c: Confusion) -> np.ndarray:
    """True among the called; NaN when nothing is called."""
    return ratio(c.tp, c.tp + c.fp)


def recall(c: Confusion) -> np.ndarray:
    """Called among the true; NaN when nothing is true."""
    return ratio(c.tp, c.tp + c.fn)


def f1(c: Confusion) -> np.ndarray:
    """Harmonic mean of precision and recall; NaN when nothing is true and nothing called."""
    return ratio(2 * c.tp, 2 * c.tp + c.fp + c.fn)


THRESHOLD_METRICS = {
    "mcc": matthews,
    "balanced_accuracy": balanced_accuracy,
    "precision": precision,
    "recall": recall,
    "f1": f1,
}


def calibration_bin(probabilities: np.ndarray) -> np.ndarray:
    """Equal-width bin of each probability, 0 to CALIBRATION_BINS - 1."""
    return np.minimum((probabilities * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)


def expected_calibration_error(targets: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean gap between stated and observed frequency over 15 equal-width bins (Guo et al. 2017)."""
    if not len(targets):
        return float("nan")
    gap = np.bincount(calibration_bin(probabilities), weights=probabilities - targets, minlength=CALIBRATION_BINS)
    return float(np.abs(gap).sum() / len(targets))


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Division where 0 in the denominator is NaN."""
    above, below = np.broadcast_arrays(np.asarray(above, float), np.asarray(below, float))
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)
