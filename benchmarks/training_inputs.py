"""What ``training.py`` trains on: synthetic registries as datasets, trainings that take steps as told, seconds."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from synthetic import make

import encre
from encre.data.dataset import Dataset
from encre.models.model import EnhancerModel
from encre.models.settings import ModelConfig
from encre.progress import SILENT
from encre.train import sampling
from encre.train.loop import Training
from encre.train.team import Team

#: As many rows in valid as for nine in train: chr2 is 8 % of the genome, chr1 (test) as much.
SPLIT = ('split.valid=["chr2"]', 'split.test=["chr1"]')


def dataset(work: Path, elements: int, *, width: int | None = None) -> Dataset:
    """Elements of 150-350 bp, or windows of one width, with SCREEN's ten tasks; a tenth of the rows are valid."""
    name = f"{elements} of {width or 'their own'} bp"
    paths = make(work / f"files, {name}", elements)
    window = () if width is None else ('sequence.mode="window"', f"sequence.width={width}")
    config = encre.DatasetConfig.from_toml(paths.config, overrides=(*SPLIT, *window))
    return encre.build_dataset(config, out=work / f"dataset, {name}")


def training_of(data: Dataset, model: ModelConfig, out: Path, **settings: Any) -> Training:
    """A training of one process that has begun."""
    config = encre.TrainConfig(**{"epochs": 1000, "patience": None, "precision": "fp32"} | settings)
    return Training(model, data, config, out=out, team=Team(0, 1, torch.device("cpu")))


def like(training: Training, model: EnhancerModel) -> Training:
    """The same training, begun from this model's weights."""
    training.model.load_state_dict(model.state_dict())
    return training


def over(training: Training, count: int) -> Training:
    """The same training, an epoch being the first ``count`` rows in random order, in its own buckets."""
    feed, rows = training.feed, np.arange(count)

    def batches(epoch: int) -> list[np.ndarray]:
        mixed = np.random.default_rng(epoch).permutation(rows)
        return sampling.batches(mixed, feed.train.length, training.config, epoch=epoch)

    feed.batches = batches
    return training


def epoch_of(training: Training) -> Callable[[], float]:
    """An epoch of ``encre.fit``'s own loop, rows drawn and augmented, without its validation: seconds."""

    def once() -> float:
        training.state.step, training.state.loss = 0, 0.0
        begun = time.perf_counter()
        training._epoch(SILENT)
        return time.perf_counter() - begun

    return once


def turns(times: int, **sides: Callable[[], float]) -> dict[str, list[float]]:
    """Seconds of every side, measured A B C A B C …"""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for _, (name, side) in itertools.product(range(times), sides.items()):
        found[name].append(side())
    return found


def ratios(slow: list[float], fast: list[float]) -> list[float]:
    """How many times as fast, turn by turn."""
    return [a / b for a, b in zip(slow, fast, strict=True)]
