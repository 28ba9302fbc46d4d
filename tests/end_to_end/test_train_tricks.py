"""Averages, augmentation, a start from other weights and the like, in whole trainings."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch

from encre.data.dataset import Dataset
from encre.errors import ConfigError, MissingFileError
from encre.models.checkpoint import load_model
from encre.models.inference import predict_logits
from encre.models.layers import MaskedBatchNorm
from encre.models.registry import model_config
from encre.progress import Progress
from encre.train import loop
from encre.train.loop import fit
from encre.train.outcome import Run
from encre.train.pretraining.loop import pretrain
from encre.train.pretraining.windows import DatasetWindows
from encre.train.settings import PretrainConfig, TrainConfig
from interrupted import interrupt_at
from toy_words import built, texts

CNN = {"name": "cnn", "channels": [12, 16], "pools": [2, 1], "norm": "batch", "embedding": 6}
AUGMENT = {"shift": 4, "mutate": 0.05, "insert": 3, "delete": 3, "invert": 5, "translocate": 6, "finetune_share": 0.2}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return built(tmp_path_factory.mktemp("words"), texts())


@pytest.fixture(scope="module")
def first(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on the dataset."""
    return fit(model_config(CNN), dataset, config(epochs=2), out=tmp_path_factory.mktemp("first") / "run").path


def config(**values: object) -> TrainConfig:
    return TrainConfig.parse({"epochs": 3, "batch_size": 16, "learning_rate": 0.01, "device": "cpu", **values})


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load_model(path).model.state_dict()


def history(path: Path) -> list[dict[str, str]]:
    with (path / "history.csv").open(newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.mark.parametrize(
    "tricks",
    [
        {"averaging": "ema", "ema_decay": 0.9, "augment": AUGMENT},
        {"averaging": "swa", "swa_share": 0.5},
    ],
    ids=["ema_and_augment", "swa"],
)
def test_interrupted_and_resumed_equals_unbroken(
    tricks: dict[str, object], dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    settings = config(checkpoint_every=5, **tricks)
    fit(model_config(CNN), dataset, settings, out=tmp_path / "whole")
    interrupt_at(monkeypatch, 21)
    with pytest.raises(KeyboardInterrupt):
        fit(model_config(CNN), dataset, settings, out=tmp_path / "broken")
    fit(model_config(CNN), dataset, settings, out=tmp_path / "broken", resume=True)
    whole, broken = weights(tmp_path / "whole"), weights(tmp_path / "broken")
    assert all(torch.equal(whole[key], broken[key]) for key in whole)
    for one, other in zip(history(tmp_path / "whole"), history(tmp_path / "broken"), strict=True):
        assert one | {"seconds": ""} == other | {"seconds": ""}


def test_two_processes_average_augment_and_pretrain_as_one(dataset: Dataset, tmp_path: Path):
    tricks = {"averaging": "ema", "ema_decay": 0.9, "augment": AUGMENT, "epochs": 2, "batch_size": 15}
    settings = config(precision="fp32", **tricks)
    before = PretrainConfig(steps=12, batch_size=15, valid_every=6, precision="fp32", device="cpu")
    script = tmp_path / "train.py"
    script.write_text(
        textwrap.dedent(
            f"""
            from encre.data.dataset import Dataset
            from encre.models.registry import model_config
            from encre.train.loop import fit
            from encre.train.pretraining.loop import pretrain
            from encre.train.pretraining.windows import DatasetWindows
            from encre.train.settings import PretrainConfig, TrainConfig

            settings = TrainConfig.parse({settings.model_dump(mode="json")!r})
            before = PretrainConfig.parse({before.model_dump(mode="json")!r})
            model, dataset = model_config({CNN!r}), Dataset.open({str(dataset.path)!r})
            fit(model, dataset, settings, out={str(tmp_path / "two")!r})
            pretrain(model, DatasetWindows(dataset), before, out={str(tmp_path / "two before")!r})
            """
        )
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    fit(model_config(CNN), dataset, settings, out=tmp_path / "one")
    for one, two in zip(history(tmp_path / "one"), history(tmp_path / "two"), strict=True):
        for column in ("train_loss", "valid_loss", "valid_auprc"):
            assert float(two[column]) == pytest.approx(float(one[column]), rel=1e-4), column
    pretrain(model_config(CNN), DatasetWindows(dataset), before, out=tmp_path / "one before")
    for one, two in zip(history(tmp_path / "one before"), history(tmp_path / "two before"), strict=True):
        for column in ("train_loss", "valid_loss"):
            assert float(two[column]) == pytest.approx(float(one[column]), rel=1e-4), column
    models = (load_model(tmp_path / name).model for name in ("one", "two"))
    alone, together = (predict_logits(model, dataset.test.codes, dataset.test.offsets) for model in models)
    np.testing.assert_allclose(together, alone, atol=1e-4)


@pytest.mark.parametrize("averaging", ["ema", "swa"])
def test_averaged_running_statistics_are_as_good_as_those_estimated_anew(
    averaging: str, dataset: Dataset, tmp_path: Path
):
    """The weights' own statistics over the training rows, as Izmailov et al. take them, rank rows the same."""
    fit(model_config(CNN), dataset, config(averaging=averaging, ema_decay=0.95, epochs=6), out=tmp_path / "run")
    assert float(history(tmp_path / "run")[-1]["valid_auprc"]) > 0.9
    model, valid = load_model(tmp_path / "run").model, dataset.valid
    kept = predict_logits(model, valid.codes, valid.offsets)
    shown = dataset.train.batch(np.arange(len(dataset.train)))
    for module in model.modules():
        if isinstance(module, MaskedBatchNorm):
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(torch.from_numpy(shown.codes), torch.from_numpy(shown.length))
    anew = predict_logits(model, valid.codes, valid.offsets)
    assert np.corrcoef(kept[:, 0], anew[:, 0])[0, 1] > 0.98


class Listening(Progress):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, line: str) -> None:
        self.said.append(line)


def test_a_training_begins_where_another_ended_and_says_so(first: Path, dataset: Dataset, tmp_path: Path):
    listening = Listening()
    settings = config(epochs=1, learning_rate=1e-9, start=str(first))
    run = fit(model_config(CNN), dataset, settings, out=tmp_path / "run", progress=listening)
    before, after = weights(first), weights(run.path)
    norms = {key for key in before if "running" in key}
    for key in before.keys() - norms:
        torch.testing.assert_close(after[key], before[key], atol=1e-5, rtol=0)
    start = run.manifest["start"]
    assert start["fresh"] == start["unused"] == []
    assert start["taken"]["tensors"] == len(before)
    assert start["weights"] == Run.open(first).manifest["files"]["weights.safetensors"]
    assert start["seen"]["rows"] == {"valid": 0, "test": 0}
    assert f"takes {len(before)} of {len(before)} tensors" in listening.said[0]
    assert "WARNING" not in listening.said[1]


def test_sequences_that_the_start_was_trained_on_are_counted_and_heads_of_other_tasks_stay_fresh(
    first: Path, tmp_path: Path
):
    """Eleven training sequences of the first dataset stand in the second's test and valid, one turned round."""
    known, other = texts(), texts(seed=1)
    swap = str.maketrans("ACGT", "TGCA")
    learnt = [text for row, text in enumerate(known) if row // 2 % 4 < 2]
    test = [row for row in range(360) if row // 2 % 4 == 3]
    for at, text in zip(test[:8], learnt[:8], strict=True):
        other[at] = text
    other[test[8]] = learnt[8].translate(swap)[::-1]
    other[4], other[5] = learnt[10], learnt[11]  # of valid
    second = built(tmp_path, other, task="promoter")
    listening = Listening()
    settings = config(epochs=1, start=str(first))
    run = fit(model_config(CNN), second, settings, out=tmp_path / "run", progress=listening)
    assert run.manifest["start"]["seen"]["rows"] == {"valid": 2, "test": 9}
    assert listening.said[1].startswith("WARNING: 2 of 90 valid rows, 9 of 90 test rows")
    assert run.manifest["start"]["fresh"] == ["heads.enhancer.bias", "heads.enhancer.weight"]
    assert run.manifest["start"]["unused"] == ["heads.enhancer.bias", "heads.enhancer.weight"]


def test_a_start_that_fits_nowhere_is_refused(first: Path, dataset: Dataset, tmp_path: Path):
    wider = model_config(CNN | {"channels": [13, 17], "embedding": 7})
    with pytest.raises(ConfigError, match="no weights that fit"):
        fit(wider, dataset, config(start=str(first)), out=tmp_path / "run")
    with pytest.raises(MissingFileError):
        fit(wider, dataset, config(start=str(tmp_path / "nowhere")), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_resumed_training_needs_its_start_no_more(
    first: Path, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    start = tmp_path / "start"
    shutil.copytree(first, start)
    settings, judge = config(epochs=2, start=str(start)), loop.Training._judge
    whole = fit(model_config(CNN), dataset, settings, out=tmp_path / "whole")

    def breaks(self: loop.Training) -> None:
        judge(self)
        raise KeyboardInterrupt

    monkeypatch.setattr(loop.Training, "_judge", breaks)
    with pytest.raises(KeyboardInterrupt):
        fit(model_config(CNN), dataset, settings, out=tmp_path / "run")
    monkeypatch.undo()
    shutil.rmtree(start)
    run = fit(model_config(CNN), dataset, settings, out=tmp_path / "run", resume=True)
    assert run.manifest["start"] == whole.manifest["start"]
    assert all(torch.equal(value, weights(run.path)[key]) for key, value in weights(whole.path).items())


def test_the_trunk_waits_for_its_heads(first: Path, dataset: Dataset, tmp_path: Path):
    settings = config(epochs=1, start=str(first), frozen_epochs=1)
    before, after = weights(first), weights(fit(model_config(CNN), dataset, settings, out=tmp_path / "run").path)
    moved = {key for key in before if not torch.equal(before[key], after[key]) and "running" not in key}
    assert moved == {"heads.enhancer.weight", "heads.enhancer.bias"}
