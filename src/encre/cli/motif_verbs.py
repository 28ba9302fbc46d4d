"""`encre motifs`: what motifs a model has learnt, what they are called, what they do, alone and in pairs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from encre.cli.session import EPILOG, Session, session_of
from encre.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from encre.predict.inputs import Records
    from encre.predict.predictor import Predictor

#: Pairs on the terminal; all are in spacing.tsv.
_SHOWN = 4

_SOURCE = "Sequences or regions as in predict, or a dataset folder."
_Source = Annotated[str | None, typer.Argument(metavar="FILE|REGION|DATASET", help=_SOURCE)]
_Run = Annotated[str | None, typer.Option(metavar="RUN", help="Run folder; the shipped model if absent.")]
_Genome = Annotated[Path | None, typer.Option(metavar="FA", help="Genome (FASTA or 2bit) for regions.")]
_Split = Annotated[str, typer.Option(help="Of a dataset folder: test, valid or train.")]
_Database = Annotated[Path | None, typer.Option(metavar="MEME", help="Motifs to name patterns after.")]
_Task = Annotated[list[str] | None, typer.Option(help="Whose contributions; all if absent. Repeatable.")]
_METHOD = "Of contributions: ism, gradient_x_input, integrated_gradients, deeplift or shap."
_READY = "Folder of `encre explain` (ohe.npz, shap.npz) instead of sequences."
_Ready = Annotated[Path | None, typer.Option(metavar="DIR", help=_READY)]
_Hits = Annotated[str, typer.Option(help="What FIMO looks for: named (motifs found), database or none.")]
_GIVEN = "Sequences of one length to insert motifs into; else dinucleotide shuffles."
_Backgrounds = Annotated[Path | None, typer.Option(metavar="FILE", help=_GIVEN)]
_Shuffles = Annotated[int, typer.Option(help="How many shuffles motifs are inserted into.")]
_Everything = Annotated[bool, typer.Option("--marginalise-database", help="Insert every database motif as well.")]


def add_to(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command(epilog=EPILOG)(motifs)


def motifs(
    context: typer.Context,
    source: _Source = None,
    *,
    model: _Run = None,
    genome: _Genome = None,
    assembly: Annotated[str, typer.Option(help="What the genome is said to be.")] = "GRCh38",
    split: _Split = "test",
    database: _Database = None,
    task: _Task = None,
    method: Annotated[str, typer.Option(help=_METHOD)] = "ism",
    contributions: _Ready = None,
    most: Annotated[int, typer.Option(help="Sequences at most; of more, so many are drawn.")] = 2000,
    hits: _Hits = "named",
    backgrounds: _Backgrounds = None,
    shuffles: _Shuffles = 100,
    pairs: Annotated[int, typer.Option(help="Most frequent motifs to insert in pairs; 0 for none.")] = 4,
    marginalise_database: _Everything = False,
    precision: Annotated[str, typer.Option(help="fp32, bf16 or auto.")] = "fp32",
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="New folder; RUN/motifs if absent.")] = None,
) -> None:
    """Find the motifs that a model has learnt.

    Writes patterns with names and logos, their hits, their effects in other sequences and what pairs of them do at
    each distance. In RUN/motifs, `encre report RUN` shows them.
    """
    session = session_of(context)
    given = {"most": most, "hits": hits, "backgrounds": shuffles, "pair_motifs": pairs, "seed": session.seed or 0}
    given |= {"marginalise_database": marginalise_database}
    files = {"genome": genome, "assembly": assembly, "split": split, "database": database}
    files |= {"contributions": contributions, "backgrounds": backgrounds}
    _motifs(session, source, model, out, files=files, given=given, how=(method, precision, task or []))


def _motifs(
    session: Session,
    source: str | None,
    model: str | None,
    out: Path | None,
    *,
    files: dict[str, Any],
    given: dict[str, Any],
    how: tuple[str, str, list[str]],
) -> None:
    """Check what is given, find the motifs, write and show them."""
    if (source is None) == (files["contributions"] is None):
        raise ConfigError("motifs are looked for in sequences or in ready contributions", expected="one of the two")
    if out is None and model is None:
        raise ConfigError("there is no run folder to write into", remedy="Name a new folder with --out.")
    from encre.files import refuse_occupied
    from encre.interpret.motifs.settings import MotifSettings, check_extras
    from encre.interpret.settings import AttributionSettings
    from encre.sequence.meme import read_meme

    place = out or Path(str(model)) / "motifs"
    refuse_occupied(place)
    settings = MotifSettings.parse(given, where="motifs")
    method, precision, tasks = how
    attribution = AttributionSettings(method, seed=settings.seed, precision=precision)  # pyright: ignore[reportArgumentType]
    database = read_meme(files["database"]) if files["database"] else []
    check_extras()
    from encre.interpret.motifs.contributions import read_contributions
    from encre.interpret.motifs.files import write_motifs
    from encre.interpret.motifs.finding import MotifInputs, find_motifs
    from encre.predict.predictor import load

    ready = read_contributions(files["contributions"], tasks) if files["contributions"] else None
    predictor = load(model, device=session.device or "auto")
    for line in predictor.introduction:
        session.say(line)
    records = None if source is None else _records(session, source, predictor, files)
    backgrounds = _records(session, files["backgrounds"], predictor, files) if files["backgrounds"] else None
    inputs = MotifInputs(records, database, ready, backgrounds)
    found = find_motifs(predictor, inputs, tasks=tasks, settings=settings, how=attribution, progress=session.progress)
    name = files["database"].name if files["database"] else ""
    values = write_motifs(found, place, predictor=predictor, settings=settings, database=name)
    session.show(values | {"out": str(place)}, lambda console: _draw(console, values, place))


def _records(session: Session, source: str | Path, predictor: Predictor, files: dict[str, Any]) -> Records:
    """What predict reads, or a split of a dataset folder."""
    from encre.predict.inputs import Records, read_inputs

    if not Path(source).is_dir():
        where = {"genome": files["genome"], "assembly": files["assembly"], "width": predictor.region_width}
        return read_inputs(source, progress=session.progress, **where)
    from encre.data.dataset import Dataset

    subset = Dataset.open(source).subset(files["split"])
    rows = subset.elements
    named = "accession" if "accession" in rows.columns else "group"
    placed = rows["chrom"].null_count() == 0
    where = {"chrom": rows["chrom"].to_list(), "start": rows["start"].to_numpy(), "end": rows["end"].to_numpy()}
    return Records(
        rows[named].to_list(), subset.codes, subset.offsets, **(where if placed else {}), source=str(source)
    )


def _draw(console: Console, values: dict[str, Any], place: Path) -> None:
    """A row a motif, then whether distance matters, then the counts."""
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for head in ("motif", "consensus", "name", "q", "seqlets", "hits", "effect on its task"):
        table.add_column(head, justify="left" if head in ("motif", "consensus", "name") else "right")
    for motif in values["motifs"]:
        effect = motif["effects"][motif["task"]]
        shown = "wider than the backgrounds"
        if effect["mean"] is not None:
            shown = f"{effect['mean']:+.2f} ({effect['low']:+.2f} to {effect['high']:+.2f})"
        q = f"{motif['matches'][0]['q_value']:.1g}" if motif["matches"] else ""
        hits = "" if motif["hits"] is None else f"{motif['hits']:,}"
        cells = (motif["name"], motif["consensus"], motif["called"] or "-", q, f"{motif['seqlets']:,}", hits, shown)
        table.add_row(*cells)
    if values["motifs"]:
        console.print(table)
    clear = [spacing["statement"] for spacing in values["spacing"] if spacing["matters"]]
    if values["spacing"]:
        console.print(f"Distance matters in {len(clear)} of {len(values['spacing'])} pairs, orientations and tasks.")
    for statement in clear[:_SHOWN]:
        console.print(f"  {statement}", markup=False)
    for task in values["seqlets"]:
        said = f"{task['task']}: {task['positive']:,} + {task['negative']:,} seqlets that raise and lower its logit"
        console.print(
            f"{said}, {task['in_patterns']:,} in patterns.{' ' + task['note'] + '.' if task['note'] else ''}"
        )
    for note in values["notes"]:
        console.print(note, markup=False)
    console.print(f"{len(values['motifs'])} motifs of {values['sequences']:,} sequences in {place}")
