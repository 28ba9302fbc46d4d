"""What signal tracks add beyond sequence: the section of the report; empty where no run reads tracks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from encre.evaluation.signals import additions
from encre.evaluation.summary import Metric, group_label, label, skill_metrics
from encre.report import figures, svg
from encre.report.figures import Series
from encre.report.folders import RunView
from encre.report.sections import metric_cells

Scopes = Mapping[str, Any]


def signal_sections(views: Sequence[RunView], pairs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One entry a run that reads tracks: how, a table of its ablations, and the differences drawn."""
    evaluations = {view.name: view.evaluation for view in views}
    shown = {view.name: view for view in views}
    found = []
    for view in views:
        about = view.evaluation.get("signals")
        if not about:
            continue
        against = [
            (shown[pair.alone], pair.differences) for pair in additions(evaluations, pairs) if pair.fused == view.name
        ]
        scorers = [
            (Series("sequence + signal", view.style), view.evaluation),
            *((Series(other.label, other.style), other.evaluation) for other, _ in against),
            (Series("tracks hidden", "base"), about["hidden"]),
            (Series("tracks alone", "base"), about["signal_only"]),
        ]
        differences = [
            *((Series(f"over {other.label}", other.style), scopes) for other, scopes in against),
            (Series("over its tracks hidden", "base"), about["differences"]["hidden"]),
            (Series("over the tracks alone", "base"), about["differences"]["signal_only"]),
        ]
        found.append(
            {
                "label": view.label,
                "fusion": about["fusion"].replace("_", "-"),
                "tracks": about["tracks"],
                "track_dropout": about["track_dropout"],
                "columns": [series for series, _ in scorers],
                "body": _rows(view.evaluation, [values for _, values in scorers]),
                "differences": _differences(view.evaluation, differences),
            }
        )
    return found


def _rows(first: Mapping[str, Any], scorers: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row a task and a group's mean, a cell a scorer; AUPRC, or a regression's second correlation."""
    rows = []
    for group, values in first["groups"].items():
        metric = skill_metrics(first, group)[1]
        for name in values["tasks"]:
            metrics: list[Metric | None] = [found["tasks"][name]["metrics"].get(metric) for found in scorers]
            rows.append(
                {"name": group_label(name), "mean": False, "metric": label(metric), "cells": metric_cells(metrics)}
            )
        if len(values["tasks"]) > 1:
            metrics = [found["groups"][group]["macro"].get(metric) for found in scorers]
            name = f"{group_label(group)}, macro"
            rows.append({"name": name, "mean": True, "metric": label(metric), "cells": metric_cells(metrics)})
    return rows


def _differences(first: Mapping[str, Any], against: Sequence[tuple[Series, Scopes]]) -> list[dict[str, Any]]:
    """Paired differences of each group's mean, drawn."""
    found = []
    for group in first["groups"]:
        metric = skill_metrics(first, group)[1]
        rows = [(series, scopes["all"].get(f"{group}/macro", {}).get(metric, {})) for series, scopes in against]
        edges = [m[key] for _, m in rows for key in ("value", "low", "high") if m.get(key) is not None]
        if edges:
            limits = svg.span(edges, step=0.05, at_least=(0.0, 0.05))
            drawn = {"rows": figures.tracks(rows, limits=limits, chance=0.0), "axis": figures.axis(limits)}
            found.append({"name": group_label(group), "metric": label(metric), **drawn})
    return found
