"""Logos of motifs (logomaker) and the figure of pairs, as PNG and SVG files; the same bytes for the same motifs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from encre.interpret.motifs.pairs import ORIENTATIONS, Spacing
from encre.interpret.motifs.settings import extra

if TYPE_CHECKING:
    from encre.interpret.motifs.finding import FoundMotif

#: Pairs that the figure shows, those where distance matters most first.
_SHOWN = 12
_COLOURS = {"same": "#1f56a8", "opposite": "#bf4f12"}


def write_logos(motifs: Sequence[FoundMotif], folder: Path) -> None:
    """Write ``<name>.png`` and ``.svg`` of each motif: information above, contributions below."""
    folder.mkdir(exist_ok=True)
    logomaker, pandas = extra("logomaker"), extra("pandas")
    for motif in motifs:
        pattern = motif.pattern
        figure = _figure(0.32 * len(pattern.motif) + 1.2, 3.0)
        upper, lower = figure.subplots(2, 1, sharex=True)
        parts = (
            (upper, pattern.motif.pwm * pattern.motif.information[:, None], "bits"),
            (lower, pattern.contribution, "contribution"),
        )
        for axes, heights, label in parts:
            logomaker.Logo(pandas.DataFrame(heights, columns=list("ACGT")), ax=axes)
            axes.set_ylabel(label, fontsize=8)
            axes.tick_params(labelsize=7)
            axes.spines[["top", "right"]].set_visible(False)
        upper.set_ylim(0, 2)
        upper.set_title(f"{motif.title}  ({pattern.name}, {pattern.seqlets:,} seqlets)", fontsize=9, loc="left")
        _save(figure, folder / pattern.name.replace("/", "_"))


def write_spacing(spacing: Sequence[Spacing], folder: Path) -> None:
    """Write ``spacing.png`` and ``.svg``: what pairs do beyond their sum, by distance; nothing without pairs."""
    panels = ranked(spacing)[:_SHOWN]
    if not panels:
        return
    columns = min(4, len(panels))
    rows = -(-len(panels) // columns)
    figure = _figure(3.0 * columns, 2.4 * rows)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, lines in zip(grid.flat, panels, strict=False):
        for line in lines:
            colour = _COLOURS[line.orientation]
            axes.fill_between(line.gaps, line.low, line.high, color=colour, alpha=0.2, linewidth=0)
            said = f"{line.orientation} (q = {line.q_value:.2g})"
            axes.plot(line.gaps, line.beyond, color=colour, linewidth=1.3, marker="o", markersize=2, label=said)
        axes.axhline(0, color="#8b94a0", linewidth=0.8, linestyle="--")
        axes.set_title(f"{lines[0].left} + {lines[0].right}, {lines[0].task}", fontsize=8, loc="left")
        axes.tick_params(labelsize=7)
        axes.legend(fontsize=6, frameon=False)
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_visible(False)
    figure.supxlabel("bases between the two", fontsize=8)
    figure.supylabel("logit beyond the sum of the two", fontsize=8)
    _save(figure, folder / "spacing")


def ranked(spacing: Sequence[Spacing]) -> list[list[Spacing]]:
    """Both orientations of each pair and task together, the smallest q-value first, then the widest range."""
    together: dict[tuple[str, str, str], list[Spacing]] = {}
    for line in spacing:
        together.setdefault((line.left, line.right, line.task), []).append(line)
    for lines in together.values():
        lines.sort(key=lambda line: ORIENTATIONS.index(line.orientation))
    return sorted(
        together.values(),
        key=lambda lines: (
            min(x.q_value for x in lines),
            -max(float(x.beyond.max() - x.beyond.min()) for x in lines),
        ),
    )


def _figure(width: float, height: float) -> Any:
    figure = extra("matplotlib.figure").Figure(figsize=(width, height), layout="constrained")
    extra("matplotlib.backends.backend_agg").FigureCanvasAgg(figure)
    return figure


def _save(figure: Any, stem: Path) -> None:
    """Both forms, without a date and with fixed identifiers."""
    with extra("matplotlib").rc_context({"svg.hashsalt": "encre"}):
        figure.savefig(f"{stem}.png", dpi=120, metadata={"Software": None})
        figure.savefig(f"{stem}.svg", metadata={"Date": None})
