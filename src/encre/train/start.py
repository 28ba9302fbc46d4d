"""Weights that a training begins with instead of random ones."""

from __future__ import annotations

from encre.models.model import EnhancerModel
from encre.train.settings import TrainConfig


def begin_from(model: EnhancerModel, config: TrainConfig) -> None:
    """Put the weights of the run folder ``config.start`` into the model, where name and shape agree."""
