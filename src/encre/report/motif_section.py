"""The motifs that a run has learnt, from ``motifs/motifs.json`` in its folder: a table with logos, and pairs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from encre.evaluation.summary import group_label
from encre.report import figures, svg
from encre.report.figures import Series
from encre.report.folders import RunView
from encre.report.logo import glyphs, logo
from encre.report.svg import tag

#: Pairs that get a panel, the clearest first.
_PANELS = 8
_SAME, _OPPOSITE = Series("same strand", "s0"), Series("opposite strand", "s1")


def motif_sections(views: Sequence[RunView]) -> dict[str, Any]:
    """What the template shows of every run that has a motif folder; empty when none has."""
    runs = [_section(view) for view in views if view.motifs]
    return {"runs": runs, "glyphs": glyphs()} if runs else {}


def _section(view: RunView) -> dict[str, Any]:
    found = view.motifs
    motifs, looked_at = found["motifs"], found["tasks"]
    tasks = [*looked_at, *(task for task in found["model"]["tasks"] if task not in looked_at)]
    most = max((abs(e["mean"]) for m in motifs for e in m["effects"].values() if e["mean"] is not None), default=1.0)
    return {
        "label": view.label,
        "sequences": found["sequences"],
        "database": found["database"],
        "tasks": [group_label(task) for task in tasks],
        "rows": [_row(motif, tasks, most=most or 1.0) for motif in motifs],
        "seqlets": [{**count, "task": group_label(count["task"])} for count in found["seqlets"]],
        "notes": found["notes"],
        "pairs": len(found["spacing"]),
        "statements": [spacing["statement"] for spacing in found["spacing"] if spacing["matters"]],
        "panels": [_panel(lines) for lines in _pairs(found["spacing"])[:_PANELS]],
    }


def _row(motif: Mapping[str, Any], tasks: Sequence[str], *, most: float) -> dict[str, Any]:
    bits = [[p * _information(place) for p in place] for place in motif["pwm"]]
    strength = max(sum(abs(value) for value in place) for place in motif["contribution"])
    matches = motif["matches"]
    return {
        "name": motif["name"],
        "task": group_label(motif["task"]),
        "raises": motif["sign"] > 0,
        "title": motif["called"] or motif["consensus"],
        "consensus": motif["consensus"],
        "nearest": [{"name": f"{m['name']} {m['label']}".rstrip(), "q": f"{m['q_value']:.1g}"} for m in matches[:3]],
        "seqlets": motif["seqlets"],
        "hits": motif["hits"],
        "bits": logo(bits, top=2.0, label=f"Frequencies of {motif['name']}: {motif['consensus']}"),
        "contribution": logo(motif["contribution"], top=strength, label=f"Contributions of {motif['name']}"),
        "effects": [_cell(motif["effects"][task], most=most) for task in tasks],
    }


def _information(place: Sequence[float]) -> float:
    """Bits of one place, against equal bases."""
    return 2 + sum(p * math.log2(p) for p in place if p > 0)


def _cell(effect: Mapping[str, Any], *, most: float) -> dict[str, Any]:
    mean = effect["mean"]
    if mean is None:
        return {"value": "\N{EN DASH}", "range": "", "shade": 0, "tone": "base"}
    between = f"{_signed(effect['low'])} to {_signed(effect['high'])}"
    return {
        "value": _signed(mean), "range": between, "shade": round(100 * abs(mean) / most),
        "tone": "good" if mean > 0 else "bad",
    }  # fmt: skip


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")


def _pairs(spacing: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Both orientations of a pair and task together, in the file's order: the clearest first."""
    together: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for line in spacing:
        together.setdefault((line["left"], line["right"], line["task"]), []).append(line)
    return list(together.values())


def _panel(lines: Sequence[Mapping[str, Any]]) -> Markup:
    """What a pair does beyond the sum of the two, by distance, with 95 % intervals."""
    edges = [value for line in lines for name in ("low", "high") for value in line[name]]
    spread = max(max(edges) - min(edges), 1e-3)
    limits = svg.span([*edges, 0.0], step=10 ** math.floor(math.log10(spread)))
    x, y = figures.scales((0, max(line["gaps"][-1] for line in lines)), limits)
    title = f"{lines[0]['left']} + {lines[0]['right']}, {group_label(lines[0]['task'])}"
    marks = (svg.ticks(x.low, x.high, 4), svg.ticks(*limits, 4))
    names = ("Bases between the two", "Logit beyond their sum")
    parts = figures.frame(title if len(title) < 40 else f"{title[:38]}…", x, y, names=names, marks=marks)
    parts.append(tag("line", x1=x.start, x2=x.stop, y1=svg.short(y(0)), y2=svg.short(y(0)), class_="chance"))
    for line in lines:
        series = _SAME if line["orientation"] == "same" else _OPPOSITE
        places = [x(gap) for gap in line["gaps"]]
        marks_of = [svg.hover(f"{series.label}: p = {line['p_value']:.2g}, q = {line['q_value']:.2g}")]
        for at, low, high in zip(places, line["low"], line["high"], strict=True):
            ends = {"x1": svg.short(at), "x2": svg.short(at), "y1": svg.short(y(low)), "y2": svg.short(y(high))}
            marks_of.append(tag("line", class_="whisker", **ends))
        marks_of.append(svg.polyline(places, [y(value) for value in line["beyond"]], class_="curve"))
        parts.append(tag("g", marks_of, class_=series.style))
    said = "; ".join(line["statement"] for line in lines)
    return svg.drawing(figures.WIDTH, figures.HEIGHT, parts, label=said, kind="panel")
