"""Conformal sets and intervals of scored records (see :mod:`encre.evaluation.conformal`)."""

from __future__ import annotations

import numpy as np
import polars as pl

from encre.errors import ConfigError
from encre.evaluation.calibration import Calibration
from encre.evaluation.conformal import Conformal, said_set
from encre.tasks import TaskSet


def cutoffs(calibration: Calibration | None, *, name: str) -> Conformal:
    """The cutoffs that a run carries.

    Raises
    ------
    ConfigError
        When it carries none.
    """
    if calibration is None or calibration.conformal is None:
        raise ConfigError(
            f"'{name}' carries no cutoffs for conformal sets",
            remedy="Run `encre evaluate RUN` (again); it takes them from the valid split.",
        )
    return calibration.conformal


def set_columns(conformal: Conformal, tasks: TaskSet, logits: np.ndarray, *, level: float) -> dict[str, pl.Series]:
    """What is added to a table of scores.

    Parameters
    ----------
    conformal
        The run's cutoffs.
    tasks, logits
        (N, K) logits in the order of the tasks.
    level
        Share of cases that sets and intervals are to hold.

    Returns
    -------
    dict
        ``set_<task>`` ("1", "0", "01" or "") of a task with classes, ``low_<task>`` and ``high_<task>`` of a
        regression; null where valid had too few rows of the task.
    """
    columns: dict[str, pl.Series] = {}
    for k, task in enumerate(tasks):
        known, values = task.name in conformal.n, logits[:, k]
        if task.kind == "regression":
            ends = conformal.interval(values, task.name, level=level) if known else (None, None)
            for side, end in zip(("low", "high"), ends, strict=True):
                columns[f"{side}_{task.name}"] = _column(end, len(values), pl.Float32)
        else:
            said = said_set(*conformal.sets(values, task.name, level=level)) if known else None
            columns[f"set_{task.name}"] = _column(said, len(values), pl.String)
    return columns


def _column(values: np.ndarray | None, length: int, kind: type[pl.DataType]) -> pl.Series:
    return pl.Series([None] * length if values is None else values.tolist(), dtype=kind)
