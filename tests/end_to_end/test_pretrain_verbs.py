"""`encre pretrain` and `encre find-rate`: before a training, from the command line."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from encre.data.dataset import Dataset
from toy_words import built, texts

CONFIG = """
[model]
name = "cnn"
input = "one_hot"
channels = [16, 16]
kernel_sizes = [9, 5]

[pretrain]
steps = 40
batch_size = 16
window = 60
valid_every = 20
valid_windows = 32
span = 3
valid = ["two"]
test = ["three"]

[train]
epochs = 1
batch_size = 16
"""


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return built(tmp_path_factory.mktemp("words"), texts())


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "model.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def fasta(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ENCRE_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    path = tmp_path / "toy.fa"
    path.write_text("".join(f">{n}\n{''.join(rng.choice(list('ACGT'), 3000))}\n" for n in ("one", "two", "three")))
    return path


def test_a_genome_is_read_first_and_a_training_begins_from_it(encre, words: Dataset, config, fasta, tmp_path: Path):
    pre, run = tmp_path / "pre", tmp_path / "run"
    done = encre("pretrain", config, "--genome", fasta, "--assembly", "custom:toy", "--out", pre, "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["genome"]["chromosomes"] == ["one"]
    assert set(found["evaluation"]["baselines"]) == {"most_frequent_base", "markov_4_both_sides"}
    shown = encre("info", pre)
    assert "markov 4 both sides" in shown.out
    assert "train.start" in shown.out
    done = encre("train", config, "--data", words.path, "--out", run, "--set", f"train.start={json.dumps(str(pre))}")
    assert done.code == 0, done.err
    assert f"begins from {pre}: takes 4 of 6 tensors" in done.err
    assert "fresh: heads.enhancer.bias, heads.enhancer.weight; not used: reader.bias, reader.weight" in done.err
    assert "0 of 90 test rows lie on chromosomes that it read" in done.err
    start = json.loads((run / "manifest.json").read_text())["start"]
    assert start["trained_on"]["assembly"] == "custom:toy"
    (pre / "weights.safetensors").write_bytes(b"damaged")
    assert "not the one that the manifest describes" in encre("info", pre).err


def test_a_datasets_training_rows_are_read_and_its_test_rows_are_not(encre, words: Dataset, config, tmp_path: Path):
    done = encre("pretrain", config, "--data", words.path, "--out", tmp_path / "pre", "--quiet")
    assert done.code == 0, done.err
    assert "masked bases named rightly, in 32 held-out windows" in done.out
    run = tmp_path / "run"
    done = encre("train", config, "--data", words.path, "--out", run, "--set", f'train.start="{tmp_path / "pre"}"')
    assert "0 of 90 valid rows, 0 of 90 test rows are sequences that it was trained on" in done.err
    (tmp_path / "x.fa").write_text(">x\nACGTACGTACGTACGTACGTACGTACGTACGTACGTACGT\n")
    done = encre("predict", tmp_path / "x.fa", "--model", tmp_path / "pre")
    assert done.code == 2
    assert "got pretrained" in done.err
    assert "train.start" in done.err
    done = encre("pretrain", config, "--out", tmp_path / "other")
    assert done.code == 2
    assert "Name a --genome" in done.err


def test_a_rate_is_found_and_nothing_else_is_left(encre, words: Dataset, config, tmp_path: Path):
    before = {path.name for path in tmp_path.iterdir()}
    words_of = ("find-rate", config, "--data", words.path, "--steps", 60, "--set", "train.precision=fp32")
    done = encre(*words_of, "--out", tmp_path / "curve.csv", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert 1e-4 < found["suggestion"] < 0.1
    assert found["steepest_at"] <= found["lowest_at"]
    assert found["suggestion"] == pytest.approx(found["lowest_at"] / 10, rel=0.06)
    assert {path.name for path in tmp_path.iterdir()} == before | {"curve.csv"}
    with (tmp_path / "curve.csv").open(newline="") as handle:
        rows = [[float(value) for value in row.values()] for row in csv.DictReader(handle)]
    assert len(rows) == found["steps"]
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    again = json.loads(encre(*words_of, "--json").out)
    assert again == found
    assert "not above the lowest" in encre(*words_of, "--lowest", 1, "--highest", 0.1).err
