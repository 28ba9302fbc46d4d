"""Masked, weighted multi-task loss: what is not measured never moves it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from encre.errors import ConfigError, nearest
from encre.models.layers import sum_over_processes
from encre.tasks import TaskSet
from encre.train.settings import TrainConfig

ElementLoss = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy of each entry; targets may lie between 0 and 1."""
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none")


def squared_error(logits: Tensor, targets: Tensor) -> Tensor:
    """Half the squared difference of each entry, linear beyond 1 (Huber)."""
    return F.smooth_l1_loss(logits, targets, reduction="none")


#: kind of a task -> loss of each entry; a new kind is a function above and a line here
LOSSES: dict[str, ElementLoss] = {
    "binary": cross_entropy,
    "multilabel": cross_entropy,
    "regression": squared_error,
}


@dataclass(frozen=True)
class GroupLoss:
    """One task group: its columns on the K axis, its kind, its weight, and weights of both classes (K of group,)."""

    name: str
    columns: tuple[int, ...]
    kind: str
    weight: float
    negative: Tensor
    positive: Tensor


class MultiTaskLoss(nn.Module):
    """Sum over task groups of ``weight x mean of the measured entries' weighted loss``.

    The mean is over the measured entries of the *global* batch, so that several processes equal one.

    Parameters
    ----------
    groups
        From :func:`make_loss`.
    gate
        Position of the binary task whose positives alone teach the multi-label tasks; None: all rows do.
    """

    def __init__(self, groups: list[GroupLoss], *, gate: int | None = None) -> None:
        super().__init__()
        self.groups, self.gate = groups, gate
        for at, group in enumerate(groups):
            self.register_buffer(f"negative{at}", group.negative, persistent=False)
            self.register_buffer(f"positive{at}", group.positive, persistent=False)

    def forward(self, logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        """This process's share of the global batch's loss: the shares of all processes add up to it.

        Parameters
        ----------
        logits, targets
            (B, K) float; targets may be NaN where they are not measured.
        mask
            (B, K) bool: True where the target is measured.
        """
        mask = gated(mask, targets, self.groups, self.gate)
        counts = sum_over_processes(torch.stack([mask[:, g.columns].sum() for g in self.groups]).float())
        total = logits.new_zeros(())
        for at, (group, count) in enumerate(zip(self.groups, counts, strict=True)):
            real = mask[:, group.columns]
            target = torch.where(real, targets[:, group.columns], 0.0)
            positive, negative = getattr(self, f"positive{at}"), getattr(self, f"negative{at}")
            weight = torch.where(target > 0.5, positive, negative) * real
            losses = LOSSES[group.kind](logits[:, group.columns].float(), target)
            total = total + group.weight * (losses * weight).sum() / count.clamp(min=1)
        return total


def gated(mask: Tensor, targets: Tensor, groups: list[GroupLoss], gate: int | None) -> Tensor:
    """The mask, without the multi-label entries of rows that the gate task does not call positive."""
    if gate is None:
        return mask
    open_rows = mask[:, gate] & (targets[:, gate] > 0.5)
    mask = mask.clone()
    for group in groups:
        if group.kind == "multilabel":
            mask[:, group.columns] &= open_rows[:, None]
    return mask


def make_loss(tasks: TaskSet, config: TrainConfig, *, targets: np.ndarray, mask: np.ndarray) -> MultiTaskLoss:
    """The loss for a dataset, with weights counted in its train split.

    Parameters
    ----------
    tasks
        What is predicted.
    config
        ``group_weights``, ``class_weights``, ``tissue_loss_on``.
    targets, mask
        Of the train split, (N, K).

    Raises
    ------
    ConfigError
        For a weight of an unknown group, or ``tissue_loss_on = "enhancers"`` without a binary task.
    """
    for name in config.group_weights:
        if name not in tasks.groups:
            raise ConfigError(
                f"[train] group_weights names no task group: '{name}'", remedy=nearest(name, tasks.groups)
            )
    gate = _gate(tasks) if config.tissue_loss_on == "enhancers" else None
    plain = _groups(tasks, config.group_weights)
    if config.class_weights == "none":
        return MultiTaskLoss(plain, gate=gate)
    counted = gated(torch.from_numpy(mask), torch.from_numpy(targets), plain, gate).numpy()
    n = counted.sum(0)
    positive = (counted & (targets > 0.5)).sum(0)
    return MultiTaskLoss([_balanced(group, n, positive) for group in plain], gate=gate)


def _gate(tasks: TaskSet) -> int:
    for position, task in enumerate(tasks):
        if task.kind == "binary":
            return position
    raise ConfigError('[train] tissue_loss_on = "enhancers" needs a binary task, and there is none')


def _groups(tasks: TaskSet, weights: Mapping[str, float]) -> list[GroupLoss]:
    kinds = [task.kind for task in tasks]
    return [
        GroupLoss(name, at, kinds[at[0]], weights.get(name, 1.0), torch.ones(len(at)), torch.ones(len(at)))
        for name, at in tasks.groups.items()
    ]


def _balanced(group: GroupLoss, n: np.ndarray, positive: np.ndarray) -> GroupLoss:
    """Class weights of a group; a task of one class alone keeps weight 1."""
    if group.kind == "regression":
        return group
    at = list(group.columns)
    total, ones = n[at].astype(float), positive[at].astype(float)
    both = (ones > 0) & (ones < total)
    ones, zeros = np.where(both, ones, 1), np.where(both, total - ones, 1)
    if group.kind == "binary":  # classes weigh the same in sum, the mean weight is 1
        up, down = np.where(both, total / (2 * ones), 1), np.where(both, total / (2 * zeros), 1)
    else:
        up, down = zeros / ones, np.ones_like(ones)
    as_tensor = [torch.tensor(values, dtype=torch.float32) for values in (down, up)]
    return GroupLoss(group.name, group.columns, group.kind, group.weight, *as_tensor)
