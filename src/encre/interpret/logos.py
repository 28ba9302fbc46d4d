"""Logos of contributions: letters as high as what they contribute, drawn by logomaker."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from encre.errors import ConfigError, MissingExtraError
from encre.genome.intervals import Interval
from encre.interpret.attribution import Attributions
from encre.interpret.places import places_of

#: Most letters of one logo, and how wide each is in inches: 200 are readable on a screen.
MOST_LETTERS, _WIDTH = 200, 0.11
_COLORS = {"A": "#1a9641", "C": "#2c5fb3", "G": "#e6a019", "T": "#c8312b"}


class Stretch(NamedTuple):
    """What one logo shows: bases ``first`` to ``last`` (0-based half-open) of a window, contributing to a task."""

    row: int
    task: int
    first: int
    last: int


def check_logos() -> None:
    """Refuse logos when the package that draws them is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pandas and matplotlib about one another, at import
            import logomaker  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            "logos are drawn by logomaker, which is not installed", remedy="pip install 'encre[interpret]'"
        ) from error


def strongest(found: Attributions, task: int, count: int) -> list[Stretch]:
    """The windows that contribute most (sum of absolute contributions), each at its strongest 200 bases."""
    sizes = np.array([np.abs(found.contributions(row)[task]).sum() for row in range(len(found))])
    rows = np.argsort(-sizes, kind="stable")[:count]
    return [Stretch(int(row), task, *_strongest_part(np.abs(found.contributions(row)[task]))) for row in rows]


def _strongest_part(size: np.ndarray) -> tuple[int, int]:
    """First and last (half-open) of the 200 neighbouring bases with the greatest sum of ``size`` (L,)."""
    if len(size) <= MOST_LETTERS:
        return 0, len(size)
    sums = np.convolve(size, np.ones(MOST_LETTERS), mode="valid")
    first = int(np.argmax(sums))
    return first, first + MOST_LETTERS


def in_region(found: Attributions, task: int, region: str) -> Stretch:
    """A region in the window that holds all of it; see :meth:`encre.interpret.places.Places.find`."""
    row, first, last = places_of(found.records, found.windows).find(region)
    return Stretch(row, task, first, last)


def check_region(region: str) -> None:
    """Refuse a region longer than a logo."""
    width = Interval.from_region(region).width
    if width > MOST_LETTERS:
        raise ConfigError(
            "the region is too long for a logo", where=region, expected=f"at most {MOST_LETTERS} bases",
            got=f"{width:,}",
        )  # fmt: skip


def draw_logos(folder: Path, found: Attributions, stretches: Iterable[Stretch]) -> list[Path]:
    """Draw each stretch as PNG and SVG into a folder; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    places, written = places_of(found.records, found.windows), []
    for number, stretch in enumerate(stretches, start=1):
        chrom, start = places.chrom[stretch.row], int(places.start[stretch.row])
        where = f"{chrom}:{start + stretch.first + 1:,}-{start + stretch.last:,}"
        name = f"{number:03d}_{re.sub(r'[^A-Za-z0-9._-]+', '_', where.replace(',', ''))}"
        name_of = places.name[stretch.row]
        title = where if name_of == chrom or name_of in where.replace(",", "") else f"{name_of}   {where}"
        values = found.contributions(stretch.row)[stretch.task, stretch.first : stretch.last]
        codes = found.codes(stretch.row)[stretch.first : stretch.last]
        files = [folder / f"{name}.{ending}" for ending in ("png", "svg")]
        label = f"contribution to {found.tasks[stretch.task]}\n({found.settings.kind.title})"
        draw_logo(files, codes, values, title=title, label=label)
        written += files
    return written


def draw_logo(files: Sequence[Path], codes: np.ndarray, values: np.ndarray, *, title: str, label: str) -> None:
    """Draw letters (L,) of the heights ``values`` (L,) into files whose endings say the form."""
    check_logos()
    import logomaker
    import pandas as pd
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    heights = (np.arange(4) == codes[:, None]) * values[:, None]
    # A salt makes the ids of an SVG the same every time, and no date: the same bytes for the same contributions.
    with rc_context({"svg.hashsalt": "encre", "font.size": 8}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"(logomaker|matplotlib|pandas)\b")
        figure = Figure(figsize=(1.2 + max(2.5, _WIDTH * len(codes)), 1.9), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        logomaker.Logo(pd.DataFrame(heights, columns=list("ACGT")), ax=axes, color_scheme=_COLORS, baseline_width=0.4)
        axes.set_title(title, loc="left", fontsize=8)
        axes.set_ylabel(label)
        axes.spines[["top", "right", "bottom"]].set_visible(False)
        ticks = np.arange(9, len(codes), 10)
        axes.set_xticks(ticks, [str(tick + 1) for tick in ticks])
        for file in files:
            figure.savefig(file, dpi=110, metadata={"Date": None} if file.suffix == ".svg" else None)
