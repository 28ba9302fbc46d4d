"""Focal loss: what is called well already hardly counts (Lin et al. 2017)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from encre.train.losses.base import EntryLoss, GroupFacts
from encre.train.settings import TrainConfig


class Focal(EntryLoss):
    """Cross-entropy times ``|target - probability| ^ focal_gamma``; ``class_weights`` are the paper's alpha.

    With targets between 0 and 1 it is the quality focal loss of Li et al. (2020).
    """

    def __init__(self, facts: GroupFacts, config: TrainConfig) -> None:
        super().__init__(facts, config)
        self.gamma = config.focal_gamma

    def forward(self, logits: Tensor, targets: Tensor, real: Tensor) -> Tensor:
        """Losses (B, k); see :class:`EntryLoss`."""
        surprise = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        off = (targets - logits.sigmoid()).abs()
        # The power's gradient is infinite at 0 for a gamma below 1; there the loss is 0 anyway.
        return off.clamp(min=1e-6) ** self.gamma * surprise
