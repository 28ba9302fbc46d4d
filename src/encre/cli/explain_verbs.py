"""`encre explain`: what each base contributes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from encre.cli.session import EPILOG, session_of

_SOURCE = "FASTA, BED, narrowPeak, broadPeak, GFF, GTF, CSV, TSV, Parquet, a region (1-based), or - for stdin."
_METHOD = "ism, gradient_x_input, integrated_gradients, deeplift or shap."


def add_to(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command(epilog=EPILOG)(explain)


def explain(
    context: typer.Context,
    source: Annotated[str, typer.Argument(metavar="FILE|REGION|-", help=_SOURCE)],
    *,
    out: Annotated[Path, typer.Option(metavar="DIR", help="New folder to write.")],
    model: Annotated[str | None, typer.Option(metavar="RUN", help="Run folder; the shipped model if absent.")] = None,
    genome: Annotated[Path | None, typer.Option(metavar="FA", help="Genome (FASTA or 2bit) for regions.")] = None,
    assembly: Annotated[str, typer.Option(help="What the genome is said to be.")] = "GRCh38",
    task: Annotated[list[str] | None, typer.Option(help="Task to explain; all if absent. Repeatable.")] = None,
    method: Annotated[str, typer.Option(help=_METHOD)] = "ism",
    reference: Annotated[
        str | None, typer.Option(help="uniform, zero or shuffle; else the method's own (shap: shuffle).")
    ] = None,
    shuffles: Annotated[int | None, typer.Option(help="Shuffles a sequence is compared with.")] = None,
    limit: Annotated[
        float | None, typer.Option(help="Largest completeness error, as a share of the difference.")
    ] = None,
    precision: Annotated[str, typer.Option(help="Of ism: fp32, bf16 or auto.")] = "fp32",
    logos: Annotated[int, typer.Option(min=0, help="Draw the N strongest windows of each task.")] = 0,
    logo_region: Annotated[
        list[str] | None, typer.Option(metavar="REGION", help="Draw this (1-based; or NAME:first-last). Repeatable.")
    ] = None,
    skip_unconverged: Annotated[
        bool, typer.Option("--skip-unconverged", help="List sequences above the limit apart.")
    ] = False,
    skip_unscorable: Annotated[
        bool, typer.Option("--skip-unscorable", help="List rows of only N, or too short, apart.")
    ] = False,
) -> None:
    """Say what each base contributes to each task.

    Writes ohe.npz and shap.npz (hypothetical contributions, as modisco reads them), a table, a bigWig when regions
    were given, and logos. In silico mutagenesis unless told; other methods state their completeness error, and are
    refused where they do not converge.
    """
    from encre.interpret.settings import AttributionSettings
    from encre.predict.inputs import check_source, open_genome, read_inputs

    session = session_of(context)
    settings = AttributionSettings(method, reference, shuffles, limit, seed=session.seed or 0, precision=precision)  # pyright: ignore
    check_source(source)  # a wrong name is said at once, before torch is loaded
    from encre.interpret.explain import Explanation
    from encre.interpret.explain import explain as go
    from encre.predict.predictor import load

    predictor = load(model, device=session.device or "auto")
    asked = Explanation(settings, task or (), logos, logo_region or (), skip_unconverged, skip_unscorable)
    asked.check(predictor, out)
    for line in predictor.introduction:
        session.say(line)
    progress = session.progress
    width = predictor.region_width
    records = read_inputs(source, genome=genome, assembly=assembly, width=width, progress=progress)
    opened = None if records.chrom is None else open_genome(genome, assembly=assembly, why="", progress=progress)
    summary = go(predictor, records, out, asked=asked, genome=opened, progress=progress)
    what = f"{summary['windows']:,} windows of {summary['rows']:,} rows in {out}"
    session.show(summary | {"out": str(out)}, lambda console: console.print("\n".join([what, *summary["words"]])))
