"""Binary cross-entropy."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from encre.train.losses.base import EntryLoss


class CrossEntropy(EntryLoss):
    """Binary cross-entropy of each entry."""

    def forward(self, logits: Tensor, targets: Tensor, real: Tensor) -> Tensor:
        """Losses (B, k); see :class:`EntryLoss`."""
        return F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
