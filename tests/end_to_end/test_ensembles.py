"""Runs joined into one model, and used as one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import toy_models
from encre.cli.main import run
from encre.errors import ConfigError, DataError
from encre.interpret.attribution import attribute
from encre.models.checkpoint import load_model, save_model
from encre.models.ensemble import Ensemble, members_of
from encre.models.joining import join_runs
from encre.models.model import build_model
from encre.models.registry import model_config
from encre.models.stretch import naive_stretch_logits, stretch_logits
from encre.models.substitution import every_substitution, naive_substituted_logits, substituted_logits
from encre.predict.predictor import load

SHAPES = (
    {"name": "cnn", "input": "one_hot", "channels": [8, 8], "pools": [2, 1]},
    {"name": "cnn_lstm", "channels": [8, 8], "kernel_sizes": [5, 5], "pools": [1, 2], "lstm": 8},
    {"name": "transformer", "width": 16, "layers": 1, "heads": 2, "feed_forward": 16},
)


def save_run(folder: Path, shape: dict, *, digest: str = "1" * 64, seed: int = 0) -> Path:
    import torch

    torch.manual_seed(seed)
    model = build_model(model_config(shape), tasks=toy_models.motif_tasks()).eval()
    sequence = {"mode": "window", "width": 64, "jitter": 0, "min_length": 64, "max_length": 64}
    dataset = {"name": "toy", "digest": digest, "path": ""}
    training = {"seed": seed, "seconds": 1.5, "sequences": 10}
    return save_model(folder, model, manifest={"sequence": sequence, "dataset": dataset, "training": training})


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ensemble")
    runs = [save_run(folder / f"run{i}", shape, seed=i) for i, shape in enumerate(SHAPES)]
    assert run(["--quiet", "ensemble", *map(str, runs), "--out", str(folder / "all")]) == 0
    return folder / "all"


def codes(n: int, length: int = 64) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 4, (n, length)).astype(np.uint8)


def test_the_folder_needs_no_member_any_more_and_names_them(joined: Path):
    loaded = load_model(joined)
    assert [member.config.name for member in members_of(loaded.model)] == ["cnn", "cnn_lstm", "transformer"]
    for number, entry in enumerate(loaded.manifest["members"]):
        found = json.loads((joined.parent / f"run{number}" / "manifest.json").read_text())
        assert (entry["run"], entry["seed"]) == (f"run{number}", number)
        assert entry["weights"] == found["files"]["weights.safetensors"]
    assert loaded.manifest["training"] == {"members": 3, "seconds": 4.5, "sequences": 30}


def test_predictions_are_the_mean_of_the_members_with_their_spread(joined: Path):
    texts = [toy_models.random_text(length, seed) for seed, length in enumerate((64, 50, 300))]  # one is tiled
    table = load(joined).predict(texts)
    each = np.stack([load(joined.parent / f"run{i}").predict(texts)["logit_heart"].to_numpy() for i in range(3)])
    np.testing.assert_allclose(table["logit_heart"], each.mean(0), atol=1e-5)
    np.testing.assert_allclose(table["sd_heart"], each.std(0, ddof=1), atol=1e-5)
    assert "sd_heart" not in load(joined.parent / "run0").predict(texts).columns


def test_the_fast_ways_work_member_by_member(joined: Path):
    model = load_model(joined).model
    several, changes = codes(2), every_substitution(codes(2))
    for fast, slow in zip(
        substituted_logits(model, several, changes), naive_substituted_logits(model, several, changes), strict=True
    ):
        np.testing.assert_allclose(fast, slow, atol=1e-5)
    stretch = codes(1, 200)[0]
    fast, slow = (f(model, stretch, window=64, stride=8) for f in (stretch_logits, naive_stretch_logits))
    np.testing.assert_allclose(fast, slow, atol=1e-5)


def test_gradients_and_mutagenesis_explain_the_mean(joined: Path):
    text = [toy_models.random_text(64, 3)]
    for method in ("ism", "gradient_x_input"):
        whole = attribute(load(joined), text, method=method).hypothetical[0]
        parts = [attribute(load(joined.parent / f"run{i}"), text, method=method).hypothetical[0] for i in range(3)]
        np.testing.assert_allclose(whole, np.mean(parts, axis=0), atol=1e-4)
    with pytest.raises(ConfigError, match="transformer on 3-mers"):
        attribute(load(joined), text, method="deeplift")


def test_an_ensemble_as_a_member_gives_its_members(joined: Path, tmp_path: Path):
    other = save_run(tmp_path / "other", SHAPES[0], seed=7)
    found = load_model(join_runs([joined, other], out=tmp_path / "more")).model
    assert isinstance(found, Ensemble)
    assert [member.config.name for member in found.members] == ["cnn", "cnn_lstm", "transformer", "cnn"]


def test_what_cannot_be_averaged_is_refused(joined: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    one = joined.parent / "run0"
    with pytest.raises(ConfigError, match="same weights"):
        join_runs([one, one], out=tmp_path / "no")
    elsewhere = save_run(tmp_path / "elsewhere", SHAPES[0], digest="2" * 64, seed=1)
    with pytest.raises(DataError, match="other datasets"):
        join_runs([one, elsewhere], out=tmp_path / "no")
    assert run(["ensemble", str(one), "--out", str(tmp_path / "no")]) == 2
    assert "two runs or more" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


def test_predict_verb_writes_the_spread(joined: Path, tmp_path: Path):
    (tmp_path / "x.fa").write_text(f">a\n{toy_models.random_text(64, 1)}\n")
    out = tmp_path / "x.tsv"
    assert run(["-q", "predict", str(tmp_path / "x.fa"), "--model", str(joined), "--out", str(out)]) == 0
    assert {"sd_heart", "sd_brain"} <= set(pl.read_csv(out, separator="\t").columns)


def test_sets_need_cutoffs(joined: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "x.fa").write_text(f">a\n{toy_models.random_text(64, 1)}\n")
    words = ["-q", "predict", str(tmp_path / "x.fa"), "--model", str(joined), "--conformal"]
    assert run([*words, "0.9"]) == 2
    assert "carries no cutoffs for conformal sets" in capsys.readouterr().err
    assert run([*words, "1.2"]) == 2
    assert "0.5 to 0.99" in capsys.readouterr().err
