"""The baseline of signal tracks: what their values over an element say without a base. No torch here."""

from __future__ import annotations

import numpy as np

from encre.models.baselines import Linear


class SignalOnly(Linear):
    """Logistic regression on each track's mean and maximum over the element, and the share that was measured.

    In the place of codes it takes signals, (N, S, J) with NaN = missing; the offsets are not looked at.
    """

    strength = 1.0

    def features(self, codes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """(N, 3 * S): mean and maximum (0 where nothing was measured), share of measured bins."""
        known = np.isfinite(codes)
        values = np.where(known, codes, 0).astype(np.float32)
        mean = values.sum(-1) / np.maximum(known.sum(-1), 1)
        top = np.where(known.any(-1), np.where(known, values, -np.inf).max(-1), 0)
        return np.concatenate([mean, top, known.mean(-1)], axis=1).astype(np.float32)
