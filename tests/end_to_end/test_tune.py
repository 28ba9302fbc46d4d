"""A search for settings: resumed, interrupted, refused, and never looking at test."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from conftest import Encre
from encre.config import read_toml
from encre.data.dataset import Dataset
from encre.errors import ConfigError, MissingExtraError
from encre.train import tuning
from encre.train.space import Space, TuneConfig
from encre.train.tuning import tune
from toy_datasets import build_words

FILE = """
[model]
name = "cnn"
channels = [8]
kernel_sizes = [9]
pools = [1]
embedding = 4

[train]
epochs = 2
batch_size = 32
device = "cpu"
precision = "fp32"

[tune."train.learning_rate"]
low = 1e-4
high = 3e-2
log = true

[tune.model.channels]
choices = [[4], [8]]

[tune."train.epochs"]
low = 1
high = 2
"""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return build_words(tmp_path_factory.mktemp("words"), rows=120)


@pytest.fixture
def config(tmp_path: Path) -> TuneConfig:
    (tmp_path / "tune.toml").write_text(FILE)
    return TuneConfig.from_toml(tmp_path / "tune.toml")


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "trials.csv").open(newline="") as handle:
        return [row | {"seconds": ""} for row in csv.DictReader(handle)]


def test_the_verb_ends_with_a_config_that_trains(dataset: Dataset, tmp_path: Path, encre: Encre):
    (tmp_path / "tune.toml").write_text(FILE)
    words = ("tune", tmp_path / "tune.toml", "--data", dataset.path, "--out", tmp_path / "search")
    found = json.loads(encre(*words, "--trials", 4, "--json", "--quiet").out)
    assert found["counts"] == {"complete": 4, "pruned": 0, "failed": 0}
    best, names = (
        read_toml(tmp_path / "search" / "best.toml"),
        {path.name for path in (tmp_path / "search").iterdir()},
    )
    assert best["model"]["channels"] == found["values"]["model.channels"]
    assert best["train"]["learning_rate"] == found["values"]["train.learning_rate"]
    assert {"best.toml", "trials.csv", "importance.csv", "history", "trials", "journal.log"} <= names
    assert [path.name for path in (tmp_path / "search" / "trials").iterdir()] == [str(found["best"])]
    assert len(list((tmp_path / "search" / "history").iterdir())) == 4
    assert sum(found["importance"].values()) == pytest.approx(1, abs=0.01)
    again = encre(*words, "--trials", 4)
    assert (again.code, "4 complete. Best: trial" in again.out) == (0, True)
    run = encre("train", tmp_path / "search" / "best.toml", "--data", dataset.path, "--out", tmp_path / "run")
    assert run.code == 0


def test_test_is_never_read(dataset: Dataset, config: TuneConfig, tmp_path: Path):
    """Every row that is looked up is written down, and the test split is not even made."""
    blind, rows_of_test = Dataset.open(dataset.path), dataset.test.index
    seen: list[np.ndarray] = []

    class Watched(np.ndarray):
        def __getitem__(self, key):
            if isinstance(key, np.ndarray):
                seen.append(np.asarray(key))
            return super().__getitem__(key)

    blind.__dict__["targets"] = np.asarray(blind.targets).view(Watched)
    tune(config, blind, out=tmp_path / "search", trials=1)
    assert len(seen) >= 2, "train and valid were read"
    assert "test" not in blind.__dict__
    assert not np.isin(np.concatenate([np.ravel(s) for s in seen]), rows_of_test).any()


def test_a_rerun_goes_on_as_if_never_stopped(
    dataset: Dataset, config: TuneConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    tune(config, dataset, out=tmp_path / "whole", trials=10)
    tune(config, dataset, out=tmp_path / "parts", trials=4)
    tune(config, dataset, out=tmp_path / "parts", trials=10)
    assert rows(tmp_path / "whole") == rows(tmp_path / "parts")

    def interrupted(*arguments: object, out: Path, **more: object) -> None:
        (out / "state").mkdir(parents=True)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(tuning, "fit", interrupted)
        tune(config, dataset, out=tmp_path / "broken", trials=2)
    assert not list((tmp_path / "broken" / "trials").iterdir()), "nothing half-trained stays"
    tune(config, dataset, out=tmp_path / "broken", trials=1)
    same = [name for name in rows(tmp_path / "broken")[0] if name not in ("trial", "seconds")]
    assert [rows(tmp_path / "broken")[0][k] for k in same] == [rows(tmp_path / "whole")[0][k] for k in same]


def test_a_trial_behind_the_median_is_stopped_early(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tuning, "_STARTUP", 2)
    settings = TuneConfig.parse(
        {
            "model": {"name": "cnn", "channels": [8], "kernel_sizes": [9], "pools": [1]},
            "train": {"epochs": 4, "batch_size": 16, "device": "cpu", "precision": "fp32"},
            "tune": {"train.learning_rate": {"choices": [0.01, 1e-9]}},
        }
    )
    found = tune(settings, dataset, out=tmp_path / "search", trials=8)
    stopped = [row for row in rows(tmp_path / "search") if row["state"] == "pruned"]
    assert found.counts["pruned"] == len(stopped) > 0
    assert all(int(row["epochs"]) < 4 for row in stopped)
    assert found.values == {"train.learning_rate": 0.01}


def test_settings_that_do_not_go_together_fail_alone(dataset: Dataset, config: TuneConfig, tmp_path: Path):
    values = config.model_dump(exclude_none=True)
    values["tune"] = {"model.channels": {"choices": [[8], [8, 8]]}}  # kernel_sizes has one entry
    found = tune(TuneConfig.parse(values), dataset, out=tmp_path / "search", trials=6)
    assert found.counts["failed"] > 0
    assert found.values == {"model.channels": [8]}
    reasons = {row["reason"] for row in rows(tmp_path / "search") if row["state"] == "failed"}
    assert "kernel_sizes" in " ".join(reasons)
    values["tune"] = {"train.learning_rate": {"choices": [0.1]}}
    with pytest.raises(ConfigError, match=r"another \[tune\] table"):
        tune(TuneConfig.parse(values), dataset, out=tmp_path / "search", trials=7)


def test_a_space_that_makes_no_sense_is_refused(tmp_path: Path):
    model = {"name": "cnn"}
    with pytest.raises(ConfigError, match="low and high, or choices"):
        TuneConfig.parse({"model": model, "tune": {"train.clip": {"low": 1}}})
    with pytest.raises(ConfigError, match="learning_rates"):
        TuneConfig.parse({"model": model, "tune": {"train.learning_rates": {"choices": [1]}}}).space()
    with pytest.raises(ConfigError, match="cannot change 'data'"):
        TuneConfig.parse({"model": model, "tune": {"data": {"choices": [1]}}}).space()
    with pytest.raises(ConfigError, match="dropout"):
        TuneConfig.parse({"model": model, "tune": {"model.dropout": {"low": -1.0, "high": 0.5}}}).space()
    assert {"train.learning_rate", "model.dropout"} <= TuneConfig.parse({"model": model}).space().keys()
    assert Space(low=1, high=3).first == 1


def test_without_optuna_the_remedy_is_named(
    dataset: Dataset, config: TuneConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r"encre\[tune\]"):
        tune(config, dataset, out=tmp_path / "search", trials=1)
    assert not (tmp_path / "search").exists()
