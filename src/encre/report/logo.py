"""Sequence logos as inline SVG: four glyphs, drawn once in a page and used by every logo."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from encre.report import svg
from encre.report.svg import tag

_GLYPHS = {
    "A": "M0 100L38 0H62L100 100H77L68 74H32L23 100ZM38 57H62L50 21Z",
    "C": "M100 31C96 11 77 0 53 0C20 0 0 21 0 50C0 79 20 100 53 100C77 100 96 89 100 69L78 65C75 76 66 82 53 82"
    "C34 82 23 69 23 50C23 31 34 18 53 18C66 18 75 24 78 35Z",
    "G": "M100 31C96 11 77 0 53 0C20 0 0 21 0 50C0 79 20 100 53 100C75 100 91 92 100 80V46H54V63H79V72"
    "C73 78 64 82 53 82C34 82 23 69 23 50C23 31 34 18 53 18C66 18 75 24 78 35Z",
    "T": "M0 0H100V20H61V100H39V20H0Z",
}
#: Pixels of a place, and of the whole height.
_STEP, _HEIGHT = 15, 44
#: A letter lower than this would not be seen.
_LEAST = 0.5


def glyphs() -> Markup:
    """The four letters, to stand once in a page, unseen; logos point at them."""
    letters = [
        tag("path", id=f"glyph-{letter}", d=path, fill_rule="evenodd", class_=f"nt nt-{letter.lower()}")
        for letter, path in _GLYPHS.items()
    ]
    return Markup(tag("svg", tag("defs", letters), width=0, height=0, aria_hidden="true", class_="unseen"))


def logo(heights: Sequence[Sequence[float]], *, top: float, label: str) -> Markup:
    """Letters stacked by height, the highest on top; negative ones hang below the line.

    Parameters
    ----------
    heights
        (w, 4) of A, C, G, T at each place.
    top
        The height that fills the drawing (above and below the line together).
    label
        What it shows, in words.
    """
    below = max((-sum(h for h in place if h < 0) for place in heights), default=0.0)
    above = max((sum(h for h in place if h > 0) for place in heights), default=0.0)
    scale = _HEIGHT / max(top, above + below, 1e-9)
    line = _HEIGHT - below * scale
    parts = [tag("line", x1=0, x2=_STEP * len(heights), y1=svg.short(line), y2=svg.short(line), class_="grid")]
    for place, values in enumerate(heights):
        up = down = line
        for value, letter in sorted(zip(values, "ACGT", strict=True), key=lambda item: abs(item[0])):
            size = abs(value) * scale
            if size < _LEAST:
                continue
            at, up, down = (up - size, up - size, down) if value > 0 else (down, up, down + size)
            move = f"translate({_STEP * place + 0.5:g} {at:.2f}) scale({(_STEP - 1) / 100:g} {size / 100:.4f})"
            parts.append(tag("use", href=f"#glyph-{letter}", transform=move))
    return svg.drawing(_STEP * len(heights), _HEIGHT, parts, label=label, kind="logo")
