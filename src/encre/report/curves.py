"""Points of the curves that a report draws, from targets and scores."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl

from encre.evaluation.calibration import Calibration
from encre.evaluation.metrics import counts_by_score

RELIABILITY_BINS = 10
_ROWS_A_BIN = 25
"""With fewer rows in a bin its observed share says little; small splits get fewer bins."""


class Curve(NamedTuple):
    """Points of a line, in data units."""

    x: np.ndarray
    y: np.ndarray


class Reliability(NamedTuple):
    """Equal-sized bins of the calibrated probability: mean stated, share observed, 95 % interval, size."""

    stated: np.ndarray
    observed: np.ndarray
    low: np.ndarray
    high: np.ndarray
    size: np.ndarray


def measured(table: pl.DataFrame, task: str) -> tuple[np.ndarray, np.ndarray]:
    """Targets and logits of the rows where the task was measured."""
    targets = table[f"target_{task}"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    known = np.isfinite(targets)
    return targets[known], table[f"logit_{task}"].cast(pl.Float64).to_numpy()[known]


def roc(targets: np.ndarray, scores: np.ndarray) -> Curve | None:
    """False positive rate and true positive rate; None without both classes."""
    positives, negatives = counts_by_score(targets, scores)
    if not positives.sum() or not negatives.sum():
        return None
    x, y = np.cumsum(negatives[::-1]) / negatives.sum(), np.cumsum(positives[::-1]) / positives.sum()
    return Curve(np.concatenate([[0], x]), np.concatenate([[0], y]))


def precision_recall(targets: np.ndarray, scores: np.ndarray) -> Curve | None:
    """Recall and precision, from the first positive on; None without a positive."""
    positives, negatives = counts_by_score(targets, scores)
    if not positives.sum():
        return None
    true = np.cumsum(positives[::-1])
    called = true + np.cumsum(negatives[::-1])
    found = true > 0
    return Curve((true / positives.sum())[found], (true / called)[found])


def reliability(table: pl.DataFrame, task: str, calibration: Calibration) -> Reliability | None:
    """Stated against observed frequency in up to ten bins of equal size; None without a measured row.

    The interval is Wilson's, of a binomial share.
    """
    targets, logits = measured(table, task)
    if not len(targets):
        return None
    p = calibration.probabilities(logits[:, None], [task])[:, 0]
    order = np.argsort(p, kind="stable")
    count = min(RELIABILITY_BINS, max(1, len(order) // _ROWS_A_BIN))
    parts = np.array_split(order, count)
    size = np.array([len(part) for part in parts], float)
    observed = np.array([targets[part].mean() for part in parts])
    z = 1.96
    middle = (observed + z**2 / (2 * size)) / (1 + z**2 / size)
    half = z * np.sqrt(observed * (1 - observed) / size + z**2 / (4 * size**2)) / (1 + z**2 / size)
    stated = np.array([p[part].mean() for part in parts])
    return Reliability(stated, observed, middle - half, middle + half, size)
