"""What every baseline is: ``fit(codes, offsets, targets, mask) -> self`` and ``logits(codes, offsets) -> (N, K)``.

So a baseline is evaluated by the very code that evaluates models.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

import numpy as np


class Baseline(ABC):
    """A score that needs no neural network; each task is fitted on its own measured rows."""

    #: Training rows that it is fitted on at most, drawn at random. More moves a k-mer regression by less than its
    #: interval, and a million rows of 512 features would need several GB.
    most_rows = 200_000

    @abstractmethod
    def fit(
        self,
        codes: np.ndarray,
        offsets: np.ndarray,
        targets: np.ndarray,
        mask: np.ndarray,
        *,
        regression: np.ndarray | None = None,
    ) -> Self:
        """Fit.

        Parameters
        ----------
        codes, offsets
            Flat codes (uint8) and bounds (N + 1,) of the training sequences.
        targets
            (N, K) float.
        mask
            (N, K) bool: True where the target is measured.
        regression
            (K,) bool: the tasks whose targets are quantities, not classes; None for none.
        """

    @abstractmethod
    def logits(self, codes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Logits (N, K) float32; the quantity itself of a regression task."""


def quantities(regression: np.ndarray | None, tasks: int) -> np.ndarray:
    """Which of the tasks are regressions, (K,) bool."""
    return np.zeros(tasks, bool) if regression is None else np.asarray(regression, bool)
