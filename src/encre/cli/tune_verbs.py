"""`encre tune`: search for settings."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from encre.cli.session import EPILOG, session_of

if TYPE_CHECKING:
    from rich.console import Console

    from encre.train.tuning import Tuned


def add_to(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    app.command(epilog=EPILOG)(tune)


def tune(
    context: typer.Context,
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A training config, with a [tune] table if any.")],
    *,
    data: Annotated[Path, typer.Option("--data", metavar="DIR", help="A dataset folder.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the search; goes on with one begun.")],
    trials: Annotated[
        int | None, typer.Option(min=1, help="Trials in the end, over all reruns; 30 without --minutes.")
    ] = None,
    minutes: Annotated[float | None, typer.Option(min=0, help="Begin no trial after so long.")] = None,
    assign: Annotated[list[str] | None, typer.Option("--set", metavar="A.B=C", help="Override a key.")] = None,
) -> None:
    """Search for good settings, judged on the valid split.

    Run again, it goes on; several processes may share one folder. Ends with best.toml, ready for encre train.
    """
    from encre.data.dataset import Dataset
    from encre.train.space import TuneConfig

    session = session_of(context)
    overrides = session.overrides(assign, seed="train.seed", device="train.device")
    settings = TuneConfig.from_toml(config, overrides=overrides)
    dataset = Dataset.open(data)
    from encre.train.tuning import tune as search

    found = search(settings, dataset, out=out, trials=trials, minutes=minutes, progress=session.progress)
    session.show(asdict(found) | {"config": str(out / "best.toml")}, lambda console: _draw(console, found, out))


def _draw(console: Console, found: Tuned, out: Path) -> None:
    from rich.table import Table

    from encre.train.tuning import shown

    ended = ", ".join(f"{count} {name}" for name, count in found.counts.items() if count)
    console.print(f"{ended}. Best: trial {found.best}, {found.score:.4f} on valid.")
    table = Table(title="Best settings", title_justify="left")
    for heading in ("key", "value", "importance"):
        table.add_column(heading, justify="left" if heading == "key" else "right")
    for key, value in found.values.items():
        share = found.importance.get(key)
        table.add_row(key, shown(value), "-" if share is None else f"{share:.2f}")
    console.print(table)
    console.print(f"Train with it: encre train {out / 'best.toml'} --data DIR --out RUN")
