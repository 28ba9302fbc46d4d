"""Weights averaged over steps: what is validated, kept and shipped instead of the last step's own."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from encre.models.model import EnhancerModel
from encre.train.settings import TrainConfig


class Average(nn.Module):
    """A copy of the model whose weights are an average over the training's steps so far.

    ``"ema"`` is the exponential moving average (Polyak and Juditsky 1992; its warm-up as in TensorFlow's
    ``ExponentialMovingAverage``): the weights of ``n`` steps ago count ``decay ** n`` as much as the newest.
    ``"swa"`` is stochastic weight averaging (Izmailov et al. 2018): the equal mean over the last steps, during which
    the learning rate stays where it is; until then the weights as they are.

    Running statistics of norms are averaged with the weights, in the same way: those of the last step belong to
    other weights.

    Parameters
    ----------
    model
        What is trained.
    config
        ``averaging``, ``ema_decay``, ``swa_share``.
    """

    count: Tensor

    def __init__(self, model: EnhancerModel, config: TrainConfig) -> None:
        super().__init__()
        self.config = config
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        # Left on the CPU, where looking at it waits for nothing.
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def update(self, model: EnhancerModel, *, spent: float) -> None:
        """Take the weights after one more step, a share ``spent`` of the training being behind us."""
        if self.config.averaging == "ema" or spent >= 1 - self.config.swa_share:
            self.count += 1
        own, new = _values(self.model), _values(model)
        torch._foreach_lerp_(own[True], new[True], self._weight())  # pyright: ignore[reportPrivateImportUsage]
        if own[False]:
            torch._foreach_copy_(own[False], new[False])  # pyright: ignore[reportPrivateImportUsage]

    def _weight(self) -> float:
        """How much the newest weights count."""
        count = int(self.count)
        if self.config.averaging == "swa":
            return 1 / max(count, 1)
        return 1 - min(self.config.ema_decay, count / (9 + count))


def make_average(model: EnhancerModel, config: TrainConfig) -> Average | None:
    """What the config asks for; None where the last weights are taken as they are."""
    return None if config.averaging == "none" else Average(model, config)


def _values(model: nn.Module) -> dict[bool, list[Tensor]]:
    """Parameters and buffers: floating ones under True, counters and the like under False."""
    found: dict[bool, list[Tensor]] = {True: [], False: []}
    for value in (*model.parameters(), *model.buffers()):
        found[value.is_floating_point()].append(value)
    return found
