"""How much an entry weighs by its class, as counted in train."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from encre.train.losses.base import GroupFacts


def class_weights(facts: GroupFacts, how: str) -> tuple[Tensor, Tensor]:
    """Weights of negatives and of positives, (k,) each; a task of one class alone keeps weight 1.

    Parameters
    ----------
    facts
        Of the group; a regression has no classes, and its weights are 1.
    how
        ``class_weights`` of the settings.
    """
    total, ones = facts.measured.astype(float), facts.positive.astype(float)
    both = (ones > 0) & (ones < total) & (facts.kind != "regression")
    ones, zeros = np.where(both, ones, 1), np.where(both, total - ones, 1)
    down, up = np.ones_like(ones), np.ones_like(ones)
    if how == "balanced" and facts.kind == "binary":  # classes weigh the same in sum, the mean weight is 1
        down, up = total / (2 * zeros), total / (2 * ones)
    elif how == "balanced":
        up = zeros / ones
    down, up = (torch.tensor(np.where(both, values, 1), dtype=torch.float32) for values in (down, up))
    return down, up
