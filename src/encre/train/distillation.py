"""What a teacher says of the training rows, as targets between 0 and 1 (Hinton et al. 2015)."""

from __future__ import annotations

import numpy as np

from encre.data.dataset import Subset
from encre.tasks import TaskSet
from encre.train.settings import TrainConfig


def softened_targets(train: Subset, tasks: TaskSet, config: TrainConfig) -> np.ndarray | None:
    """Targets (N, K) float32 mixed with the teacher's probabilities; None where no teacher is named."""
    return None
