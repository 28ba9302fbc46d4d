"""Measurements as targets, from the user's own table to the report; learned balance, resumed and over processes."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from typer.testing import CliRunner

from encre.cli.main import app
from encre.data.build import DatasetConfig, build_dataset
from encre.data.dataset import Dataset
from encre.models.checkpoint import load_model
from encre.models.inference import predict_logits
from encre.models.registry import model_config
from encre.predict.predictor import load
from encre.report.cards import model_card
from encre.report.html import write_report
from encre.train.assess import compare, evaluate
from encre.train.loop import fit
from encre.train.settings import TrainConfig
from interrupted import interrupt_at

CNN = {"name": "cnn", "channels": [12], "kernel_sizes": [9], "pools": [1], "input": "one_hot"}
WORD = "GGTCAAACC"


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Activity is 50 or 90 by a planted word, give or take 5; 'x' is the word, 'a', 'b', 'c' exclude each other."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("activity")
    with (folder / "activity.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["sequence", "x", "a", "b", "c", "activity", "reads", "split"])
        for row in range(360):
            text = "".join(rng.choice(list("ACGT"), rng.integers(36, 61)))
            word, kind = row % 2, rng.integers(0, 3)
            text = text[:12] + WORD + text[21:] if word else text
            activity = "" if rng.random() < 0.2 else f"{50 + 40 * word + rng.normal(0, 5):.3f}"
            reads = rng.poisson(30 if word else 5)
            split = ("train", "train", "valid", "test")[row // 2 % 4]
            writer.writerow([text, word, *(int(kind == k) for k in range(3)), activity, reads, split])
    source = {
        "kind": "table",
        "file": str(folder / "activity.csv"),
        "tasks": {"x": ["x"], "line": ["a", "b", "c"]},
        "regression": {"mpra": ["activity"], "counts": ["reads"]},
        "split_column": "split",
    }
    return build_dataset(DatasetConfig.parse({"source": source, "split": {"by": "column"}}), out=folder / "dataset")


def config(**values: object) -> TrainConfig:
    return TrainConfig(**{"epochs": 3, "batch_size": 16, "learning_rate": 0.01, "device": "cpu", **values})


def history(path: Path) -> list[dict[str, str]]:
    with (path / "history.csv").open(newline="") as handle:
        return list(csv.DictReader(handle))


def test_measurements_go_from_the_table_to_the_report_in_their_own_unit(dataset: Dataset, tmp_path: Path):
    runs = [tmp_path / "long", tmp_path / "short"]
    for run, epochs in zip(runs, (8, 1), strict=True):
        fit(model_config(CNN), dataset, config(epochs=epochs, learning_rate=0.05), out=run)
    last = history(runs[0])[-1]
    assert float(last["valid_pearson_activity"]) > 0.85
    mean = (float(last["valid_pearson_activity"]) + float(last["valid_pearson_reads"])) / 2
    assert float(last["valid_pearson"]) == pytest.approx(mean)
    values = evaluate(runs, resamples=100)[0]
    found = values["tasks"]["activity"]["metrics"]
    assert set(found) == {"pearson", "spearman", "r2", "mse"}
    assert found["pearson"]["low"] > 0.8
    assert found["r2"]["value"] > 0.7
    assert found["mse"]["value"] < 120, "in the target's unit: the variance is about 425"
    assert values["tasks"]["activity"]["n"] < 90
    difference = compare(runs, resamples=100)["pairs"][0]["differences"]["all"]["mpra/macro"]
    assert difference["pearson"]["low"] > 0
    table = load(runs[0]).predict(["ACGT" * 4 + WORD + "ACGT" * 4, "ACGTA" * 8])
    assert table["logit_activity"][0] > 75 > 65 > table["logit_activity"][1]
    page = write_report(runs).read_text()
    for said in ("reaches a Pearson correlation of 0.", "Spearman correlation", "MSE"):
        assert said in page
    assert "| activity |" in model_card(runs[0])


def test_a_dataset_of_measurements_alone_goes_the_whole_way(tmp_path: Path):
    """A FASTA with a number in the header, split by group; no class anywhere, on the command line."""
    rng = np.random.default_rng(1)
    with (tmp_path / "own.fa").open("w") as handle:
        for row in range(120):
            text = "".join(rng.choice(list("ACGT"), 40))
            text = text[:12] + WORD + text[21:] if row % 2 else text
            handle.write(f">s{row} activity={row % 2 + rng.normal(0, 0.1):.3f}\n{text}\n")
    (tmp_path / "data.toml").write_text(
        f'[source]\nkind = "fasta"\nfile = "{tmp_path}/own.fa"\nregression = {{ mpra = ["activity"] }}\n'
        '[split]\nby = "group"\nvalid_fraction = 0.25\ntest_fraction = 0.25\n'
    )
    (tmp_path / "train.toml").write_text(
        '[model]\nname = "cnn"\nchannels = [8]\nkernel_sizes = [9]\npools = [1]\ninput = "one_hot"\n'
        '[train]\nepochs = 4\nlearning_rate = 0.02\nbatch_size = 16\nprecision = "fp32"\nregression_loss = "mse"\n'
    )
    for verb in (
        ["data", "build", f"{tmp_path}/data.toml", "--out", f"{tmp_path}/data"],
        ["train", f"{tmp_path}/train.toml", "--data", f"{tmp_path}/data", "--out", f"{tmp_path}/run"],
        ["evaluate", f"{tmp_path}/run"],
        ["report", f"{tmp_path}/run"],
        ["info", f"{tmp_path}/data"],
        ["predict", f"{tmp_path}/own.fa", "--model", f"{tmp_path}/run", "--out", f"{tmp_path}/scores.tsv"],
    ):
        done = CliRunner().invoke(app, verb)
        assert done.exit_code == 0, done.output
        if verb[0] == "evaluate":
            assert "Pearson r" in done.output
            assert "AUROC" not in done.output
    page = (tmp_path / "run" / "report.html").read_text()
    assert 'id="curves"' not in page
    scores = pl.read_csv(tmp_path / "scores.tsv", separator="\t")
    assert not [name for name in scores.columns if "probability" in name]


#: Everything at once that learns along the way, or looks at more than one row.
LEARNED = {
    "gradnorm": {"balance": "gradnorm", "regression_loss": "ranking", "loss": "focal", "sampling": "tissue_balanced"},
    "uncertainty": {"balance": "uncertainty", "loss": "softmax", "label_smoothing": 0.1},
}
HEADS = {"gradnorm": {"head": "tree"}, "uncertainty": {"head": "exclusive"}}


@pytest.mark.parametrize("name", LEARNED)
def test_what_is_learned_beside_the_model_is_resumed_and_told(
    name: str, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    settings, model = config(checkpoint_every=5, epochs=2, **LEARNED[name]), model_config(CNN | HEADS[name])
    fit(model, dataset, settings, out=tmp_path / "whole")
    interrupt_at(monkeypatch, 18)
    with pytest.raises(KeyboardInterrupt):
        fit(model, dataset, settings, out=tmp_path / "broken")
    fit(model, dataset, settings, out=tmp_path / "broken", resume=True)
    whole, broken = (load_model(tmp_path / run).model.state_dict() for run in ("whole", "broken"))
    assert all(torch.equal(whole[key], broken[key]) for key in whole)
    for one, other in zip(history(tmp_path / "whole"), history(tmp_path / "broken"), strict=True):
        assert one | {"seconds": ""} == other | {"seconds": ""}
    weights = [float(history(tmp_path / "whole")[-1][f"weight_{group}"]) for group in ("x", "line", "mpra", "counts")]
    assert len(set(weights)) == 4, "each group has a weight of its own"


def test_two_processes_learn_what_one_learns(dataset: Dataset, tmp_path: Path):
    """Pairs across processes, weights by gradients that no process has alone, exclusive classes, repeated rows."""
    shared = {"epochs": 2, "batch_size": 15, "learning_rate": 0.01, "device": "cpu", "precision": "fp32"}
    script = tmp_path / "train.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import json
            import torch.distributed as dist
            from encre.data.dataset import Dataset
            from encre.models.registry import model_config
            from encre.train.loop import fit
            from encre.train.settings import TrainConfig

            dist.init_process_group("gloo")  # once for both trainings
            dataset = Dataset.open({str(dataset.path)!r})
            for name, (model, values) in json.load(open({str(tmp_path / "ask.json")!r})).items():
                settings = TrainConfig(**{shared!r}, **values)
                fit(model_config(model), dataset, settings, out={str(tmp_path / "two_")!r} + name)
            dist.destroy_process_group()
            """
        )
    )
    (tmp_path / "ask.json").write_text(json.dumps({name: (CNN | HEADS[name], LEARNED[name]) for name in LEARNED}))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    for name, values in LEARNED.items():
        settings = TrainConfig(**shared, **values)
        fit(model_config(CNN | HEADS[name]), dataset, settings, out=tmp_path / f"one_{name}")
        one, two = history(tmp_path / f"one_{name}"), history(tmp_path / f"two_{name}")
        for alone, together in zip(one, two, strict=True):
            for column in set(alone) - {"seconds"}:
                assert float(together[column]) == pytest.approx(float(alone[column]), rel=1e-3, abs=1e-4), column
        models = (load_model(tmp_path / f"{run}_{name}").model for run in ("one", "two"))
        alone, together = (predict_logits(model, dataset.test.codes, dataset.test.offsets) for model in models)
        np.testing.assert_allclose(together, alone, rtol=1e-3, atol=1e-3)
