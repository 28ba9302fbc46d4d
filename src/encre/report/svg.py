"""Small pieces of SVG: numbers, tags, scales and ticks. Colours are CSS variables, so themes and print work."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

import numpy as np
from markupsafe import Markup


class Scale(NamedTuple):
    """Linear map from data [low, high] to pixels [start, stop] (stop may be below start, as on a y axis)."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        """Pixel of a value, kept inside the axis."""
        share = (value - self.low) / (self.high - self.low or 1)
        return self.start + min(max(share, 0.0), 1.0) * (self.stop - self.start)


def short(value: float) -> str:
    """A coordinate with at most one decimal: a page of curves stays small."""
    return f"{value:.1f}".removesuffix(".0")


def tag(name: str, content: str | Iterable[str] = "", /, **attributes: object) -> str:
    """One element; ``class_`` becomes class, underscores become dashes, None is left out."""
    shown = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inner = content if isinstance(content, str) else "".join(content)
    return f"<{name}{shown}>{inner}</{name}>"


def text(x: float | str, y: float | str, said: str, /, **attributes: object) -> str:
    """A text element with its content escaped."""
    return tag("text", escape(said), x=x, y=y, **attributes)


def hover(said: str) -> str:
    """What a pointer resting on the mark shows."""
    return tag("title", escape(said))


def drawing(width: float, height: float, parts: Iterable[str], *, label: str, kind: str = "") -> Markup:
    """A whole figure that scales with its column; ``label`` says in words what it shows."""
    inner = [tag("title", escape(label)), *parts]
    return Markup(
        tag("svg", inner, viewBox=f"0 0 {short(width)} {short(height)}", role="img", aria_label=label, class_=kind)
    )


def polyline(xs: Sequence[float] | np.ndarray, ys: Sequence[float] | np.ndarray, **attributes: object) -> str:
    """A line through pixels; points closer than a third of a pixel to the line are left out."""
    points = thin(np.column_stack([np.asarray(xs, float), np.asarray(ys, float)]), 0.3)
    d = "M" + "L".join(f"{short(x)} {short(y)}" for x, y in points)
    return tag("path", d=d, fill="none", **attributes)


def thin(points: np.ndarray, tolerance: float) -> np.ndarray:
    """Fewer points of a line (n, 2), none of the dropped further than ``tolerance`` (Douglas and Peucker)."""
    keep = np.zeros(len(points), bool)
    keep[[0, -1]] = True
    spans = [(0, len(points) - 1)]
    while spans:
        begin, end = spans.pop()
        if end - begin < 2:
            continue
        a, b = points[begin], points[end]
        chord = b - a
        inner = points[begin + 1 : end] - a
        length = float(np.hypot(*chord))
        distance = np.abs(inner @ np.array([-chord[1], chord[0]])) / length if length else np.hypot(*inner.T)
        worst = int(np.argmax(distance))
        if distance[worst] > tolerance:
            keep[begin + 1 + worst] = True
            spans += [(begin, begin + 1 + worst), (begin + 1 + worst, end)]
    return points[keep]


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About ``count`` round numbers from low to high."""
    if not high > low:
        return [low]
    raw = (high - low) / max(count, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = power * next(m for m in (1, 2, 2.5, 5, 10) if raw <= m * power * (1 + 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 10) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def span(values: Iterable[float], *, step: float, at_least: tuple[float, float] | None = None) -> tuple[float, float]:
    """Round limits that hold all finite values (and ``at_least``), on multiples of ``step``."""
    known = [v for v in values if math.isfinite(v)] + list(at_least or ())
    if not known:
        return 0.0, 1.0
    low = math.floor(min(known) / step + 1e-9) * step
    high = math.ceil(max(known) / step - 1e-9) * step
    return round(low, 10), round(high if high > low else low + step, 10)


def plain(value: float) -> str:
    """A tick's label: no trailing zeros, thousands as k and M, a true minus."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}".replace("-", "\N{MINUS SIGN}")
