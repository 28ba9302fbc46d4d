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
    context: typer.Context, folder: Annotated[Path, typer.Argument(metavar="DIR", help="A dataset folder.")]
) -> None:
    """Check every file of a dataset; show the audit."""
    from encre.cli.show import describe_dataset, draw_audit
    from encre.data.dataset import Dataset

    dataset = Dataset.open(folder, verify=True)

    def draw(console) -> None:
        console.print(f"{folder}: every file is whole (checksums agree).")
        draw_audit(console, dataset.audit)

    session_of(context).show(describe_dataset(dataset) | {"verified": True}, draw)
