"""From one vector a sequence to the logits of all tasks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from encre.tasks import TaskSet


class LinearHeads(nn.ModuleDict):
    """One linear layer a task group: (B, D) -> (B, K) in the order of the tasks.

    Parameters
    ----------
    width
        D.
    tasks
        What is predicted.
    """

    order: Tensor

    def __init__(self, width: int, tasks: TaskSet) -> None:
        groups = tasks.groups
        super().__init__({name.replace(".", "_"): nn.Linear(width, len(at)) for name, at in groups.items()})
        columns = [position for positions in groups.values() for position in positions]
        self.register_buffer("order", torch.argsort(torch.tensor(columns)), persistent=False)
        self._in_order = columns == sorted(columns)

    def matrix(self) -> tuple[Tensor, Tensor]:
        """All of them as one linear layer: weight (K, D) and bias (K,), in the tasks' order."""
        weight, bias = (torch.cat([getattr(head, part) for head in self.values()]) for part in ("weight", "bias"))
        return weight[self.order], bias[self.order]

    def forward(self, vector: Tensor) -> Tensor:
        """Logits (B, K) of vectors (B, D)."""
        logits = torch.cat([head(vector) for head in self.values()], dim=1)
        return logits if self._in_order else logits[:, self.order]


#: name in a config file -> heads
HEADS: dict[str, type[LinearHeads]] = {"linear": LinearHeads}
