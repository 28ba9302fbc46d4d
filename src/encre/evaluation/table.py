"""The prediction table: what every model and every baseline is judged from.

One row an element; columns ``index``, ``chrom``, ``start``, ``end``, ``ccre_class``, ``kind``, ``group``,
``length``, then ``target_<task>`` (NaN = not measured) and ``logit_<task>`` for every task.
Coordinates are 0-based half-open and may be null (own sequences have none).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl

from encre.errors import DataError
from encre.tasks import TaskSet

_DESCRIPTION = {
    "chrom": pl.String,
    "start": pl.Int64,
    "end": pl.Int64,
    "ccre_class": pl.String,
    "kind": pl.String,
    "group": pl.String,
}


class Scored(NamedTuple):
    """A checked table as arrays: targets (N, K) with NaN = not measured, logits (N, K)."""

    targets: np.ndarray
    logits: np.ndarray


def prediction_table(elements: pl.DataFrame, tasks: TaskSet, *, columns: dict[str, np.ndarray]) -> pl.DataFrame:
    """Put a split's rows, targets and logits together.

    Parameters
    ----------
    elements
        The rows of the split; of chrom, start, end, ccre_class, kind and group, those that it has not
        are null.
    tasks
        The tasks, in K order.
    columns
        ``index`` (N,), ``length`` (N,) bases, ``targets`` (N, K), ``mask`` (N, K) True = measured, and
        ``logits`` (N, K).
    """
    targets = np.where(columns["mask"], columns["targets"], np.nan).astype(np.float32)
    logits = np.asarray(columns["logits"], np.float32)
    described = [
        elements[name].cast(kind) if name in elements.columns else pl.Series(name, [None] * len(elements), kind)
        for name, kind in _DESCRIPTION.items()
    ]
    return pl.DataFrame(
        [
            pl.Series("index", np.asarray(columns["index"], np.int64)),
            *described,
            pl.Series("length", np.asarray(columns["length"], np.int64)),
            *(pl.Series(f"target_{name}", targets[:, k].copy()) for k, name in enumerate(tasks.names)),
            *(pl.Series(f"logit_{name}", logits[:, k].copy()) for k, name in enumerate(tasks.names)),
        ]
    )


def read_scores(table: pl.DataFrame, tasks: TaskSet, *, where: object = "prediction table") -> Scored:
    """Targets and logits of a prediction table as (N, K) float64 arrays.

    Raises
    ------
    DataError
        When a task's column is missing, the table has no rows, a logit is not finite, or a binary target
        is something other than 0, 1 or NaN.
    """
    for task in tasks:
        for column in (f"target_{task.name}", f"logit_{task.name}"):
            if column not in table.columns:
                raise DataError(
                    f"the column '{column}' is missing",
                    where=where,
                    remedy="Run `encre evaluate` again, so that predictions and tasks fit together.",
                )
    if not len(table):
        raise DataError("there is no row to judge", where=where, remedy="The split is empty.")
    targets, logits = (
        table.select(f"{kind}_{name}" for name in tasks.names).cast(pl.Float64).fill_null(np.nan).to_numpy()
        for kind in ("target", "logit")
    )
    for k, task in enumerate(tasks):
        if not np.isfinite(logits[:, k]).all():
            bad = int(np.flatnonzero(~np.isfinite(logits[:, k]))[0])
            raise DataError(
                f"the logit of task '{task.name}' is not a finite number in row {bad}",
                where=where,
                remedy="The model diverged; train it with a smaller learning rate or in fp32.",
            )
        known = targets[:, k][np.isfinite(targets[:, k])]
        if task.kind != "regression" and not np.isin(known, (0.0, 1.0)).all():
            raise DataError(f"the targets of task '{task.name}' must be 0, 1 or empty", where=where)
    return Scored(targets, logits)


def anchor_task(tasks: TaskSet) -> str | None:
    """The task that says what is an enhancer at all: the first binary task that is alone in its group."""
    for positions in tasks.groups.values():
        task = tasks.tasks[positions[0]]
        if len(positions) == 1 and task.kind == "binary":
            return task.name
    return None


def rows_of(table: pl.DataFrame, column: str) -> np.ndarray:
    """A text column as an object array, empty text for null."""
    return table[column].fill_null("").to_numpy()
