"""`encre scan`: a track and called peaks along regions, chromosomes or a genome."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from encre.cli.session import EPILOG, session_of

if TYPE_CHECKING:
    from rich.console import Console

    from encre.predict.scan.scanning import ScanResult


def add_to(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command(epilog=EPILOG)(scan)


def scan(
    context: typer.Context,
    regions: Annotated[
        list[str],
        typer.Argument(metavar="REGION...", help="chr22:1,001-2,000 (1-based), chr22, genome, a BED or GFF."),
    ],
    *,
    genome: Annotated[Path, typer.Option(metavar="FA", help="Genome (FASTA or 2bit).")],
    out: Annotated[str, typer.Option(metavar="DIR/|PREFIX", help="A folder, or the beginning of the file names.")],
    model: Annotated[str | None, typer.Option(metavar="RUN", help="Run folder; the shipped model if absent.")] = None,
    assembly: Annotated[str, typer.Option(help="What the genome is said to be.")] = "GRCh38",
    window: Annotated[int | None, typer.Option(help="Bases of a window; the model's own if absent.")] = None,
    stride: Annotated[int | None, typer.Option(help="Bases between windows; an eighth of one if absent.")] = None,
    value: Annotated[str, typer.Option(help="What the tracks show: probability or logit.")] = "probability",
    base_rate: Annotated[
        list[str] | None, typer.Option(metavar="P|TASK=P", help="Share of positives; else that of the model's valid.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Peaks lie at or above it; probability 0.5 if absent.")
    ] = None,
    max_n: Annotated[float, typer.Option(help="Largest share of N of a window that is scored.")] = 0.5,
    precision: Annotated[str, typer.Option(help="fp32, bf16 or auto.")] = "fp32",
    engine: Annotated[str, typer.Option(help="local (or torchrun's processes), or ray.")] = "local",
    address: Annotated[str | None, typer.Option(help="Of a running Ray cluster: auto, or host:port.")] = None,
    keep_shards: Annotated[bool, typer.Option("--keep-shards", help="Leave the finished shards.")] = False,
) -> None:
    """Score a region, chromosomes or a genome at a stride.

    Writes a bigWig and called peaks (narrowPeak) per task and a JSON summary. Interrupted and started again, it goes
    on where it stood. Several processes share the work under `torchrun -m encre scan ...`.
    """
    given: dict[str, Any] = {"window": window, "stride": stride, "value": value, "threshold": threshold}
    given |= {
        "max_n": max_n,
        "precision": precision,
        "engine": engine,
        "address": address,
        "keep_shards": keep_shards,
    }
    from encre.genome.store import Genome
    from encre.predict.base_rate import read_base_rate
    from encre.predict.predictor import load
    from encre.predict.scan import scanning as room
    from encre.predict.scan.team import own_device

    session = session_of(context)
    config = room.ScanConfig.parse(given | {"base_rate": read_base_rate(base_rate)}, where="encre scan")
    predictor = load(model, device=own_device(session.device or "auto"))
    for line in predictor.introduction:
        session.say(line)
    opened = Genome(genome, assembly=assembly, progress=session.progress)
    result = room.scan(predictor, opened, regions, out=out, config=config, progress=session.progress)
    session.show(result.summary, lambda console: _draw(console, result))


def _draw(console: Console, result: ScanResult) -> None:
    """A line a task: its files, and what a peak is."""
    from rich.table import Table

    table = Table("task", "track", "mean", "max", "peaks", "a peak is", box=None, header_style="bold")
    for name, task in result.summary["tasks"].items():
        rate = "" if task["base_rate"] is None else f" at base rate {task['base_rate']:.3g}"
        called = f"{task['threshold_of']} >= {task['threshold']:g}{rate}" if task["peak_file"] else ""
        count = f"{task['peaks']:,}" if task["peak_file"] else "-"
        table.add_row(name, task["track"], f"{task['mean']:.4g}", f"{task['max']:.4g}", count, called)
    console.print(table)
    of = result.summary["windows"]
    console.print(
        f"{of['scored']:,} of {of['total']:,} windows scored, {of['scored_with_some_n']:,} of them with some N. "
        f"Left out: {of['left_out_only_n']:,} of N alone, {of['left_out_above_max_n']:,} with too many N."
    )
    console.print(f"Summary, with all that it depends on: {result.summary_file}", soft_wrap=True)
