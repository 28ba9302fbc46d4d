"""What a logit is compared with: quantiles of the logits that a model gave the measured negatives of valid.

A percentile of 99 says that 99 of 100 negatives of the valid split score lower. What those negatives are depends on
the dataset and on the task: shuffles or matched background for "is it an enhancer", elements that are active
elsewhere for a tissue. A regression task has no negatives; its background is every measured row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from encre.errors import FormatError

MADE_OF = "measured negatives of the valid split (every measured row for a regression task)"
QUANTILES = 201
"""Every half percent: finer than a few thousand negatives can tell."""

LEAST_ROWS = 20
"""Fewer negatives than this say nothing about a tail; such a task has no background."""


@dataclass(frozen=True)
class Background:
    """Quantiles of background logits by task name.

    Parameters
    ----------
    quantiles
        Task -> ascending logits at evenly spaced shares from 0 to 1, both included.
    rows
        Task -> how many rows they were taken from (also of tasks that had too few).
    made_of
        What those rows are, in words.
    """

    quantiles: dict[str, list[float]]
    rows: dict[str, int]
    made_of: str = MADE_OF

    def percentiles(self, logits: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """Share of the background below each logit (N, K) of tasks ``names``, 0-100; a tie counts half.

        NaN where a task has no background.
        """
        found = np.full(np.shape(logits), np.nan)
        for k, name in enumerate(names):
            if name in self.quantiles:
                values, same = np.unique(self.quantiles[name], return_inverse=True)
                shares = np.bincount(same, weights=np.linspace(0, 100, len(same))) / np.bincount(same)
                found[:, k] = np.interp(logits[:, k], values, shares, left=0, right=100)
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as they stand in ``calibration.json``."""
        return {"made_of": self.made_of, "rows": self.rows, "quantiles": self.quantiles}

    @classmethod
    def from_dict(cls, values: dict[str, Any], *, where: object) -> Background:
        """Read back what :meth:`to_dict` wrote; a damaged one is a :class:`FormatError`."""
        try:
            found = cls(**values)
            sound = all(len(q) > 1 and not np.any(np.diff(q) < 0) for q in found.quantiles.values())
        except (TypeError, ValueError, AttributeError) as error:
            raise FormatError(f"not a background ({error})", where=where, remedy="Run `encre evaluate`.") from error
        if not sound:
            raise FormatError("the background's quantiles do not ascend", where=where, remedy="Run `encre evaluate`.")
        return found


def quantiles_of(logits: np.ndarray) -> list[float]:
    """:data:`QUANTILES` quantiles of logits (N,), with the seven digits that float32 has."""
    found = np.quantile(np.asarray(logits, np.float64), np.linspace(0, 1, QUANTILES))
    return [float(f"{value:.7g}") for value in found]
