"""From run folders to judged run folders: predict, fit the baselines, calibrate on valid, judge, write.

run + dataset -> predictions/*.parquet -> calibration.json + evaluation.json (+ dataset.json, so that
the report needs the run folder alone)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple, TypedDict, Unpack

import numpy as np

from encre.data.dataset import Dataset, Subset
from encre.errors import ConfigError, DataError, MissingFileError
from encre.evaluation.calibration import Method
from encre.evaluation.comparison import compare_judged
from encre.evaluation.judgement import Judgement, judge
from encre.evaluation.runs import EVALUATION, FORMAT, compare_runs, run_names
from encre.files import read_manifest, staged_file, write_json
from encre.models.baselines import Baseline, baseline_kinds
from encre.models.checkpoint import FORMAT as RUN_FORMAT
from encre.models.checkpoint import load_model
from encre.models.device import choose_device
from encre.progress import SILENT, Progress
from encre.reproducibility import provenance, stream
from encre.tasks import TaskSet
from encre.train.beyond import beyond_sequence
from encre.train.predictions import Tables, predicted, table_of


class Judging(TypedDict, total=False):
    """Keywords of :func:`encre.evaluation.judgement.judge`."""

    seed: int
    resamples: int
    calibration: Method


class _Baselines(NamedTuple):
    """The baselines of one dataset, judged once for all its runs, and what each was fitted on and took."""

    tables: dict[str, Tables]
    judgements: dict[str, Judgement]
    fits: dict[str, dict[str, float]]

    @property
    def prefixed(self) -> dict[str, Tables]:
        """The tables by the names that their files begin with."""
        return {f"baseline.{name}": found for name, found in self.tables.items()}


def evaluate(
    runs: str | Path | Sequence[str | Path],
    *,
    data: str | Path | None = None,
    split: str = "test",
    baselines: Sequence[str] = (),
    device: str = "auto",
    progress: Progress = SILENT,
    **how: Unpack[Judging],
) -> dict[str, Any] | list[dict[str, Any]]:
    """Judge runs beside the baselines and write what was found into each run folder.

    Writes ``predictions/*.parquet``, ``calibration.json``, ``dataset.json`` (the dataset's manifest) and
    ``evaluation.json`` (``evaluation.valid.json`` for the valid split). Baselines are fitted once a dataset.

    Parameters
    ----------
    runs, data
        A run folder, or several; the dataset folder, when it is not where it was in training.
    split
        ``"test"`` or ``"valid"``; thresholds and calibration always come from valid.
    baselines
        More baselines than those of every evaluation, by name: ``"nearest_neighbour"``, ``"gkm_svm"``.
    device, progress
        Where the models run, and what follows the sequences.
    **how
        ``seed``, ``resamples`` and ``calibration`` of :func:`encre.evaluation.judgement.judge`.

    Returns
    -------
    dict or list of dict
        The contents of ``evaluation.json``; a list when several runs (or a list) were given.

    Raises
    ------
    MissingFileError, FolderError, DataError
        When a run or its dataset is not there, damaged, or not the one that the run was trained on.
    """
    if split not in ("test", "valid"):
        raise ConfigError("a run is judged on 'test' or 'valid'", got=f"'{split}'")
    paths = [Path(run) for run in ([runs] if isinstance(runs, str | Path) else runs)]
    kinds = baseline_kinds(baselines)
    fitted: dict[str, _Baselines] = {}
    results = []
    for path, name in zip(paths, run_names(paths), strict=True):
        manifest = read_manifest(path, kind=RUN_FORMAT["kind"], version=RUN_FORMAT["version"])
        dataset = open_dataset(path, manifest, data=data)
        loaded = load_model(path, device=choose_device(device))
        _same_tasks(loaded.tasks, dataset, run=path)
        if dataset.digest not in fitted:
            fitted[dataset.digest] = _judge_baselines(kinds, dataset, split=split, how=how, progress=progress)
        progress.say(f"{name}: predicting valid and {split}, both strands")
        tables = {"": predicted(loaded, dataset, split=split, progress=progress)}
        judgement = judge(*tables[""], dataset.tasks, **how)
        values = _evaluation(name, manifest, split=split, judgement=judgement, baselines=fitted[dataset.digest])
        signals, more = beyond_sequence(loaded, dataset, judgement, split=split, progress=progress)
        tables |= {f"{kind}.": found for kind, found in (more | fitted[dataset.digest].prefixed).items()}
        results.append(_write(path, dataset, tables=tables, judgement=judgement, values=values | signals))
    return results[0] if isinstance(runs, str | Path) else results


def compare(
    runs: Sequence[str | Path], *, split: str = "test", seed: int = 0, resamples: int = 1000
) -> dict[str, Any]:
    """Paired differences of every two runs, from the predictions that :func:`evaluate` wrote.

    See :func:`encre.evaluation.runs.compare_runs`.
    """
    return compare_runs(runs, split=split, seed=seed, resamples=resamples)


def open_dataset(run: Path, manifest: dict[str, Any], *, data: str | Path | None = None) -> Dataset:
    """The dataset that a run was trained on, from ``data`` or from where it lay in training.

    Raises
    ------
    MissingFileError
        When it is not there any more.
    DataError
        When it is another one: its test rows may have been training rows.
    """
    trained = manifest.get("dataset") or {}
    path = Path(data) if data is not None else Path(trained.get("path") or "")
    if data is None and not (trained.get("path") and path.is_dir()):
        raise MissingFileError(
            "the dataset that this run was trained on is not where it was",
            where=run,
            got=str(trained.get("path") or "no path in its manifest"),
            remedy="Say where it is with --data DIR.",
        )
    dataset = Dataset.open(path)
    if trained.get("digest") not in (None, dataset.digest):
        raise DataError(
            f"the run '{run.name}' was not trained on this dataset",
            where=path,
            expected=f"digest {trained['digest'][:12]}",
            got=dataset.digest[:12],
            remedy="Its test rows may have been training rows there. Give the dataset that it was trained on.",
        )
    return dataset


def _same_tasks(tasks: TaskSet, dataset: Dataset, *, run: Path) -> None:
    if tasks.names != dataset.tasks.names:
        raise DataError(
            "the run and the dataset have other tasks",
            where=run,
            expected=", ".join(tasks.names),
            got=", ".join(dataset.tasks.names),
        )


def _judge_baselines(
    kinds: dict[str, type[Baseline]], dataset: Dataset, *, split: str, how: Judging, progress: Progress
) -> _Baselines:
    """Fit every baseline on train and judge it as a model is judged."""
    splits = {name: dataset.subset(name) for name in dict.fromkeys(("valid", split))}
    regression = np.array([task.kind == "regression" for task in dataset.tasks])
    tables, judgements, fits = {}, {}, {}
    with progress.track("baselines", len(kinds), "baseline") as advance:
        for name, kind in kinds.items():
            began = perf_counter()
            train = _drawn(dataset, kind.most_rows, seed=how.get("seed", 0))
            targets = np.nan_to_num(train.targets), train.target_mask
            fitted = kind().fit(train.codes, train.offsets, *targets, regression=regression)
            found = {
                key: table_of(subset, dataset.tasks, logits=fitted.logits(subset.codes, subset.offsets))
                for key, subset in splits.items()
            }
            fits[name] = {"rows": len(train), "seconds": round(perf_counter() - began, 1)}
            tables[name] = Tables(found["valid"], found[split])
            judgements[name] = judge(found["valid"], found[split], dataset.tasks, **how)
            advance(1, name)
    return _Baselines(tables, judgements, fits)


def _drawn(dataset: Dataset, most: int, *, seed: int) -> Subset:
    """The training rows, or so many of them drawn at random."""
    train = dataset.train
    if len(train) <= most:
        return train
    rng = stream(seed, "evaluate", "baselines", len(train))
    return Subset(dataset, train.index[np.sort(rng.choice(len(train), most, replace=False))])


def _evaluation(
    name: str, manifest: dict[str, Any], *, split: str, judgement: Judgement, baselines: _Baselines
) -> dict[str, Any]:
    """The contents of ``evaluation.json``."""
    return {
        "format": FORMAT,
        "run": name,
        "model": manifest["model"],
        "split": split,
        **judgement.values,
        "baselines": {key: found.values for key, found in baselines.judgements.items()},
        "baseline_fits": baselines.fits,
        "differences": {key: compare_judged(judgement, found) for key, found in baselines.judgements.items()},
        "provenance": provenance(),
    }


def _write(
    run: Path,
    dataset: Dataset,
    *,
    tables: dict[str, Tables],
    judgement: Judgement,
    values: dict[str, Any],
) -> dict[str, Any]:
    """Write into the run folder, what the rest rests on first and ``evaluation.json`` last; returns that."""
    folder, split = run / "predictions", values["split"]
    for prefix, found in tables.items():
        for name, frame in {"valid": found.valid, split: found.judged}.items():
            with staged_file(folder / f"{prefix}{name}.parquet") as staged:
                frame.write_parquet(staged)
    judgement.calibration.write(run / "calibration.json")
    write_json(run / "dataset.json", dataset.manifest)
    write_json(run / EVALUATION.get(split, "evaluation.json"), values)
    return values
