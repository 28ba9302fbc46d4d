"""Averages, augmentation, a start from other weights and the like, in whole trainings."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch

from encre.data.build import DatasetConfig, build_dataset
from encre.data.dataset import Dataset
from encre.models.checkpoint import load_model
from encre.models.inference import predict_logits
from encre.models.layers import MaskedBatchNorm
from encre.models.registry import model_config
from encre.train import loop
from encre.train.loop import fit
from encre.train.settings import TrainConfig

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
    """Half of the sequences hold a planted word and are 'enhancers'; lengths differ."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("words")
    with (folder / "words.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["sequence", "enhancer", "split"])
        for row in range(360):
            text = "".join(rng.choice(list("ACGT"), rng.integers(36, 61)))
            text = text[:12] + "GGTCAAACC" + text[21:] if row % 2 else text
            writer.writerow([text, row % 2, ("train", "train", "valid", "test")[row // 2 % 4]])
    source = {"kind": "table", "file": str(folder / "words.csv"), "tasks": {"enhancer": ["enhancer"]}}
    config = DatasetConfig.parse({"source": source | {"split_column": "split"}, "split": {"by": "column"}})
    return build_dataset(config, out=folder / "dataset")


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
    count, step = 0, loop.Training.step

    def breaks(self: loop.Training, batch: object) -> torch.Tensor:
        nonlocal count
        count += 1
        if count == 21:
            raise KeyboardInterrupt
        return step(self, batch)

    monkeypatch.setattr(loop.Training, "step", breaks)
    with pytest.raises(KeyboardInterrupt):
        fit(model_config(CNN), dataset, settings, out=tmp_path / "broken")
    fit(model_config(CNN), dataset, settings, out=tmp_path / "broken", resume=True)
    whole, broken = weights(tmp_path / "whole"), weights(tmp_path / "broken")
    assert all(torch.equal(whole[key], broken[key]) for key in whole)
    for one, other in zip(history(tmp_path / "whole"), history(tmp_path / "broken"), strict=True):
        assert one | {"seconds": ""} == other | {"seconds": ""}


def test_two_processes_average_and_augment_as_one(dataset: Dataset, tmp_path: Path):
    tricks = {"averaging": "ema", "ema_decay": 0.9, "augment": AUGMENT, "epochs": 2, "batch_size": 15}
    settings = config(precision="fp32", **tricks)
    script = tmp_path / "train.py"
    script.write_text(
        textwrap.dedent(
            f"""
            from encre.data.dataset import Dataset
            from encre.models.registry import model_config
            from encre.train.loop import fit
            from encre.train.settings import TrainConfig

            settings = TrainConfig.parse({settings.model_dump(mode="json")!r})
            fit(model_config({CNN!r}), Dataset.open({str(dataset.path)!r}), settings, out={str(tmp_path / "two")!r})
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
    models = (load_model(tmp_path / name).model for name in ("one", "two"))
    alone, together = (predict_logits(model, dataset.test.codes, dataset.test.offsets) for model in models)
    np.testing.assert_allclose(together, alone, atol=1e-4)


@pytest.mark.parametrize("averaging", ["ema", "swa"])
def test_averaged_running_statistics_are_as_good_as_those_estimated_anew(
    averaging: str, dataset: Dataset, tmp_path: Path
):
    """The weights' own statistics over the training rows, as Izmailov et al. take them, predict the same."""
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
    assert np.abs(kept - anew).mean() < 0.2 * kept.std()
