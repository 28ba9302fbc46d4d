"""The report's figures as inline SVG: every one readable without colour (dashes, labels) and without a pointer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

from encre.evaluation.summary import number
from encre.evaluation.summary import text as said
from encre.report import svg
from encre.report.curves import Curve, Reliability
from encre.report.svg import Scale, tag

WIDTH, HEIGHT = 268, 236
_LEFT, _RIGHT, _TOP, _BOTTOM = 42, 14, 30, 38


class Series(NamedTuple):
    """One scorer in a figure: its label and its CSS class (colour and dash)."""

    label: str
    style: str


class Track(NamedTuple):
    """A row of an interval plot: the cells that HTML shows beside the drawn track."""

    label: str
    style: str
    shown: str
    drawing: Markup


def frame(
    title: str, x: Scale, y: Scale, *, names: tuple[str, str], marks: tuple[Sequence[float], Sequence[float]]
) -> list[str]:
    """Title, grid, tick labels and axis names of a small panel."""
    parts = [svg.text(_LEFT, 18, title, class_="panel-title")]
    for value in marks[0]:
        at = svg.short(x(value))
        parts.append(tag("line", x1=at, x2=at, y1=y.start, y2=y.stop, class_="grid"))
        parts.append(svg.text(at, y.start + 14, svg.plain(value), text_anchor="middle"))
    for value in marks[1]:
        at = svg.short(y(value))
        parts.append(tag("line", x1=x.start, x2=x.stop, y1=at, y2=at, class_="grid"))
        parts.append(svg.text(x.start - 6, float(at) + 3.5, svg.plain(value), text_anchor="end"))
    middle = svg.short((x.start + x.stop) / 2)
    parts.append(svg.text(middle, y.start + 29, names[0], text_anchor="middle", class_="axis-name"))
    centre = svg.short((y.start + y.stop) / 2)
    turn = f"rotate(-90 11 {centre})"
    parts.append(svg.text(11, centre, names[1], text_anchor="middle", class_="axis-name", transform=turn))
    return parts


def scales(x: tuple[float, float], y: tuple[float, float]) -> tuple[Scale, Scale]:
    """The scales of a small panel."""
    return Scale(*x, _LEFT, WIDTH - _RIGHT), Scale(*y, HEIGHT - _BOTTOM, _TOP)


def curve_panel(
    title: str, curves: Sequence[tuple[Series, Curve | None, str]], *, kind: str, chance: float | None
) -> Markup:
    """ROC or PR curves of one task.

    Parameters
    ----------
    title
        Of the panel.
    curves
        Series, points (None is left out) and what a pointer shows, the most important last.
    kind
        ``"roc"`` or ``"pr"``.
    chance
        Prevalence, the chance line of a PR panel.
    """
    x, y = scales((0, 1), (0, 1))
    names = ("False positive rate", "True positive rate") if kind == "roc" else ("Recall", "Precision")
    even = [0, 0.25, 0.5, 0.75, 1]
    parts = frame(title, x, y, names=names, marks=(even, even))
    if kind == "roc":
        parts.append(tag("line", x1=x(0), y1=y(0), x2=x(1), y2=y(1), class_="chance"))
    elif chance is not None:
        parts.append(tag("line", x1=x(0), y1=y(chance), x2=x(1), y2=y(chance), class_="chance"))
    for series, curve, shown in curves:
        if curve is None:
            continue
        line = svg.polyline([x(v) for v in curve.x], [y(v) for v in curve.y], class_="curve")
        parts.append(tag("g", svg.hover(f"{series.label}: {shown}") + line, class_=series.style))
    label = f"{title}: " + "; ".join(f"{s.label} {shown}" for s, c, shown in curves if c is not None)
    return svg.drawing(WIDTH, HEIGHT, parts, label=label, kind="panel")


def reliability_panel(title: str, found: Sequence[tuple[Series, Reliability | None]]) -> Markup:
    """Stated probability against observed share, with binomial intervals, up to the largest that occurs."""
    top = max((float(max(r.stated.max(), r.high.max())) for _, r in found if r is not None), default=1.0)
    top = min(1.0, svg.span([top], step=0.1, at_least=(0, 0.2))[1])
    x, y = scales((0, top), (0, top))
    marks = svg.ticks(0, top, 4)
    parts = frame(title, x, y, names=("Stated probability", "Observed share"), marks=(marks, marks))
    parts.append(tag("line", x1=x(0), y1=y(0), x2=x(top), y2=y(top), class_="chance"))
    for series, bins in found:
        if bins is None:
            continue
        marks_of = [svg.polyline([x(v) for v in bins.stated], [y(v) for v in bins.observed], class_="curve thin")]
        for stated, observed, low, high, size in zip(*bins, strict=True):
            at = svg.short(x(stated))
            whisker = tag("line", x1=at, x2=at, y1=svg.short(y(low)), y2=svg.short(y(high)), class_="whisker")
            shown = f"{series.label}: stated {stated:.3f}, observed {observed:.3f} of {size:,.0f}"
            dot = tag("circle", svg.hover(shown), cx=at, cy=svg.short(y(observed)), r=2.6, class_="dot")
            marks_of += [whisker, dot]
        parts.append(tag("g", marks_of, class_=series.style))
    return svg.drawing(WIDTH, HEIGHT, parts, label=f"Reliability of {title}", kind="panel")


def learning_panel(
    title: str,
    lines: Sequence[tuple[Series, Sequence[float], Sequence[float]]],
    *,
    name: str,
    best: Mapping[str, int],
) -> Markup:
    """A quantity by epoch for every run; the epoch whose weights were kept is marked.

    Parameters
    ----------
    title, name
        Of the panel, and of its y axis.
    lines
        Series, epochs, values.
    best
        Series label -> epoch that was kept.
    """
    values = [v for _, _, ys in lines for v in ys if np.isfinite(v)]
    last = max((int(x) for _, xs, _ in lines for x in xs), default=1)
    step = max((max(values) - min(values)) / 4, 1e-3) if values else 1.0
    step = 10 ** np.floor(np.log10(step))
    x, y = scales((min(1, last - 1), last) if last > 1 else (0, 2), svg.span(values, step=float(step)))
    whole = sorted({int(v) for v in svg.ticks(1, last, 5) if float(v).is_integer()} | {1})
    parts = frame(title, x, y, names=("Epoch", name), marks=(whole, svg.ticks(y.low, y.high, 4)))
    for series, xs, ys in lines:
        points = [(x(a), y(b)) for a, b in zip(xs, ys, strict=True) if np.isfinite(b)]
        if not points:
            continue
        marks = [svg.polyline(*zip(*points, strict=True), class_="curve")]
        for epoch, value in zip(xs, ys, strict=True):
            kept = best.get(series.label) == int(epoch)
            if np.isfinite(value) and (kept or len(xs) <= 12):
                shown = f"{series.label}, epoch {int(epoch)}: {value:.4f}" + (" (kept)" if kept else "")
                at = {"cx": svg.short(x(epoch)), "cy": svg.short(y(value))}
                marks.append(
                    tag("circle", svg.hover(shown), r=4 if kept else 1.8, class_="kept" if kept else "dot", **at)
                )
        parts.append(tag("g", marks, class_=series.style))
    label = f"{title} by epoch: " + "; ".join(f"{s.label} ends at {number(ys[-1])}" for s, _, ys in lines if len(ys))
    return svg.drawing(WIDTH, HEIGHT, parts, label=label, kind="panel")


def tracks(
    rows: Sequence[tuple[Series, Mapping[str, Any]]], *, limits: tuple[float, float], chance: float | None
) -> list[Track]:
    """Values with intervals, one row each; x positions are percentages, so that text never scales.

    Parameters
    ----------
    rows
        Series and a metric (``value``, ``low``, ``high`` or ``reason``).
    limits
        Of the axis.
    chance
        Where a dashed line stands, or None.
    """
    found = []
    for series, metric in rows:
        parts = _rules(limits, chance)
        value, low, high = metric.get("value"), metric.get("low"), metric.get("high")
        if value is not None:
            parts.append(svg.hover(f"{series.label}: {said(metric)}"))
            if low is not None and high is not None:
                ends = {"x1": _share(low, limits), "x2": _share(high, limits)}
                parts.append(tag("line", y1=11, y2=11, class_="interval", **ends))
            parts.append(tag("circle", cx=_share(value, limits), cy=11, r=3.4, class_="dot"))
        drawing = tag("svg", parts, class_="track", height=22, aria_hidden="true")
        found.append(Track(series.label, series.style, said(metric), Markup(drawing)))
    return found


def bars(
    rows: Sequence[tuple[Series, Mapping[str, Any]]], *, limits: tuple[float, float], prevalence: float | None
) -> list[Track]:
    """Values as bars from the axis, with their intervals, and a tick where chance stands."""
    found = []
    for series, metric in rows:
        parts = []
        value, low, high = metric.get("value"), metric.get("low"), metric.get("high")
        if value is not None:
            parts.append(svg.hover(f"{series.label}: {said(metric)}"))
            parts.append(tag("rect", x=0, y=3, width=_share(value, limits), height=10, class_="bar", rx=1.5))
            if low is not None and high is not None:
                ends = {"x1": _share(low, limits), "x2": _share(high, limits)}
                parts.append(tag("line", y1=8, y2=8, class_="over", **ends))
        if prevalence is not None:
            at = _share(prevalence, limits)
            parts.append(tag("line", x1=at, x2=at, y1=0, y2=16, class_="prevalence"))
        drawing = tag("svg", parts, class_="track", height=16, aria_hidden="true")
        found.append(Track(series.label, series.style, number(value), Markup(drawing)))
    return found


def axis(limits: tuple[float, float], *, count: int = 5) -> Markup:
    """Tick labels under interval rows or bars, at the same percentages."""
    marks = svg.ticks(*limits, count)
    parts = []
    for value in marks:
        parts.append(svg.text(_share(value, limits), 12, svg.plain(value), text_anchor="middle"))
    return Markup(tag("svg", parts, class_="track axis", height=16, aria_hidden="true"))


def _rules(limits: tuple[float, float], chance: float | None) -> list[str]:
    parts = []
    for value in svg.ticks(*limits, 5):
        at = _share(value, limits)
        parts.append(tag("line", x1=at, x2=at, y1=0, y2=22, class_="grid"))
    if chance is not None and limits[0] <= chance <= limits[1]:
        at = _share(chance, limits)
        parts.append(tag("line", x1=at, x2=at, y1=0, y2=22, class_="chance"))
    return parts


def _share(value: float, limits: tuple[float, float]) -> str:
    low, high = limits
    return f"{100 * min(max((value - low) / (high - low), 0), 1):.2f}%"
