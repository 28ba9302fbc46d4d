"""gkm-SVM: a support vector machine on gapped k-mers (Ghandi et al. 2014; LS-GKM, Lee 2016), on all rows at once.

Two sequences are alike by the pairs of l-mers, one of each, that differ in few places: one with m differences counts
``c(m)``. All sequences together hold at most 4^l different l-mers, so the kernel is never computed pair by pair: its
product with a vector is counts of l-mers -> what each l-mer is worth -> sums over sequences, and the middle step is a
Fourier transform over l letters of four.
"""

from __future__ import annotations

from functools import cache
from math import comb
from typing import NamedTuple, Self

import numpy as np

from encre.models.baselines.base import Baseline, quantities
from encre.sequence.tokenizers import kmer_ids

#: Newton steps and products in each at most; how exact a step is, and the share of rows that may still change sides.
_STEPS, _PRODUCTS, _EXACT, _SETTLED = 12, 60, 1e-3, 1e-3
#: The shortest part of a Newton step that is tried.
_SHORTEST = 1 / 64


class Shape(NamedTuple):
    """Words of ``length`` bases, ``informative`` of which count, in pairs with at most so many ``differences``."""

    length: int = 11
    informative: int = 7
    differences: int = 3


class GkmSVM(Baseline):
    """Support vector machine with squared hinge loss, one task against the rest; kernel ridge for quantities.

    Solved in the primal by Newton's method (Chapelle 2007), each step by conjugate gradients.
    """

    most_rows = 50_000
    #: The price of an error beside the width of the margin, LIBSVM's ``C``.
    cost = 1.0
    #: The default of LS-GKM.
    shape = Shape()

    def fit(
        self,
        codes: np.ndarray,
        offsets: np.ndarray,
        targets: np.ndarray,
        mask: np.ndarray,
        *,
        regression: np.ndarray | None = None,
    ) -> Self:
        """One machine a task, on the rows where the task is measured."""
        words = Words(codes, offsets, self.shape)
        self._worth, self._bias = [], []
        for task, quantity in enumerate(quantities(regression, targets.shape[1])):
            y = np.nan_to_num(targets[:, task]).astype(np.float64)
            measured = mask[:, task]
            if quantity:
                centre = float(y[measured].mean()) if measured.any() else 0.0
                weights = _ridge(words, np.where(measured, y - centre, 0), measured, self.cost)
            else:
                centre = 0.0
                weights = _machine(words, np.where(y > 0.5, 1.0, -1.0), measured, self.cost)
            self._worth.append(words.worth(weights))
            self._bias.append(centre + weights.sum())
        return self

    def logits(self, codes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """How far each sequence lies on the positive side, (N, K) float32."""
        words = Words(codes, offsets, self.shape)
        columns = [words.sums(worth) + bias for worth, bias in zip(self._worth, self._bias, strict=True)]
        return np.stack(columns, axis=1).astype(np.float32)


class Words:
    """The words of sequences, and the kernel that they make: 1 of a sequence with itself.

    Parameters
    ----------
    codes, offsets
        Flat codes (uint8) and bounds (N + 1,). Words with an N are left out.
    shape
        What a word is.
    """

    def __init__(self, codes: np.ndarray, offsets: np.ndarray, shape: Shape) -> None:
        self.count, self.shape = len(offsets) - 1, shape
        row = np.repeat(np.arange(self.count, dtype=np.int32), np.diff(offsets))
        enough = len(codes) >= shape.length
        ids = kmer_ids(codes.astype(np.int32), shape.length) if enough else np.zeros(0, np.int32)
        inside = (row[: len(ids)] == row[len(row) - len(ids) :]) & (ids < 4**shape.length)
        self.row, self.ids = row[: len(ids)][inside], ids[inside]
        self._scale = 1 / np.sqrt(np.maximum(self._own(), 1e-30))

    def _own(self) -> np.ndarray:
        """Each sequence against itself, (N,)."""
        weights = mismatch_weights(self.shape)
        bounds = np.searchsorted(self.row, np.arange(self.count + 1))
        found = np.zeros(self.count)
        for row in range(self.count):
            own = self.ids[bounds[row] : bounds[row + 1]]
            differ = own[:, None] ^ np.concatenate([own, other_strand(own, self.shape.length)])
            found[row] = np.bincount(letters(differ).ravel(), minlength=len(weights)) @ weights
        return found

    def worth(self, weights: np.ndarray) -> np.ndarray:
        """What each word adds to a score, (4^l,) float32, where the sequences have ``weights`` (N,)."""
        length = self.shape.length
        counts = np.bincount(self.ids, (weights * self._scale)[self.row], 4**length).astype(np.float32)
        counts += counts[_partners(length)]
        return transformed(transformed(counts, length) * _spectrum(self.shape), length)

    def sums(self, worth: np.ndarray) -> np.ndarray:
        """Scores (N,) where each word is worth so much."""
        return np.bincount(self.row, worth[self.ids], self.count) * self._scale

    def product(self, weights: np.ndarray) -> np.ndarray:
        """The kernel matrix, with 1 added to every entry for the bias, times ``weights`` (N,)."""
        return self.sums(self.worth(weights)) + weights.sum()


def mismatch_weights(shape: Shape) -> np.ndarray:
    """What a pair of words counts by the number of its differences, (length + 1,).

    The gapped k-mer counts of a sequence tell the part of its word counts that varies with at most k letters at a
    time; the estimate of the counts by that part alone weighs a word by its differences, and is cut where it falls
    below 0 (Ghandi et al. 2014). The kernel is the product of two such estimates, of pairs with few differences.
    """
    characters = krawtchouk(shape.length)
    estimate = characters[: shape.informative + 1].sum(0) / 4.0**shape.length
    estimate[np.logical_or.accumulate(estimate < 1e-50)] = 0
    product = (estimate @ characters) ** 2 @ characters / 4.0**shape.length  # the square, in the Fourier domain
    product[shape.differences + 1 :] = 0
    return product


def krawtchouk(length: int) -> np.ndarray:
    """Entry (w, m): the sum of all characters of w letters at a word with m letters that are not the first."""
    found = np.zeros((length + 1, length + 1))
    for w in range(length + 1):
        for m in range(length + 1):
            terms = ((-1) ** j * 3 ** (w - j) * comb(m, j) * comb(length - m, w - j) for j in range(w + 1))
            found[w, m] = sum(terms)
    return found


def letters(words: np.ndarray) -> np.ndarray:
    """How many letters of each word (int32) are not the first."""
    return np.bitwise_count((words | words >> 1) & 0x55555555)


def other_strand(words: np.ndarray, length: int) -> np.ndarray:
    """The reverse complements of words."""
    found, rest = np.zeros_like(words), words.copy()
    for _ in range(length):
        found, rest = found << 2 | 3 - (rest & 3), rest >> 2
    return found


@cache
def _partners(length: int) -> np.ndarray:
    """The reverse complement of every word, (4^l,)."""
    return other_strand(np.arange(4**length, dtype=np.int32), length)


@cache
def _spectrum(shape: Shape) -> np.ndarray:
    """What a pair of words counts, in the Fourier domain: an eigenvalue for every word, (4^l,) float32."""
    values = mismatch_weights(shape) @ krawtchouk(shape.length) / 4.0**shape.length
    return values.astype(np.float32)[letters(np.arange(4**shape.length, dtype=np.int32))]


def transformed(x: np.ndarray, length: int) -> np.ndarray:
    """The Fourier transform of values of all words (4^l,) over letters of two bits: 4^l times its own inverse."""
    for done in range(0, length, 3):
        together = min(3, length - done)
        if done + together == length:
            return (x.reshape(-1, 4**together) @ _hadamard(together)).ravel()
        x = _hadamard(together) @ x.reshape(4**done, 4**together, -1)
    return x


@cache
def _hadamard(letters: int) -> np.ndarray:
    matrix = np.ones((1, 1), np.float32)
    for _ in range(2 * letters):
        matrix = np.kron(matrix, np.array([[1, 1], [1, -1]], np.float32))
    return matrix


def _machine(words: Words, y: np.ndarray, measured: np.ndarray, cost: float) -> np.ndarray:
    """Weights (N,) of a support vector machine with targets ``y`` (N,) of 1 and -1, where measured.

    Minimises ``w² / 2 + cost * (sum of squared hinge losses)``.
    """

    def loss(weights: np.ndarray, scores: np.ndarray) -> float:
        return weights @ scores / 2 + cost * np.square(np.maximum(1 - y * scores, 0))[measured].sum()

    weights, scores, active = np.zeros(len(y)), np.zeros(len(y)), measured
    for _ in range(_STEPS):
        found = _ridge(words, y * active, active, cost, start=weights * active)
        ahead, beyond = found - weights, words.product(found) - scores
        step, before = 1.0, loss(weights, scores)
        while step > _SHORTEST and loss(weights + step * ahead, scores + step * beyond) > before:
            step /= 2
        weights, scores = weights + step * ahead, scores + step * beyond
        now = measured & (y * scores < 1)
        if (now != active).mean() < _SETTLED:
            break
        active = now
    return weights


def _ridge(
    words: Words, y: np.ndarray, measured: np.ndarray, cost: float, *, start: np.ndarray | None = None
) -> np.ndarray:
    """Weights (N,) that solve ``(kernel + 1 / (2 cost)) weights = y`` on measured rows, by conjugate gradients."""
    weights = np.zeros(len(y)) if start is None else start

    def product(x: np.ndarray) -> np.ndarray:
        return (words.product(x) + x / (2 * cost)) * measured

    rest = y - (product(weights) if weights.any() else 0)
    along, size = rest.copy(), rest @ rest
    enough = (_EXACT**2) * (y @ y)
    for _ in range(_PRODUCTS):
        if size <= enough:
            break
        ahead = product(along)
        length = size / (along @ ahead)
        weights, rest = weights + length * along, rest - length * ahead
        size, before = rest @ rest, size
        along = rest + size / before * along
    return weights
