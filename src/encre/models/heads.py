"""From one vector a sequence to the logits of all tasks; a regression's logit is its prediction, in its unit.

Every kind of head has one output a task; what differs is how the outputs of related tasks become logits. A logit is
always the log odds of its task against everything else, so that thresholds, calibration and comparison stay alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from encre.errors import ConfigError, nearest
from encre.tasks import TaskSet

if TYPE_CHECKING:
    from encre.models.settings import ModelConfig

#: What the nine tissues have in common: node -> tissues and further nodes, by germ layer.
ORGANS = {
    "ectoderm": ["brain", "skin"],
    "mesoderm": ["blood", "kidney", "striated_muscle"],
    "striated_muscle": ["heart", "muscle"],
    "endoderm": ["lung", "large_intestine"],
}
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
        ``link``, and of some heads ``tree``.
    """

    #: Whether :meth:`related` does anything.
    relates = False

    order: Tensor
    unit_scale: Tensor
    unit_offset: Tensor
    measured: Tensor

    def __init__(self, width: int, tasks: TaskSet, config: ModelConfig) -> None:
        groups = tasks.groups
        super().__init__({name.replace(".", "_"): nn.Linear(width, len(at)) for name, at in groups.items()})
        columns = [position for positions in groups.values() for position in positions]
        self.register_buffer("order", torch.argsort(torch.tensor(columns)), persistent=False)
        self._in_order = columns == sorted(columns)
        self.measures = [task.kind == "regression" for task in tasks]
        self.link = config.link
        if any(self.measures):
            self.register_buffer("measured", torch.tensor(self.measures), persistent=False)
            self.register_buffer("unit_scale", torch.ones(len(tasks)))
            self.register_buffer("unit_offset", torch.zeros(len(tasks)))
        self.watched = False
        """Keep what was last read in :attr:`seen`, for a loss that asks how much each group pulls at it."""
        self.seen: Tensor | None = None

    @property
    def is_linear(self) -> bool:
        """Whether the logits are linear in the vector, so that :meth:`matrix` says all."""
        return not self.relates and self.is_linear_before_relating

    @property
    def is_linear_before_relating(self) -> bool:
        """Whether what :meth:`related` takes is linear in the vector, by :meth:`matrix`."""
        return self.link == "identity" or not any(self.measures)

    def set_units(self, mean: np.ndarray, deviation: np.ndarray) -> None:
        """Take the unit of each regression's target from its mean and standard deviation (K,) in train."""
        if not any(self.measures):
            return
        if self.link == "log":
            mean, deviation = np.zeros_like(mean), np.where(mean > 0, mean, 1)
        scale, offset = np.where(self.measures, deviation, 1), np.where(self.measures, mean, 0)
        self.unit_scale.copy_(torch.from_numpy(scale))
        self.unit_offset.copy_(torch.from_numpy(offset))

    def matrix(self) -> tuple[Tensor, Tensor]:
        """All of them as one linear layer: weight (K, D) and bias (K,), in the tasks' order."""
        weight, bias = (torch.cat([getattr(head, part) for head in self.values()]) for part in ("weight", "bias"))
        weight, bias = weight[self.order], bias[self.order]
        if not any(self.measures):
            return weight, bias
        return weight * self.unit_scale[:, None], bias * self.unit_scale + self.unit_offset

    def forward(self, vector: Tensor) -> Tensor:
        """Logits (B, K) of vectors (B, D)."""
        if self.watched and self.training:
            self.seen = vector
        logits = self.related(self.outputs(vector))
        return self.in_units(logits) if any(self.measures) else logits

    def outputs(self, vector: Tensor) -> Tensor:
        """Outputs of the layers (B, K), in the order of the tasks."""
        outputs = torch.cat([head(vector) for head in self.values()], dim=1)
        return outputs if self._in_order else outputs[:, self.order]

    def related(self, outputs: Tensor) -> Tensor:
        """Logits (B, K) of outputs (B, K): here, the same."""
        return outputs

    def in_units(self, logits: Tensor) -> Tensor:
        """Outputs (B, K), those of regressions brought to the unit of their targets."""
        logits = logits.float()
        if self.link == "log":
            logits = torch.where(self.measured, logits.clamp(max=_HIGHEST).exp(), logits)
        return logits * self.unit_scale + self.unit_offset


class ExclusiveHeads(LinearHeads):
    """The tasks of a multi-label group exclude each other: a softmax over them.

    The logit of a task is ``output - logsumexp(outputs of the others)``: its sigmoid is the softmax's probability.
    """

    relates = True

    def __init__(self, width: int, tasks: TaskSet, config: ModelConfig) -> None:
        super().__init__(width, tasks, config)
        self.exclusive = [
            list(at) for at in tasks.groups.values() if len(at) > 1 and _kind(tasks, at) == "multilabel"
        ]
        if not self.exclusive:
            raise ConfigError('[model] head = "exclusive" needs a multi-label group, and there is none')

    def related(self, outputs: Tensor) -> Tensor:
        """Log odds (B, K) of each task against the others of its group."""
        logits = outputs.float()
        parts = logits.clone()
        for at in self.exclusive:
            own = torch.eye(len(at), dtype=torch.bool, device=logits.device)
            others = logits[:, None, at].masked_fill(own, -torch.inf)
            parts[:, at] = logits[:, at] - others.logsumexp(-1)
        return parts


class HierarchicalHeads(LinearHeads):
    """``P(tissue) = P(enhancer) x P(tissue | enhancer)``: no tissue is more likely than the enhancer.

    The outputs are the enhancer's logit (the first binary task's) and, of the multi-label tasks, those of the
    condition; with a and b for both, the log odds of the product are ``-log(exp(-a) + exp(-b) + exp(-a - b))``.
    """

    relates = True

    def __init__(self, width: int, tasks: TaskSet, config: ModelConfig) -> None:
        super().__init__(width, tasks, config)
        kinds = [task.kind for task in tasks]
        if "binary" not in kinds or "multilabel" not in kinds:
            raise ConfigError('[model] head = "hierarchical" needs a binary task and a multi-label group under it')
        self.parent = kinds.index("binary")
        self.under = [k for k, kind in enumerate(kinds) if kind == "multilabel"]

    def related(self, outputs: Tensor) -> Tensor:
        """Log odds (B, K)."""
        logits = outputs.float()
        parts = logits.clone()
        a, b = logits[:, [self.parent]], logits[:, self.under]
        parts[:, self.under] = -torch.stack([-a.expand_as(b), -b, -a - b]).logsumexp(0)
        return parts


class TreeHeads(LinearHeads):
    """Tasks as leaves of a tree: a logit is the sum of the outputs of all nodes from the group's root to the leaf.

    So a rare tissue begins with what its relatives have learnt. The inner nodes begin at 0, and the whole stays
    linear. ``tree`` names the nodes under the root of each multi-label group; without it, :data:`ORGANS`.
    """

    paths: Tensor

    def __init__(self, width: int, tasks: TaskSet, config: ModelConfig) -> None:
        super().__init__(width, tasks, config)
        paths = tree_paths(tasks, config.tree)
        self.register_buffer("paths", torch.from_numpy(paths), persistent=False)
        # Not a task group's layer, so not an entry of this dict: its weights are parameters of the whole.
        self.inner_weight = nn.Parameter(torch.zeros(paths.shape[1], width))
        self.inner_bias = nn.Parameter(torch.zeros(paths.shape[1]))

    def outputs(self, vector: Tensor) -> Tensor:
        """Sums (B, K) over the paths."""
        inner = nn.functional.linear(vector, self.paths @ self.inner_weight, self.paths @ self.inner_bias)
        return super().outputs(vector) + inner

    def matrix(self) -> tuple[Tensor, Tensor]:
        """All nodes as one linear layer: weight (K, D) and bias (K,), in the tasks' order."""
        weight, bias = super().matrix()
        more = self.paths @ self.inner_weight, self.paths @ self.inner_bias
        if any(self.measures):
            more = more[0] * self.unit_scale[:, None], more[1] * self.unit_scale
        return weight + more[0], bias + more[1]


def tree_paths(tasks: TaskSet, tree: Mapping[str, Sequence[str]]) -> np.ndarray:
    """Which inner nodes (J,) lie above each task, (K, J) float32 of 0 and 1.

    Parameters
    ----------
    tasks
        The leaves; every multi-label group has a root.
    tree
        Node -> its tasks and nodes; empty for :data:`ORGANS`, of which tasks that are not there are left out.

    Raises
    ------
    ConfigError
        When a name is neither node nor task, has two parents or is its own ancestor, or nothing has a root.
    """
    parents: dict[str, str] = {}
    known = {*tasks.names, *(tree or ORGANS)}
    for node, children in (tree or ORGANS).items():
        for child in children:
            if child in parents:
                raise ConfigError(f"[model] tree: '{child}' has two parents, '{parents[child]}' and '{node}'")
            if tree and child not in known:
                raise ConfigError(f"[model] tree: '{child}' is no task and no node", remedy=nearest(child, known))
            parents[child] = node
    above: dict[str, list[str]] = {}
    for group, positions in tasks.groups.items():
        for name in [tasks.names[k] for k in positions if tasks.tasks[k].kind == "multilabel"]:
            above[name], at = [f"the root of {group}"], name
            while (at := parents.get(at, "")) and at not in above[name]:
                above[name].append(at)
            if at:
                raise ConfigError(f"[model] tree: '{at}' is its own ancestor")
    nodes = list(dict.fromkeys(node for path in above.values() for node in path))
    if not nodes:
        raise ConfigError('[model] head = "tree" needs a multi-label group, and there is none')
    return np.array([[node in above.get(name, ()) for node in nodes] for name in tasks.names], dtype=np.float32)


def _kind(tasks: TaskSet, positions: Sequence[int]) -> str:
    return tasks.tasks[positions[0]].kind


#: name in a config file -> heads; a new one is a class above and a line here
HEADS: dict[str, type[LinearHeads]] = {
    "linear": LinearHeads,
    "exclusive": ExclusiveHeads,
    "hierarchical": HierarchicalHeads,
    "tree": TreeHeads,
}
