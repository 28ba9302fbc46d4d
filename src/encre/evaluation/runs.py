"""What a run folder holds after evaluation: prediction tables, tasks and ``evaluation.json``; no torch."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import polars as pl

from encre.errors import DataError, FolderError
from encre.evaluation.calibration import Calibration
from encre.evaluation.comparison import compare_judged
from encre.evaluation.judgement import Judgement, judge
from encre.files import open_existing, read_json, read_manifest
from encre.tasks import TaskSet

RUN_VERSION = 1
FORMAT = {"kind": "evaluation", "version": 1}
EVALUATION = {"test": "evaluation.json", "valid": "evaluation.valid.json"}
"""Where a run keeps what was found on a split."""


def read_predictions(run: str | Path, split: str, *, baseline: str = "") -> pl.DataFrame:
    """A prediction table of a run folder; without one, the words say how to make it.

    Parameters
    ----------
    run
        A run folder.
    split
        ``"valid"`` or ``"test"``.
    baseline
        A baseline's name instead of the run's own model.
    """
    name = f"baseline.{baseline}.{split}.parquet" if baseline else f"{split}.parquet"
    path = Path(run) / "predictions" / name
    if not path.is_file():
        raise FolderError(
            "the run has no predictions yet",
            where=path,
            remedy=f"Evaluate it first: `encre evaluate {Path(run).name}`.",
        )
    try:
        return pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise FolderError(
            "the prediction table is damaged", where=path, remedy="Run `encre evaluate` again."
        ) from error


def read_evaluation(run: str | Path) -> dict[str, Any]:
    """``evaluation.json`` of a run folder.

    Raises
    ------
    FolderError
        When the run was not evaluated yet, or by an encre of another format.
    """
    run = Path(run)
    read_manifest(run, kind="run", version=RUN_VERSION)
    if not (run / EVALUATION["test"]).is_file():
        raise FolderError(
            "the run was not evaluated yet", where=run, remedy=f"Evaluate it first: `encre evaluate {run.name}`."
        )
    values = read_json(run / EVALUATION["test"])
    found = values.get("format") if isinstance(values, dict) else None
    if found != FORMAT:
        raise FolderError(
            "the evaluation has another format",
            where=run / EVALUATION["test"],
            expected=f"{FORMAT}",
            got=f"{found}",
            remedy="Run `encre evaluate` again.",
        )
    return values


def read_tasks(run: str | Path) -> TaskSet:
    """``tasks.json`` of a run folder."""
    path = Path(run) / "tasks.json"
    with open_existing(path) as handle:
        return TaskSet.from_json(handle.read().decode(), where=path)


def judge_run(run: str | Path, *, split: str = "test", seed: int = 0, resamples: int = 1000) -> Judgement:
    """Judge a run from the predictions that lie in its folder, calibrated as it was when it was evaluated."""
    stored = Path(run) / "calibration.json"
    method = Calibration.read(stored).method if stored.is_file() else "temperature"
    valid, judged = (read_predictions(run, name) for name in ("valid", split))
    return judge(valid, judged, read_tasks(run), seed=seed, resamples=resamples, calibration=method)


def compare_runs(
    runs: Sequence[str | Path], *, split: str = "test", seed: int = 0, resamples: int = 1000
) -> dict[str, Any]:
    """Every pair of runs, compared on the same rows and resamples.

    Parameters
    ----------
    runs
        Evaluated run folders over one dataset.
    split, seed, resamples
        As in :func:`encre.evaluation.judgement.evaluate_table`.

    Returns
    -------
    dict
        ``runs`` (names) and ``pairs``, each ``a``, ``b`` and ``differences`` (a - b; see
        :func:`encre.evaluation.comparison.compare_tables`).

    Raises
    ------
    DataError
        When the runs have other tasks or were judged on other rows.
    """
    names = run_names(runs)
    tasks = [read_tasks(run) for run in runs]
    for name, other in zip(names, tasks, strict=True):
        if other.names != tasks[0].names:
            raise DataError(
                f"the runs '{names[0]}' and '{name}' predict other tasks",
                expected=", ".join(tasks[0].names),
                got=", ".join(other.names),
                remedy="Compare runs that were trained on one dataset.",
            )
    judged = [judge_run(run, split=split, seed=seed, resamples=resamples) for run in runs]
    pairs = [
        {"a": names[i], "b": names[j], "differences": compare_judged(judged[i], judged[j])}
        for i, j in combinations(range(len(runs)), 2)
    ]
    return {"runs": names, "split": split, "blocks": judged[0].values["blocks"] if judged else {}, "pairs": pairs}


def run_names(runs: Sequence[str | Path]) -> list[str]:
    """Folder names of the runs; where two are alike, with as many parents as it takes to tell them apart."""
    paths = [Path(run).resolve() for run in runs]
    for depth in range(1, 1 + max((len(path.parts) for path in paths), default=0)):
        names = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [f"{path.name} ({i + 1})" for i, path in enumerate(paths)]
