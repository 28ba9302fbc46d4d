"""One self-contained HTML page about a design folder, read from that folder alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from markupsafe import Markup, escape

from encre.errors import FolderError
from encre.evaluation.summary import Finding, number
from encre.files import read_json, staged_file
from encre.report import figures, svg
from encre.report.pages import render_page
from encre.report.svg import tag
from encre.reproducibility import version

_FORMAT = {"kind": "design", "version": 1}

#: Designs whose sequences are drawn, and whose trajectories are coloured.
_SEQUENCES, _COLOURED = 50, 6

#: Tasks of the figure, the letters of their names, and the room for them in pixels.
_TASKS, _LONGEST, _NAMES = 12, 15, 96

#: Room left of a y axis for its labels, in pixels.
_TICKS = 56

#: Bases a line of a sequence, and a group.
_LINE, _GROUP = 100, 10


def write_design_page(folder: str | Path) -> Path:
    """Write ``design.html`` into a design folder.

    Parameters
    ----------
    folder
        What `encre design` wrote.

    Returns
    -------
    Path
        Where the page lies.

    Raises
    ------
    MissingFileError, FolderError
        When it is no design folder, or of another version.
    """
    folder = Path(folder)
    page = render(folder)
    with staged_file(folder / "design.html") as staged:
        staged.write_text(page, encoding="utf-8")
    return folder / "design.html"


def render(folder: Path) -> str:
    """The page as text."""
    summary = read_json(folder / "design.json")
    if not isinstance(summary, dict) or summary.get("format") != _FORMAT:
        raise FolderError("this is not a design folder of this encre", where=folder, expected=f"{_FORMAT}")
    table = pl.read_parquet(folder / "designs.parquet")
    paths = pl.read_csv(folder / "trajectory.tsv", separator="\t")
    values = {
        "summary": summary,
        "findings": _findings(summary, table),
        "best": table.row(0, named=True),
        "panels": [
            panel for panel in (trajectories(table, paths), best_by_task(table, summary), judged(table)) if panel
        ],
        "columns": [_label(name) for name in _shown(table, summary)],
        "rows": _rows(table, summary),
        "sequences": [_sequence(row, summary["settings"]) for row in table.head(_SEQUENCES).iter_rows(named=True)],
        "undrawn": max(0, table.height - _SEQUENCES),
        "settings": _settings(summary),
        "number": number,
        "version": version(),
        "made": summary["provenance"]["created"][:10],
    }
    return render_page("design.html.j2", values)


def _findings(summary: Mapping[str, Any], table: pl.DataFrame) -> list[Finding]:
    """What a reader should know first."""
    convinced = bool(summary["judges"]) and bool((table["judges_worst_gain"] > 0).all())
    found = [Finding(summary["judged"], "good" if convinced else "caution")]
    found.append(Finding("Every design was checked against every constraint, independently of the search.", "good"))
    return found + [Finding(note) for note in summary["notes"]]


# ---------------------------------------------------------------------------------------------- figures


def trajectories(table: pl.DataFrame, paths: pl.DataFrame) -> Markup:
    """The score of the best sequence after each step of every search, the best designs in colour."""
    scores = paths["score"].to_numpy()
    last = max(1, int(paths["step"].max() or 0))  # type: ignore[arg-type]
    x, y = figures.scales((0, last), _limits(scores))
    marks = ([v for v in svg.ticks(0, last, 5) if float(v).is_integer()], svg.ticks(y.low, y.high, 4))
    x = x._replace(start=_TICKS)
    parts = figures.frame("Score along the search", x, y, names=("Step", "Score"), marks=marks)
    for rank, name in reversed(list(enumerate(table["name"]))):
        path = paths.filter(pl.col("name") == name)
        steps, values = path["step"].to_numpy(), path["score"].to_numpy()
        line = svg.polyline([x(v) for v in steps], [y(v) for v in values], class_="curve")
        said = svg.hover(f"{name}: {number(values[0])} to {number(values[-1])} in {steps[-1]} steps")
        parts.append(tag("g", [said, line], class_=f"s{rank}" if rank < _COLOURED else "base"))
    label = f"Score along the search of {table.height} designs, from {number(min(scores))} to {number(max(scores))}"
    return svg.drawing(figures.WIDTH, figures.HEIGHT, parts, label=label, kind="panel")


def best_by_task(table: pl.DataFrame, summary: Mapping[str, Any]) -> Markup:
    """Every task's logit of the best design and of its start: what else moved."""
    best = table.row(0, named=True)
    tasks = [*summary["tasks"], *(task for task in summary["model"]["tasks"] if task not in summary["tasks"])][
        :_TASKS
    ]
    ends = np.array([(best[f"start_logit_{task}"], best[f"logit_{task}"]) for task in tasks])
    x, y = figures.scales(_limits(ends), (len(tasks) - 0.5, -0.5))
    x = x._replace(start=_NAMES)
    parts = [svg.text(12, 18, f"{best['name']}: every task", class_="panel-title")]
    for value in svg.ticks(x.low, x.high, 4):
        at = svg.short(x(value))
        parts.append(tag("line", x1=at, x2=at, y1=y.start, y2=y.stop, class_="grid"))
        parts.append(svg.text(at, y.start + 14, svg.plain(value), text_anchor="middle"))
    name = {"text_anchor": "middle", "class_": "axis-name"}
    parts.append(svg.text((x.start + x.stop) / 2, y.start + 29, "Logit: open start, full design", **name))
    for row, (task, (start, end)) in enumerate(zip(tasks, ends, strict=True)):
        at, style = svg.short(y(row)), "s0" if task in summary["tasks"] else "base"
        marks = [
            svg.hover(f"{task}: {number(start)} to {number(end)}"),
            tag("line", x1=svg.short(x(start)), x2=svg.short(x(end)), y1=at, y2=at, class_="whisker"),
            tag("circle", cx=svg.short(x(start)), cy=at, r=3.2, class_="kept"),
            tag("circle", cx=svg.short(x(end)), cy=at, r=3.6, class_="dot"),
        ]
        parts.append(svg.text(_NAMES - 8, y(row) + 3.5, task[:_LONGEST], text_anchor="end"))
        parts.append(tag("g", marks, class_=style))
    label = "; ".join(f"{task} {number(a)} to {number(b)}" for task, (a, b) in zip(tasks, ends, strict=True))
    return svg.drawing(
        figures.WIDTH, figures.HEIGHT, parts, label=f"Logits from start to design: {label}", kind="panel"
    )


def judged(table: pl.DataFrame) -> Markup | None:
    """The gain that the own model sees against the least that a judge sees; nothing without judges."""
    if "judges_worst_gain" not in table.columns:
        return None
    own, least = table["gain"].to_numpy(), table["judges_worst_gain"].to_numpy()
    x, y = figures.scales(_limits(own, with_zero=True), _limits(least, with_zero=True))
    marks = (svg.ticks(x.low, x.high, 4), svg.ticks(y.low, y.high, 4))
    names = ("Gain to its own model", "Least gain to a judge")
    x = x._replace(start=_TICKS)
    parts = figures.frame("Does it convince the judges?", x, y, names=names, marks=marks)
    parts.append(tag("line", x1=x.start, x2=x.stop, y1=svg.short(y(0)), y2=svg.short(y(0)), class_="chance"))
    for rank, (name, a, b) in enumerate(zip(table["name"], own, least, strict=True)):
        said = svg.hover(f"{name}: own model {number(a)}, worst judge {number(b)}")
        dot = tag("circle", said, cx=svg.short(x(a)), cy=svg.short(y(b)), r=3.2, class_="dot")
        parts.append(tag("g", dot, class_=f"s{rank}" if rank < _COLOURED else "base"))
    label = "Gain of each design to its own model against the least gain to a judge"
    return svg.drawing(figures.WIDTH, figures.HEIGHT, parts, label=label, kind="panel")


def _limits(values: np.ndarray, *, with_zero: bool = False) -> tuple[float, float]:
    low, high = float(np.min(values)), float(np.max(values))
    low, high = (min(low, 0.0), max(high, 0.0)) if with_zero else (low, high)
    step = 10.0 ** np.floor(np.log10(max(high - low, 1e-3) / 4))
    return svg.span([low, high], step=float(step))


# ---------------------------------------------------------------------------------------------- table

_LABELS = {
    "start": "Start",
    "start_score": "Start's score",
    "score": "Score",
    "judges_worst": "Judges' worst",
    "judges_worst_gain": "Least gain to a judge",
    "edits": "Edits",
    "gc": "GC",
    "closest": "Closest design",
}


def _shown(table: pl.DataFrame, summary: Mapping[str, Any]) -> list[str]:
    """Columns behind the name; probabilities and percentiles of the target's tasks alone."""
    judges = [c for c in table.columns if c.startswith("score_")]
    first = ["start", "start_score", "score", "judges_worst", "judges_worst_gain", *judges, "edits", "gc", "closest"]
    said = [f"{kind}_{task}" for kind in ("probability", "percentile") for task in summary["tasks"]]
    return [name for name in first + said if name in table.columns]


def _label(name: str) -> str:
    for start, word in (("score_", "Score: "), ("probability_", "Probability: "), ("percentile_", "Percentile: ")):
        if name.startswith(start):
            return word + name.removeprefix(start).replace("_", " ")
    return _LABELS[name]


def _rows(table: pl.DataFrame, summary: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    shown = _shown(table, summary)
    for row in table.iter_rows(named=True):
        cells = [row[name] for name in shown]
        digits = [1 if name.startswith("percentile_") else 3 for name in shown]
        yield row["name"], [_cell(value, n) for value, n in zip(cells, digits, strict=True)]


def _cell(value: Any, digits: int) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return value if isinstance(value, str) else number(value, digits)


# ---------------------------------------------------------------------------------------------- sequences


def _sequence(row: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """A design's name, one line of facts, and its lines of bases with what was edited marked."""
    design, start = row["sequence"], row["start_sequence"]
    fixed = np.zeros(len(design), bool)
    left, right = settings["flanks"]
    fixed[: len(left)] = True
    fixed[len(design) - len(right) :] = True
    for begin, end in settings["keep"]:
        fixed[begin:end] = True
    lines = [
        (begin, _bases(design, start, fixed, range(begin, min(begin + _LINE, len(design)))))
        for begin in range(0, len(design), _LINE)
    ]
    worst = f", judges' worst {number(row['judges_worst'])}" if "judges_worst" in row else ""
    said = f"score {number(row['score'])}{worst}; {row['edits']} edits from {row['start']}, {row['gc']:.1%} GC"
    return {"name": row["name"], "said": said, "lines": lines, "text": design}


def _bases(design: str, start: str, fixed: Sequence[bool] | np.ndarray, places: range) -> Markup:
    """One line; an edited base is marked, a fixed one grey; a gap after each group of ten."""
    out = []
    for place in places:
        if place > places.start and (place - places.start) % _GROUP == 0:
            out.append(" ")
        base = design[place]
        if base != start[place]:
            out.append(tag("mark", base, title=f"{place}: {start[place]}>{base}"))
        elif fixed[place]:
            out.append(tag("i", base))
        else:
            out.append(str(escape(base)))
    return Markup("".join(out))


# ---------------------------------------------------------------------------------------------- settings


def _settings(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was asked for, a row a fact."""
    asked, counts, model = summary["settings"], summary["counts"], summary["model"]
    steps = {"greedy": "substitutions", "evolution": "generations", "gradient": "iterations"}[asked["method"]]
    apart = "; ".join(f"{n} substitutions at {length} bases" for length, n in asked["apart"].items())
    facts = {
        "Target": summary["target"],
        "Maximised": summary["objective"],
        "Model": f"{model['name']} ({model['model']}, {model['parameters'] or 0:,} parameters)",
        "Judges": ", ".join(summary["judges"]) or "none",
        "Ranked by": summary["ranked_by"],
        "Method": f"{asked['method']}, at most {asked['steps']:,} {steps}"
        + (f", {asked['population']:,} sequences each" if asked["method"] == "evolution" else ""),
        "Starts": f"{counts['starts']:,} from {summary['from']}",
        "GC": "{:g} to {:g}".format(*asked["gc"]) if asked["gc"] else "any",
        "Forbidden sites": ", ".join(asked["forbid"]) or "none",
        "Kept": ", ".join(f"{a}:{b}" for a, b in asked["keep"]) or "nothing",
        "Flanks": " … ".join(f or "none" for f in asked["flanks"]) if any(asked["flanks"]) else "none",
        "Most edits": f"{asked['max_edits']:,}" if asked["max_edits"] else "any number",
        "Kept apart by": f"at least {apart}, on either strand",
        "Seed": str(asked["seed"]),
        "encre": " · ".join(str(v) for v in (summary["provenance"]["encre"], summary["provenance"]["git"]) if v),
    }
    return list(facts.items())
