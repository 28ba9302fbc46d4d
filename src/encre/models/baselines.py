"""What a model has to beat: constants, length, GC, and logistic regression on k-mer frequencies. No torch here.

Every baseline has the same two methods, ``fit(codes, offsets, targets, mask) -> self`` and
``logits(codes, offsets) -> (N, K)``, so that it is evaluated by the very code that evaluates models.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

import numpy as np
from scipy.special import logit
from sklearn.linear_model import LogisticRegression

from encre.sequence.kmer_counts import merged_kmer_counts
from encre.shapes import N_CODE


class Baseline(ABC):
    """A score that needs no neural network; each task is fitted on its own measured rows."""

    @abstractmethod
    def fit(self, codes: np.ndarray, offsets: np.ndarray, targets: np.ndarray, mask: np.ndarray) -> Self:
        """Fit.

        Parameters
        ----------
        codes, offsets
            Flat codes (uint8) and bounds (N + 1,) of the training sequences.
        targets
            (N, K) float.
        mask
            (N, K) bool: True where the target is measured.
        """

    @abstractmethod
    def logits(self, codes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Logits (N, K) float32."""


class AllPositive(Baseline):
    """The share of positives in training, for every sequence: what accuracy and F1 alone would reward."""

    def fit(self, codes: np.ndarray, offsets: np.ndarray, targets: np.ndarray, mask: np.ndarray) -> Self:
        """Remember each task's share of positives."""
        measured = np.maximum(mask.sum(0), 1)
        share = np.where(mask, targets, 0).sum(0) / measured
        self._logits = logit(np.clip(share, 1 / (measured + 1), measured / (measured + 1)))
        return self

    def logits(self, codes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """The same logit for every sequence."""
        return np.tile(self._logits.astype(np.float32), (len(offsets) - 1, 1))


class Linear(Baseline):
    """L2 logistic regression on standardised features that a subclass computes."""

    #: inverse strength of the penalty, as scikit-learn's ``C``; chosen on the valid split of the DHS data
    strength = 0.003

    @abstractmethod
    def features(self, codes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Features (N, F) float32."""

    def fit(self, codes: np.ndarray, offsets: np.ndarray, targets: np.ndarray, mask: np.ndarray) -> Self:
        """One regression a task, on the rows where the task is measured."""
        x = self.features(codes, offsets)
        self._centre, self._scale = x.mean(0), np.maximum(x.std(0), 1e-6)
        x -= self._centre
        x /= self._scale
        columns = range(targets.shape[1])
        self._weights = np.stack([_logistic(x, targets[:, k], mask[:, k], self.strength) for k in columns], axis=1)
        return self

    def logits(self, codes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Logits (N, K) float32."""
        x = (self.features(codes, offsets) - self._centre) / self._scale
        return (x @ self._weights[:-1] + self._weights[-1]).astype(np.float32)


def _logistic(x: np.ndarray, target: np.ndarray, measured: np.ndarray, strength: float) -> np.ndarray:
    """Weights (F + 1,) that minimise ``sum of log losses + |w|² / (2 C)``, the intercept (last) unpenalised."""
    rows, y = (x, target) if measured.all() else (x[measured], target[measured])
    y = y > 0.5
    if len(y) == 0 or y.all() or not y.any():  # nothing to tell apart: the share of positives, smoothed
        share = (y.sum() + 1) / (len(y) + 2)
        return np.append(np.zeros(x.shape[1]), logit(share)).astype(np.float32)
    fitted = LogisticRegression(C=strength, max_iter=200).fit(rows, y)
    return np.append(fitted.coef_[0], fitted.intercept_[0]).astype(np.float32)


class LengthOnly(Linear):
    """Length and its logarithm: what a dataset gives away before a base is read."""

    strength = 1.0

    def features(self, codes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """(N, 2): length in bases, log length."""
        length = np.diff(offsets).astype(np.float32)
        return np.stack([length, np.log(np.maximum(length, 1))], axis=1)


class GCOnly(Linear):
    """Share of G and C, and its square."""

    strength = 1.0

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


#: name -> class; a new baseline is a class above and a line here
BASELINES: dict[str, type[Baseline]] = {
    "all_positive": AllPositive,
    "length_only": LengthOnly,
    "gc_only": GCOnly,
    "kmer4": Kmer4,
    "kmer5": Kmer5,
}
