"""Run folders as the report reads them: everything from files of the run itself."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from encre.config import read_toml
from encre.errors import DataError, EncreError, FolderError
from encre.evaluation.calibration import Calibration
from encre.evaluation.runs import RUN_VERSION, read_evaluation, read_predictions, read_tasks, run_names
from encre.evaluation.summary import labels
from encre.files import open_existing, read_json, read_manifest
from encre.tasks import TaskSet

MOTIFS = {"kind": "motifs", "version": 1}
"""The format of ``motifs.json`` that is read."""


@dataclass(frozen=True)
class RunView:
    """One evaluated run.

    Parameters
    ----------
    path, name, label
        Its folder, its name among the runs of the page, and what a reader sees.
    style
        CSS class of its colour and dash.
    manifest, evaluation
        The contents of ``manifest.json`` and ``evaluation.json``.
    """

    path: Path
    name: str
    label: str
    style: str
    manifest: dict[str, Any]
    evaluation: dict[str, Any]

    @cached_property
    def tasks(self) -> TaskSet:
        """What it predicts."""
        return read_tasks(self.path)

    @cached_property
    def predictions(self) -> pl.DataFrame:
        """Its own predictions of the judged split."""
        return read_predictions(self.path, self.evaluation["split"])

    def baseline(self, name: str) -> pl.DataFrame:
        """A baseline's predictions of the judged split."""
        return read_predictions(self.path, self.evaluation["split"], baseline=name)

    @cached_property
    def calibration(self) -> Calibration:
        """Its temperatures, biases and thresholds."""
        return Calibration.read(self.path / "calibration.json")

    @cached_property
    def data(self) -> dict[str, Any]:
        """The manifest of its dataset: the copy that evaluation left here; empty when there is none."""
        copy = self.path / "dataset.json"
        return read_json(copy) if copy.is_file() else {}

    @cached_property
    def motifs(self) -> dict[str, Any]:
        """What `encre motifs` found, from ``motifs/motifs.json``; empty when there is none."""
        return read_motifs(self.path / "motifs")

    @cached_property
    def config(self) -> dict[str, Any]:
        """``config.toml``: the tables model and train."""
        path = self.path / "config.toml"
        return read_toml(path) if path.is_file() else {}

    @cached_property
    def history(self) -> dict[str, np.ndarray]:
        """``history.csv`` by column, empty cells NaN; no columns when there is none."""
        path = self.path / "history.csv"
        if not path.is_file():
            return {}
        with open_existing(path) as handle:
            rows = list(csv.DictReader(handle.read().decode().splitlines()))
        return {key: np.array([_number(row[key]) for row in rows]) for key in (rows[0] if rows else {})}


def read_runs(paths: Sequence[str | Path]) -> list[RunView]:
    """Read evaluated runs over one dataset.

    Raises
    ------
    MissingFileError, FolderError
        When one is not there, not evaluated, or damaged.
    DataError
        When they are about different datasets or splits, or there is none.
    """
    if not paths:
        raise DataError("there is no run to report on", remedy="Name at least one run folder.")
    names = run_names(paths)
    manifests = [read_manifest(path, kind="run", version=RUN_VERSION) for path in paths]
    evaluations = [read_evaluation(path) for path in paths]
    shown = labels(dict(zip(names, evaluations, strict=True)))
    views = [
        RunView(Path(path), name, shown[name], f"s{i % 6}", manifest, evaluation)
        for i, (path, name, manifest, evaluation) in enumerate(zip(paths, names, manifests, evaluations, strict=True))
    ]
    digests = {str((view.manifest.get("dataset") or {}).get("digest")) for view in views}
    if len(digests) > 1:
        raise DataError(
            "the runs were trained on different datasets",
            got=", ".join(f"{view.name}: {_dataset_name(view)}" for view in views),
            remedy="Write one report for each dataset.",
        )
    return views


def read_motifs(folder: Path) -> dict[str, Any]:
    """``motifs.json`` of a motif folder; empty when there is none, another format is refused."""
    path = folder / "motifs.json"
    if not path.is_file():
        return {}
    values = read_json(path)
    found = values.get("format") if isinstance(values, dict) else None
    if found != MOTIFS:
        raise FolderError(
            "the motifs have another format",
            where=path,
            expected=f"{MOTIFS}",
            got=f"{found}",
            remedy="Remove the folder, or make it again with `encre motifs`.",
        )
    return values


def _dataset_name(view: RunView) -> str:
    dataset = view.manifest.get("dataset") or {}
    return f"{dataset.get('name', 'unnamed')} ({str(dataset.get('digest'))[:8]})"


def readable_history(view: RunView) -> dict[str, np.ndarray]:
    """The history, or nothing when the file cannot be read: a report does without rather than fails."""
    try:
        return view.history
    except (EncreError, UnicodeDecodeError, csv.Error):
        return {}


def _number(cell: str | None) -> float:
    try:
        return float(cell) if cell else float("nan")
    except ValueError:
        return float("nan")
