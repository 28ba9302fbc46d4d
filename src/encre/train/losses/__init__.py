"""The masked, weighted multi-task loss: logits (B, K), targets (B, K), mask (B, K) -> this process's share.

base -> cross_entropy, regression … (the loss of an entry) -> registry; weights (of classes), balance (of groups)
-> multitask (their sum)
"""

from __future__ import annotations

from encre.train.losses.balance import BALANCES
from encre.train.losses.multitask import MultiTaskLoss, make_loss
from encre.train.losses.registry import LOSSES, REGRESSION_LOSSES

__all__ = ["BALANCES", "LOSSES", "REGRESSION_LOSSES", "MultiTaskLoss", "make_loss"]
