"""How probabilities were calibrated, and whether conformal sets hold the truth as often as they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from encre.evaluation.summary import group_label, number, text
from encre.report.folders import RunView


def fitted_words(views: Sequence[RunView]) -> str:
    """What the probabilities of the page's runs were fitted with, for the section on calibration."""
    steps = {view.label: _isotonic(view) for view in views}
    if not any(steps.values()):
        return "Temperature and bias were fitted on valid."
    said = "; ".join(f"{label}: {', '.join(map(group_label, names))}" for label, names in steps.items() if names)
    return f"Fitted on valid: isotonic steps ({said}), and temperature and bias elsewhere."


def coverage_tables(views: Sequence[RunView]) -> list[dict[str, Any]]:
    """One table a run of the conformal sets of its tasks, nothing for a run that an older encre evaluated."""
    found = []
    for view in views:
        tasks = view.evaluation["tasks"].items()
        rows = [_row(name, task["conformal"]) for name, task in tasks if task.get("conformal")]
        if rows:
            found.append({"label": view.label, "rows": rows})
    return found


def _isotonic(view: RunView) -> list[str]:
    return [name for name, task in view.evaluation["tasks"].items() if task.get("isotonic")]


def _row(name: str, measured: Mapping[str, Any]) -> dict[str, Any]:
    """A task's cells; of a regression, the width in the place of the sets' shares."""
    found = measured["coverage"]
    off = found.get("low") is not None and not found["low"] <= measured["level"] <= found["high"]
    classes = [text(measured[key]) if key in measured else "" for key in ("positives", "negatives")]
    shares = [_percent(measured[key]) if key in measured else "" for key in ("both", "empty")]
    width = number(measured["width"]) if measured.get("width") is not None else ""
    cells = [_percent(measured["level"]), text(found), *classes, *shares, width]
    return {"name": group_label(name), "cells": cells, "off": off}


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"
