"""How good the model is on the valid split, after each epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from encre.evaluation.metrics import average_precision
from encre.models.inference import predict_logits
from encre.models.model import EnhancerModel
from encre.tasks import TaskSet
from encre.train.losses import MultiTaskLoss
from encre.train.settings import TrainConfig
from encre.train.team import Team

if TYPE_CHECKING:
    from encre.data.dataset import Subset

MACRO = ("valid_auprc", "valid_pearson")
"""Columns of the history that a training is judged by; a dataset without tasks of the kind lacks the column."""


class ValidData(NamedTuple):
    """The valid split in memory: flat codes, bounds (N + 1,), targets and mask (N, K), signals (N, S, J) if any."""

    codes: np.ndarray
    offsets: np.ndarray
    targets: np.ndarray
    mask: np.ndarray
    signals: np.ndarray | None = None

    @classmethod
    def of(cls, subset: Subset, tracks: list[int]) -> ValidData:
        """A split, with some tracks of its dataset."""
        return cls(subset.codes, subset.offsets, subset.targets, subset.target_mask, subset.signals(tracks))


def validate(
    model: EnhancerModel, data: ValidData, loss: MultiTaskLoss, *, config: TrainConfig, team: Team
) -> dict[str, Any]:
    """Loss, macro AUPRC (regression: macro Pearson r) and the score of each task (None where undefined), one strand;
    and what the groups' losses are multiplied by now, where that is learned.

    Each process predicts its part of the rows; all return the same numbers.
    """
    n = len(data.offsets) - 1
    part = team.part(n)
    logits = torch.zeros(n, len(model.tasks))
    own = predict_logits(
        model,
        data.codes,
        data.offsets[part.start : part.stop + 1],
        signals=None if data.signals is None else data.signals[part],
        both_strands=False,
        precision=config.precision,
    )
    logits[part] = torch.from_numpy(own)
    logits = team.sum(logits)
    targets, mask = torch.from_numpy(data.targets), torch.from_numpy(data.mask & team.leads)  # each row is told once
    device = team.device
    with torch.no_grad():
        value = team.sum(loss(logits.to(device), targets.to(device), mask.to(device)))
    each = task_scores(logits.numpy(), data.targets, data.mask, tasks=model.tasks)
    metric = {task.name: "pearson" if task.kind == "regression" else "auprc" for task in model.tasks}
    found: dict[str, Any] = {"valid_loss": float(value)}
    for kind in dict.fromkeys(metric.values()):
        scores = [score for name, score in each.items() if metric[name] == kind and score is not None]
        found[f"valid_{kind}"] = float(np.mean(scores)) if scores else None
    found |= {f"valid_{metric[name]}_{name}": score for name, score in each.items()}
    return found | {f"weight_{name}": weight for name, weight in loss.learned().items()}


def task_scores(
    logits: np.ndarray, targets: np.ndarray, mask: np.ndarray, *, tasks: TaskSet
) -> dict[str, float | None]:
    """AUPRC (average precision) of each task on its measured rows; Pearson's r for a regression task.

    Parameters
    ----------
    logits, targets, mask
        (N, K).
    tasks
        Their names and kinds.
    """
    scores: dict[str, float | None] = {}
    for k, task in enumerate(tasks):
        real = mask[:, k]
        x, y = logits[real, k], targets[real, k]
        if task.kind == "regression":
            varies = len(y) > 1 and np.ptp(x) > 0 and np.ptp(y) > 0
            scores[task.name] = float(np.corrcoef(x, y)[0, 1]) if varies else None
            continue
        truth = y > 0.5
        both = bool(truth.any()) and not bool(truth.all())
        scores[task.name] = float(average_precision(truth, x)) if both else None
    return scores


def overall(found: dict[str, Any]) -> float:
    """What is maximised: macro AUPRC, macro Pearson r, the mean of both, or, without any, the negative loss."""
    macros = [found[name] for name in MACRO if found.get(name) is not None]
    return float(np.mean(macros)) if macros else -found["valid_loss"]
