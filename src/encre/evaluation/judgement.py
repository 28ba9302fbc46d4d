"""Judge one prediction table: every task, every group (macro and micro), all rows and enhancers only.

valid table -> calibration (temperature and bias or isotonic steps, threshold, conformal cutoffs)
test table + calibration -> metrics with block-bootstrap intervals -> plain values for evaluation.json
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from encre.evaluation import bootstrap, conformal
from encre.evaluation.blocks import Resamples, make_resamples
from encre.evaluation.bootstrap import Estimate, describe, mean_estimate
from encre.evaluation.calibration import Calibration, Method, fit_calibration
from encre.evaluation.table import anchor_task, read_scores, rows_of
from encre.tasks import TaskSet

RANKING = ("auroc", "auprc", "pearson", "spearman")
"""Metrics that two runs are compared by: they need no threshold, and more is better."""

Estimates = Mapping[str, Estimate]


@dataclass(frozen=True)
class Judgement:
    """What is known of one table after judging it.

    Parameters
    ----------
    values
        The plain values of ``evaluation.json``.
    calibration
        Fitted on the valid table.
    scopes
        ``scope -> name -> metric -> Estimate`` with scope ``"all"`` or ``"enhancers"`` and name a task, or
        ``"<group>/macro"``: what paired comparison needs.
    rows, targets
        (N,) ``index`` of the judged rows in ascending order and their (N, K) targets.
    """

    values: dict[str, Any]
    calibration: Calibration
    scopes: dict[str, dict[str, Estimates]]
    rows: np.ndarray
    targets: np.ndarray


@dataclass(frozen=True)
class _Sheet:
    """A table as arrays, all with rows in order of ``index``."""

    targets: np.ndarray
    logits: np.ndarray
    probabilities: np.ndarray
    called: np.ndarray
    resamples: Resamples
    tasks: TaskSet


def evaluate_table(
    valid: pl.DataFrame,
    test: pl.DataFrame,
    tasks: TaskSet,
    *,
    seed: int = 0,
    resamples: int = 1000,
    calibration: Method = "temperature",
) -> dict[str, Any]:
    """Metrics of a test table, with everything that is chosen chosen on the valid table.

    Parameters
    ----------
    valid, test
        Prediction tables (see :mod:`encre.evaluation.table`).
    tasks
        The tasks, in K order.
    seed, resamples
        Of the block bootstrap.
    calibration
        As in :func:`encre.evaluation.calibration.fit_calibration`.

    Returns
    -------
    dict
        ``rows``, ``blocks``, ``tasks`` (name -> n, positives, prevalence, metrics, conformal, on_enhancers),
        ``groups`` (name -> tasks, macro, micro, on_enhancers) and ``against`` (the enhancer task against
        each other class). A metric is ``{"value", "low", "high"}`` or ``{"value": None, "reason"}``.
    """
    return judge(valid, test, tasks, seed=seed, resamples=resamples, calibration=calibration).values


def judge(
    valid: pl.DataFrame,
    test: pl.DataFrame,
    tasks: TaskSet,
    *,
    seed: int = 0,
    resamples: int = 1000,
    calibration: Method = "temperature",
) -> Judgement:
    """As :func:`evaluate_table`, keeping the draws, so that judged tables can be compared in pairs."""
    # The products are small: a second BLAS thread gains nothing, and on a busy machine waiting for it costs 5 x.
    with threadpool_limits(1, user_api="blas"):
        fitted, test = fit_calibration(valid, tasks, method=calibration), test.sort("index")
        drawn = make_resamples(test, seed=seed, resamples=resamples)
        return _judge(test, _sheet(test, tasks, calibration=fitted, resamples=drawn), fitted, seed=seed)


def _judge(test: pl.DataFrame, sheet: _Sheet, calibration: Calibration, *, seed: int) -> Judgement:
    tasks = sheet.tasks
    anchor = anchor_task(tasks)
    everything = np.ones(len(test), bool)
    scopes = {"all": _scope(sheet, everything)}
    enhancers = None
    if anchor is not None:
        enhancers = sheet.targets[:, tasks.index(anchor)] == 1
        if len(tasks.groups) > 1:
            scopes["enhancers"] = _scope(sheet, enhancers, leave_out=anchor)
    values = {
        "rows": len(test),
        "blocks": {"kind": sheet.resamples.kind, "count": sheet.resamples.blocks},
        "resamples": len(sheet.resamples.weights),
        "seed": seed,
        "enhancer_task": anchor,
        "tasks": _describe_tasks(sheet, scopes, enhancers=enhancers, calibration=calibration),
        "groups": _describe_groups(tasks, scopes),
        "against": _against(test, sheet, anchor),
    }
    return Judgement(values, calibration, scopes, test["index"].to_numpy(), sheet.targets)


def _sheet(test: pl.DataFrame, tasks: TaskSet, *, calibration: Calibration, resamples: Resamples) -> _Sheet:
    scored = read_scores(test, tasks)
    probabilities = calibration.probabilities(scored.logits, tasks.names)
    thresholds = np.array([calibration.thresholds[name] for name in tasks.names])
    called = probabilities >= thresholds
    return _Sheet(scored.targets, scored.logits, probabilities, called, resamples, tasks)


def _scope(sheet: _Sheet, rows: np.ndarray, *, leave_out: str | None = None) -> dict[str, Estimates]:
    """Estimates of every task and group over some rows; the anchor is constant on enhancers only."""
    found: dict[str, Estimates] = {}
    for group, positions in sheet.tasks.groups.items():
        names = [sheet.tasks.names[k] for k in positions]
        if names == [leave_out]:
            continue
        for name, k in zip(names, positions, strict=True):
            found[name] = _task(sheet, rows, k)
        found[f"{group}/macro"] = _macro([found[name] for name in names])
        if len(names) > 1 and sheet.tasks.tasks[positions[0]].kind != "regression":
            found[f"{group}/micro"] = _micro(sheet, rows, positions)
    return found


def _task(sheet: _Sheet, rows: np.ndarray, k: int) -> dict[str, Estimate]:
    chosen = rows & np.isfinite(sheet.targets[:, k])
    blocks = {"codes": sheet.resamples.codes[chosen], "weights": sheet.resamples.weights}
    targets, logits = sheet.targets[chosen, k], sheet.logits[chosen, k]
    if sheet.tasks.tasks[k].kind == "regression":
        return bootstrap.regression(targets, logits, **blocks)
    return {
        **bootstrap.ranking(targets, logits, **blocks),
        **bootstrap.at_threshold(targets, sheet.called[chosen, k], **blocks),
        **bootstrap.calibrated(targets, sheet.probabilities[chosen, k], **blocks),
    }


def _micro(sheet: _Sheet, rows: np.ndarray, positions: tuple[int, ...]) -> dict[str, Estimate]:
    """All (row, task) pairs of a group pooled; probabilities, not logits, so that tasks share a scale."""
    measured = np.isfinite(sheet.targets[:, positions]) & rows[:, None]
    row, column = np.nonzero(measured)
    column = np.asarray(positions, dtype=np.int64)[column]
    blocks = {"codes": sheet.resamples.codes[row], "weights": sheet.resamples.weights}
    targets, probabilities = sheet.targets[row, column], sheet.probabilities[row, column]
    return {
        **bootstrap.ranking(targets, probabilities, **blocks),
        **bootstrap.at_threshold(targets, sheet.called[row, column], **blocks),
        **bootstrap.calibrated(targets, probabilities, **blocks),
    }


def _macro(parts: list[Estimates]) -> dict[str, Estimate]:
    metrics = dict.fromkeys(metric for part in parts for metric in part)
    return {metric: mean_estimate([part[metric] for part in parts if metric in part]) for metric in metrics}


def _describe_tasks(
    sheet: _Sheet, scopes: dict[str, dict[str, Estimates]], *, enhancers: np.ndarray | None, calibration: Calibration
) -> dict[str, Any]:
    found = {}
    for k, task in enumerate(sheet.tasks):
        values = {
            "group": task.group,
            "kind": task.kind,
            **_sizes(sheet.targets[:, k], task.kind),
            "temperature": calibration.temperatures[task.name],
            "bias": calibration.biases[task.name],
            "isotonic": task.name in calibration.isotonic,
            "threshold": calibration.thresholds[task.name],
            "metrics": _plain(scopes["all"][task.name]),
            "conformal": _coverage(sheet, k, calibration),
        }
        if enhancers is not None and task.name in scopes.get("enhancers", {}):
            values["on_enhancers"] = {
                **_sizes(sheet.targets[enhancers, k], task.kind),
                "metrics": _plain(scopes["enhancers"][task.name]),
            }
        found[task.name] = values
    return found


def _coverage(sheet: _Sheet, k: int, calibration: Calibration) -> dict[str, Any] | None:
    """How often a task's conformal sets hold the truth; None where valid gave no cutoffs."""
    task, cutoffs = sheet.tasks.tasks[k], calibration.conformal
    if cutoffs is None or task.name not in cutoffs.n:
        return None
    rows = np.isfinite(sheet.targets[:, k])
    of_task = {"targets": sheet.targets[rows, k], "logits": sheet.logits[rows, k]}
    blocks = {"codes": sheet.resamples.codes[rows], "weights": sheet.resamples.weights}
    return conformal.measure(cutoffs, task.name, task.kind, **of_task, **blocks)


def _sizes(targets: np.ndarray, kind: str) -> dict[str, Any]:
    measured = targets[np.isfinite(targets)]
    if kind == "regression":
        return {"n": len(measured), "positives": None, "prevalence": None}
    share = round(float(measured.mean()), 6) if len(measured) else None
    return {"n": len(measured), "positives": int((measured > 0).sum()), "prevalence": share}


def _describe_groups(tasks: TaskSet, scopes: dict[str, dict[str, Estimates]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for group, positions in tasks.groups.items():
        names = [tasks.names[k] for k in positions]
        found[group] = {"tasks": names, **_means(scopes["all"], group, names)}
        if f"{group}/macro" in scopes.get("enhancers", {}):
            found[group]["on_enhancers"] = _means(scopes["enhancers"], group, names)
    return found


def _means(scope: dict[str, Estimates], group: str, names: list[str]) -> dict[str, Any]:
    undefined = {
        name: estimate.reason
        for name in names
        for estimate in list(scope[name].values())[:1]
        if not np.isfinite(estimate.value)
    }
    values: dict[str, Any] = {"macro": _plain(scope[f"{group}/macro"]), "undefined": undefined}
    if f"{group}/micro" in scope:
        values["micro"] = _plain(scope[f"{group}/micro"])
    return values


def _plain(estimates: Estimates) -> dict[str, Any]:
    return {metric: describe(estimate) for metric, estimate in estimates.items()}


def _against(test: pl.DataFrame, sheet: _Sheet, anchor: str | None) -> dict[str, Any]:
    """AUROC of the enhancer task, all its positives against the negatives of one class at a time."""
    if anchor is None:
        return {}
    k = sheet.tasks.index(anchor)
    targets = sheet.targets[:, k]
    classes, kinds = rows_of(test, "ccre_class"), rows_of(test, "kind")
    names = np.where(classes == "", kinds, classes)
    found = {}
    for name in sorted(set(names[targets == 0]) - {""}):
        rows = (targets == 1) | ((targets == 0) & (names == name))
        estimate = bootstrap.ranking(
            targets[rows], sheet.logits[rows, k], codes=sheet.resamples.codes[rows], weights=sheet.resamples.weights
        )["auroc"]
        found[str(name)] = {"n": int(((targets == 0) & (names == name)).sum()), "auroc": describe(estimate)}
    return found
