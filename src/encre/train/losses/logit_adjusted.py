"""Logit adjustment: the prior of train is added in training and left out afterwards (Menon et al. 2021)."""

from __future__ import annotations

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from encre.errors import ConfigError
from encre.train.losses.base import EntryLoss, GroupFacts
from encre.train.settings import TrainConfig


class LogitAdjusted(EntryLoss):
    """Cross-entropy of ``logit + adjustment x log odds of the task's positives in train``.

    So the logit itself is the evidence beyond the prior, as if both classes were equally common.
    """

    prior: Tensor

    def __init__(self, facts: GroupFacts, config: TrainConfig) -> None:
        super().__init__(facts, config)
        if config.class_weights != "none":
            raise ConfigError(
                "logit adjustment and class weights both undo the share of positives",
                where="[train]",
                expected='class_weights = "none" with loss = "logit_adjusted"',
                got=f'"{config.class_weights}"',
            )
        ones, zeros = facts.positive + 0.5, facts.measured - facts.positive + 0.5
        self.keep("prior", config.adjustment * np.log(ones / zeros))

    def forward(self, logits: Tensor, targets: Tensor, real: Tensor) -> Tensor:
        """Losses (B, k); see :class:`EntryLoss`."""
        return F.binary_cross_entropy_with_logits(logits + self.prior, targets, reduction="none")
