"""A training from dataset folder to run folder: refused, interrupted, resumed, spread over processes."""

from __future__ import annotations

import csv
import itertools
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from encre.data.build import DatasetConfig, build_dataset
from encre.data.dataset import Dataset
from encre.errors import ConfigError, DataError, FolderError, SequenceError
from encre.models.checkpoint import load_model
from encre.models.inference import predict_logits
from encre.models.registry import model_config
from encre.progress import Progress
from encre.train import loop
from encre.train.loop import fit
from encre.train.settings import TrainConfig
from interrupted import interrupt_at

CNN = {"name": "cnn", "channels": [12, 16], "pools": [2, 1], "norm": "batch", "embedding": 6}
SMALL = {
    "cnn": CNN,
    "cnn_lstm": {"name": "cnn_lstm", "channels": [8, 8, 8], "pools": [2, 2, 1], "lstm": 8, "embedding": 4},
    "transformer": {"name": "transformer", "width": 16, "layers": 1, "heads": 2, "feed_forward": 16},
}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Half of the sequences hold a planted word and are 'enhancers'; 'heart' is measured for some only."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("words")
    with (folder / "words.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["sequence", "enhancer", "heart", "split"])
        for row in range(360):
            text = "".join(rng.choice(list("ACGT"), rng.integers(36, 61)))
            enhancer = row % 2
            text = text[:12] + "GGTCAAACC" + text[21:] if enhancer else text
            heart = "" if rng.random() < 0.3 else int(rng.random() < 0.4)
            writer.writerow([text, enhancer, heart, ("train", "train", "valid", "test")[row // 2 % 4]])
    config = DatasetConfig.parse(
        {
            "source": {
                "kind": "table",
                "file": str(folder / "words.csv"),
                "tasks": {"enhancer": ["enhancer"], "tissue": ["heart"]},
                "split_column": "split",
            },
            "split": {"by": "column"},
        }
    )
    return build_dataset(config, out=folder / "dataset")


def config(**values: object) -> TrainConfig:
    return TrainConfig(**{"epochs": 3, "batch_size": 16, "learning_rate": 0.01, "device": "cpu", **values})


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load_model(path).model.state_dict()


def history(path: Path) -> list[dict[str, str]]:
    with (path / "history.csv").open(newline="") as handle:
        return list(csv.DictReader(handle))


def test_a_cnn_learns_the_word_and_leaves_a_whole_folder(dataset: Dataset, tmp_path: Path):
    random_state = torch.get_rng_state()
    run = fit(model_config(CNN), dataset, config(epochs=6), out=tmp_path / "run")
    assert torch.equal(torch.get_rng_state(), random_state), "a library leaves the caller's random state alone"
    names = {path.name for path in run.path.iterdir()}
    files = {"config.toml", "manifest.json", "weights.safetensors", "tokenizer.json", "tasks.json", "history.csv"}
    assert names == files | {"state"}
    rows = history(run.path)
    assert float(rows[-1]["valid_auprc_enhancer"]) > 0.9
    assert run.manifest["dataset"]["digest"] == dataset.digest
    assert run.manifest["sequence"] == dataset.manifest["sequence"]
    assert run.manifest["training"]["best_epoch"] in range(1, 7)
    assert run.manifest["training"]["sequences"] == 6 * len(dataset.train)


@pytest.mark.parametrize("name", SMALL)
def test_interrupted_and_resumed_equals_unbroken(
    name: str, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Broken off in the middle of the second epoch, after a state and before its end."""
    settings = config(checkpoint_every=5)
    fit(model_config(SMALL[name]), dataset, settings, out=tmp_path / "whole")
    interrupt_at(monkeypatch, 18)
    with pytest.raises(KeyboardInterrupt):
        fit(model_config(SMALL[name]), dataset, settings, out=tmp_path / "broken")
    assert {path.name for path in (tmp_path / "broken").iterdir()} == {"state"}
    with pytest.raises(FolderError, match="not a run folder"):
        load_model(tmp_path / "broken")
    with pytest.raises(FolderError, match="not empty"):
        fit(model_config(SMALL[name]), dataset, settings, out=tmp_path / "broken")
    fit(model_config(SMALL[name]), dataset, settings, out=tmp_path / "broken", resume=True)
    whole, broken = weights(tmp_path / "whole"), weights(tmp_path / "broken")
    assert all(torch.equal(whole[key], broken[key]) for key in whole)
    for one, other in zip(history(tmp_path / "whole"), history(tmp_path / "broken"), strict=True):
        assert one | {"seconds": ""} == other | {"seconds": ""}


def test_resuming_begins_where_there_is_nothing_and_rests_where_all_is_done(dataset: Dataset, tmp_path: Path):
    said: list[str] = []

    class Listening(Progress):
        def say(self, line: str) -> None:
            said.append(line)

    first = fit(model_config(CNN), dataset, config(epochs=1), out=tmp_path / "run", resume=True)
    again = fit(model_config(CNN), dataset, config(epochs=1), out=tmp_path / "run", resume=True, progress=Listening())
    assert again == first
    assert "finished already" in said[0]


def test_resuming_with_other_settings_is_refused(dataset: Dataset, tmp_path: Path):
    fit(model_config(CNN), dataset, config(epochs=1), out=tmp_path / "run")
    (tmp_path / "run" / "manifest.json").unlink()
    with pytest.raises(ConfigError, match=r"another 'train.learning_rate'"):
        fit(model_config(CNN), dataset, config(epochs=1, learning_rate=0.5), out=tmp_path / "run", resume=True)


def test_two_processes_give_the_loss_curve_of_one(dataset: Dataset, tmp_path: Path):
    """Lengths differ, 'heart' is not measured everywhere, and the CNN has batch norm: all must be global."""
    script = tmp_path / "train.py"
    script.write_text(
        textwrap.dedent(
            f"""
            from encre.data.dataset import Dataset
            from encre.models.registry import model_config
            from encre.train.loop import fit
            from encre.train.settings import TrainConfig

            settings = TrainConfig(epochs=2, batch_size=15, learning_rate=0.01, device="cpu", precision="fp32")
            fit(model_config({CNN!r}), Dataset.open({str(dataset.path)!r}), settings, out={str(tmp_path / "two")!r})
            """
        )
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    fit(model_config(CNN), dataset, config(epochs=2, batch_size=15, precision="fp32"), out=tmp_path / "one")
    for one, two in zip(history(tmp_path / "one"), history(tmp_path / "two"), strict=True):
        for column in ("train_loss", "valid_loss", "valid_auprc"):
            assert float(two[column]) == pytest.approx(float(one[column]), rel=1e-4), column
    # Compared by what they predict: biases before a batch norm have no gradient but rounding, and wander.
    models = (load_model(tmp_path / name).model for name in ("one", "two"))
    alone, together = (predict_logits(model, dataset.test.codes, dataset.test.offsets) for model in models)
    np.testing.assert_allclose(together, alone, atol=1e-4)
    assert load_model(tmp_path / "two").manifest["training"]["world_size"] == 2


def test_early_stopping_keeps_the_best_epoch(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    scores = iter([0.2, 0.5, 0.4, 0.3, 0.9])
    kept: list[dict[str, torch.Tensor]] = []

    def judged(model: torch.nn.Module, *_: object, **__: object) -> dict[str, float]:
        kept.append({key: value.clone() for key, value in model.state_dict().items()})
        return {"valid_loss": 1.0, "valid_auprc": next(scores)}

    monkeypatch.setattr(loop, "validate", judged)
    run = fit(model_config(CNN), dataset, config(epochs=5, patience=2), out=tmp_path / "run")
    assert (run.manifest["training"]["epochs"], run.manifest["training"]["best_epoch"]) == (4, 2)
    assert all(torch.equal(value, kept[1][key]) for key, value in weights(run.path).items())


def test_a_time_budget_ends_the_training_in_order(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    ticks = itertools.count()  # a look at this clock takes 10 ms, whatever else the machine does
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: next(ticks) / 100))
    run = fit(model_config(CNN), dataset, config(epochs=1000, max_minutes=0.01), out=tmp_path / "run")
    assert run.manifest["training"]["epochs"] < 1000
    assert run.manifest["training"]["seconds"] == pytest.approx(0.6, abs=0.1)
    assert float(history(run.path)[-1]["learning_rate"]) < 0.0005, "the rate follows the time"


@pytest.mark.parametrize("name", SMALL)
def test_bf16_trains_and_leaves_weights_in_fp32(name: str, dataset: Dataset, tmp_path: Path):
    run = fit(model_config(SMALL[name]), dataset, config(epochs=1, precision="bf16"), out=tmp_path / "run")
    assert run.manifest["training"]["precision"] == "bf16"
    assert all(value.dtype == torch.float32 for value in weights(run.path).values())


def test_a_loss_that_is_not_a_number_is_said_and_leaves_nothing(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(loop.Training, "step", lambda self, batch: torch.tensor(float("nan")))
    with pytest.raises(DataError, match="no longer a number in epoch 1.*learning_rate"):
        fit(model_config(CNN), dataset, config(), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_dataset_that_the_model_cannot_read_is_refused_before_training(dataset: Dataset, tmp_path: Path):
    with pytest.raises(SequenceError, match="at most 42 bases"):
        fit(model_config(SMALL["transformer"] | {"positions": 40}), dataset, config(), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_tensorboard_logs_are_written_when_asked_for(dataset: Dataset, tmp_path: Path):
    pytest.importorskip("tensorboard")
    run = fit(model_config(CNN), dataset, config(epochs=1, logs=("csv", "tensorboard")), out=tmp_path / "run")
    assert list((run.path / "tensorboard").iterdir())
