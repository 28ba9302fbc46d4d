"""What each section of the page shows: plain values and figures for the template, no HTML of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from encre.evaluation.metrics import REGRESSION
from encre.evaluation.summary import CHANCE, best_run, group_label, label, main_group, negated, number, skill_metrics
from encre.report import curves, figures, svg
from encre.report.figures import Series
from encre.report.folders import RunView, readable_history

Metric = Mapping[str, Any]
Judged = Sequence[tuple[Series, Mapping[str, Any]]]
"""Scorers with their evaluation values: models first, then baselines."""


def scorers(views: Sequence[RunView]) -> list[tuple[Series, dict[str, Any]]]:
    """Every run, then every baseline (judged once, so any run's copy is as good)."""
    found: list[tuple[Series, dict[str, Any]]] = [(Series(v.label, v.style), v.evaluation) for v in views]
    baselines: dict[str, Any] = {}
    for view in views:
        for name, values in view.evaluation["baselines"].items():
            baselines.setdefault(name, values)
    return found + [(Series(label(name, short=True), "base"), values) for name, values in baselines.items()]


def strongest_baseline(views: Sequence[RunView]) -> str | None:
    """The baseline that is best on the main group."""
    baselines = views[0].evaluation["baselines"]
    return best_run(baselines, main_group(views[0].evaluation)) if baselines else None


def groups(views: Sequence[RunView]) -> list[tuple[str, dict[str, Any]]]:
    """Groups with their evaluation values, the main group first."""
    first = views[0].evaluation
    return sorted(first["groups"].items(), key=lambda item: item[0] != main_group(first))


def skill(views: Sequence[RunView]) -> list[dict[str, Any]]:
    """Interval plots of both macro skill metrics, for each group, on all rows and on enhancers only."""
    everyone, first, found = scorers(views), views[0].evaluation, []
    for group, values in groups(views):
        places = [("", [v["groups"][group]["macro"] for _, v in everyone])]
        if _differs(first, values):
            places.append((", on enhancers only", [v["groups"][group]["on_enhancers"]["macro"] for _, v in everyone]))
        many = len(values["tasks"]) > 1
        for where, metrics in places:
            name = f"{group_label(group)}{where}"
            panels = []
            for metric in skill_metrics(first, group):
                rows = [
                    (series, found_[metric])
                    for (series, _), found_ in zip(everyone, metrics, strict=True)
                    if metric in found_
                ]
                if rows:
                    chance = CHANCE.get(metric)
                    if chance is None:
                        chance = _mean_prevalence(first, values["tasks"], on=bool(where))
                    panels.append(_panel(("Macro " if many else "") + label(metric), rows, chance=chance))
            if panels:
                over = f"mean over {_defined(values)} tasks" if many else "one task"
                found.append({"name": name, "over": over, "panels": panels})
    return found


def _differs(evaluation: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    """Whether the enhancers-only scope is another set of rows than all measured rows."""
    tasks = [evaluation["tasks"][name] for name in values["tasks"]]
    return "on_enhancers" in values and any(task["on_enhancers"]["n"] != task["n"] for task in tasks)


def _defined(values: Mapping[str, Any]) -> str:
    """How many tasks a mean is over: ``"9"``, or ``"8 of 9"`` where one is undefined."""
    every, undefined = len(values["tasks"]), len(values.get("undefined", {}))
    return f"{every - undefined} of {every}" if undefined else str(every)


def _mean_prevalence(evaluation: Mapping[str, Any], tasks: Sequence[str], *, on: bool) -> float | None:
    places = [evaluation["tasks"][name] for name in tasks]
    scopes = [place["on_enhancers"] if on else place for place in places]
    known = [scope["prevalence"] for scope in scopes if scope["metrics"].get("auprc", {}).get("value") is not None]
    return float(np.mean(known)) if known else None


def _panel(title: str, rows: Sequence[tuple[Series, Metric]], *, chance: float | None) -> dict[str, Any]:
    edges = [m[key] for _, m in rows for key in ("value", "low", "high") if m.get(key) is not None]
    limits = svg.span(edges + ([chance] if chance is not None else []), step=0.05)
    return {
        "title": title,
        "chance": None if chance is None else number(chance),
        "rows": figures.tracks(rows, limits=limits, chance=chance),
        "axis": figures.axis(limits),
    }


def differences(views: Sequence[RunView], pairs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Paired differences in macro AUROC or Pearson's r: the best run of each group against every other scorer."""
    found = []
    evaluations = {view.name: view.evaluation for view in views}
    shown = {view.name: view for view in views}
    for group, _ in groups(views):
        best = best_run(evaluations, group)
        if best is None:
            continue
        key, rows, told = f"{group}/macro", [], skill_metrics(views[0].evaluation, group)[0]
        for pair in pairs:
            if best in (pair["a"], pair["b"]):
                other = shown[pair["b"] if pair["a"] == best else pair["a"]]
                metric = pair["differences"]["all"][key][told]
                metric = metric if pair["a"] == best else negated(metric)
                rows.append((Series(f"over {other.label}", other.style), metric))
        for name, scopes in evaluations[best]["differences"].items():
            rows.append((Series(f"over {label(name, short=True)}", "base"), scopes["all"][key][told]))
        edges = [m[k] for _, m in rows for k in ("value", "low", "high") if m.get(k) is not None]
        if edges:
            limits = svg.span(edges, step=0.05, at_least=(0.0, 0.05))
            drawn = figures.tracks(rows, limits=limits, chance=0.0)
            found.append(
                {
                    "name": group_label(group),
                    "metric": label(told),
                    "best": shown[best].label,
                    "rows": drawn,
                    "axis": figures.axis(limits),
                }
            )
    return found


def task_table(views: Sequence[RunView], metric: str) -> dict[str, Any]:
    """A row a task that has the metric, a column a scorer; the best value of a row is marked."""
    everyone, first = scorers(views), views[0].evaluation
    body = []
    for group, values in first["groups"].items():
        if metric not in values["macro"]:
            continue
        names = list(values["tasks"])
        for name in names:
            task = first["tasks"][name]
            cells = [v["tasks"][name]["metrics"].get(metric) for _, v in everyone]
            sizes = {"n": task["n"], "prevalence": task["prevalence"]}
            body.append({"name": group_label(name), "mean": False, "cells": metric_cells(cells), **sizes})
        if len(names) > 1:
            for mean in [name for name in ("macro", "micro") if name in values]:
                cells = [v["groups"][group].get(mean, {}).get(metric) for _, v in everyone]
                body.append({"name": f"{group_label(group)}, {mean}", "mean": True, "cells": metric_cells(cells)})
    return {"title": label(metric), "columns": [series for series, _ in everyone], "body": body}


def metric_cells(metrics: Sequence[Metric | None]) -> list[dict[str, Any]]:
    """A row of a table: each metric's digits and interval; the best is marked."""
    values = [m.get("value") if m else None for m in metrics]
    best = max((v for v in values if v is not None), default=None)
    return [
        {
            "value": number(m.get("value") if m else None),
            "range": _range(m) if m else "",
            "reason": (m or {}).get("reason", "") or ("" if m else "not computed"),
            "best": v is not None and v == best,
        }
        for m, v in zip(metrics, values, strict=True)
    ]


def _range(metric: Metric) -> str:
    low, high = metric.get("low"), metric.get("high")
    if low is None or high is None:
        return ""
    between = "\N{EN DASH}" if low >= 0 else " to "
    return f"{number(low)}{between}{number(high)}"


def task_tables(views: Sequence[RunView]) -> list[dict[str, Any]]:
    """:func:`task_table` of every skill metric that a group has."""
    first = views[0].evaluation
    metrics = dict.fromkeys(metric for group in first["groups"] for metric in skill_metrics(first, group))
    return [task_table(views, metric) for metric in metrics]


DETAILS = ("auroc", "auprc", "mcc", "balanced_accuracy", "precision", "recall", "f1", "brier", "ece")


def details(view: RunView) -> dict[str, Any]:
    """Every metric of one run at the thresholds chosen on valid; ``kind`` tells tasks, insets and means apart."""
    rows: list[dict[str, Any]] = []
    macros = [values["macro"] for values in view.evaluation["groups"].values()]
    columns = [m for m in (*DETAILS, *REGRESSION) if any(m in macro for macro in macros)]

    def add(name: str, kind: str, *, metrics: Mapping[str, Metric], task: Mapping[str, Any] | None = None) -> None:
        cells = [cell for m in columns for cell in metric_cells([metrics.get(m)])]
        rows.append({"name": name, "kind": kind, "task": task, "cells": cells})

    for name, task in view.evaluation["tasks"].items():
        add(group_label(name), "task", metrics=task["metrics"], task=task)
        place = task.get("on_enhancers")
        if place and place["n"] != task["n"]:
            add("on enhancers only", "inset", metrics=place["metrics"], task={**task, **place})
    for group, values in view.evaluation["groups"].items():
        for mean in ("macro", "micro"):
            if mean in values and len(values["tasks"]) > 1:
                add(f"{group_label(group)}, {mean}", "mean", metrics=values[mean])
    return {"label": view.label, "columns": [label(m, short=True) for m in columns], "rows": rows}


def task_curves(views: Sequence[RunView]) -> list[dict[str, Any]]:
    """ROC and PR panels of every task: the runs over the strongest baseline."""
    reference, found = strongest_baseline(views), []
    for task in views[0].tasks:
        if task.kind == "regression":
            continue
        sources = [(Series(v.label, v.style), v.predictions, v.evaluation) for v in views]
        if reference is not None:
            values = views[0].evaluation["baselines"][reference]
            sources.append((Series(label(reference, short=True), "base"), views[0].baseline(reference), values))
        chance = views[0].evaluation["tasks"][task.name]["prevalence"]
        panels = []
        for kind, metric, make in (("roc", "auroc", curves.roc), ("pr", "auprc", curves.precision_recall)):
            drawn = []
            for series, table, values in reversed(sources):
                value = values["tasks"][task.name]["metrics"][metric]["value"]
                shown = f"{label(metric)} {number(value)}"
                drawn.append((series, make(*curves.measured(table, task.name)), shown))
            if any(curve is not None for _, curve, _ in drawn):
                title = f"{group_label(task.name)}: {'ROC' if kind == 'roc' else 'precision and recall'}"
                panels.append(figures.curve_panel(title, drawn, kind=kind, chance=chance))
        reason = views[0].evaluation["tasks"][task.name]["metrics"]["auroc"].get("reason", "")
        found.append({"name": group_label(task.name), "panels": panels, "reason": "" if panels else reason})
    return found


def calibration_panels(views: Sequence[RunView]) -> list[Any]:
    """Reliability of every task, all runs."""
    return [
        figures.reliability_panel(
            group_label(task.name),
            [(Series(v.label, v.style), curves.reliability(v.predictions, task.name, v.calibration)) for v in views],
        )
        for task in views[0].tasks
        if task.kind != "regression" and views[0].evaluation["tasks"][task.name]["n"]
    ]


def task_bars(views: Sequence[RunView]) -> list[dict[str, Any]]:
    """AUPRC of every task as bars with the prevalence marked: how far above chance."""
    reference, found = strongest_baseline(views), []
    for name, task in views[0].evaluation["tasks"].items():
        if task["kind"] == "regression":
            continue
        rows = [(Series(v.label, v.style), v.evaluation["tasks"][name]["metrics"].get("auprc", {})) for v in views]
        if reference is not None:
            values = views[0].evaluation["baselines"][reference]["tasks"][name]
            rows.append((Series(label(reference, short=True), "base"), values["metrics"].get("auprc", {})))
        drawn = figures.bars(rows, limits=(0.0, 1.0), prevalence=task["prevalence"])
        reason = rows[0][1].get("reason", "") if rows[0][1].get("value") is None else ""
        found.append(
            {"name": group_label(name), "prevalence": number(task["prevalence"]), "rows": drawn, "reason": reason}
        )
    return found


def against(views: Sequence[RunView]) -> list[dict[str, Any]]:
    """The enhancer task against one class of negatives at a time."""
    found = []
    for name, first in views[0].evaluation["against"].items():
        rows = [(Series(v.label, v.style), v.evaluation["against"][name]["auroc"]) for v in views]
        for key, values in views[0].evaluation["baselines"].items():
            if key == strongest_baseline(views):
                rows.append((Series(label(key, short=True), "base"), values["against"][name]["auroc"]))
        drawn = figures.tracks(rows, limits=(0.4, 1.0), chance=0.5)
        found.append({"name": label(name).replace("_", " "), "n": first["n"], "rows": drawn})
    return found


def learning(views: Sequence[RunView]) -> list[Any]:
    """Training loss, valid loss and what valid is judged by, by epoch."""
    histories = [(Series(v.label, v.style), readable_history(v)) for v in views]
    best = {v.label: int(v.manifest.get("training", {}).get("best_epoch") or 0) for v in views}
    panels = []
    for column, title in (
        ("valid_auprc", "Macro AUPRC on valid"),
        ("valid_pearson", "Macro Pearson correlation on valid"),
        ("train_loss", "Loss on train"),
        ("valid_loss", "Loss on valid"),
    ):
        lines = [(s, h["epoch"].tolist(), h[column].tolist()) for s, h in histories if {"epoch", column} <= h.keys()]
        if any(np.isfinite(ys).any() for _, _, ys in lines):
            panels.append(figures.learning_panel(title, lines, name=title.split(" on ")[0], best=best))
    return panels
