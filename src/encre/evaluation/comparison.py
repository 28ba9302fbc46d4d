"""Is one better than the other? Paired differences over the same rows and the same resamples."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from encre.errors import DataError
from encre.evaluation.bootstrap import Estimate, describe
from encre.evaluation.judgement import RANKING, Judgement, judge
from encre.tasks import TaskSet


def compare_tables(
    a: pl.DataFrame, b: pl.DataFrame, tasks: TaskSet, *, seed: int = 0, resamples: int = 1000
) -> dict[str, Any]:
    """Differences a - b in every ranking metric (AUROC … or Pearson's r …) with paired block-bootstrap intervals.

    Parameters
    ----------
    a, b
        Prediction tables over the same rows.
    tasks
        The tasks, in K order.
    seed, resamples
        Of the block bootstrap.

    Returns
    -------
    dict
        ``scope -> name -> metric -> {"value", "low", "high"}`` with scope ``"all"`` or ``"enhancers"`` and
        name a task or ``"<group>/macro"``.

    Raises
    ------
    DataError
        When the tables are not about the same rows and targets.
    """
    judged = [judge(table, table, tasks, seed=seed, resamples=resamples) for table in (a, b)]
    return compare_judged(*judged)


def compare_judged(a: Judgement, b: Judgement) -> dict[str, Any]:
    """As :func:`compare_tables`, of tables that are judged already (with the same seed and resamples)."""
    same = np.array_equal(a.rows, b.rows) and np.array_equal(a.targets, b.targets, equal_nan=True)
    if not same or a.values["resamples"] != b.values["resamples"] or a.values["seed"] != b.values["seed"]:
        raise DataError(
            "the two prediction tables are not about the same rows",
            remedy="Evaluate both runs on one dataset (`encre evaluate RUN RUN --data DIR`).",
        )
    return {
        scope: {
            name: {
                metric: describe(_difference(estimates[metric], b.scopes[scope][name][metric]))
                for metric in RANKING
                if metric in estimates
            }
            for name, estimates in names.items()
        }
        for scope, names in a.scopes.items()
    }


def _difference(a: Estimate, b: Estimate) -> Estimate:
    return Estimate(a.value - b.value, a.draws - b.draws, a.reason or b.reason)
