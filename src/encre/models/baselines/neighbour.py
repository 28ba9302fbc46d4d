"""The nearest training sequence: what one who memorises would score."""

from __future__ import annotations

from typing import Self

import numpy as np

from encre.models.baselines.base import Baseline, quantities
from encre.models.baselines.linear import kmer_frequencies

#: Sequences whose similarities to all of training are held at a time.
_TOGETHER = 512
#: Of a difference of two similarities, which are between 0 and 1.
_SCALE = 20.0


class NearestNeighbour(Baseline):
    """The training sequence whose 5-mers are the most alike: ``sum of sqrt(p q)`` over their frequencies p and q.

    A task's score is how much nearer the nearest positive is than the nearest negative; its sign is the answer of
    the nearest neighbour. Of a quantity, the nearest neighbour's own.
    """

    k = 5

    def fit(
        self,
        codes: np.ndarray,
        offsets: np.ndarray,
        targets: np.ndarray,
        mask: np.ndarray,
        *,
        regression: np.ndarray | None = None,
    ) -> Self:
        """Keep the training sequences."""
        self._rows = kmer_frequencies(codes, offsets, self.k)
        self._targets, self._mask = targets, mask
        self._regression = quantities(regression, targets.shape[1])
        return self

    def logits(self, codes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Logits (N, K) float32."""
        rows = kmer_frequencies(codes, offsets, self.k)
        found = np.zeros((len(rows), self._targets.shape[1]), np.float32)
        for first in range(0, len(rows), _TOGETHER):
            alike = self._rows @ rows[first : first + _TOGETHER].T
            for task, quantity in enumerate(self._regression):
                measured = np.flatnonzero(self._mask[:, task])
                if not len(measured):
                    continue
                values = self._targets[measured, task]
                if quantity:
                    found[first : first + _TOGETHER, task] = values[alike[measured].argmax(0)]
                    continue
                near = (alike[measured[values > 0.5]], alike[measured[values <= 0.5]])
                positive, negative = (side.max(0, initial=0) for side in near)
                found[first : first + _TOGETHER, task] = _SCALE * (positive - negative)
        return found
