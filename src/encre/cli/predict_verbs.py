"""`encre predict`: score a file of sequences or regions, or one region."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from encre.cli.session import EPILOG, session_of


def add_to(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    app.command(epilog=EPILOG)(predict)


def predict(
    context: typer.Context,
    source: Annotated[
        str, typer.Argument(metavar="FILE|REGION", help="FASTA, BED, narrowPeak, CSV, TSV, Parquet, or a region.")
    ],
    *,
    model: Annotated[str | None, typer.Option(metavar="RUN", help="Run folder; the shipped model if absent.")] = None,
    genome: Annotated[Path | None, typer.Option(metavar="FA", help="Genome (FASTA or 2bit) for regions.")] = None,
    assembly: Annotated[str, typer.Option(help="What the genome is said to be.")] = "GRCh38",
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help=".tsv, .csv, .parquet; else TSV on stdout.")
    ] = None,
    combine: Annotated[str, typer.Option(help="Windows of a long sequence: mean or max of their logits.")] = "mean",
) -> None:
    """Score sequences or regions with a model.

    Writes logits and calibrated probabilities per task, both strands averaged. A sequence longer than
    the model's window is covered by windows that overlap by half.
    """
    import polars as pl

    from encre.predict.inputs import check_source, read_inputs
    from encre.predict.outputs import check_output, write_table, write_text
    from encre.predict.predictor import check_combine, load

    session = session_of(context)
    check_combine(combine)
    check_output(out)
    check_source(source)  # a wrong name is said at once, before torch is loaded
    predictor = load(model, device=session.device or "auto")
    for line in predictor.introduction:
        session.say(line)
    records = read_inputs(
        source, genome=genome, assembly=assembly, width=predictor.region_width, progress=session.progress
    )
    table = predictor.predict(records, combine=combine, progress=session.progress).with_columns(
        pl.lit(predictor.name).alias("model")
    )
    if out is None and not session.json:
        write_text(table)
        return
    if out is not None:
        write_table(table, out)
    summary = {"model": predictor.describe(), "rows": table.height, "out": str(out) if out else None}
    rows = {} if out else {"predictions": table.to_dicts()}
    session.show(summary | rows, lambda console: console.print(f"{table.height:,} rows in {out}"))
