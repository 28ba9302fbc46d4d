"""What every architecture and every baseline of the registries keeps."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from encre.errors import FolderError, MissingFileError
from encre.models.baselines import BASELINES, ON_REQUEST
from encre.models.baselines.gkm import GkmSVM, Shape
from encre.models.checkpoint import load_model, save_model
from encre.models.inference import predict_logits
from encre.models.model import build_model
from encre.models.registry import MODELS, model_config
from encre.models.settings import ModelConfig
from encre.tasks import screen_tasks
from toy_language_models import tiny_bert

ENCODER = {
    "stem": 8,
    "widths": [8],
    "blocks": [1],
    "pools": [2],
    "attention_layers": 1,
    "heads": 2,
    "feed_forward": 8,
}
#: Smaller than the defaults, so that the contract is quick.
SMALLER = {
    "ensemble": {
        "members": [
            {"name": "cnn", "channels": [8, 8]},
            {"name": "cnn_lstm", "channels": [8, 8, 8], "lstm": 8},
        ]
    },
    "cnn": {"channels": [8, 8]},
    "cnn_lstm": {"channels": [8, 8, 8], "lstm": 8},
    "transformer": {"width": 16, "layers": 1, "feed_forward": 16},
    "equivariant": {"stem": 8, "widths": [8, 12], "blocks": [1, 1], "pools": [2, 1]},
    "residual": {"stem": 8, "widths": [8, 12], "blocks": [1, 1], "pools": [2, 1]},
    "hybrid": {**ENCODER, "global_tokens": 2},
    "longformer": {**ENCODER, "window": 3},
    "performer": {**ENCODER, "random_features": 8},
    "dilated": {"stem": 8, "widths": [8], "blocks": [1], "pools": [2], "dilated_layers": 2, "gated": 4},
}
TASKS = screen_tasks(["brain", "heart"])


def small(name: str):
    torch.manual_seed(0)
    return build_model(small_config(name), tasks=TASKS).eval()


def small_config(name: str) -> ModelConfig:
    more = {"folder": tiny_bert()} if name == "language_model" else SMALLER.get(name, {})
    return model_config({"name": name, **more})


def sequences(n: int = 7) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    offsets = np.concatenate([[0], np.cumsum(rng.integers(20, 50, n))])
    return rng.integers(0, 4, offsets[-1]).astype(np.uint8), offsets


@pytest.mark.parametrize("name", MODELS)
def test_a_model_gives_logits_in_task_order_and_one_vector_a_sequence(name: str):
    model = small(name)
    codes = torch.randint(0, 5, (3, 40), dtype=torch.uint8)
    length = torch.tensor([40, 30, 20])
    assert model(codes, length).shape == (3, len(TASKS))
    assert model(codes, length).dtype == torch.float32
    assert model.embed(codes, length).shape == (3, model.trunk.width)
    assert torch.equal(model(codes, length), model(codes, length))
    with pytest.raises(NotImplementedError, match="signal"):
        model(codes, length, torch.zeros(3, 1, 40))


@pytest.mark.parametrize("name", MODELS)
def test_a_model_comes_back_from_its_folder(name: str, tmp_path: Path):
    model = small(name)
    save_model(tmp_path / "run", model, manifest={"sequence": {"width": 200}}, calibration={"temperatures": {}})
    random_state = torch.get_rng_state()
    loaded = load_model(tmp_path / "run")
    assert torch.equal(torch.get_rng_state(), random_state), "loading must not move the caller's random numbers"
    assert (loaded.config, loaded.tasks) == (model.config.inside(tmp_path / "run"), TASKS)
    assert loaded.manifest["sequence"] == {"width": 200}
    assert loaded.calibration == {"temperatures": {}}
    codes, offsets = sequences()
    np.testing.assert_array_equal(predict_logits(loaded.model, codes, offsets), predict_logits(model, codes, offsets))
    assert not list((tmp_path / "run").glob("*.p*")), "nothing is pickled"


@pytest.mark.parametrize("name", MODELS)
def test_settings_survive_toml(name: str, tmp_path: Path):
    config = small_config(name) if name == "language_model" else MODELS[name]()
    (tmp_path / "model.toml").write_text(config.to_toml())
    assert MODELS[name].from_toml(tmp_path / "model.toml") == config


@pytest.mark.parametrize("name", MODELS)
def test_predicting_leaves_the_mode_and_averages_strands(name: str):
    model = small(name).train()
    codes, offsets = sequences(2)
    logits = predict_logits(model, codes, offsets)
    assert model.training
    other = np.concatenate([3 - codes[a:b][::-1] for a, b in pairwise(offsets)]).astype(np.uint8)
    np.testing.assert_allclose(predict_logits(model, other, offsets), logits, atol=1e-5)
    assert logits.dtype == np.float32


@pytest.mark.parametrize("file", ["weights.safetensors", "tasks.json", "config.toml"])
def test_a_damaged_run_folder_is_refused(file: str, tmp_path: Path):
    save_model(tmp_path, small("cnn"), manifest={})
    content = (tmp_path / file).read_bytes()
    (tmp_path / file).write_bytes(content[: len(content) // 2])
    with pytest.raises(FolderError, match=file):
        load_model(tmp_path)
    (tmp_path / file).unlink()
    with pytest.raises(MissingFileError, match=file):
        load_model(tmp_path)


def test_a_run_folder_of_another_version_is_refused(tmp_path: Path):
    save_model(tmp_path, small("cnn"), manifest={})
    manifest = tmp_path / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(FolderError, match="another format version"):
        load_model(tmp_path)


@pytest.mark.parametrize("name", BASELINES | ON_REQUEST)
@pytest.mark.parametrize("regression", [None, np.array([False, True, True])])
def test_a_baseline_gives_logits_and_never_looks_at_unmeasured_targets(name: str, regression, monkeypatch):
    monkeypatch.setattr(GkmSVM, "shape", Shape(5, 3, 2))
    kind = (BASELINES | ON_REQUEST)[name]
    codes, offsets = sequences(60)
    rng = np.random.default_rng(1)
    targets = rng.integers(0, 2, (60, 3)).astype(np.float32)
    mask = rng.random((60, 3)) < 0.7
    mask[:, 2] = False  # a task that nobody measured
    unknown = np.where(mask, targets, np.nan)
    one = kind().fit(codes, offsets, targets, mask, regression=regression).logits(codes, offsets)
    other = kind().fit(codes, offsets, unknown, mask, regression=regression).logits(codes, offsets)
    assert (one.shape, one.dtype) == ((60, 3), np.float32)
    assert np.isfinite(one).all()
    np.testing.assert_array_equal(one, other)


def test_baselines_do_not_load_torch():
    code = "import sys, encre.models.baselines; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
