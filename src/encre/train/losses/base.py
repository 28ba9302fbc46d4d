"""What the losses share: facts of a task group, and the loss of its entries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from encre.tasks import TaskSet
from encre.train.settings import TrainConfig


@dataclass(frozen=True)
class GroupFacts:
    """A task group of k tasks, and what was counted of it in train; arrays are (k,).

    Parameters
    ----------
    name, kind
        Of the group.
    columns
        Its places on the K axis.
    measured, positive
        Rows that are measured, and rows above 0.5.
    mean, deviation
        Of the measured targets; 0 and 1 where there are none, deviation 1 where they are constant.
    lowest
        The smallest measured target of the group.
    exclusive
        Whether every row that is measured is measured for all its tasks and positive in exactly one.
    """

    name: str
    kind: str
    columns: tuple[int, ...]
    measured: np.ndarray
    positive: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    lowest: float
    exclusive: bool

    @property
    def at(self) -> slice | list[int]:
        """The columns for indexing: a run of them as a slice, which a GPU need not be sent."""
        first, last = self.columns[0], self.columns[-1]
        return slice(first, last + 1) if last - first == len(self.columns) - 1 else list(self.columns)


def group_facts(tasks: TaskSet, *, targets: np.ndarray, mask: np.ndarray) -> list[GroupFacts]:
    """Facts of every group, from targets and mask (N, K) of the train split."""
    found = []
    for name, columns in tasks.groups.items():
        at = list(columns)
        real = mask[:, at]
        shown = np.where(real, targets[:, at], 0).astype(np.float64)
        measured, ones = real.sum(0), real & (shown > 0.5)
        mean = shown.sum(0) / np.maximum(measured, 1)
        deviation = np.sqrt((np.where(real, shown - mean, 0) ** 2).sum(0) / np.maximum(measured, 1))
        some = real.any(1)
        found.append(
            GroupFacts(
                name=name,
                kind=tasks.tasks[at[0]].kind,
                columns=columns,
                measured=measured,
                positive=ones.sum(0),
                mean=mean,
                deviation=np.where(deviation > 0, deviation, 1.0),
                lowest=float(shown[real].min(initial=0.0)),
                exclusive=bool(real[some].all() and (ones[some].sum(1) == 1).all()),
            )
        )
    return found


class EntryLoss(nn.Module):
    """Loss of each entry of one task group.

    Parameters
    ----------
    facts
        Of the group.
    config
        Settings of the training.

    Raises
    ------
    ConfigError
        When the group's targets are not what the loss is for.
    """

    #: What ``link`` of the model's head must be; None for any.
    link: str | None = None
    #: What ``head`` of the model must be; None for any.
    head: str | None = None
    #: A target that says nothing: what label smoothing moves targets to.
    chance: float = 0.5

    def __init__(self, facts: GroupFacts, config: TrainConfig) -> None:
        super().__init__()

    def forward(self, logits: Tensor, targets: Tensor, real: Tensor) -> Tensor:
        """Losses (B, k) of logits (B, k) float32; those of entries that are not ``real`` (B, k) are of no matter.

        Targets (B, k) are 0 where not measured, and may lie between 0 and 1 where a teacher softened them.
        """
        raise NotImplementedError

    def keep(self, name: str, values: np.ndarray) -> None:
        """Hold values (k,) counted in train; they are counted again at every start, and so not saved."""
        self.register_buffer(name, torch.from_numpy(np.asarray(values, np.float32)), persistent=False)
