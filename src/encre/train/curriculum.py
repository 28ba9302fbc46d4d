"""Easy sequences first (Bengio et al. 2009): an order of difficulty, and how much of it is shown when.

Difficulty is ranked among rows with a measured positive and among those without one apart, so that the classes keep
their shares. An epoch stays as long as it is: the easy rows come more often, so that with and without a curriculum
the same number of steps is taken at the same rates.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from encre.errors import ConfigError
from encre.models.baselines import BASELINES
from encre.train.settings import TrainConfig

if TYPE_CHECKING:
    from encre.data.dataset import Subset


def difficulty(train: Subset, config: TrainConfig) -> np.ndarray | None:
    """How difficult each row is, (N,) float, 0 the easiest to 1 of its kind; None without a curriculum.

    Parameters
    ----------
    train
        The rows to learn from.
    config
        ``curriculum``.
    """
    if config.curriculum == "none":
        return None
    hard = ORDERS[config.curriculum](train)
    positive = np.nanmax(np.where(train.target_mask, train.targets, -np.inf), axis=1) > 0.5
    ranks = np.empty(len(train))
    for rows in (np.flatnonzero(positive), np.flatnonzero(~positive)):
        ranks[rows[np.argsort(hard[rows], kind="stable")]] = np.linspace(0, 1, len(rows))
    return ranks


def curriculum_rows(rows: np.ndarray, hard: np.ndarray | None, config: TrainConfig, *, epoch: int) -> np.ndarray:
    """The rows of an epoch, those that are too difficult yet replaced by easier ones, which come again.

    Parameters
    ----------
    rows
        Rows of the epoch in random order.
    hard
        From :func:`difficulty`.
    config
        ``curriculum_begin``, ``curriculum_share``, ``epochs``.
    epoch
        0, 1, …
    """
    if hard is None:
        return rows
    grown = min(1.0, epoch / max(config.curriculum_share * config.epochs, 1e-9))
    shown = config.curriculum_begin + (1 - config.curriculum_begin) * grown
    easy = rows[hard[rows] <= shown]
    return np.resize(easy, len(rows)) if len(easy) else rows


def by_margin(train: Subset) -> np.ndarray:
    """Minus how surely logistic regression on 4-mers puts a row on its own side, over its measured classes."""
    classes = [place for place, task in enumerate(train.dataset.tasks) if task.kind != "regression"]
    if not classes:
        raise ConfigError(
            '[train] curriculum = "margin" needs a task with classes, and there is none',
            remedy='Take curriculum = "length", or none.',
        )
    codes, offsets = train.codes, train.offsets
    targets, mask = train.targets[:, classes], train.target_mask[:, classes]
    logits = BASELINES["kmer4"]().fit(codes, offsets, targets, mask).logits(codes, offsets)
    margins = np.where(mask, np.where(targets > 0.5, logits, -logits), 0)
    return -margins.sum(1) / np.maximum(mask.sum(1), 1)


def by_length(train: Subset) -> np.ndarray:
    """Bases: short sequences are the easy ones."""
    return train.length.astype(float)


#: value of ``[train] curriculum`` -> how difficult each row is, in any unit
ORDERS: dict[str, Callable[[Subset], np.ndarray]] = {"margin": by_margin, "length": by_length}
