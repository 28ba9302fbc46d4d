"""`encre train | evaluate | compare | report`: run folders."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from encre.cli.session import EPILOG, session_of
from encre.errors import ConfigError, FolderError

Runs = Annotated[list[Path], typer.Argument(metavar="RUN…", help="Run folders.")]
DataFolder = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="Dataset folder, when it is no longer where it was.")
]


def add_to(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    for verb in (train, evaluate, compare, report):
        app.command(epilog=EPILOG)(verb)


def train(
    context: typer.Context,
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A model and training config (TOML).")],
    *,
    data: Annotated[Path, typer.Option("--data", metavar="DIR", help="A dataset folder.")],
    out: Annotated[Path, typer.Option(metavar="RUN", help="New run folder to write.")],
    assign: Annotated[list[str] | None, typer.Option("--set", metavar="A.B=C", help="Override a key.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in RUN.")] = False,
) -> None:
    """Train a model on a dataset (several processes: torchrun)."""
    from encre.data.dataset import Dataset
    from encre.files import refuse_occupied
    from encre.train.settings import RunConfig

    session = session_of(context)
    overrides = session.overrides(assign, seed="train.seed", device="train.device")
    settings = RunConfig.from_toml(config, overrides=overrides)
    dataset = Dataset.open(data)
    if not resume and "RANK" not in os.environ:  # under torchrun another process may have begun to write
        _refuse_unfinished(out)
        refuse_occupied(out)
    from encre.cli.memory import keep_freed_memory
    from encre.cli.show import describe_run, draw_run
    from encre.models.registry import model_config
    from encre.train.loop import fit

    keep_freed_memory()
    progress = session.progress
    fit(model_config(settings.model), dataset, settings.train, out=out, resume=resume, progress=progress)
    session.show(describe_run(out), lambda console: draw_run(console, out))


def _refuse_unfinished(out: Path) -> None:
    if (out / "state").is_dir() and not (out / "manifest.json").is_file():
        raise FolderError(
            "an unfinished training lies here", where=out, remedy="Go on with --resume, or name a new folder."
        )


def evaluate(
    context: typer.Context,
    runs: Runs,
    *,
    data: DataFolder = None,
    split: Annotated[str, typer.Option(help="Split to judge on: test or valid.")] = "test",
    calibration: Annotated[
        str, typer.Option(help="Of probabilities: temperature, isotonic, or auto (the better one a task, on valid).")
    ] = "temperature",
    baseline: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="One more baseline: nearest_neighbour, gkm_svm.")
    ] = None,
) -> None:
    """Judge runs beside the baselines, with intervals.

    Writes predictions, calibration, evaluation.json and the model card into each run.
    """
    from encre.cli.show import draw_evaluations
    from encre.evaluation.runs import run_names
    from encre.report.cards import write_model_card
    from encre.train.assess import evaluate as judge

    session = session_of(context)
    chosen: dict[str, Any] = {
        "seed": session.seed or 0,
        "device": session.device or "auto",
        "calibration": calibration,
        "baselines": baseline or (),
    }
    found = judge(runs, data=data, split=split, progress=session.progress, **chosen)
    results = found if isinstance(found, list) else [found]
    for run in runs:
        write_model_card(run)
    named = dict(zip(run_names(runs), results, strict=True))
    session.show(named, lambda console: draw_evaluations(console, named))


def compare(context: typer.Context, runs: Runs) -> None:
    """Compare runs on the same rows: paired differences."""
    from encre.cli.show import draw_comparison
    from encre.evaluation.runs import compare_runs

    if len(runs) < 2:
        raise ConfigError("a comparison needs two runs or more", got=f"{len(runs)}", remedy="Name another run.")
    session = session_of(context)
    result = compare_runs(runs, seed=session.seed or 0)
    session.show(result, lambda console: draw_comparison(console, result))


def report(
    context: typer.Context,
    runs: Runs,
    *,
    out: Annotated[Path | None, typer.Option(metavar="HTML", help="File to write.")] = None,
) -> None:
    """Write one offline HTML page about evaluated runs."""
    from encre.report.html import write_report

    page = write_report(runs, out=out)
    session_of(context).show({"report": str(page)}, lambda console: console.print(f"{page}"))
