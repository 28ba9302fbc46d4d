"""Judging real run folders: what is written, what is refused, and that a baseline is judged as a model is."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from encre.data.build import DatasetConfig, build_dataset
from encre.errors import ConfigError, DataError, MissingFileError
from encre.evaluation.calibration import Calibration
from encre.evaluation.judgement import evaluate_table
from encre.evaluation.runs import read_predictions, read_tasks
from encre.models.baselines import BASELINES
from encre.models.checkpoint import load_model
from encre.models.inference import predict_logits
from encre.models.registry import model_config
from encre.report.html import write_report
from encre.train import assess
from encre.train.loop import fit
from encre.train.settings import TrainConfig


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def build(folder: Path, *, seed: int = 0):
    """A third of the sequences are 'enhancers' with a planted word; 'heart' is measured on those alone."""
    rng = np.random.default_rng(seed)
    with (folder / "words.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["sequence", "enhancer", "heart", "split"])
        for row in range(300):
            text = "".join(rng.choice(list("ACGT"), rng.integers(36, 51)))
            enhancer = int(row % 3 == 0)
            text = text[:9] + "GGTCAAACC" + text[18:] if enhancer else text
            heart = row % 2 if enhancer else ""
            writer.writerow([text, enhancer, heart, ("train", "train", "valid", "test")[row // 6 % 4]])
    source = {
        "kind": "table",
        "file": str(folder / "words.csv"),
        "tasks": {"enhancer": ["enhancer"], "tissue": ["heart"]},
        "split_column": "split",
    }
    config = DatasetConfig.parse({"name": "words", "source": source, "split": {"by": "column"}})
    return build_dataset(config, out=folder / "dataset")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory):
    """A dataset and two small runs on it, judged together."""
    folder = tmp_path_factory.mktemp("assess")
    dataset = build(folder)
    runs = []
    for seed in (0, 1):
        config = model_config({"name": "cnn", "channels": [8, 8], "embedding": 4})
        out = folder / f"run{seed}"
        runs.append(fit(config, dataset, TrainConfig(epochs=1, seed=seed, device="cpu"), out=out).path)
    return dataset, runs, assess.evaluate(runs, device="cpu", resamples=60)


def test_a_run_folder_gets_everything_that_the_report_needs(made):
    dataset, runs, found = made
    for run, values in zip(runs, found, strict=True):
        assert json.loads((run / "evaluation.json").read_text()) == values
        assert json.loads((run / "dataset.json").read_text())["digest"] == dataset.digest
        names = {path.name for path in (run / "predictions").iterdir()}
        own = {"valid.parquet", "test.parquet"}
        assert names == own | {f"baseline.{name}.{file}" for name in BASELINES for file in own}
        assert set(values["baselines"]) == set(values["differences"]) == set(BASELINES)
    page = write_report(runs).read_text(encoding="utf-8")
    assert "words" in page


def test_predictions_are_those_of_the_model_in_the_rows_of_the_dataset(made):
    dataset, runs, _ = made
    table = read_predictions(runs[0], "test")
    subset = dataset.test
    assert table["index"].to_list() == subset.index.tolist()
    assert table["group"].to_list() == subset.elements["group"].to_list()
    model = load_model(runs[0]).model
    logits = predict_logits(model, subset.codes, subset.offsets, both_strands=True)
    np.testing.assert_allclose(table.select("logit_enhancer", "logit_heart").to_numpy(), logits, atol=1e-6)
    assert table["target_heart"].is_nan().sum() == (~subset.target_mask[:, 1]).sum() > 0


def test_the_written_numbers_can_be_had_again_from_the_written_predictions(made):
    _, runs, found = made
    tables = [read_predictions(runs[1], split) for split in ("valid", "test")]
    again = evaluate_table(*tables, read_tasks(runs[1]), resamples=60)
    assert {key: found[1][key] for key in again} == again
    calibration = Calibration.read(runs[1] / "calibration.json")
    assert calibration.thresholds == {name: task["threshold"] for name, task in again["tasks"].items()}


def test_baselines_are_fitted_once_for_all_runs_of_a_dataset(made, monkeypatch):
    dataset, runs, _ = made
    fitted = []

    class Counted(BASELINES["length_only"]):
        most_rows = 50

        def fit(self, *arrays, **more):
            fitted.append(len(arrays[1]) - 1)
            return super().fit(*arrays, **more)

    monkeypatch.setattr(assess, "baseline_kinds", lambda more: {"length_only": Counted})
    found = assess.evaluate(runs, device="cpu", resamples=20, split="valid")
    assert fitted == [50]
    assert [values["baseline_fits"]["length_only"]["rows"] for values in found] == [50] * len(found)
    assert len(dataset.train) > 50


def test_one_run_gives_one_result_and_valid_does_not_replace_test(made, tmp_path):
    _, runs, _ = made
    run = shutil.copytree(runs[0], tmp_path / "run")
    before = (run / "evaluation.json").read_text()
    values = assess.evaluate(run, split="valid", device="cpu", resamples=20)
    assert isinstance(values, dict)
    assert values["split"] == "valid"
    assert (run / "evaluation.json").read_text() == before
    assert (run / "evaluation.valid.json").is_file()


def test_a_dataset_that_moved_is_asked_for_and_found_with_data(made, tmp_path):
    dataset, runs, _ = made
    run = shutil.copytree(runs[0], tmp_path / "run")
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["dataset"]["path"] = str(tmp_path / "gone")
    (run / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(MissingFileError, match="--data DIR"):
        assess.evaluate(run, device="cpu")
    assert assess.evaluate(run, data=dataset.path, device="cpu", resamples=20)["rows"] == len(dataset.test)


def test_another_dataset_is_refused_because_its_test_rows_may_have_trained(made, tmp_path):
    other = build(tmp_path, seed=7)
    with pytest.raises(DataError, match="was not trained on this dataset"):
        assess.evaluate(made[1][0], data=other.path, device="cpu")


def test_a_split_that_is_not_for_judging_is_refused(made):
    with pytest.raises(ConfigError, match="'test' or 'valid'"):
        assess.evaluate(made[1][0], split="train")


def test_runs_are_compared_in_pairs_without_the_models(made):
    _, runs, _ = made
    found = assess.compare(runs, resamples=60)
    assert found["runs"] == ["run0", "run1"]
    difference = found["pairs"][0]["differences"]["all"]["enhancer"]["auroc"]
    values = [
        json.loads((run / "evaluation.json").read_text())["tasks"]["enhancer"]["metrics"]["auroc"]["value"]
        for run in runs
    ]
    assert difference["value"] == pytest.approx(values[0] - values[1], abs=2e-6)


def test_the_predictions_table_can_be_read_by_anyone(made):
    table = pl.read_parquet(made[1][0] / "predictions" / "test.parquet")
    leading = ["index", "chrom", "start", "end", "ccre_class", "kind", "group", "length"]
    assert table.columns == [*leading, "target_enhancer", "target_heart", "logit_enhancer", "logit_heart"]
