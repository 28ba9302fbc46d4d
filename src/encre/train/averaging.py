"""Weights averaged over steps: what is validated, kept and shipped instead of the last step's own."""

from __future__ import annotations

from torch import nn

from encre.models.model import EnhancerModel
from encre.train.settings import TrainConfig


class Average(nn.Module):
    """A copy of the model whose weights are an average over the training's steps so far.

    Parameters
    ----------
    model
        What is trained.
    config
        ``averaging``.
    """

    model: EnhancerModel

    def __init__(self, model: EnhancerModel, config: TrainConfig) -> None:
        super().__init__()
        raise NotImplementedError

    def update(self, model: EnhancerModel, *, spent: float) -> None:
        """Take the weights after one more step, a share ``spent`` of the training being behind us."""


def make_average(model: EnhancerModel, config: TrainConfig) -> Average | None:
    """What the config asks for; None where the last weights are taken as they are."""
    return None if config.averaging == "none" else Average(model, config)
