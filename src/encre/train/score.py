"""How good the model is on the valid split, after each epoch."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch

from encre.evaluation.metrics import average_precision
from encre.models.inference import predict_logits
from encre.models.model import EnhancerModel
from encre.tasks import TaskSet
from encre.train.losses import MultiTaskLoss
from encre.train.settings import TrainConfig
from encre.train.team import Team


class ValidData(NamedTuple):
    """The valid split in memory: flat codes and bounds (N + 1,), targets and mask (N, K)."""

    codes: np.ndarray
    offsets: np.ndarray
    targets: np.ndarray
    mask: np.ndarray


def validate(
    model: EnhancerModel, data: ValidData, loss: MultiTaskLoss, *, config: TrainConfig, team: Team
) -> dict[str, Any]:
    """Loss, macro AUPRC and AUPRC of each task (None where a task has one class only); one strand.

    Each process predicts its part of the rows; all return the same numbers.
    """
    n = len(data.offsets) - 1
    part = team.part(n)
    logits = torch.zeros(n, len(model.tasks))
    own = predict_logits(
        model,
        data.codes,
        data.offsets[part.start : part.stop + 1],
        both_strands=False,
        precision=config.precision,
    )
    logits[part] = torch.from_numpy(own)
    logits = team.sum(logits)
    targets, mask = torch.from_numpy(data.targets), torch.from_numpy(data.mask)
    device = team.device
    value = loss(logits.to(device), targets.to(device), mask.to(device)) * team.world
    each = task_scores(logits.numpy(), data.targets, data.mask, tasks=model.tasks)
    found = [score for score in each.values() if score is not None]
    return {
        "valid_loss": float(value),
        "valid_auprc": float(np.mean(found)) if found else None,
        **{f"valid_auprc_{name}": score for name, score in each.items()},
    }


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
    """What is maximised: the macro AUPRC, or the negative loss where no task of valid has both classes."""
    macro = found["valid_auprc"]
    return -found["valid_loss"] if macro is None else macro
