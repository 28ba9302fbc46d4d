"""What a training leaves behind: who it is (for resuming), and the run folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from encre.files import read_manifest
from encre.models.checkpoint import FORMAT, read_weights, save_model
from encre.models.model import EnhancerModel
from encre.reproducibility import provenance
from encre.train.history import write_history
from encre.train.score import MACRO
from encre.train.settings import TrainConfig
from encre.train.state import State
from encre.train.tracks import description

if TYPE_CHECKING:
    from encre.data.dataset import Dataset

LAST, BEST = Path("state") / "last.safetensors", Path("state") / "best.safetensors"
_FREE = {"device", "logs", "checkpoint_every"}  # may differ when a training is resumed


@dataclass(frozen=True)
class Run:
    """A finished training: its folder and its manifest."""

    path: Path
    manifest: dict[str, Any]

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Read the manifest of a run folder; anything else is refused in words."""
        return cls(Path(path), read_manifest(path, kind=FORMAT["kind"], version=FORMAT["version"]))


def identity(model: EnhancerModel, dataset: Dataset, config: TrainConfig) -> dict[str, Any]:
    """The settings and the data that a training must be resumed with."""
    return {
        "model": model.config.model_dump(mode="json"),
        "train": config.model_dump(mode="json", exclude=_FREE),
        "dataset": dataset.digest,
    }


def write_run(
    out: Path, model: EnhancerModel, state: State, *, dataset: Dataset, config: TrainConfig, ran: dict[str, Any]
) -> None:
    """Write the run folder around the best weights; the manifest comes last.

    Parameters
    ----------
    out
        The folder that holds ``state/``.
    model
        Its weights are replaced by the best ones.
    state
        Where the training ended.
    dataset, config
        What it was trained on and how.
    ran
        How it ran: device, precision, processes.
    """
    model.load_state_dict(read_weights(out / BEST))
    write_history(out / "history.csv", state.history)
    best = state.history[state.best_epoch - 1]
    training = {
        "seconds": round(state.seconds, 1),
        "sequences": state.sequences,
        "steps": state.steps,
        "epochs": state.epoch,
        "best_epoch": state.best_epoch,
        **{f"best_{name}": best[name] for name in MACRO if name in best},
        "seed": config.seed,
        "threads": torch.get_num_threads(),
        **ran,
    }
    manifest = {
        "dataset": {"digest": dataset.digest, "name": dataset.manifest.get("name", ""), "path": str(dataset.path)},
        "sequence": dataset.manifest["sequence"],
        **description(model.config, dataset),
        "training": training,
        **({"start": state.start} if state.start else {}),
        "provenance": provenance(),
    }
    save_model(out, model, manifest=manifest, train=config.model_dump(mode="json", exclude_none=True))
    (out / BEST).unlink()
