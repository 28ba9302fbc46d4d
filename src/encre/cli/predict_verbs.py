"""`encre predict`: score a file of sequences or regions, or one region."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from encre.cli.session import EPILOG, Session, session_of

if TYPE_CHECKING:
    from encre.predict.predictor import Predictor
    from encre.predict.scores import Scores

_SOURCE = "FASTA, BED, narrowPeak, broadPeak, GFF, GTF, CSV, TSV, Parquet, a region (1-based), or - for stdin."
_OUT = ".tsv, .csv, .parquet, .bed, or .narrowPeak (the input annotated); else TSV on stdout."


def add_to(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    app.command(epilog=EPILOG)(predict)


def predict(
    context: typer.Context,
    source: Annotated[str, typer.Argument(metavar="FILE|REGION|-", help=_SOURCE)],
    *,
    model: Annotated[str | None, typer.Option(metavar="RUN", help="Run folder; the shipped model if absent.")] = None,
    genome: Annotated[Path | None, typer.Option(metavar="FA", help="Genome (FASTA or 2bit) for regions.")] = None,
    assembly: Annotated[str, typer.Option(help="What the genome is said to be.")] = "GRCh38",
    out: Annotated[Path | None, typer.Option(metavar="FILE", help=_OUT)] = None,
    task: Annotated[
        str | None, typer.Option(help="Whose probability is a BED's score; else the first task's.")
    ] = None,
    base_rate: Annotated[
        list[str] | None,
        typer.Option(metavar="[TASK=]SHARE", help="Share of positives to correct probabilities to. Repeatable."),
    ] = None,
    combine: Annotated[str, typer.Option(help="Windows of a long sequence: mean or max of their logits.")] = "mean",
    precision: Annotated[str, typer.Option(help="fp32, bf16 (faster where the machine has it) or auto.")] = "fp32",
    signal: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=BW", help="A signal track that the model reads, as bigWig. Repeatable."),
    ] = None,
    conformal: Annotated[
        float | None,
        typer.Option(metavar="LEVEL", help="Add sets of answers that hold the true one so often (0.9)."),
    ] = None,
    skip_unscorable: Annotated[
        bool, typer.Option("--skip-unscorable", help="List rows of only N, or too short, apart.")
    ] = False,
) -> None:
    """Score sequences or regions with a model.

    Writes logits, calibrated probabilities and percentiles (among the model's background) per task, both
    strands averaged; of an ensemble also its members' spread. A sequence longer than the model's window is
    covered by windows that overlap by half.
    """
    from encre.predict.base_rate import read_base_rate
    from encre.predict.inputs import check_source, read_inputs
    from encre.predict.outputs import check_output
    from encre.predict.region_outputs import FORMS, bed_task, check_regions
    from encre.predict.scores import Scoring
    from encre.predict.tracks import read_signals

    session = session_of(context)
    how = Scoring(combine, precision, read_base_rate(base_rate), skip_unscorable, conformal)
    check_output(out, forms=FORMS)
    check_source(source)  # a wrong name is said at once, before torch is loaded
    from encre.predict.predictor import load

    signals = read_signals(signal)
    predictor = load(model, device=session.device or "auto", signals=signals, assembly=assembly)
    scored_task = bed_task(predictor, task, out)
    for line in predictor.introduction:
        session.say(line)
    width, progress = predictor.region_width, session.progress
    records = read_inputs(source, genome=genome, assembly=assembly, width=width, progress=progress)
    check_regions(records, out)
    scores = predictor.score(records, how, progress=progress)
    _hand_over(session, scores, predictor=predictor, out=out, task=scored_task)


def _hand_over(session: Session, scores: Scores, *, predictor: Predictor, out: Path | None, task: str | None) -> None:
    """Write the output file, or put the table on stdout; list apart what could not be scored."""
    from encre.predict.outputs import with_model, write_text
    from encre.predict.region_outputs import write_scores, write_unscorable

    how, counts = asdict(scores.how), scores.counts._asdict()
    summary = {"model": predictor.describe(), "how": how, "rows": scores.table.height, "counts": counts}
    if out is not None:
        write_scores(scores, out, predictor=predictor, task=task)
        apart = write_unscorable(scores, out)
        summary |= {"out": str(out), "score_task": task, "unscorable": apart}
        listed = f"; {scores.unscorable.height:,} apart in {apart}" if apart else ""
        session.show(summary, lambda console: console.print(f"{scores.table.height:,} rows in {out}{listed}"))
        return
    for name, reason in scores.unscorable.select("name", "reason").iter_rows():
        session.say(f"Not scored: {name}: {reason}")
    table = with_model(scores.table, predictor.name)
    if session.json:
        apart = scores.unscorable.to_dicts()
        session.show(summary | {"out": None, "unscorable": apart, "predictions": table.to_dicts()}, lambda _: None)
    else:
        write_text(table)
