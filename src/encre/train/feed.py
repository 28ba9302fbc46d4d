"""What a training is shown: which rows, on which strand, shifted how far, edited how, with which targets."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from encre.train import sampling
from encre.train.augmentation import augmented
from encre.train.curriculum import curriculum_rows, difficulty
from encre.train.settings import TrainConfig

if TYPE_CHECKING:
    from encre.data.dataset import Batch, Dataset
    from encre.train.distillation import Softened


class Feed:
    """The train split as a training asks for it.

    Parameters
    ----------
    dataset
        An opened dataset.
    config
        Settings of the training.
    tracks
        Which of the dataset's signal tracks the model reads.

    Attributes
    ----------
    soft : Softened or None
        Targets that a teacher has softened; None: as measured.
    """

    def __init__(self, dataset: Dataset, config: TrainConfig, *, tracks: Sequence[int]) -> None:
        self.train, self.config, self.tracks = dataset.train, config, tracks
        self.soft: Softened | None = None
        self._synthetic = (self.train.elements["kind"] != "element").to_numpy()
        self._positive = sampling.tissue_positives(self.train.targets, dataset.tasks)
        self._difficulty = difficulty(self.train, config)
        self._jitter = int(dataset.manifest["sequence"].get("jitter") or 0)
        self._moves = lru_cache(maxsize=1)(self._moves_of)
        self.steps = len(self.batches(0))

    def batches(self, epoch: int) -> list[np.ndarray]:
        """Rows of an epoch's global batches."""
        rows = sampling.epoch_rows(self._synthetic, self.config, epoch, positive=self._positive)
        rows = curriculum_rows(rows, self._difficulty, self.config, epoch=epoch)
        return sampling.batches(rows, self.train.length, self.config, epoch=epoch)

    def batch(self, rows: np.ndarray, *, epoch: int, step: int, spent: float) -> Batch:
        """Some rows as the training sees them in that epoch and step, a share ``spent`` of it being done."""
        reverse, shift = (sampling.pick(values, rows) for values in self._moves(epoch))
        batch = self.train.batch(rows, reverse=reverse, shift=shift, signals=self.tracks)
        if self.soft is not None:
            batch = batch._replace(targets=self.soft.targets[rows], target_mask=self.soft.mask[rows])
        return augmented(batch, self.config, step=step, spent=spent)

    def _moves_of(self, epoch: int) -> tuple[np.ndarray | None, np.ndarray | None]:
        return sampling.augmentation(len(self.train), self.config, epoch=epoch, jitter=self._jitter)
