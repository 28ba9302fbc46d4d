"""Where a training stands, on disk, so that ``--resume`` continues to the same weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from encre.errors import ConfigError, FolderError
from encre.models.checkpoint import read_weights, write_weights
from encre.train.optimizer import optimizer_tensors, restore_optimizer

_OPTIMIZER = "optimizer."


@dataclass
class State:
    """Position and score of a training.

    Parameters
    ----------
    epoch, step
        Epochs done, and steps done in the present one.
    steps, sequences, seconds
        Done since the beginning, over all resumes.
    loss
        Sum of the losses of the present epoch's steps.
    best, best_epoch
        Best score on valid and the epoch (from 1) that gave it.
    history
        One row an epoch, as in ``history.csv``.
    start
        What :func:`encre.train.start.begin_from` took, and from where.
    """

    epoch: int = 0
    step: int = 0
    steps: int = 0
    sequences: int = 0
    seconds: float = 0.0
    loss: float = 0.0
    best: float = float("-inf")
    best_epoch: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    start: dict[str, Any] | None = None

    def advance(self, sequences: int) -> None:
        """One more step of so many sequences is done."""
        self.step, self.steps, self.sequences = self.step + 1, self.steps + 1, self.sequences + sequences

    def close_epoch(self, score: float, found: dict[str, Any], *, rate: float, seconds: float) -> bool:
        """Note an epoch in the history; True when its score is the best so far.

        Parameters
        ----------
        score
            What is maximised.
        found
            Further columns of the epoch's row.
        rate
            The last learning rate.
        seconds
            Since the training began.
        """
        self.epoch += 1
        better = score > self.best
        if better:
            self.best, self.best_epoch = score, self.epoch
        row = {"epoch": self.epoch, "step": self.steps, "sequences": self.sequences, "seconds": round(seconds, 3)}
        row |= {"learning_rate": rate, "train_loss": self.loss / max(self.step, 1)}
        self.history.append(row | found)
        self.step, self.loss = 0, 0.0
        return better


def save_state(
    path: Path,
    state: State,
    modules: Mapping[str, torch.nn.Module],
    *,
    optimizer: torch.optim.Optimizer,
    identity: dict[str, Any],
) -> None:
    """Write the weights of all modules, the optimizer and the position into one file, renamed into place.

    ``identity`` says which training this is: settings and dataset; resuming another one is refused.
    No random state is kept: every step draws from streams named by its number.
    """
    tensors = {f"{key}.{name}": value for key, part in modules.items() for name, value in part.state_dict().items()}
    tensors |= {_OPTIMIZER + name: value for name, value in optimizer_tensors(optimizer).items()}
    note = asdict(state) | {"best": state.best if state.best_epoch else None}
    write_weights(path, tensors, note={"state": note, "identity": identity})


def load_state(
    path: Path,
    modules: Mapping[str, torch.nn.Module],
    *,
    optimizer: torch.optim.Optimizer,
    identity: dict[str, Any],
) -> State:
    """Put the weights of all modules and the optimizer back and return the position.

    Raises
    ------
    ConfigError
        When the state is of a training with other settings or data; the first that differs is named.
    FolderError
        When the file is damaged.
    """
    tensors = read_weights(path)
    note = read_note(path)
    if (other := _difference(note["identity"], identity)) is not None:
        key, then, now = other
        raise ConfigError(
            f"this training was begun with another '{key}'",
            where=path.parent.parent,
            expected=str(then),
            got=str(now),
            remedy="Resume with the settings and data that it was begun with, or train into a new folder.",
        )
    for key, part in modules.items():
        part.load_state_dict(_named(tensors, f"{key}."))
    restore_optimizer(optimizer, _named(tensors, _OPTIMIZER))
    values = note["state"]
    return State(**values | {"best": float("-inf") if values["best"] is None else values["best"]})


def _named(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def read_note(path: Path) -> dict[str, Any]:
    """The note of a file of the state, as :func:`encre.models.checkpoint.write_weights` was given it."""
    try:
        with safe_open(path, "pt") as handle:
            return json.loads(handle.metadata()["note"])
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise FolderError("not a training state", where=path, remedy="Train into a new folder.") from error


def _difference(then: dict[str, Any], now: dict[str, Any]) -> tuple[str, Any, Any] | None:
    for key in sorted(then.keys() | now.keys()):
        a, b = then.get(key), now.get(key)
        if a == b:
            continue
        if isinstance(a, dict) and isinstance(b, dict):
            inner = _difference(a, b)
            return inner and (f"{key}.{inner[0]}", *inner[1:])
        return key, a, b
    return None
