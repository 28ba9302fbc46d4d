"""Which learning rate: the loss while the rate rises from step to step (Smith 2017); no weights are kept."""

from __future__ import annotations

import csv
import math
import tempfile
from dataclasses import dataclass
from itertools import count as numbers
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from encre.errors import ConfigError, DataError
from encre.files import staged_file
from encre.models.settings import ModelConfig
from encre.progress import SILENT, Progress
from encre.train.loop import Training
from encre.train.optimizer import set_rate
from encre.train.sampling import share
from encre.train.settings import TrainConfig
from encre.train.team import join_team

if TYPE_CHECKING:
    from encre.data.dataset import Dataset

_SMOOTH = 0.9  # of the moving average that the loss is read from
_DIVERGED = 3.0  # times the first loss, above the lowest: there is nothing more to see


@dataclass(frozen=True)
class RateCurve:
    """The loss at each learning rate, one step a rate.

    Parameters
    ----------
    rates, losses, smoothed
        (n,) in the order of the steps; ``smoothed`` is a moving average.
    """

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray

    @property
    def lowest_at(self) -> float:
        """The rate at the lowest smoothed loss; beyond it the training begins to diverge."""
        return float(self.rates[self.smoothed.argmin()])

    @property
    def steepest_at(self) -> float:
        """The rate below it at which the smoothed loss falls fastest with the rate's logarithm."""
        last = max(int(self.smoothed.argmin()) + 1, 2)
        slope = np.gradient(self.smoothed[:last], np.log(self.rates[:last]))
        return float(self.rates[slope.argmin()])

    @property
    def suggestion(self) -> float:
        """A tenth of :attr:`lowest_at`, to two digits: Smith's margin, for a peak rate that is held for a while."""
        return float(f"{self.lowest_at / 10:.1e}")

    def write(self, path: str | Path) -> None:
        """Write ``learning_rate, loss, smoothed_loss`` as CSV."""
        with staged_file(path) as staged, staged.open("w", newline="", encoding="utf-8") as handle:
            table = csv.writer(handle)
            table.writerow(["learning_rate", "loss", "smoothed_loss"])
            table.writerows(zip(self.rates.tolist(), self.losses.tolist(), self.smoothed.tolist(), strict=True))


def find_rate(
    model_config: ModelConfig,
    dataset: Dataset,
    config: TrainConfig,
    *,
    between: tuple[float, float] = (1e-6, 1.0),
    steps: int = 200,
    progress: Progress = SILENT,
) -> RateCurve:
    """Train a copy for some steps at rates that rise by a constant factor, until the loss is lost.

    Parameters
    ----------
    model_config, dataset, config
        As for :func:`encre.train.loop.fit`; ``learning_rate`` and its schedule are not used.
    between
        The lowest and the highest rate.
    steps
        How many rates.
    progress
        Follows the steps.

    Raises
    ------
    ConfigError
        When the highest rate is not above the lowest.
    DataError
        When the loss is no number at the lowest rates already.
    """
    if between[0] >= between[1]:
        raise ConfigError(
            "the highest learning rate is not above the lowest", got=f"{between[0]:g} to {between[1]:g}"
        )
    rates = np.geomspace(*between, steps)
    with join_team(config.device) as team, tempfile.TemporaryDirectory() as nothing:
        gpus = [team.device] if team.device.type == "cuda" else []
        with torch.random.fork_rng(gpus):  # the caller's random state comes back at the end
            training = Training(model_config, dataset, config, out=Path(nothing), team=team)
            losses, smoothed = _raised(training, rates, progress)
    if len(losses) < 3:
        raise DataError(
            "the loss is no number at the lowest learning rates already",
            where=dataset.path,
            remedy="Begin at a lower rate, and look at the targets.",
        )
    return RateCurve(rates[: len(losses)], np.array(losses), np.array(smoothed))


def _raised(training: Training, rates: np.ndarray, progress: Progress) -> tuple[list[float], list[float]]:
    """One step at each rate, until the loss is lost: the losses, and their moving average."""
    team, losses, smoothed, average = training.team, [], [], 0.0
    batches = ((epoch, batch) for epoch in numbers() for batch in training.feed.batches(epoch))
    training.model.train()
    with progress.track("learning rates", len(rates), "steps") as advance:
        for rate, (epoch, batch) in zip(rates.tolist(), batches, strict=False):
            set_rate(training.optimizer, rate)
            rows = share(batch, team.rank, team.world)
            shown = training.feed.batch(rows, epoch=epoch, step=len(losses), spent=0.0)
            loss = float(team.sum(training.step(shown)))
            if not math.isfinite(loss):
                break
            training.state.steps += 1
            losses.append(loss)
            average = _SMOOTH * average + (1 - _SMOOTH) * loss
            smoothed.append(average / (1 - _SMOOTH ** len(losses)))
            advance(1, f"rate {rate:.1e}  loss {smoothed[-1]:.4f}")
            if smoothed[-1] - min(smoothed) > _DIVERGED * abs(smoothed[0]):
                break
    return losses, smoothed
