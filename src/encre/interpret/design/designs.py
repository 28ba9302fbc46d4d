"""Design sequences to a target: starts -> search under constraints -> judged, ranked table -> folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from encre.errors import ConfigError
from encre.files import write_json
from encre.interpret.design.constraints import Constraints
from encre.interpret.design.gradient import check_gradient
from encre.interpret.design.problem import Problem
from encre.interpret.design.search import Design, search_all
from encre.interpret.design.settings import DesignSettings
from encre.interpret.design.starts import Source, Starts, make_starts
from encre.interpret.design.table import design_table
from encre.interpret.design.target import Objective
from encre.predict.outputs import as_text
from encre.progress import SILENT, Progress
from encre.reproducibility import provenance

if TYPE_CHECKING:
    from encre.genome.store import Genome
    from encre.predict.predictor import Predictor

FORMAT = {"kind": "design", "version": 1}

NOT_JUDGED = (
    "No judge was given: these designs were never scored by anything but the model that they were designed with. "
    "A search finds a model's mistakes as readily as biology; judge them with --judge RUN, a model that was trained "
    "on other data or has another architecture."
)


@dataclass(frozen=True)
class Designs:
    """Designs, ranked.

    Parameters
    ----------
    table
        A row a design; see :func:`encre.interpret.design.table.design_table`.
    paths
        ``name``, ``step``, ``score``, ``edits``: the best sequence after each step of each design's search (for the
        gradient, the means of each iteration's samples).
    summary
        Plain values: target, settings, models, counts, notes, provenance.
    """

    table: pl.DataFrame
    paths: pl.DataFrame
    summary: dict[str, Any]

    def write(self, folder: str | Path) -> None:
        """Write ``designs.fasta``, ``.tsv``, ``.parquet``, ``trajectory.tsv`` and ``design.json`` into a folder."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "designs.fasta").write_text(self.to_fasta(), encoding="utf-8")
        (folder / "designs.tsv").write_text(as_text(self.table), encoding="utf-8")
        self.table.write_parquet(folder / "designs.parquet")
        (folder / "trajectory.tsv").write_text(as_text(self.paths), encoding="utf-8")
        write_json(folder / "design.json", self.summary)

    def to_fasta(self) -> str:
        """The designs as FASTA; a header holds name, scores, start, edits and GC."""
        lines = []
        for row in self.table.iter_rows(named=True):
            judged = f" judges_worst={row['judges_worst']:.4f}" if "judges_worst" in row else ""
            lines.append(
                f">{row['name']} score={row['score']:.4f}{judged} start={row['start']} "
                f"start_score={row['start_score']:.4f} edits={row['edits']} gc={row['gc']:.3f}\n{row['sequence']}\n"
            )
        return "".join(lines)


def design(
    model: Predictor,
    target: str,
    *,
    start: Source = "random",
    genome: Genome | str | Path | None = None,
    judges: Sequence[Predictor] = (),
    progress: Progress = SILENT,
    **settings: Any,
) -> Designs:
    """Design sequences whose logits go where the target says.

    Parameters
    ----------
    model
        From :func:`encre.load`.
    target
        As ``"heart up 2, brain down, lung = 1.5"``: a weighted sum of logits (up), minus it (down), or minus the
        distance from a logit.
    start
        ``"random"``, ``"genome"`` (random windows of known bases), a file or region, records, or strings.
    genome
        Open genome, or the FASTA or 2bit of GRCh38, for regions and windows.
    judges
        Other models; designs are ranked by the worst of their scores. They take no part in the search.
    **settings
        Of :class:`~encre.interpret.design.settings.DesignSettings`: ``method``, ``count``, ``gc``, ``forbid`` …

    Returns
    -------
    Designs
        Every one satisfies every constraint.

    Raises
    ------
    ConfigError, SequenceError
        For a target or constraints that cannot be, before any search.
    """
    chosen = DesignSettings.parse(settings, where="design")
    objective = Objective.parse(target, model.tasks)
    named = _named_judges(judges, model, objective)
    if chosen.method == "gradient":
        check_gradient(model.model)
    problem = Problem(model.model, objective, Constraints(chosen))
    starts = make_starts(start, problem.constraints, model, genome=genome, progress=progress)
    _check_judges(named, starts)
    found, alike = search_all(problem, starts, progress=progress)
    table = design_table(found, starts, objective, model, named)
    summary = _summary(target, problem, starts, table=table, alike=alike, models=(model, named))
    return Designs(table.drop("search"), _paths(found, table), summary | {"from": _source_words(start)})


def _named_judges(judges: Sequence[Predictor], model: Predictor, objective: Objective) -> dict[str, Predictor]:
    """Judges by name; refuses the model itself, one judge twice, and a judge that lacks a task of the target."""
    named: dict[str, Predictor] = {}
    for judge in judges:
        for other in (model, *named.values()):
            if judge.path.resolve() == other.path.resolve():
                which = "the model that designs" if other is model else "another judge"
                raise ConfigError(f"the judge {judge.name} is {which}", remedy="Give another run, or leave it out.")
        if lacking := objective.lacking(judge.tasks):
            raise ConfigError(
                f"the judge {judge.name} does not predict '{lacking[0]}', which the target names",
                got=f"tasks {', '.join(judge.tasks.names)}",
            )
        name = judge.name
        while name in named:
            name += "_"
        named[name] = judge
    return named


def _check_judges(named: dict[str, Predictor], starts: Starts) -> None:
    shortest = min(len(codes) for codes in starts.codes)
    for name, judge in named.items():
        if shortest < judge.shortest:
            raise ConfigError(
                f"the judge {name} cannot read a design of {shortest} bases", expected=f"at least {judge.shortest}"
            )


def _source_words(start: Source) -> str:
    return str(start) if isinstance(start, str | Path) else "given sequences"


def _judged_words(table: pl.DataFrame, judges: dict[str, Predictor]) -> str:
    """How many designs convince the judges, in words."""
    if not judges:
        return NOT_JUDGED
    better = int((table["judges_worst_gain"] > 0).sum())
    return f"{better:,} of {table.height:,} designs are better than their start to every judge: {', '.join(judges)}."


def _paths(found: Sequence[Design], table: pl.DataFrame) -> pl.DataFrame:
    """The trajectories under the names that the ranking gave."""
    rows = [
        (name, *step) for name, search in table.select("name", "search").iter_rows() for step in found[search].path
    ]
    return pl.DataFrame(rows, schema=["name", "step", "score", "edits"], orient="row")


def _summary(
    target: str,
    problem: Problem,
    starts: Starts,
    *,
    table: pl.DataFrame,
    alike: int,
    models: tuple[Predictor, dict[str, Predictor]],
) -> dict[str, Any]:
    model, judges = models
    notes = list(starts.notes)
    if still := int((table["edits"] == 0).sum()):
        notes.append(f"{still:,} of {table.height:,} designs are their start: no edit improved it.")
    if alike:
        notes.append(f"Designs that were asked for and could not be kept apart from the others: {alike:,}.")
    lengths = table["length"].unique().sort().to_list()
    for name, judge in judges.items():
        if lengths[-1] > judge.window:
            notes.append(
                f"The judge {name} reads {judge.window:,} bases at a time: of longer designs it scores windows that "
                "overlap by half, and their mean counts."
            )
    return {
        "format": FORMAT,
        "target": target,
        "objective": str(problem.objective),
        "tasks": [term.task for term in problem.objective.terms],
        "settings": problem.settings.model_dump(mode="json")
        | {"steps": problem.settings.budget, "apart": {str(n): problem.settings.distance(n) for n in lengths}},
        "model": model.describe(with_path=False),
        "judges": {name: judge.describe(with_path=False) for name, judge in judges.items()},
        "judged": _judged_words(table, judges),
        "ranked_by": "the worst score of the judges" if judges else "the model's own score",
        "counts": {
            "starts": len(starts.names),
            "asked": len(starts.names) * starts.each,
            "designs": table.height,
            "left_out_as_alike": alike,
        },
        "notes": notes,
        "provenance": provenance(),
    }
