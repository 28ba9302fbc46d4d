"""From one vector a sequence to the logits of all tasks; a regression's logit is its prediction, in its unit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from encre.tasks import TaskSet

if TYPE_CHECKING:
    from encre.models.settings import ModelConfig

_HIGHEST = 30.0  # of a log rate: beyond, a float32 rate is of no use to anybody


class LinearHeads(nn.ModuleDict):
    """One linear layer a task group: (B, D) -> (B, K) in the order of the tasks.

    Columns of a regression are ``offset + scale x output`` (``link = "log"``: ``scale x exp(output)``), so that what
    the layer learns is of order 1 whatever the target's unit; :meth:`set_units` gives both, and they are saved.

    Parameters
    ----------
    width
        D.
    tasks
        What is predicted.
    config
        ``link``.
    """

    order: Tensor
    unit_scale: Tensor
    unit_offset: Tensor

    def __init__(self, width: int, tasks: TaskSet, config: ModelConfig) -> None:
        groups = tasks.groups
        super().__init__({name.replace(".", "_"): nn.Linear(width, len(at)) for name, at in groups.items()})
        columns = [position for positions in groups.values() for position in positions]
        self.register_buffer("order", torch.argsort(torch.tensor(columns)), persistent=False)
        self._in_order = columns == sorted(columns)
        self.measures = [task.kind == "regression" for task in tasks]
        self.link = config.link
        if any(self.measures):
            self.register_buffer("unit_scale", torch.ones(len(tasks)))
            self.register_buffer("unit_offset", torch.zeros(len(tasks)))

    @property
    def is_linear(self) -> bool:
        """Whether the logits are linear in the vector, so that :meth:`matrix` says all."""
        return self.link == "identity" or not any(self.measures)

    def set_units(self, mean: np.ndarray, deviation: np.ndarray) -> None:
        """Take the unit of each regression's target from its mean and standard deviation (K,) in train."""
        if not any(self.measures):
            return
        chosen = torch.tensor(self.measures)
        centre, spread = (torch.from_numpy(np.asarray(values, np.float32)) for values in (mean, deviation))
        one, zero = torch.ones(len(chosen)), torch.zeros(len(chosen))
        self.unit_scale.copy_(torch.where(chosen, spread if self.link == "identity" else centre, one))
        self.unit_offset.copy_(torch.where(chosen, centre, zero) if self.link == "identity" else zero)

    def matrix(self) -> tuple[Tensor, Tensor]:
        """All of them as one linear layer: weight (K, D) and bias (K,), in the tasks' order."""
        weight, bias = (torch.cat([getattr(head, part) for head in self.values()]) for part in ("weight", "bias"))
        weight, bias = weight[self.order], bias[self.order]
        if not any(self.measures):
            return weight, bias
        return weight * self.unit_scale[:, None], bias * self.unit_scale + self.unit_offset

    def forward(self, vector: Tensor) -> Tensor:
        """Logits (B, K) of vectors (B, D)."""
        logits = torch.cat([head(vector) for head in self.values()], dim=1)
        logits = logits if self._in_order else logits[:, self.order]
        return self.in_units(logits) if any(self.measures) else logits

    def in_units(self, logits: Tensor) -> Tensor:
        """Outputs (B, K), those of regressions brought to the unit of their targets."""
        logits = logits.float()
        if self.link == "log":
            rates = logits.clamp(max=_HIGHEST).exp()
            logits = torch.where(torch.tensor(self.measures, device=logits.device), rates, logits)
        return logits * self.unit_scale + self.unit_offset


#: name in a config file -> heads
HEADS: dict[str, type[LinearHeads]] = {"linear": LinearHeads}
