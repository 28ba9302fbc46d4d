"""The same metrics under every resample at once.

A resample is a vector of block weights w (M,), so each metric is written in sums by block: AUROC is the
bilinear form w'Pw of pair counts between blocks, average precision needs cumulative counts by block, the
rest plain sums. A thousand resamples cost a few matrix products instead of a thousand sorts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from encre.evaluation import metrics
from encre.evaluation.metrics import CALIBRATION_BINS, Confusion

RANK_BINS = 2048
"""Draws of the ranking metrics use at most so many distinct ranks, and are centred on the exact value.
With fewer distinct scores they are exact; beyond, the error is far below a tenth of an interval."""
_CHUNK = 250


class Estimate(NamedTuple):
    """A metric, its value under each resample (R,), and why it is undefined if it is."""

    value: float
    draws: np.ndarray
    reason: str = ""


def undefined(reason: str, resamples: int) -> Estimate:
    """An estimate that cannot be made."""
    return Estimate(float("nan"), np.full(resamples, np.nan), reason)


def mean_estimate(parts: Sequence[Estimate]) -> Estimate:
    """Macro mean over the tasks for which the metric is defined."""
    defined = [part for part in parts if np.isfinite(part.value)]
    if not defined:
        reason = parts[0].reason if parts else "there is no task"
        return undefined(f"undefined for every task ({reason})", len(parts[0].draws) if parts else 0)
    return Estimate(
        float(np.mean([part.value for part in defined])), np.mean([part.draws for part in defined], axis=0)
    )


def describe(estimate: Estimate, *, level: float = 0.95) -> dict[str, Any]:
    """Plain values: ``{"value", "low", "high"}``, or ``{"value": None, "reason"}`` when undefined.

    The interval is the percentile interval of the draws; it is None, with a reason, when there are too few
    blocks or the metric is undefined in more than half of the resamples.
    """
    if not np.isfinite(estimate.value):
        return {"value": None, "reason": estimate.reason or "undefined"}
    draws = estimate.draws[np.isfinite(estimate.draws)]
    value = round(estimate.value, 6)
    if not len(draws) or len(draws) < len(estimate.draws) / 2:
        why = "undefined in most resamples" if len(estimate.draws) else "too few independent blocks"
        return {"value": value, "low": None, "high": None, "reason": f"no interval: {why}"}
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return {"value": value, "low": round(float(low), 6), "high": round(float(high), 6)}


def ranking(
    targets: np.ndarray, scores: np.ndarray, *, codes: np.ndarray, weights: np.ndarray
) -> dict[str, Estimate]:
    """AUROC and average precision of one task.

    Parameters
    ----------
    targets, scores
        (N,) 0 or 1, and any finite score.
    codes, weights
        (N,) block of each row and (R, M) weight of each block.
    """
    count = len(weights)
    if reason := one_sided(targets):
        return {"auroc": undefined(reason, count), "auprc": undefined(reason, count)}
    positives, negatives = _counts_by_rank(targets, scores, codes=codes, blocks=weights.shape[1])
    return {
        "auroc": _centred(metrics.auroc(targets, scores), _auroc(positives, negatives, weights)),
        "auprc": _centred(metrics.average_precision(targets, scores), _auprc(positives, negatives, weights)),
    }


def one_sided(targets: np.ndarray) -> str:
    """Why a task cannot be ranked, or nothing when it can."""
    if not len(targets):
        return "no row is measured"
    positives = int(np.sum(targets > 0))
    if positives == 0:
        return f"no positive among {len(targets):,} measured rows"
    return f"no negative among {len(targets):,} measured rows" if positives == len(targets) else ""


def _centred(value: float, draws: np.ndarray) -> Estimate:
    """Move the draws by what rank bins cost; the first draw is the unweighted value."""
    return Estimate(value, draws[1:] + (value - draws[0]))


def _counts_by_rank(
    targets: np.ndarray, scores: np.ndarray, *, codes: np.ndarray, blocks: int
) -> tuple[np.ndarray, np.ndarray]:
    """Positives and negatives (G, M) at each distinct rank (at most RANK_BINS) and block, ascending."""
    _, rank, tied = np.unique(scores, return_inverse=True, return_counts=True)
    if len(tied) > RANK_BINS:
        rank = ((np.cumsum(tied) - tied) * RANK_BINS // len(scores))[rank]
        rank = np.unique(rank, return_inverse=True)[1]
    ranks = int(rank.max()) + 1
    cell = rank * blocks + codes
    every = np.bincount(cell, minlength=ranks * blocks).reshape(ranks, blocks)
    positives = np.bincount(cell[targets > 0], minlength=ranks * blocks).reshape(ranks, blocks)
    return positives, every - positives


def _with_ones(weights: np.ndarray) -> np.ndarray:
    return np.concatenate([np.ones((1, weights.shape[1])), weights])


def _auroc(positives: np.ndarray, negatives: np.ndarray, weights: np.ndarray) -> np.ndarray:
    below = np.cumsum(negatives, axis=0) - negatives
    pairs = positives.T.astype(float) @ (below + negatives / 2)
    w = _with_ones(weights)
    total = (w @ positives.sum(0)) * (w @ negatives.sum(0))
    return metrics.ratio(((w @ pairs) * w).sum(1), total)


def _auprc(positives: np.ndarray, negatives: np.ndarray, weights: np.ndarray) -> np.ndarray:
    # Only ranks that hold a positive enter the sum, and float32 holds counts exactly up to 2**24.
    true = np.cumsum(positives[::-1], axis=0)
    called = true + np.cumsum(negatives[::-1], axis=0)
    holds = positives[::-1].any(axis=1)
    true, called = true[holds].T.astype(np.float32), called[holds].T.astype(np.float32)
    everything = _with_ones(weights).astype(np.float32)
    result = np.empty(len(everything))
    for begin in range(0, len(everything), _CHUNK):
        w = everything[begin : begin + _CHUNK]
        hits, calls = w @ true, w @ called
        share = np.divide(hits, calls, out=calls, where=calls > 0)
        summed = np.einsum("rt,rt->r", share, hits, dtype=np.float64)
        summed -= np.einsum("rt,rt->r", share[:, 1:], hits[:, :-1], dtype=np.float64)
        result[begin : begin + _CHUNK] = metrics.ratio(summed, hits[:, -1])
    return result


def at_threshold(
    targets: np.ndarray, called: np.ndarray, *, codes: np.ndarray, weights: np.ndarray
) -> dict[str, Estimate]:
    """MCC, balanced accuracy, precision, recall and F1 of calls made at a threshold fixed beforehand.

    With one class only all five are undefined: precision and F1 would be 0 or 1 whatever the model does.
    """
    if reason := one_sided(targets):
        return {name: undefined(reason, len(weights)) for name in metrics.THRESHOLD_METRICS}
    once = metrics.confusion(targets, called)
    outcome = (targets > 0) * 2 + called
    blocks = weights.shape[1]
    counts = np.bincount(outcome * blocks + codes, minlength=4 * blocks).reshape(4, blocks)
    tn, fp, fn, tp = (weights @ row for row in counts)
    drawn = Confusion(tp, fp, tn, fn)
    return {
        name: Estimate(float(metric(once)), metric(drawn), _why(name, once))
        for name, metric in metrics.THRESHOLD_METRICS.items()
    }


def _why(name: str, c: Confusion) -> str:
    """Why a threshold metric is undefined for this confusion table, if it is."""
    if name == "mcc" and not c.tn + c.fn:
        return "every row is called positive"
    return "nothing is called positive" if name in ("mcc", "precision") and not c.tp + c.fp else ""


def calibrated(
    targets: np.ndarray, probabilities: np.ndarray, *, codes: np.ndarray, weights: np.ndarray
) -> dict[str, Estimate]:
    """Brier score and expected calibration error of calibrated probabilities."""
    if not len(targets):
        return {name: undefined("no row is measured", len(weights)) for name in ("brier", "ece")}
    blocks = weights.shape[1]
    square = (probabilities - targets) ** 2
    size = weights @ np.bincount(codes, minlength=blocks)
    brier = metrics.ratio(weights @ np.bincount(codes, weights=square, minlength=blocks), size)
    cell = codes * CALIBRATION_BINS + metrics.calibration_bin(probabilities)
    gap = np.bincount(cell, weights=probabilities - targets, minlength=blocks * CALIBRATION_BINS)
    drawn = metrics.ratio(np.abs(weights @ gap.reshape(blocks, CALIBRATION_BINS)).sum(axis=1), size)
    # Absolute gaps only grow with noise, so the draws lie too high as a whole: they are centred on the value.
    error = metrics.expected_calibration_error(targets, probabilities)
    return {
        "brier": Estimate(float(square.mean()), brier),
        "ece": Estimate(error, np.maximum(drawn + (error - np.nanmean(drawn) if len(drawn) else 0), 0)),
    }


def regression(
    targets: np.ndarray, scores: np.ndarray, *, codes: np.ndarray, weights: np.ndarray
) -> dict[str, Estimate]:
    """Pearson's and Spearman's correlation, R2 and mean squared error of a regression task.

    The ranks of Spearman's are those among all rows, in every resample.
    """
    if len(targets) < 2:
        return {name: undefined("fewer than two rows are measured", len(weights)) for name in metrics.REGRESSION}
    square = np.bincount(codes, weights=(targets - scores) ** 2, minlength=weights.shape[1])
    pearson, size, variance = _correlation(targets, scores, codes=codes, weights=weights)
    spearman, _, _ = _correlation(metrics.ranks(targets), metrics.ranks(scores), codes=codes, weights=weights)
    mse = metrics.ratio(_with_ones(weights) @ square, size)
    drawn = {"pearson": pearson, "spearman": spearman, "r2": 1 - metrics.ratio(mse, variance), "mse": mse}
    constant = "targets are constant" if not np.ptp(targets) else "predictions are constant"
    return {name: Estimate(float(values[0]), values[1:], constant) for name, values in drawn.items()}


def _correlation(
    x: np.ndarray, y: np.ndarray, *, codes: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pearson's r of x and y, the number of rows, and the variance of x: of all rows (first), and under each draw."""
    scale = float(x.std()) or 1.0
    x, y = _standardised(x), _standardised(y)  # before the sums, so that the variances keep their digits
    moments = (np.ones_like(x), x, y, x * x, y * y, x * y)
    by_block = np.stack([np.bincount(codes, weights=m, minlength=weights.shape[1]) for m in moments])
    n, sx, sy, sxx, syy, sxy = by_block @ _with_ones(weights).T
    over, of_x, of_y = (n * both - one * other for both, one, other in ((sxy, sx, sy), (sxx, sx, sx), (syy, sy, sy)))
    # What rounding leaves of a constant is no variance.
    of_x, of_y = (np.where(spread > 1e-12 * n**2, spread, 0) for spread in (of_x, of_y))
    return metrics.ratio(over, np.sqrt(of_x * of_y)), n, metrics.ratio(of_x, n**2) * scale**2


def _standardised(x: np.ndarray) -> np.ndarray:
    return (x - x.mean()) / x.std() if np.ptp(x) else np.zeros_like(x)
