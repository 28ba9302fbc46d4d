"""`encre data build | info | check`: dataset folders."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from encre.cli.session import EPILOG, session_of

data = typer.Typer(help="Build, look at and check dataset folders.", no_args_is_help=True, rich_markup_mode=None)


def add_to(app: typer.Typer) -> None:
    """Add the group of verbs to the command line."""
    app.add_typer(data, name="data")


@data.command(epilog=EPILOG)
def build(
    context: typer.Context,
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A dataset config (TOML).")],
    *,
    out: Annotated[Path, typer.Option(metavar="DIR", help="New folder to write.")],
    assign: Annotated[list[str] | None, typer.Option("--set", metavar="A.B=C", help="Override a key.")] = None,
) -> None:
    """Build an audited dataset folder.

    The config names the source: a SCREEN registry with tissue files, a table, a FASTA, a BED with a
    genome, or the DHS table that encre ships.
    """
    from encre.data.build import DatasetConfig, build_dataset
    from encre.files import refuse_occupied

    refuse_occupied(out)
    session = session_of(context)
    settings = DatasetConfig.from_toml(config, overrides=session.overrides(assign, seed="split.seed"))
    dataset = build_dataset(settings, out=out, progress=session.progress)
    from encre.cli.show import describe_dataset, draw_dataset

    session.show(describe_dataset(dataset), lambda console: draw_dataset(console, dataset))


@data.command(epilog=EPILOG)
def info(
    context: typer.Context, folder: Annotated[Path, typer.Argument(metavar="DIR", help="A dataset folder.")]
) -> None:
    """Say what is in a dataset: rows, tasks, ledger and audit."""
    from encre.cli.show import describe_dataset, draw_dataset
    from encre.data.dataset import Dataset

    dataset = Dataset.open(folder)
    session_of(context).show(describe_dataset(dataset), lambda console: draw_dataset(console, dataset))


@data.command(epilog=EPILOG)
def check(
    context: typer.Context,
    path: Annotated[
        Path | None, typer.Argument(metavar="[DIR|TABLE]", help="A dataset folder, or a table with a split column.")
    ] = None,
    *,
    train: Annotated[Path | None, typer.Option(metavar="FILE", help="FASTA, CSV, TSV or Parquet.")] = None,
    test: Annotated[Path | None, typer.Option(metavar="FILE", help="As --train.")] = None,
    valid: Annotated[Path | None, typer.Option(metavar="FILE", help="As --train.")] = None,
    sequence_column: Annotated[str, typer.Option(metavar="NAME", help="By default: sequence or seq.")] = "",
    label_column: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="0 and 1; repeatable. By default: label or target.")
    ] = None,
    split_column: Annotated[str, typer.Option(metavar="NAME", help="Of TABLE.")] = "split",
    near: Annotated[
        bool, typer.Option("--near", help="Look for shifted and nearly equal sequences (files: on to 200,000 rows).")
    ] = False,
    neighbours: Annotated[
        bool, typer.Option("--neighbours", help="Judge the nearest training neighbour's label (as --near).")
    ] = False,
    assign: Annotated[
        list[str] | None, typer.Option("--set", metavar="A.B=C", help="A limit: audit.max_near_leakage=0.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="JSON", help="Also write the result to this file.")] = None,
    leaked: Annotated[
        Path | None, typer.Option(metavar="TSV", help="Write every row that leaks from training, to leave it out.")
    ] = None,
) -> None:
    """Audit a dataset folder, or anybody's files of sequences.

    Finds what stands in two splits (identical, reverse complement, shifted, nearly equal, overlapping on the
    genome), what length, composition or chromosome alone would score, and what a memory of training would
    gain. Of a folder, every checksum is verified too. A limit that is exceeded ends with exit code 3.
    """
    from encre.cli.check import Asked, check_files, check_folder
    from encre.data.own_audit import OwnFiles

    asked = Asked(near, neighbours, assign or (), out, leaked)
    if path is not None and path.is_dir() and not (train or test or valid):
        check_folder(session_of(context), path, asked)
        return
    labels = tuple(label_column or ())
    files = OwnFiles(train, test, valid, path, sequence_column, labels, split_column)
    check_files(session_of(context), files, asked)
