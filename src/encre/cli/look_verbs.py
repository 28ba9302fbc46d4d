"""`encre quickstart | info | doctor`: a first look at encre, at a folder, at the machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from encre.cli.session import EPILOG, session_of


def add_first_to(app: typer.Typer) -> None:
    """Add the verb that a newcomer runs first."""
    app.command(epilog=EPILOG)(quickstart)


def add_last_to(app: typer.Typer) -> None:
    """Add the verbs that look at what there is."""
    app.command(epilog=EPILOG)(info)
    app.command(epilog=EPILOG)(doctor)


def quickstart(
    context: typer.Context,
    *,
    out: Annotated[Path, typer.Option(metavar="DIR", help="New folder to write.")] = Path("encre-quickstart"),
    fast: Annotated[bool, typer.Option("--fast", help="Tiny budgets: a look at the form, not at skill.")] = False,
) -> None:
    """From shipped data to three models and a report.

    Builds the dataset that encre ships, trains the CNN, the CNN+LSTM and the Transformer on small
    budgets, judges them beside the baselines and writes report.html.
    """
    from encre.cli.show import draw_evaluations
    from encre.quickstart import quickstart as go

    session = session_of(context)
    result = go(out, fast=fast, seed=session.seed, device=session.device, progress=session.progress)

    def draw(console) -> None:
        draw_evaluations(console, result.evaluations)
        for line in result.sentences:
            console.print(line)
        console.print(f"Report: {result.report}")

    session.show(result.to_dict(), draw)


def info(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A dataset or run folder.")],
    *,
    verify: Annotated[bool, typer.Option("--verify", help="Check every file against its checksum.")] = False,
) -> None:
    """Say what a dataset or run folder holds."""
    from encre.cli.show import describe_folder, draw_folder

    value = describe_folder(path, verify=verify)
    session_of(context).show(value, lambda console: draw_folder(console, path, verified=verify))


def doctor(context: typer.Context) -> None:
    """Look at this machine, and say what would be slow."""
    from encre.cli.show import draw_doctor
    from encre.doctor import examine

    found = examine()
    session_of(context).show(found, lambda console: draw_doctor(console, found))
