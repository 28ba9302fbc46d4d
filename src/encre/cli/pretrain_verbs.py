"""`encre pretrain | find-rate`: what may come before a training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from encre.cli.session import EPILOG, session_of
from encre.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from encre.train.pretraining.windows import Windows
    from encre.train.settings import PretrainConfig

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="A model and training config (TOML).")]
Assigned = Annotated[list[str] | None, typer.Option("--set", metavar="A.B=C", help="Override a key.")]


def add_to(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    app.command(epilog=EPILOG)(pretrain)
    app.command("find-rate", epilog=EPILOG)(find_rate)


def pretrain(
    context: typer.Context,
    config: ConfigFile,
    *,
    out: Annotated[Path, typer.Option(metavar="DIR", help="New folder to write, for [train] start.")],
    genome: Annotated[Path | None, typer.Option(metavar="FA", help="Windows of this genome (FASTA or 2bit).")] = None,
    assembly: Annotated[str, typer.Option(help="What the genome is said to be.")] = "GRCh38",
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="A dataset: its training rows, or with --genome whose valid and test are left out."
        ),
    ] = None,
    assign: Assigned = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in DIR.")] = False,
) -> None:
    """Pretrain a trunk on masked bases, without labels.

    Several processes: torchrun.
    """
    from encre.train.settings import RunConfig

    session = session_of(context)
    overrides = session.overrides(assign, seed="pretrain.seed", device="pretrain.device")
    settings = RunConfig.from_toml(config, overrides=overrides)
    windows = _windows(genome, data, settings=settings.pretrain, assembly=assembly)
    from encre.cli.show import draw_pretrained
    from encre.models.registry import model_config
    from encre.train.pretraining.loop import pretrain as learn

    model, progress = model_config(settings.model), session.progress
    manifest = learn(model, windows, settings.pretrain, out=out, resume=resume, progress=progress)
    session.show({"path": str(out), **manifest}, lambda console: draw_pretrained(console, out, manifest))


def _windows(genome: Path | None, data: Path | None, *, settings: PretrainConfig, assembly: str) -> Windows:
    """What `encre pretrain` reads."""
    from encre.data.dataset import Dataset
    from encre.genome.store import Genome
    from encre.train.pretraining.windows import DatasetWindows, GenomeWindows

    dataset = Dataset.open(data) if data else None
    if genome is not None:
        return GenomeWindows(Genome(genome, assembly=assembly), settings, dataset=dataset)
    if dataset is None:
        raise ConfigError("there is nothing to read", remedy="Name a --genome, a dataset with --data, or both.")
    return DatasetWindows(dataset)


def find_rate(
    context: typer.Context,
    config: ConfigFile,
    *,
    data: Annotated[Path, typer.Option("--data", metavar="DIR", help="A dataset folder.")],
    out: Annotated[Path | None, typer.Option(metavar="CSV", help="The curve: rate, loss, smoothed loss.")] = None,
    lowest: Annotated[float, typer.Option(min=1e-12, help="The first rate.")] = 1e-6,
    highest: Annotated[float, typer.Option(help="The last rate, unless the loss is lost before.")] = 1.0,
    steps: Annotated[int, typer.Option(min=10, help="Steps, each at a higher rate.")] = 200,
    assign: Assigned = None,
) -> None:
    """Find a learning rate: the loss while it rises.

    A training of some steps, of which nothing is kept but the curve.
    """
    from encre.data.dataset import Dataset
    from encre.train.settings import RunConfig

    session = session_of(context)
    overrides = session.overrides(assign, seed="train.seed", device="train.device")
    settings = RunConfig.from_toml(config, overrides=overrides)
    dataset = Dataset.open(data)
    from encre.models.registry import model_config
    from encre.train.rate_finder import find_rate as find

    model, between = model_config(settings.model), (lowest, highest)
    curve = find(model, dataset, settings.train, between=between, steps=steps, progress=session.progress)
    if out is not None:
        curve.write(out)
    found = {"suggestion": curve.suggestion, "lowest_at": curve.lowest_at, "steepest_at": curve.steepest_at}
    session.show(found | {"steps": len(curve.rates)}, lambda console: _draw_rates(console, found))


def _draw_rates(console: Console, found: dict[str, float]) -> None:
    console.print(f"The loss falls fastest at {found['steepest_at']:.2g} and is lowest at {found['lowest_at']:.2g}.")
    console.print(f"Suggestion, a tenth of that: learning_rate = {found['suggestion']:g}")
