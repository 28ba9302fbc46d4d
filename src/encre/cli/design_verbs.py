"""`encre design`: sequences whose logits go where the target says, under constraints, judged by other models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from encre.cli.session import EPILOG, Session, session_of

if TYPE_CHECKING:
    from rich.console import Console

    from encre.interpret.design.designs import Designs

#: Rows on the terminal.
_SHOWN = 20

_Run = Annotated[str | None, typer.Option(metavar="RUN", help="Run folder; the shipped model if absent.")]
_Judges = Annotated[list[str] | None, typer.Option(metavar="RUN", help="Another model that re-scores; repeatable.")]
_Start = Annotated[str, typer.Option(metavar="random|genome|FILE|REGION", help="Where designs begin.")]
_Count = Annotated[int, typer.Option(help="Designs: in all, or for each given start.")]
_Steps = Annotated[int | None, typer.Option(help="Substitutions (50), generations (60) or iterations (300) at most.")]
_Gc = Annotated[str | None, typer.Option(metavar="LOW-HIGH", help="Share of G and C of a design, as 0.4-0.6.")]
_Forbid = Annotated[list[str] | None, typer.Option(metavar="SITE", help="IUPAC, on neither strand; repeatable.")]
_Keep = Annotated[list[str] | None, typer.Option(metavar="A:B", help="Bases to keep, 0-based half-open; repeatable.")]
_Apart = Annotated[int | None, typer.Option(help="Fewest substitutions between two designs; else 5 % of the length.")]
_Shuffle = Annotated[bool, typer.Option("--shuffle", help="Shuffle given starts, keeping dinucleotides.")]


def add_to(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command(epilog=EPILOG)(design)


def design(
    context: typer.Context,
    *,
    target: Annotated[str, typer.Option(help="As 'heart up 2, brain down, lung = 1.5' (a logit).")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="New folder to write.")],
    model: _Run = None,
    judge: _Judges = None,
    start: _Start = "random",
    genome: Annotated[Path | None, typer.Option(metavar="FA", help="Genome for regions and windows.")] = None,
    assembly: Annotated[str, typer.Option(help="What the genome is said to be.")] = "GRCh38",
    method: Annotated[str, typer.Option(help="greedy, evolution or gradient.")] = "greedy",
    count: _Count = 1,
    length: Annotated[int | None, typer.Option(help="Bases; else what the model reads.")] = None,
    steps: _Steps = None,
    population: Annotated[int, typer.Option(help="Sequences of a generation (evolution).")] = 100,
    gc: _Gc = None,
    start_gc: Annotated[float | None, typer.Option(help="Expected GC of random starts.")] = None,
    forbid: _Forbid = None,
    keep: _Keep = None,
    left: Annotated[str, typer.Option(metavar="DNA", help="First bases of every design.")] = "",
    right: Annotated[str, typer.Option(metavar="DNA", help="Last bases of every design.")] = "",
    max_edits: Annotated[int | None, typer.Option(help="Most substitutions from the start.")] = None,
    apart: _Apart = None,
    shuffle: _Shuffle = False,
) -> None:
    """Design sequences to a target with a model.

    Writes FASTA, tables, the searches' trajectories and design.html. Every design satisfies every constraint.
    """
    from encre.interpret.design.settings import read_interval, read_range

    settings = {"method": method, "count": count, "length": length, "steps": steps, "population": population}
    settings |= {"gc": read_range(gc) if gc else None, "start_gc": start_gc, "flanks": (left, right), "apart": apart}
    sites = [site for word in forbid or [] for site in word.split(",")]
    settings |= {"forbid": sites, "keep": [read_interval(k) for k in keep or []], "max_edits": max_edits}
    settings |= {"shuffle": shuffle, "seed": session_of(context).seed or 0}
    models, begin = (model, judge or []), (start, genome, assembly)
    _design(session_of(context), target, out, models=models, begin=begin, settings=settings)


def _design(
    session: Session,
    target: str,
    out: Path,
    *,
    models: tuple[str | None, list[str]],
    begin: tuple[str, Path | None, str],
    settings: dict[str, Any],
) -> None:
    """Check what can be checked without torch, design, write the folder and its page, and say how it went."""
    from encre.files import refuse_occupied, staged_folder
    from encre.interpret.design.settings import DesignSettings
    from encre.predict.inputs import check_source, open_genome

    DesignSettings.parse(settings, where="design")
    refuse_occupied(out)
    start, genome, assembly = begin
    if start not in ("random", "genome"):
        check_source(start)
    from encre.interpret.design.designs import design as go
    from encre.predict.predictor import load
    from encre.report.design_page import write_design_page

    model, *judges = [load(path, device=session.device or "auto") for path in (models[0], *models[1])]
    for line in model.introduction:
        session.say(line)
    opened = genome and open_genome(genome, assembly=assembly, why=start, progress=session.progress)
    found = go(model, target, start=start, genome=opened, judges=judges, progress=session.progress, **settings)
    with staged_folder(out) as staged:
        found.write(staged)
        write_design_page(staged)
    session.show(
        found.summary | {"out": str(out), "designs": found.table.to_dicts()},
        lambda console: _draw(console, found, out),
    )


def _draw(console: Console, found: Designs, out: Path) -> None:
    """The designs as a table, and what should be known about them."""
    from rich.table import Table

    from encre.evaluation.summary import number

    shown = Table(title=f"maximise {found.summary['objective']}", title_justify="left", box=None)
    columns = ["name", "start", "start_score", "score", "judges_worst", "judges_worst_gain", "edits", "gc", "closest"]
    columns = [name for name in columns if name in found.table.columns]
    for name in columns:
        shown.add_column(name.replace("_", " "), justify="left" if name in ("name", "start") else "right")
    for row in found.table.head(_SHOWN).select(columns).iter_rows():
        shown.add_row(*[number(value) if isinstance(value, float) else str(value) for value in row])
    console.print(shown)
    if (more := found.table.height - _SHOWN) > 0:
        console.print(f"… and {more:,} more.")
    for note in (found.summary["judged"], *found.summary["notes"]):
        if note:
            console.print(note, markup=False)
    console.print(f"Designs: {out / 'designs.fasta'}; page: {out / 'design.html'}", markup=False)
