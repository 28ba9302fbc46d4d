"""What every model's settings share: a name, an input, a pooling, and the lengths that it can take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from encre.config import Config

if TYPE_CHECKING:
    from torch import nn

    from encre.models.model import EnhancerModel
    from encre.tasks import TaskSet


class ModelConfig(Config):
    """Base of the settings of one architecture.

    Parameters
    ----------
    name
        The key in :data:`encre.models.registry.MODELS`.
    input
        ``"kmer"`` (learned vectors of overlapping k-mers) or ``"one_hot"``.
    k
        Width of the k-mers in bases; unused for one-hot input.
    pooling
        How positions become one vector: ``"max"``, ``"mean"`` or ``"attention"``.
    head
        How the vector becomes logits: a key in :data:`encre.models.heads.HEADS`.
    link
        How a regression's prediction leaves its head: ``"identity"``, or ``"log"`` (the exponential of the output: rates
        and counts, for ``regression_loss = "poisson"``).
    head_dropout
        Share of the vector set to zero before the heads in training.
    """

    name: str
    input: Literal["kmer", "one_hot"] = "kmer"
    k: int = Field(default=3, ge=1, le=8)
    pooling: Literal["max", "mean", "attention"] = "max"
    head: Literal["linear"] = "linear"
    link: Literal["identity", "log"] = "identity"
    head_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)

    @property
    def shortest(self) -> int:
        """The shortest sequence in bases that the model can take."""
        return self.k if self.input == "kmer" else 1

    @property
    def longest(self) -> int | None:
        """The longest sequence in bases that the model can take; None for any."""
        return None

    @property
    def widest(self) -> int:
        """The most features that a base has anywhere in the trunk: what a batch costs in memory."""
        return 256

    def build_trunk(self) -> nn.Module:
        """A fresh trunk: ``(codes, length) -> (features (B, D, T), Extent)``, with ``.width`` = D."""
        raise NotImplementedError

    def build(self, tasks: TaskSet) -> EnhancerModel:
        """A fresh model: the trunk under its pooling and heads."""
        from encre.models.model import EnhancerModel  # which reads these settings

        return EnhancerModel(self, tasks)
