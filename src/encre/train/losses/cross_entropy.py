"""Cross-entropy: of every entry on its own, or of a row over the exclusive classes of a group."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from encre.errors import ConfigError
from encre.train.losses.base import EntryLoss, GroupFacts
from encre.train.settings import TrainConfig


class CrossEntropy(EntryLoss):
    """Binary cross-entropy of each entry."""

    def forward(self, logits: Tensor, targets: Tensor, real: Tensor) -> Tensor:
        """Losses (B, k); see :class:`EntryLoss`."""
        return F.binary_cross_entropy_with_logits(logits, targets, reduction="none")


class Softmax(EntryLoss):
    """Cross-entropy of a row over the tasks of a multi-label group of which exactly one is positive.

    The model's ``head`` must be ``"exclusive"``: its logit of a task is that task's log odds against all others, so
    that ``-log sigmoid(logit)`` of the positive task is the softmax's loss. Each entry counts k-fold, so that the
    mean over the entries is that over the rows. A binary task keeps its cross-entropy, the softmax over its classes.
    """

    def __init__(self, facts: GroupFacts, config: TrainConfig) -> None:
        super().__init__(facts, config)
        self.classes = len(facts.columns) if facts.kind == "multilabel" else 1
        if self.classes == 1:
            return
        self.head, self.chance = "exclusive", 1 / self.classes
        if not facts.exclusive:
            raise ConfigError(
                f"the tasks of '{facts.name}' are not exclusive",
                where="[train] loss",
                expected="every measured row positive for exactly one of them, and measured for all",
                remedy='Take another loss, such as "cross_entropy".',
            )

    def forward(self, logits: Tensor, targets: Tensor, real: Tensor) -> Tensor:
        """Losses (B, k); see :class:`EntryLoss`."""
        if self.classes == 1:
            return F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        return -self.classes * targets * F.logsigmoid(logits)
