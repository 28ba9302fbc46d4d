"""Length, GC and k-mer frequencies: L2 logistic regression for classes, ridge regression for quantities."""

from __future__ import annotations

from abc import abstractmethod
from typing import Self

import numpy as np
from scipy.special import logit
from sklearn.linear_model import LogisticRegression

from encre.models.baselines.base import Baseline, quantities
from encre.sequence.kmer_counts import merged_kmer_counts
from encre.shapes import N_CODE


class Linear(Baseline):
    """A linear model of standardised features that a subclass computes."""

    #: inverse strength of the penalty, as scikit-learn's ``C``; chosen on the valid split of the DHS data
    strength = 0.003
    #: strength of the ridge regression's penalty, as scikit-learn's ``alpha``; chosen on lentiMPRA by its inserts
    ridge = 3000.0

    @abstractmethod
    def features(self, codes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Features (N, F) float32."""

    def fit(
        self,
        codes: np.ndarray,
        offsets: np.ndarray,
        targets: np.ndarray,
        mask: np.ndarray,
        *,
        regression: np.ndarray | None = None,
    ) -> Self:
        """One regression a task, on the rows where the task is measured."""
        x = self.features(codes, offsets)
        self._centre, self._scale = x.mean(0), np.maximum(x.std(0), 1e-6)
        x -= self._centre
        x /= self._scale
        fitted = []
        for k, quantity in enumerate(quantities(regression, targets.shape[1])):
            one = (x, targets[:, k], mask[:, k])
            fitted.append(_ridge(*one, strength=self.ridge) if quantity else _logistic(*one, strength=self.strength))
        self._weights = np.stack(fitted, axis=1)
        return self

    def logits(self, codes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Logits (N, K) float32."""
        x = (self.features(codes, offsets) - self._centre) / self._scale
        return (x @ self._weights[:-1] + self._weights[-1]).astype(np.float32)


def _logistic(x: np.ndarray, target: np.ndarray, measured: np.ndarray, *, strength: float) -> np.ndarray:
    """Weights (F + 1,) that minimise ``sum of log losses + |w|² / (2 C)``, the intercept (last) unpenalised."""
    rows, y = (x, target) if measured.all() else (x[measured], target[measured])
    y = y > 0.5
    if len(y) == 0 or y.all() or not y.any():  # nothing to tell apart: the share of positives, smoothed
        share = (y.sum() + 1) / (len(y) + 2)
        return np.append(np.zeros(x.shape[1]), logit(share)).astype(np.float32)
    fitted = LogisticRegression(C=strength, max_iter=200).fit(rows, y)
    return np.append(fitted.coef_[0], fitted.intercept_[0]).astype(np.float32)


def _ridge(x: np.ndarray, target: np.ndarray, measured: np.ndarray, *, strength: float) -> np.ndarray:
    """Weights (F + 1,) that minimise ``sum of squared errors + alpha |w|²``, the intercept (last) unpenalised."""
    rows, y = (x, target) if measured.all() else (x[measured], target[measured])
    if len(y) == 0:
        return np.zeros(x.shape[1] + 1, np.float32)
    centre, mean = rows.mean(0, dtype=np.float64), y.mean(dtype=np.float64)
    moments = rows.T @ rows - len(y) * np.outer(centre, centre)
    along = rows.T @ (y - mean).astype(rows.dtype)
    weights = np.linalg.solve(moments + strength * np.eye(len(moments)), along)
    return np.append(weights, mean - weights @ centre).astype(np.float32)


class LengthOnly(Linear):
    """Length and its logarithm: what a dataset gives away before a base is read."""

    strength = ridge = 1.0

    def features(self, codes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """(N, 2): length in bases, log length."""
        length = np.diff(offsets).astype(np.float32)
        return np.stack([length, np.log(np.maximum(length, 1))], axis=1)


class GCOnly(Linear):
    """Share of G and C, and its square."""

    strength = ridge = 1.0

    def features(self, codes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """(N, 2): GC share among the bases that are not N, and its square."""
        parts = [
            np.concatenate([[0], np.cumsum(hit)])
            for hit in ((codes == 1) | (codes == 2), codes < N_CODE)
        ]  # fmt: skip
        gc, known = (part[offsets[1:]] - part[offsets[:-1]] for part in parts)
        share = gc / np.maximum(known, 1)
        return np.stack([share, share**2], axis=1).astype(np.float32)


class Kmer4(Linear):
    """Square roots of the frequencies of 4-mers, both strands counted together."""

    k = 4

    def features(self, codes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """(N, merged k-mers) float32."""
        return kmer_frequencies(codes, offsets, self.k)


class Kmer5(Kmer4):
    """Square roots of the frequencies of 5-mers, both strands counted together."""

    k = 5


def kmer_frequencies(codes: np.ndarray, offsets: np.ndarray, k: int) -> np.ndarray:
    """Square roots of k-mer frequencies; a k-mer and its reverse complement are one feature.

    Parameters
    ----------
    codes, offsets
        Flat codes (uint8) and bounds (N + 1,).
    k
        Width of the k-mers; any that holds an N is left out.

    Returns
    -------
    numpy.ndarray
        (N, F) float32, F = 136 for k = 4 and 512 for k = 5.
    """
    counts = merged_kmer_counts(codes, offsets, k)
    return np.sqrt(counts / np.maximum(counts.sum(1, keepdims=True), 1), out=counts)
