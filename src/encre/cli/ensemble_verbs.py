"""`encre ensemble`: several runs as one model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from encre.cli.session import EPILOG, session_of


def add_to(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    app.command(epilog=EPILOG)(ensemble)


def ensemble(
    context: typer.Context,
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN…", help="Run folders, trained on one dataset.")],
    *,
    out: Annotated[Path, typer.Option(metavar="RUN", help="New run folder to write.")],
) -> None:
    """Join runs into one model: the mean of their logits.

    The folder holds all weights, and is evaluated and used as any other run.
    """
    from encre.cli.show import describe_run, draw_run
    from encre.models.joining import join_runs

    join_runs(runs, out=out)
    session_of(context).show(describe_run(out), lambda console: draw_run(console, out))
