"""Which rows, in which order, in which batches: from named streams, so that every process and every resume agrees."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from encre.reproducibility import stream
from encre.tasks import TaskSet
from encre.train.settings import TrainConfig

POOL = 8
"""Batches of a shuffled pool within which sequences are sorted by length."""


def epoch_rows(
    synthetic: np.ndarray, config: TrainConfig, epoch: int, *, positive: np.ndarray | None = None
) -> np.ndarray:
    """Rows of one epoch in random order: all real ones, and a fresh draw of the synthetic ones.

    Depends on the seed and the epoch alone, not on the batch size or the number of processes.

    Parameters
    ----------
    synthetic
        (N,) bool: True for shuffles and other made-up rows.
    config
        ``seed``, ``synthetic_per_element``, ``sampling``.
    epoch
        0, 1, …
    positive
        (N, T) bool from :func:`tissue_positives`, for ``sampling = "tissue_balanced"``.
    """
    real, made = np.flatnonzero(~synthetic), np.flatnonzero(synthetic)
    if config.sampling == "tissue_balanced" and positive is not None:
        real = _balanced(real, positive, config, epoch)
    if len(real) and len(made):
        wanted = min(len(made), round(config.synthetic_per_element * len(real)))
        made = stream(config.seed, "train", "synthetic", epoch).permutation(made)[:wanted]
    return stream(config.seed, "train", "order", epoch).permutation(np.concatenate([real, made]))


def tissue_positives(targets: np.ndarray, tasks: TaskSet) -> np.ndarray:
    """Which rows are measured and positive in each multi-label task, (N, T) bool, of targets (N, K), NaN = not."""
    at = [k for k, task in enumerate(tasks) if task.kind == "multilabel"]
    return np.nan_to_num(targets[:, at]) > 0.5


def _balanced(real: np.ndarray, positive: np.ndarray, config: TrainConfig, epoch: int) -> np.ndarray:
    """As many rows as before; those positive in some task are dealt, an equal share to each task.

    A task deals its positives in random order, as often over as it takes, so that a row of it is seen at most once
    more than another. A row that is positive in several tasks may be dealt by each of them, so tasks that share their
    positives are seen more often than their own share. Rows without a positive task stay as they are.
    """
    rng = stream(config.seed, "train", "tissues", epoch)
    some = positive[real].any(axis=1)
    decks = [rows for rows in (real[positive[real, t]] for t in range(positive.shape[1])) if len(rows)]
    bounds = np.linspace(0, some.sum(), len(decks) + 1).round().astype(int)
    dealt = [real[~some]]
    for rows, size in zip(decks, np.diff(bounds).tolist(), strict=True):
        rounds = [rng.permutation(rows) for _ in range(-(-size // len(rows)))]
        dealt.append(np.concatenate(rounds)[:size] if rounds else rows[:0])
    return np.concatenate(dealt)


def batches(rows: np.ndarray, length: np.ndarray, config: TrainConfig, *, epoch: int) -> list[np.ndarray]:
    """Cut an epoch's rows into global batches of at most ``batch_size``, sizes differing by at most one.

    Parameters
    ----------
    rows
        From :func:`epoch_rows`.
    length
        (N,) bases of all rows of the split.
    config
        ``batch_size``, ``bucketing``, ``seed``.
    epoch
        0, 1, …

    Returns
    -------
    list of numpy.ndarray
        With bucketing, rows of like length share a batch: each pool of 8 batches is sorted by length, cut,
        and its batches are shuffled over the whole epoch.
    """
    count = -(-len(rows) // config.batch_size)
    bounds = np.linspace(0, len(rows), count + 1).round().astype(int)
    if not config.bucketing or len(np.unique(length)) == 1:
        return np.split(rows, bounds[1:-1])
    rows = rows.copy()
    for first in range(0, count, POOL):
        pool = slice(bounds[first], bounds[min(first + POOL, count)])
        rows[pool] = rows[pool][np.argsort(length[rows[pool]], kind="stable")]
    cut = np.split(rows, bounds[1:-1])
    return [cut[i] for i in stream(config.seed, "train", "batches", epoch).permutation(count)]


def share(batch: np.ndarray, rank: int, world: int) -> np.ndarray:
    """A process's rows of a global batch: every ``world``-th, so that lengths are spread evenly."""
    return batch[rank::world]


def augmentation(
    n: int, config: TrainConfig, *, epoch: int, jitter: int
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """For every row of the split: shown as its other strand?, shifted by how many bases?

    Parameters
    ----------
    n
        Rows of the split.
    config
        ``seed``, ``reverse_complement``, ``jitter``.
    epoch
        0, 1, …
    jitter
        Bases of flank that the dataset keeps on each side; 0 for elements as they are.

    Returns
    -------
    tuple
        ``reverse`` (N,) bool or None, ``shift`` (N,) int64 within ±jitter or None.
    """
    reverse = stream(config.seed, "train", "strand", epoch).random(n) < 0.5 if config.reverse_complement else None
    if not (config.jitter and jitter):
        return reverse, None
    return reverse, stream(config.seed, "train", "shift", epoch).integers(-jitter, jitter, n, endpoint=True)


def pick(values: np.ndarray | None, rows: np.ndarray | Sequence[int]) -> np.ndarray | None:
    """``values[rows]``, or None where there are no values."""
    return None if values is None else values[rows]
