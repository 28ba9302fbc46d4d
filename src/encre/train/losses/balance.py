"""How the losses of several task groups become one: fixed weights, or weights that are learned along the way."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from encre.models.processes import sum_over_processes, world_size
from encre.train.losses.base import GroupFacts
from encre.train.settings import TrainConfig

_LEAST = 0.01  # of a weight that GradNorm learns: no group is given up


class Balance(nn.Module):
    """Fixed weights: ``group_weights`` of the settings, 1 where nothing is said.

    Parameters
    ----------
    groups
        The G task groups.
    config
        Settings of the training.
    """

    fixed: Tensor

    def __init__(self, groups: Sequence[GroupFacts], config: TrainConfig) -> None:
        super().__init__()
        self.names = [group.name for group in groups]
        weights = [config.group_weights.get(name, 1.0) for name in self.names]
        self.register_buffer("fixed", torch.tensor(weights), persistent=False)

    #: Whether :meth:`forward` is to be given the vectors that all heads read.
    asks_for_shared = False

    def forward(self, losses: Tensor, counts: Tensor, shared: Tensor | None) -> Tensor:
        """This process's share of the sum.

        Parameters
        ----------
        losses
            (G,) this process's shares of the groups' losses.
        counts
            (G,) measured entries in the global batch; a group without any has no say.
        shared
            (B, D) vectors that all heads read, in a training step.
        """
        return (self.fixed * losses).sum()

    def learned(self) -> dict[str, float]:
        """Group -> what its loss is multiplied by now, where that is learned: columns of the history."""
        return {}


class Uncertainty(Balance):
    """Each loss over its own variance, which is learned (Kendall et al. 2018).

    The sum of ``exp(-s) L + s / 2`` (a regression: ``exp(-s) L / 2 + s / 2``) with a parameter s, the log variance,
    for each group, from 0 on; an optimum has ``s = log(2 L)`` (``log L``).
    """

    factor: Tensor

    def __init__(self, groups: Sequence[GroupFacts], config: TrainConfig) -> None:
        super().__init__(groups, config)
        self.log_variance = nn.Parameter(torch.zeros(len(groups)))
        factor = torch.tensor([0.5 if group.kind == "regression" else 1.0 for group in groups])
        self.register_buffer("factor", factor, persistent=False)

    def forward(self, losses: Tensor, counts: Tensor, shared: Tensor | None) -> Tensor:
        """Share of the sum; see :class:`Balance`."""
        world = world_size()
        # The same in every process; its gradient is the sum of all processes' parts, as for the model's weights.
        s = sum_over_processes(self.log_variance) / world
        penalty = torch.where(counts > 0, s / 2, 0.0) / world
        return (self.fixed * (self.factor * (-s).exp() * losses + penalty)).sum()

    def learned(self) -> dict[str, float]:
        """Weights by group; see :class:`Balance`."""
        weights = self.fixed * self.factor * (-self.log_variance.detach()).exp()
        return dict(zip(self.names, weights.tolist(), strict=True))


class GradNorm(Balance):
    """Weights that bring the groups' gradients to like norms (Chen et al. 2018).

    The gradient is that by the vectors that all heads read. A group whose loss has fallen less than the others' since
    its first step is let pull harder, by ``gradnorm_alpha``. The weights are learned by the model's own optimizer,
    at its rate, and brought back to a sum of G in each step.
    """

    asks_for_shared = True
    first: Tensor

    def __init__(self, groups: Sequence[GroupFacts], config: TrainConfig) -> None:
        super().__init__(groups, config)
        self.alpha = config.gradnorm_alpha
        self.weights = nn.Parameter(torch.ones(len(groups)))
        self.register_buffer("first", torch.zeros(len(groups)))  # a group's first loss, 0 until it had one

    def forward(self, losses: Tensor, counts: Tensor, shared: Tensor | None) -> Tensor:
        """Share of the sum; see :class:`Balance`."""
        if shared is None:
            return (self._normed() * self.fixed * losses).sum()
        with torch.no_grad():
            self.weights.copy_(self._normed())
        pull = self._pull(losses, counts, shared)
        # Not a part of the loss: it only gives the weights' gradient.
        push = (self.weights * pull).sum() / world_size()
        return (self.weights.detach() * self.fixed * losses).sum() + push - push.detach()

    def _normed(self) -> Tensor:
        weights = self.weights.detach().clamp(min=_LEAST)
        return weights * len(weights) / weights.sum()

    def _pull(self, losses: Tensor, counts: Tensor, shared: Tensor) -> Tensor:
        """Gradient (G,) of GradNorm's own loss by the weights: the sum of ``|norm - wanted norm|``."""
        slopes = [torch.autograd.grad(loss, shared, retain_graph=True)[0].float() for loss in self.fixed * losses]
        squares = torch.stack([slope.square().sum() for slope in slopes])
        both = sum_over_processes(torch.stack([squares, losses.detach()]))
        norms, values = both[0].sqrt(), both[1]
        there = counts > 0
        self.first.copy_(torch.where(there & (self.first == 0), values, self.first))
        left = torch.where(there, values / self.first.clamp(min=1e-12), 0.0)
        pulls = self.weights.detach() * norms
        n = there.sum().clamp(min=1)
        slowness = left / (left.sum() / n).clamp(min=1e-12)
        wanted = pulls.sum() / n * slowness**self.alpha
        return torch.where(there, torch.sign(pulls - wanted) * norms, 0.0)

    def learned(self) -> dict[str, float]:
        """Weights by group; see :class:`Balance`."""
        return dict(zip(self.names, (self._normed() * self.fixed).tolist(), strict=True))


#: ``[train] balance`` -> how the groups' losses are summed; a new one is a class above and a line here
BALANCES: dict[str, type[Balance]] = {"fixed": Balance, "uncertainty": Uncertainty, "gradnorm": GradNorm}
