"""Deep ensembles (Lakshminarayanan et al. 2017): models trained apart, whose logits are averaged.

Members may be of different architectures. How far they are from each other says where a model of this kind does not
know: it is large for sequences unlike those of the training.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from pydantic import SerializeAsAny, field_validator, model_serializer
from torch import Tensor, nn

from encre.errors import ConfigError
from encre.models.device import Precision
from encre.models.fusion.tracks import Tracks
from encre.models.inference import predict_logits
from encre.models.model import EnhancerModel
from encre.models.settings import ModelConfig, SignalConfig
from encre.tasks import TaskSet


class EnsembleConfig(ModelConfig):
    """Settings of an ensemble: those of its members, and nothing else.

    Parameters
    ----------
    members
        The ``[model]`` table of each. `encre ensemble` writes them.
    """

    name: str = "ensemble"
    members: tuple[SerializeAsAny[ModelConfig], ...] = ()

    @field_validator("members", mode="before")
    @classmethod
    def _read(cls, values: Any) -> Any:
        from encre.models.registry import model_config  # where this class has its line

        found = tuple(model_config(value, where="[[model.members]]") for value in values)
        if any(isinstance(member, EnsembleConfig) for member in found):
            raise ValueError("an ensemble has no ensembles as members")
        return found

    @model_serializer
    def _write(self) -> dict[str, Any]:
        members = [member.model_dump(mode="json", exclude_none=True) for member in self.members]
        return {"name": self.name, "members": members}

    @property
    def shortest(self) -> int:
        """What every member can take."""
        return max((member.shortest for member in self.members), default=1)

    @property
    def longest(self) -> int | None:
        """What every member can take; None for any."""
        limits = [member.longest for member in self.members if member.longest is not None]
        return min(limits, default=None)

    @property
    def widest(self) -> int:
        """Of the widest member: they run one after the other."""
        return max((member.widest for member in self.members), default=super().widest)

    def files(self) -> dict[str, str]:
        """Those of the members, each in a folder of its own."""
        return {
            f"members/{number}/{path}": text
            for number, member in enumerate(self.members)
            for path, text in member.files().items()
        }

    def inside(self, folder: Path) -> Self:
        """The same settings, with the members' files taken from a run folder."""
        inside = (member.inside(folder / "members" / str(number)) for number, member in enumerate(self.members))
        return self.model_copy(update={"members": tuple(inside)})

    def build(self, tasks: TaskSet) -> Ensemble:
        """Fresh members."""
        return Ensemble(self, tasks)


class Members(nn.ModuleList):
    """The members, in the place of a trunk; ``width`` is that of their vectors side by side."""

    def __init__(self, models: Sequence[EnhancerModel]) -> None:
        super().__init__(models)
        self.widths = [int(model.trunk.width) for model in models]  # pyright: ignore[reportArgumentType]
        self.width = sum(self.widths)


class Ensemble(EnhancerModel):
    """A model whose logits are the mean of its members' logits.

    Parameters
    ----------
    config
        Settings of the members.
    tasks
        What all of them predict.

    Raises
    ------
    ConfigError
        When there is no member.
    """

    def __init__(self, config: EnsembleConfig, tasks: TaskSet) -> None:
        nn.Module.__init__(self)
        if not config.members:
            raise ConfigError(
                "an ensemble has no members",
                remedy="Train models, then join them: `encre ensemble RUN RUN --out ENS`.",
            )
        self.config, self.tasks = config.model_copy(update={"signals": _signals(config)}), tasks
        self.trunk = Members([member.build(tasks) for member in config.members])

    @property
    def members(self) -> list[EnhancerModel]:
        """The models."""
        return list(self.trunk)  # pyright: ignore[reportReturnType]

    def embed(self, codes: Tensor, length: Tensor) -> Tensor:
        """The members' vectors side by side, (B, sum of D)."""
        return torch.cat([member.embed(codes, length) for member in self.members], dim=-1)

    def forward(self, codes: Tensor, length: Tensor, signals: Tensor | None = None) -> Tensor:
        """The mean of the members' logits, (B, K)."""
        if signals is not None and self.config.signals is None:
            raise NotImplementedError("no member of this ensemble reads signal tracks")
        each = [member(codes, length, signals if member.config.signals else None) for member in self.members]
        return torch.stack(each).mean(0)

    def read(self, vector: Tensor, tracks: Tracks | None = None) -> Tensor:
        """Logits (B, K) of what :meth:`embed` gives."""
        parts = vector.split(self.trunk.widths, dim=-1)  # pyright: ignore[reportCallIssue, reportArgumentType]
        each = [member.read(part, tracks) for member, part in zip(self.members, parts, strict=True)]
        return torch.stack(each).mean(0)


def _signals(config: EnsembleConfig) -> SignalConfig | None:
    """The tracks that members read: the same for all that read any, or it is a :class:`ConfigError`."""
    read = [member.signals for member in config.members if member.signals is not None]
    kinds = {(settings.tracks, settings.bin) for settings in read}
    if len(kinds) > 1:
        got = "; ".join(", ".join(tracks) for tracks, _ in kinds)
        raise ConfigError("members of an ensemble read other signal tracks", got=got)
    # Without tracks, an ensemble is as sure as the least of its members.
    return min(read, key=lambda settings: settings.track_dropout, default=None)


def members_of(model: EnhancerModel) -> list[EnhancerModel]:
    """The members of an ensemble; of any other model itself alone."""
    return model.members if isinstance(model, Ensemble) else [model]


def member_logits(
    model: EnhancerModel,
    codes: np.ndarray,
    offsets: np.ndarray,
    *,
    signals: np.ndarray | None = None,
    precision: Precision = "fp32",
) -> Iterator[np.ndarray]:
    """Logits (N, K) of each member in turn, both strands averaged."""
    for member in members_of(model):
        bins = signals if member is model or member.config.signals else None
        yield predict_logits(member, codes, offsets, signals=bins, both_strands=True, precision=precision)
