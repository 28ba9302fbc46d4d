"""Asymmetric loss: easy negatives count less than easy positives, the easiest not at all (Ridnik et al. 2021)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from encre.train.losses.base import EntryLoss, GroupFacts
from encre.train.settings import TrainConfig


class Asymmetric(EntryLoss):
    """``(1 - p)^g+ log p`` of positives, ``q^g- log(1 - q)`` of negatives with ``q = max(p - margin, 0)``."""

    def __init__(self, facts: GroupFacts, config: TrainConfig) -> None:
        super().__init__(facts, config)
        self.up, self.down, self.margin = (
            config.asymmetric_positive,
            config.asymmetric_negative,
            config.asymmetric_margin,
        )

    def forward(self, logits: Tensor, targets: Tensor, real: Tensor) -> Tensor:
        """Losses (B, k); see :class:`EntryLoss`."""
        p = logits.sigmoid()
        shifted = (p - self.margin).clamp(min=0)
        # Without a margin, log(1 - p) of a confident mistake must come from the logit, not from the rounded p.
        log_not = (-shifted).log1p() if self.margin else F.logsigmoid(-logits)
        positive = (1 - p).clamp(min=1e-6) ** self.up * F.logsigmoid(logits)
        negative = shifted.clamp(min=1e-6) ** self.down * log_not
        return -(targets * positive + (1 - targets) * negative)
