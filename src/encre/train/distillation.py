"""What a teacher says of the training rows, as targets between 0 and 1 (Hinton et al. 2015).

The teacher, often an ensemble, reads each training sequence once, on both strands, as it is; augmentations are the
student's alone. What it says is kept beside the state, so that a resumed training learns from the same numbers.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from encre.errors import DataError
from encre.evaluation.calibration import Calibration, sigmoid
from encre.models.checkpoint import WEIGHTS, LoadedModel, load_model, read_weights, write_weights
from encre.models.inference import predict_logits
from encre.progress import SILENT, Progress
from encre.train.settings import TrainConfig
from encre.train.state import read_note
from encre.train.team import Team
from encre.train.tracks import columns

if TYPE_CHECKING:
    from encre.data.dataset import Dataset

TAUGHT = Path("state") / "teacher.safetensors"


class Softened(NamedTuple):
    """Targets (N, K) float32 that a teacher has softened, where they teach (N, K) bool, and who the teacher was."""

    targets: np.ndarray
    mask: np.ndarray
    teacher: dict[str, str]


def softened_targets(
    dataset: Dataset, config: TrainConfig, *, out: Path, team: Team, progress: Progress = SILENT
) -> Softened | None:
    """Targets of the train split mixed with what the teacher says; None where no teacher is named.

    A target is ``(1 - teacher_weight) * measured + teacher_weight * taught``; one that was not measured stays masked,
    or with ``teacher_fills`` is the teacher's alone.

    Parameters
    ----------
    dataset
        What is trained on.
    config
        ``teacher``, ``teacher_weight``, ``teacher_fills``.
    out
        The run folder, whose state keeps what the teacher said.
    team
        The processes: each asks the teacher about its part of the rows.
    progress
        Follows the sequences that the teacher reads.

    Raises
    ------
    DataError
        When the teacher predicts other tasks, was trained on another dataset (its training rows may be test rows
        here), or is no longer the one that this training was begun with.
    """
    if config.teacher is None:
        return None
    train = dataset.train
    taught, teacher = _taught(dataset, config, out=out, team=team, progress=progress)
    mask, measured = train.target_mask, np.nan_to_num(train.targets)
    mixed = (1 - config.teacher_weight) * measured + config.teacher_weight * taught
    targets = np.where(mask, mixed, taught).astype(np.float32)
    return Softened(targets, np.ones_like(mask) if config.teacher_fills else mask, teacher)


def _taught(
    dataset: Dataset, config: TrainConfig, *, out: Path, team: Team, progress: Progress
) -> tuple[np.ndarray, dict[str, str]]:
    """What the teacher says (N, K) float32, from the state or asked for now; and its folder's name and digest."""
    folder, path, train = Path(str(config.teacher)), out / TAUGHT, dataset.train
    loaded = load_model(folder, device=team.device)
    teacher = {"run": folder.resolve().name, "weights": str(loaded.manifest["files"][WEIGHTS])}
    if path.is_file():
        if (then := read_note(path)) != teacher:
            raise DataError(
                "the teacher is no longer the one that this training was begun with",
                where=folder,
                expected=f"weights {then['weights'][:12]}",
                got=teacher["weights"][:12],
                remedy="Put it back, or train into a new folder.",
            )
        return read_weights(path)["taught"].numpy(), teacher
    _check(folder, loaded, dataset)
    if team.leads:
        progress.say(f"The teacher '{teacher['run']}' reads {len(train):,} training sequences, both strands.")
    taught = torch.zeros(len(train), len(dataset.tasks))
    part = team.part(len(train))
    bounds = train.offsets[part.start : part.stop + 1]
    bins = train.signals(columns(loaded.model.config, dataset))
    bins = None if bins is None else bins[part]
    how = {"precision": config.precision, "progress": progress}
    logits = predict_logits(loaded.model, train.codes, bounds, signals=bins, **how)
    taught[part] = torch.from_numpy(_said(logits, loaded))
    taught = team.sum(taught)
    if team.leads:
        write_weights(path, {"taught": taught}, note=teacher)
    return taught.numpy(), teacher


def _said(logits: np.ndarray, loaded: LoadedModel) -> np.ndarray:
    """Probabilities of logits (N, K), calibrated where it was evaluated; a regression's prediction as it is."""
    found = sigmoid(logits)
    if loaded.calibration is not None:
        found = Calibration.from_dict(loaded.calibration).probabilities(logits, loaded.tasks.names)
    regressed = np.array([task.kind == "regression" for task in loaded.tasks])
    return np.where(regressed, logits, found).astype(np.float32)


def _check(folder: Path, loaded: LoadedModel, dataset: Dataset) -> None:
    if loaded.tasks.names != dataset.tasks.names:
        raise DataError(
            "the teacher predicts other tasks than the dataset has",
            where=folder,
            expected=", ".join(dataset.tasks.names),
            got=", ".join(loaded.tasks.names),
        )
    trained = (loaded.manifest.get("dataset") or {}).get("digest")
    if trained != dataset.digest:
        raise DataError(
            "the teacher was trained on another dataset",
            where=folder,
            expected=f"digest {dataset.digest[:12]}",
            got=str(trained)[:12],
            remedy="Its training rows may be test rows here. Train the teacher on this dataset.",
        )
