"""One self-contained HTML page about evaluated runs; it works offline, in light and dark, and on paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from encre.evaluation.runs import compare_runs
from encre.evaluation.summary import Finding, findings, group_label, number
from encre.files import staged_file
from encre.report import background, motif_section, sections, signal_section, trust_section
from encre.report.folders import RunView, read_runs
from encre.report.pages import render_page
from encre.reproducibility import version


def write_report(
    runs: Sequence[str | Path] | str | Path, *, out: str | Path | None = None, notes: Sequence[str] = ()
) -> Path:
    """Write the report of evaluated runs over one dataset.

    Parameters
    ----------
    runs
        Run folders that `encre evaluate` has judged; the first gives the page its place.
    out
        The HTML file; by default ``report.html`` in the first run folder.
    notes
        Sentences to put under the findings, for example about reduced budgets.

    Returns
    -------
    Path
        Where the page lies.

    Raises
    ------
    MissingFileError, FolderError
        When a run is not there, not evaluated, or damaged.
    DataError
        When the runs are about different datasets.
    """
    paths = [runs] if isinstance(runs, str | Path) else list(runs)
    views = read_runs(paths)
    place = Path(out) if out is not None else Path(paths[0]) / "report.html"
    page = render(views, notes=notes)
    with staged_file(place) as staged:
        staged.write_text(page, encoding="utf-8")
    return place


def render(views: Sequence[RunView], *, notes: Sequence[str] = ()) -> str:
    """The page as text."""
    first = views[0].evaluation
    pairs: list[Mapping[str, Any]] = []
    if len(views) > 1:
        paths = [view.path for view in views]
        settings = {"split": first["split"], "seed": first["seed"], "resamples": first["resamples"]}
        pairs = compare_runs(paths, **settings)["pairs"]
    context = _context(views, pairs, notes=notes)
    return render_page("page.html.j2", context, number=number, percent=_percent, words=group_label)


def _context(views: Sequence[RunView], pairs: Sequence[Mapping[str, Any]], *, notes: Sequence[str]) -> dict[str, Any]:
    """Everything that the template shows."""
    first, data = views[0].evaluation, background.data_section(views[0])
    said = findings({view.name: view.evaluation for view in views}, pairs=pairs)
    lead = said[:2] if len(said) > 1 and said[1].tone == "good" else said[:1]
    others = [
        *said[len(lead) :],
        *background.data_findings(views[0].data),
        *background.budget_findings(views),
        *(Finding(note) for note in notes),
    ]
    return {
        "views": views,
        "title": data.get("name") or "Evaluation",
        "lead": " ".join(finding.text for finding in lead),
        "findings": others,
        "evaluation": first,
        "held_out": _held_out(views[0]),
        "skill": sections.skill(views),
        "differences": sections.differences(views, pairs),
        "bars": sections.task_bars(views),
        "tables": sections.task_tables(views),
        "details": [sections.details(view) for view in views],
        "curves": sections.task_curves(views),
        "against": sections.against(views),
        "reliability": sections.calibration_panels(views),
        "fitted": trust_section.fitted_words(views),
        "coverage": trust_section.coverage_tables(views),
        "learning": sections.learning(views),
        "motifs": motif_section.motif_sections(views),
        "signals": signal_section.signal_sections(views, pairs),
        "data": data,
        "provenance": background.provenance_rows(views),
        "reference": sections.strongest_baseline(views),
        "reference_label": sections.label(sections.strongest_baseline(views) or ""),
        "version": version(),
        "made": (first.get("provenance") or {}).get("created", "")[:10],
    }


def _held_out(view: RunView) -> str:
    """The chromosomes of the judged rows, in words."""
    names = view.predictions["chrom"].drop_nulls().unique().to_list()
    if not names:
        return "held-out rows"
    ordered = sorted(names, key=lambda name: (len(name), name))
    return ", ".join(ordered) if len(ordered) <= 8 else f"{len(ordered)} chromosomes"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"
