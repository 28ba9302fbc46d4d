"""The weighted sum of the task groups' losses: what is not measured never moves it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from encre.errors import ConfigError, nearest
from encre.models.heads import LinearHeads
from encre.models.model import EnhancerModel
from encre.models.processes import sum_over_processes
from encre.tasks import TaskSet
from encre.train.losses.balance import BALANCES, Balance
from encre.train.losses.base import EntryLoss, GroupFacts, group_facts
from encre.train.losses.registry import LOSSES, REGRESSION_LOSSES
from encre.train.losses.weights import class_weights
from encre.train.settings import TrainConfig


@dataclass(frozen=True)
class GroupLoss:
    """One task group: what is known of it, the loss of its entries, the weights of both classes (k,)."""

    facts: GroupFacts
    entries: EntryLoss
    negative: Tensor
    positive: Tensor


class MultiTaskLoss(nn.Module):
    """Sum over task groups of ``weight x mean of the measured entries' weighted loss``.

    The mean is over the measured entries of the *global* batch, so that several processes equal one.

    Parameters
    ----------
    groups
        From :func:`make_loss`.
    balance
        How the groups' losses are summed.
    gate
        Position of the binary task whose positives alone teach the multi-label tasks; None: all rows do.
    smoothing
        Share of the targets of classes that is spread over both of them.
    """

    def __init__(
        self, groups: list[GroupLoss], balance: Balance, *, gate: int | None = None, smoothing: float = 0.0
    ) -> None:
        super().__init__()
        self.groups, self.balance, self.gate, self.smoothing = groups, balance, gate, smoothing
        self._heads: list[LinearHeads] = []  # a list, so that they do not become a part of the loss
        self.entries = nn.ModuleList(group.entries for group in groups)
        for at, group in enumerate(groups):
            self.register_buffer(f"negative{at}", group.negative, persistent=False)
            self.register_buffer(f"positive{at}", group.positive, persistent=False)

    def prepare(self, model: EnhancerModel) -> None:
        """Tell the model's heads what they are to know of the training targets, and check that both fit together.

        Raises
        ------
        ConfigError
            When a loss needs another head than the model has, or a head other targets.
        """
        for group in self.groups:
            for key in ("link", "head"):
                wanted, got = getattr(group.entries, key), getattr(model.config, key)
                if wanted not in (None, got):
                    raise ConfigError(
                        f"the loss of '{group.facts.name}' needs another head",
                        expected=f'[model] {key} = "{wanted}"',
                        got=f'"{got}"',
                    )
            if model.config.link == "log" and group.facts.kind == "regression" and group.facts.lowest < 0:
                raise ConfigError(
                    f"predictions by the log link are above 0, and '{group.facts.name}' has negative targets",
                    where="[model] link",
                    got=f"{group.facts.lowest:g}",
                    remedy='Set link = "identity", or give the counts themselves.',
                )
        mean, deviation = np.zeros(len(model.tasks)), np.ones(len(model.tasks))
        for group in self.groups:
            at = list(group.facts.columns)
            mean[at], deviation[at] = group.facts.mean, group.facts.deviation
        model.heads.set_units(mean, deviation)
        model.heads.watched = self.balance.asks_for_shared
        self._heads = [model.heads]

    def forward(self, logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        """This process's share of the global batch's loss: the shares of all processes add up to it.

        Parameters
        ----------
        logits, targets
            (B, K) float; targets may be NaN where they are not measured.
        mask
            (B, K) bool: True where the target is measured.
        """
        mask = gated(mask, targets, [group.facts for group in self.groups], self.gate)
        counts = sum_over_processes(torch.stack([mask[:, g.facts.at].sum() for g in self.groups]).float())
        shares = []
        for number, (group, count) in enumerate(zip(self.groups, counts, strict=True)):
            at = group.facts.at
            real = mask[:, at]
            target = torch.where(real, targets[:, at], 0.0)
            positive, negative = getattr(self, f"positive{number}"), getattr(self, f"negative{number}")
            weight = torch.where(target > 0.5, positive, negative) * real
            if self.smoothing and group.facts.kind != "regression":
                target = target + self.smoothing * (group.entries.chance - target)
            losses = group.entries(logits[:, at].float(), target, real)
            shares.append((losses * weight).sum() / count.clamp(min=1))
        return self.balance(torch.stack(shares), counts, self._shared(logits))

    def learned(self) -> dict[str, float]:
        """Group -> what its loss is multiplied by now, where that is learned."""
        return self.balance.learned()

    def _shared(self, logits: Tensor) -> Tensor | None:
        """What the heads read to give these logits, in a training step of a balance that asks for it."""
        if not (self.balance.asks_for_shared and logits.requires_grad):
            return None
        heads = self._heads[0]
        shared, heads.seen = heads.seen, None
        return shared if shared is not None and shared.requires_grad else None  # none while the trunk is frozen


def gated(mask: Tensor, targets: Tensor, groups: Sequence[GroupFacts], gate: int | None) -> Tensor:
    """The mask, without the multi-label entries of rows that the gate task does not call positive."""
    if gate is None:
        return mask
    open_rows = mask[:, gate] & (targets[:, gate] > 0.5)
    mask = mask.clone()
    for group in groups:
        if group.kind == "multilabel":
            mask[:, group.at] &= open_rows[:, None]
    return mask


def make_loss(tasks: TaskSet, config: TrainConfig, *, targets: np.ndarray, mask: np.ndarray) -> MultiTaskLoss:
    """The loss for a dataset, with weights counted in its train split.

    Parameters
    ----------
    tasks
        What is predicted.
    config
        The settings from ``loss`` to ``tissue_loss_on``.
    targets, mask
        Of the train split, (N, K).

    Raises
    ------
    ConfigError
        For a weight of an unknown group, ``tissue_loss_on = "enhancers"`` without a binary task, a loss that the
        targets are not for, or GradNorm on a compiled model.
    """
    for name in config.group_weights:
        if name not in tasks.groups:
            raise ConfigError(
                f"[train] group_weights names no task group: '{name}'", remedy=nearest(name, tasks.groups)
            )
    if config.balance == "gradnorm" and config.compile:
        raise ConfigError(
            "GradNorm looks into the model, which it cannot do once that is compiled",
            where="[train]",
            remedy='Set compile = false, or balance = "uncertainty".',
        )
    gate = _gate(tasks) if config.tissue_loss_on == "enhancers" else None
    facts = group_facts(tasks, targets=targets, mask=mask)
    if gate is not None:
        mask = gated(torch.from_numpy(mask), torch.from_numpy(targets), facts, gate).numpy()
        facts = group_facts(tasks, targets=targets, mask=mask)
    groups = [_group(group, config) for group in facts]
    return MultiTaskLoss(groups, BALANCES[config.balance](facts, config), gate=gate, smoothing=config.label_smoothing)


def _gate(tasks: TaskSet) -> int:
    for position, task in enumerate(tasks):
        if task.kind == "binary":
            return position
    raise ConfigError('[train] tissue_loss_on = "enhancers" needs a binary task, and there is none')


def _group(facts: GroupFacts, config: TrainConfig) -> GroupLoss:
    kind = REGRESSION_LOSSES[config.regression_loss] if facts.kind == "regression" else LOSSES[config.loss]
    return GroupLoss(facts, kind(facts, config), *class_weights(facts, config))
