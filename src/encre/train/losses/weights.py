"""How much an entry weighs by its class, as counted in train."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from encre.train.losses.base import GroupFacts
from encre.train.settings import TrainConfig


def class_weights(facts: GroupFacts, config: TrainConfig) -> tuple[Tensor, Tensor]:
    """Weights of negatives and of positives, (k,) each; a task of one class alone keeps weight 1.

    Parameters
    ----------
    facts
        Of the group; a regression has no classes, and its weights are 1.
    config
        ``class_weights``, ``effective_beta``.
    """
    total, ones = facts.measured.astype(float), facts.positive.astype(float)
    both = (ones > 0) & (ones < total) & (facts.kind != "regression")
    ones, zeros = np.where(both, ones, 1), np.where(both, total - ones, 1)
    down, up = np.ones_like(ones), np.ones_like(ones)
    if config.class_weights == "effective_number":
        down, up = _effective(zeros, ones, config.effective_beta)
    elif config.class_weights == "balanced" and facts.kind == "binary":  # the classes weigh the same in sum
        down, up = total / (2 * zeros), total / (2 * ones)
    elif config.class_weights == "balanced":
        up = zeros / ones
    down, up = (torch.tensor(np.where(both, values, 1), dtype=torch.float32) for values in (down, up))
    return down, up


def _effective(zeros: np.ndarray, ones: np.ndarray, beta: float) -> tuple[np.ndarray, np.ndarray]:
    """One over the effective number of samples of each class, the two with a mean of 1 (Cui et al. 2019)."""
    down, up = ((1 - beta) / (1 - beta**count) for count in (zeros, ones))
    mean = (down + up) / 2
    return down / mean, up / mean
