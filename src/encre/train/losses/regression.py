"""Losses of measured numbers: Huber, squared error, Poisson. What they are given is in the target's own unit."""

from __future__ import annotations

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from encre.train.losses.base import EntryLoss, GroupFacts
from encre.train.settings import TrainConfig


class Huber(EntryLoss):
    """Half the squared error in standard deviations of train, linear beyond one (Huber 1964)."""

    deviation: Tensor

    def __init__(self, facts: GroupFacts, config: TrainConfig) -> None:
        super().__init__(facts, config)
        self.keep("deviation", facts.deviation)

    def forward(self, logits: Tensor, targets: Tensor, real: Tensor) -> Tensor:
        """Losses (B, k); see :class:`EntryLoss`."""
        return F.smooth_l1_loss(logits / self.deviation, targets / self.deviation, reduction="none")


class SquaredError(Huber):
    """Half the squared error, in standard deviations of train."""

    def forward(self, logits: Tensor, targets: Tensor, real: Tensor) -> Tensor:
        """Losses (B, k); see :class:`EntryLoss`."""
        return ((logits - targets) / self.deviation).square() / 2


class Poisson(EntryLoss):
    """Poisson deviance over twice the mean of train: for counts and rates; the model's ``link`` must be ``"log"``.

    The prediction is the rate, ``exp`` of the head's output times the mean of train; the loss is 0 where it is the
    target, and its gradient by the head's output is ``(rate - target) / mean``.
    """

    link = "log"
    mean: Tensor

    def __init__(self, facts: GroupFacts, config: TrainConfig) -> None:
        super().__init__(facts, config)
        self.keep("mean", np.where(facts.mean > 0, facts.mean, 1))

    def forward(self, logits: Tensor, targets: Tensor, real: Tensor) -> Tensor:
        """Losses (B, k); see :class:`EntryLoss`."""
        rate = logits.clamp(min=1e-8)
        surprise = targets.xlogy(targets) - targets * rate.log()
        return (surprise - targets + logits) / self.mean
