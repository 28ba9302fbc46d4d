"""How much a classifier that only remembers would profit from leakage: each row gets its neighbour's label."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from encre.data.leakage import Leaks
from encre.data.rows import Rows
from encre.data.shortcuts import auroc
from encre.progress import SILENT, Progress
from encre.reproducibility import stream
from encre.sequence.flat import take_flat
from encre.sequence.kmer_counts import merged_kmer_counts
from encre.tasks import TaskSet

K = 5
#: Rows that are compared; more are sampled by a stream of their own.
TRAIN_ROWS, TEST_ROWS = 50_000, 2_000
_METRICS = ("accuracy", "mcc", "auroc")
_TRAIN_AT_ONCE = 2048
_EXACT_IN_FLOAT32 = 4096  # bases: a product of two longer sequences' counts may pass 2**24


def neighbour_profit(
    rows: Rows, tasks: TaskSet, leaks: Leaks, *, split: str = "test", progress: Progress = SILENT
) -> dict[str, Any]:
    """Judge the nearest-training-neighbour classifier on all rows of a split and on those that do not leak.

    A row's neighbour is the training row it leaks from, where there is one, otherwise the training row with the
    nearest counts of 5-mers (both strands counted together; the cosine of the angle between them). Training rows in
    which a task was not measured are nobody's neighbour for it.

    Parameters
    ----------
    rows, tasks
        As for :func:`encre.data.shortcuts.shortcut_scores`.
    leaks
        From :func:`encre.data.leakage.find_leaks` on the same rows.
    split
        Whose rows are judged.
    progress
        Told of the comparison.

    Returns
    -------
    dict
        ``split``, ``method``, ``train_rows``, ``train_sampled``, ``rows``, ``sampled`` and ``leaked`` (of the
        sampled), and ``tasks``: of each, ``all`` and ``without_leaked`` (``n``, ``accuracy``, ``mcc`` and ``auroc``
        of the neighbour's similarity, signed by its label), and ``profit``, the first less the second. Undefined is
        None, with a ``reason``.
    """
    test, test_rows = _sample(rows.table, split, TEST_ROWS)
    train, train_rows = _sample(rows.table, "train", TRAIN_ROWS)
    targets = _targets(rows.table, tasks)
    measured, pattern = np.unique(~np.isnan(targets[train]), axis=1, return_inverse=True)
    nearest, cosine = _nearest(rows, train, test, measured=measured, progress=progress)
    partner, leaked = leaks.partner[test], leaks.leaked[test]
    found: dict[str, Any] = {}
    for k, task in enumerate(tasks):
        if task.kind == "regression":
            found[task.name] = {"reason": "a regression has no classes"}
            continue
        own = targets[:, k]
        known = (partner >= 0) & ~np.isnan(own[partner])
        place = nearest[pattern.ravel()[k]]
        neighbour = np.where(known, partner, train[np.maximum(place, 0)])
        similarity = np.where(known, leaks.similarity[test], cosine[pattern.ravel()[k]])
        judged = ~np.isnan(own[test]) & (known | (place >= 0))
        found[task.name] = _profit(own[test], own[neighbour], similarity, judged=judged, leaked=leaked)
    return {
        "split": split,
        "method": f"the row it leaks from, else the nearest by {K}-mer counts (both strands, cosine)",
        "train_rows": train_rows,
        "train_sampled": len(train),
        "rows": test_rows,
        "sampled": len(test),
        "leaked": int(leaked.sum()),
        "tasks": found,
    }


def _sample(table: pl.DataFrame, split: str, most: int) -> tuple[np.ndarray, int]:
    """Rows of a split in order, at most so many by chance; and how many there are."""
    rows = np.flatnonzero((table["split"] == split).to_numpy())
    if len(rows) <= most:
        return rows, len(rows)
    chance = stream(0, "audit", "neighbours", split)
    return np.sort(chance.choice(rows, most, replace=False)), len(rows)


def _targets(table: pl.DataFrame, tasks: TaskSet) -> np.ndarray:
    columns = [table[task.target].cast(pl.Float32).fill_null(float("nan")).to_numpy() for task in tasks]
    return np.stack(columns, axis=1)


def _nearest(
    rows: Rows, train: np.ndarray, test: np.ndarray, *, measured: np.ndarray, progress: Progress
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest training row of every test row, for each pattern of measured training rows.

    Counts are whole numbers, so their products are exact and neither threads nor blocks can move a tie.

    Returns
    -------
    tuple
        Positions in ``train`` ``(M, T)`` int64, -1 where no training row was measured, and cosines ``(M, T)``.
    """
    codes, offsets = rows.seen()
    kind = np.dtype(np.float32 if np.diff(offsets).max(initial=0) <= _EXACT_IN_FLOAT32 else np.float64)
    asked = merged_kmer_counts(*take_flat(codes, offsets, test), K).astype(kind, copy=False)
    size = np.maximum(np.square(asked, dtype=np.float64).sum(1), 1)
    best = np.full((measured.shape[1], len(test)), -1.0)
    place = np.full(best.shape, -1, dtype=np.int64)
    columns = np.arange(len(test))
    with progress.track("comparing with training", len(train)) as advance:
        for first in range(0, len(train), _TRAIN_AT_ONCE):
            part = train[first : first + _TRAIN_AT_ONCE]
            known = merged_kmer_counts(*take_flat(codes, offsets, part), K).astype(kind, copy=False)
            sizes = np.maximum(np.square(known, dtype=np.float64).sum(1), 1)
            cosine = (known @ asked.T) / np.sqrt(sizes[:, None] * size)
            for number, of_part in enumerate(measured[first : first + len(part)].T):
                if not of_part.any():
                    continue
                among = cosine if of_part.all() else np.where(of_part[:, None], cosine, -1.0)
                at = among.argmax(0)
                better = among[at, columns] > best[number]
                best[number][better] = among[at, columns][better]
                place[number][better] = first + at[better]
            advance(len(part), "")
    return place, best


def _profit(
    label: np.ndarray, answer: np.ndarray, similarity: np.ndarray, *, judged: np.ndarray, leaked: np.ndarray
) -> dict[str, Any]:
    """Metrics of the neighbour's label on all judged rows and on those that do not leak, and their difference."""
    signed = np.where(answer > 0.5, similarity, -similarity)
    parts = {
        name: _metrics(label[chosen] > 0.5, answer[chosen] > 0.5, signed[chosen])
        for name, chosen in (("all", judged), ("without_leaked", judged & ~leaked))
    }
    profit = {
        metric: None if None in (both := [part[metric] for part in parts.values()]) else both[0] - both[1]
        for metric in _METRICS
    }
    undefined = {"reason": "too few measured rows of both classes"} if None in profit.values() else {}
    return {**parts, "profit": profit, **undefined}


def _metrics(positive: np.ndarray, said: np.ndarray, signed: np.ndarray) -> dict[str, Any]:
    n = len(positive)
    hit, miss = int((positive & said).sum()), int((positive & ~said).sum())
    false, right = int((~positive & said).sum()), int((~positive & ~said).sum())
    scale = float((hit + miss) * (false + right) * (hit + false) * (miss + right)) ** 0.5
    return {
        "n": n,
        "accuracy": (hit + right) / n if n else None,
        "mcc": (hit * right - false * miss) / scale if scale else None,
        "auroc": auroc(signed, positive),
    }
