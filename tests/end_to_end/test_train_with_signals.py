"""Signal tracks from the dataset to the report; a model that takes none trains as if they were not there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyBigWig
import pytest
import torch

from conftest import Encre
from encre.data.build import build_dataset, build_from_elements
from encre.data.dataset import Dataset
from encre.data.settings import DatasetConfig
from encre.errors import ConfigError, DataError
from encre.evaluation.runs import read_evaluation
from encre.ledger import Ledger
from encre.models.checkpoint import load_model, read_weights
from encre.models.inference import predict_logits
from encre.models.joining import join_runs
from encre.models.registry import model_config
from encre.report.cards import write_model_card
from encre.report.html import write_report
from encre.sequence.alphabet import encode_many
from encre.sources.elements import Elements, arrange
from encre.tasks import Task, TaskSet
from encre.train.assess import evaluate
from encre.train.loop import Training, fit
from encre.train.outcome import Run
from encre.train.settings import TrainConfig
from interrupted import interrupt_at

CONFIG = """
source = {kind = "table", file = "-", tasks = {enhancer = ["enhancer"]}}
split = {by = "column"}
sequence = {mode = "window", width = 24, jitter = 4}
[signals]
bin = 8
[signals.tracks]
x = {path = "x.bw", tissue = "heart", assay = "DNase"}
"""


def test_training_ignores_signals(tmp_path):
    rng = np.random.default_rng(0)
    tasks = TaskSet([Task("enhancer", "enhancer")])
    n, width, jitter = 60, 24, 4
    codes, offsets = encode_many(["".join(rng.choice(list("ACGT"), width + 2 * jitter)) for _ in range(n)])
    start = np.arange(n) * 50 + 100
    columns = {"chrom": "one", "start": start, "end": start + width + 2 * jitter}
    columns |= {"enhancer": [1.0, 0.0] * (n // 2), "split": ["train", "train", "valid", "valid", "test", "test"] * 10}
    table = arrange(pl.DataFrame(columns), tasks)
    with pyBigWig.open(str(tmp_path / "x.bw"), "w") as out:
        out.addHeader([("one", 5000)])
        out.addEntries("one", 0, values=rng.gamma(1, 1, 3000), span=1, step=1)
    elements = Elements(table, tasks, Ledger(), [], codes, offsets)
    (tmp_path / "rich.toml").write_text(CONFIG)
    (tmp_path / "plain.toml").write_text(CONFIG.partition("[signals]")[0])
    rich, plain = (
        build_from_elements(elements, DatasetConfig.from_toml(tmp_path / f"{name}.toml"), out=tmp_path / name)
        for name in ("rich", "plain")
    )
    batch = rich.train.batch(np.arange(4))
    assert batch.signals is not None
    assert [rich.tracks[0][key] for key in ("name", "tissue", "assay")] == ["x", "heart", "DNase"]
    assert batch.signals.shape == (4, 1, 3)

    cnn = model_config({"name": "cnn", "channels": [4, 4], "pools": [2, 1], "embedding": 3})
    how = TrainConfig(epochs=1, batch_size=10, seed=1)
    histories = []
    for name, dataset in (("plain", plain), ("rich", rich)):
        fit(cnn, dataset, how, out=tmp_path / f"run-{name}")
        histories.append(pl.read_csv(tmp_path / f"run-{name}" / "history.csv"))
    assert histories[0]["train_loss"].to_list() == histories[1]["train_loss"].to_list()
    assert histories[0]["valid_auprc"].to_list() == histories[1]["valid_auprc"].to_list()


FUSED = """
[source]
kind = "bed"
file = "elements.bed"
genome = "toy.fa"
assembly = "custom:toy"
tasks = {tissue = ["open"]}
split_column = "split"

[split]
by = "column"

[sequence]
mode = "element"

[signals]
bin = 8
missing = "zero"

[signals.tracks]
dnase = "dnase.bw"
other = "other.bw"
"""
MODEL = {"name": "cnn", "channels": [6, 6], "pools": [2, 1], "embedding": 6, "norm": "batch"}
SIGNALS = {"fusion": "late", "width": 8, "heads": 2, "dropout": 0.0, "track_dropout": 0.0}
HOW = {"epochs": 2, "batch_size": 16, "learning_rate": 0.01, "device": "cpu", "precision": "fp32"}


class Toy(NamedTuple):
    """Elements of 30 to 44 bp that are open where the track ``dnase`` is high; ``other`` is noise."""

    folder: Path
    dataset: Dataset

    def file(self, name: str) -> str:
        return str(self.folder / name)

    @property
    def given(self) -> list[str]:
        """The command line's options for both tracks."""
        return [f"--signal=dnase={self.file('dnase.bw')}", f"--signal=other={self.file('other.bw')}"]


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    folder = tmp_path_factory.mktemp("fused")
    rng = np.random.default_rng(3)
    size, start = 24_000, np.arange(100, 23_800, 100)
    (folder / "toy.fa").write_text(">one\n" + "".join(rng.choice(list("ACGT"), size)) + "\n")
    length, is_open = rng.integers(30, 45, len(start)), rng.random(len(start)) < 0.5
    split = ["train", "train", "train", "valid", "test"]
    lines = ["#chrom\tstart\tend\tname\topen\tsplit"]
    lines += [
        f"one\t{a}\t{a + n}\te{i}\t{int(o)}\t{split[i % 5]}"
        for i, (a, n, o) in enumerate(zip(start, length, is_open, strict=True))
    ]
    (folder / "elements.bed").write_text("\n".join(lines) + "\n")
    values = {"dnase": rng.gamma(1, 0.3, size), "other": rng.gamma(1, 1, size)}
    for a, n in zip(start[is_open], length[is_open], strict=True):
        values["dnase"][a : a + n] += 2
    for name, track in values.items():
        with pyBigWig.open(str(folder / f"{name}.bw"), "w") as out:
            out.addHeader([("one", size)])
            out.addEntries("one", 0, values=track, span=1, step=1)
    (folder / "dataset.toml").write_text(FUSED)
    config = DatasetConfig.from_toml(folder / "dataset.toml")
    return Toy(folder, build_dataset(config, out=folder / "dataset"))


def fused(toy: Toy, out: Path, *, train: dict[str, Any] | None = None, **settings: Any) -> Path:
    config = model_config({**MODEL, "signals": {**SIGNALS, **settings}})
    return fit(config, toy.dataset, TrainConfig(**HOW | (train or {})), out=out).path


@pytest.fixture(scope="module")
def runs(toy: Toy) -> dict[str, Path]:
    """A run that needs both tracks, one that can do without, and one of sequence alone; all evaluated."""
    long = {"epochs": 12}
    found = {
        "needs": fused(toy, toy.folder / "needs", train=long),
        "can_do_without": fused(toy, toy.folder / "can_do_without", train=long, fusion="early", track_dropout=0.2),
        "alone": fused(toy, toy.folder / "alone", fusion="none"),
    }
    evaluate(list(found.values()), resamples=200, device="cpu")
    return found


def test_a_model_learns_what_the_track_says(runs: dict[str, Path]):
    for name in ("needs", "can_do_without"):
        values = read_evaluation(runs[name])
        assert values["groups"]["tissue"]["macro"]["auroc"]["value"] > 0.95
        signals = values["signals"]
        assert signals["tracks"] == ["dnase", "other"]
        assert signals["hidden"]["groups"]["tissue"]["macro"]["auroc"]["value"] < 0.8
        assert signals["signal_only"]["groups"]["tissue"]["macro"]["auroc"]["value"] > 0.95
        assert signals["differences"]["hidden"]["all"]["tissue/macro"]["auprc"]["low"] > 0
        assert (runs[name] / "predictions" / "hidden.test.parquet").is_file()
    assert "signals" not in read_evaluation(runs["alone"])


def test_the_report_says_what_the_signal_adds(runs: dict[str, Path], tmp_path: Path):
    page = write_report(list(runs.values()), out=tmp_path / "all.html").read_text()
    assert "The signal adds +0." in page
    assert "beyond sequence" in page
    assert 'id="signals"' in page
    own = write_report([runs["needs"]], out=tmp_path / "own.html").read_text()
    assert "it was never trained without them" in own
    assert "a run with fusion = &#34;none&#34;" in own
    assert "The tracks alone, without a base, reach" in own
    plain = write_report([runs["alone"]], out=tmp_path / "plain.html").read_text()
    assert 'id="signals"' not in plain
    assert "dnase" in write_model_card(runs["needs"]).read_text()


def test_predict_reads_the_tracks_of_regions_as_the_dataset_did(toy: Toy, runs: dict[str, Path], encre: Encre):
    bed = toy.folder / "test.bed"
    rows = toy.dataset.test.elements
    bed.write_text("".join(f"one\t{a}\t{b}\n" for a, b in rows.select("start", "end").iter_rows()))
    words = ("predict", bed, "--genome", toy.file("toy.fa"), "--assembly", "custom:toy")
    for name in ("needs", "can_do_without"):
        done = encre(*words, "--model", runs[name], *toy.given, "--out", toy.folder / f"{name}.tsv")
        assert done.code == 0, done.err
        assert "WITHOUT" not in done.err
        found = pl.read_csv(toy.folder / f"{name}.tsv", separator="\t")["logit_open"].to_numpy()
        expected = pl.read_parquet(runs[name] / "predictions" / "test.parquet")["logit_open"].to_numpy()
        np.testing.assert_allclose(found, expected, atol=1e-4)
    done = encre(*words, "--model", runs["can_do_without"], "--out", toy.folder / "hidden.tsv")
    assert done.code == 0
    assert "WITHOUT its signal tracks (dnase, other)" in done.err
    found = pl.read_csv(toy.folder / "hidden.tsv", separator="\t")["logit_open"].to_numpy()
    expected = pl.read_parquet(runs["can_do_without"] / "predictions" / "hidden.test.parquet")[
        "logit_open"
    ].to_numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_what_cannot_be_scored_is_refused_in_words(toy: Toy, runs: dict[str, Path], encre: Encre):
    needs, bed = ("--model", runs["needs"]), toy.file("elements.bed")
    genome = ("--genome", toy.file("toy.fa"), "--assembly", "custom:toy")
    (toy.folder / "x.fa").write_text(">x\n" + "ACGTT" * 8 + "\n")
    custom = ("--assembly", "custom:toy")
    cases: dict[tuple[object, ...], str] = {
        ("predict", toy.file("x.fa"), *needs): "reads the signal tracks dnase, other and was never trained without",
        ("scan", "one:1-2000", *needs, *genome, "--out", toy.file("x.bw")): "was never trained without",
        ("explain", toy.file("x.fa"), *needs, "--out", toy.file("x")): "was never trained without",
        ("predict", bed, *needs, *genome, toy.given[0]): "no other",
        ("predict", toy.file("x.fa"), *needs, *custom, *toy.given): "have no place in the genome",
        ("predict", bed, *needs, *genome, *toy.given, "--signal=dnas=x.bw"): "no signal track 'dnas'",
        ("predict", bed, *needs, *genome, "--signal=dnase"): "NAME=FILE",
        ("predict", bed, "--model", runs["alone"], *genome, *toy.given): "reads sequence alone",
    }
    for words, said in cases.items():
        done = encre(*words)
        assert done.code == 2, words
        assert said in " ".join(done.err.split()), done.err


def test_tracks_are_chosen_by_name_and_kept_in_that_order(toy: Toy, tmp_path: Path):
    config = load_model(fused(toy, tmp_path / "one", tracks=["other"], train={"epochs": 1})).config
    assert (config.signals.tracks, config.signals.bin) == (("other",), 8)
    both = Run.open(fused(toy, tmp_path / "two", tracks=["other", "dnase"], train={"epochs": 1})).manifest["signals"]
    assert [track["name"] for track in both["tracks"]] == ["other", "dnase"]
    with pytest.raises(ConfigError, match=r"no signal track 'dnas'.*dnase"):
        fused(toy, tmp_path / "x", tracks=["dnas"])
    with pytest.raises(ConfigError, match="bins of 8 bases"):
        fused(toy, tmp_path / "x", bin=16)


def test_an_interrupted_training_with_signals_ends_at_the_same_weights(toy: Toy, tmp_path: Path, monkeypatch):
    how = {"fusion": "cross_attention", "track_dropout": 0.3, "dropout": 0.1, "train": {"checkpoint_every": 3}}
    whole = read_weights(fused(toy, tmp_path / "whole", **how) / "weights.safetensors")
    step = Training.step
    interrupt_at(monkeypatch, 8)
    with pytest.raises(KeyboardInterrupt):
        fused(toy, tmp_path / "broken", **how)
    monkeypatch.setattr(Training, "step", step)
    config = model_config({**MODEL, "signals": {**SIGNALS, **{k: v for k, v in how.items() if k != "train"}}})
    train = TrainConfig(**HOW | how["train"])
    resumed = fit(config, toy.dataset, train, out=tmp_path / "broken", resume=True)
    found = read_weights(resumed.path / "weights.safetensors")
    assert all(torch.equal(found[name], whole[name]) for name in whole)


def test_two_processes_train_with_signals_as_one(toy: Toy, tmp_path: Path):
    script = tmp_path / "train.py"
    model = {**MODEL, "signals": {**SIGNALS, "fusion": "early"}}
    script.write_text(
        "from encre.data.dataset import Dataset\nfrom encre.models.registry import model_config\n"
        "from encre.train.loop import fit\nfrom encre.train.settings import TrainConfig\n"
        f"dataset = Dataset.open({str(toy.dataset.path)!r})\n"
        f"fit(model_config({model!r}), dataset, TrainConfig(**{HOW!r}), out={str(tmp_path / 'two')!r})\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    fused(toy, tmp_path / "one", fusion="early")
    one, two = (pl.read_csv(tmp_path / name / "history.csv") for name in ("one", "two"))
    for column in ("train_loss", "valid_loss"):
        np.testing.assert_allclose(two[column].to_numpy(), one[column].to_numpy(), rtol=1e-4)


def test_an_ensemble_reads_the_tracks_of_its_members(toy: Toy, runs: dict[str, Path], tmp_path: Path):
    other = fused(toy, tmp_path / "other", train={"seed": 1})
    joined = join_runs([runs["needs"], other, runs["alone"]], out=tmp_path / "ensemble")
    loaded = load_model(joined)
    bins = toy.dataset.test.signals([0, 1])
    codes, offsets = toy.dataset.test.codes, toy.dataset.test.offsets
    members = [load_model(path).model for path in (runs["needs"], other)]
    parts = [predict_logits(model, codes, offsets, signals=bins) for model in members]
    parts.append(predict_logits(load_model(runs["alone"]).model, codes, offsets))
    found = predict_logits(loaded.model, codes, offsets, signals=bins)
    np.testing.assert_allclose(found, np.mean(parts, axis=0), atol=1e-5)
    assert evaluate(joined, resamples=0, device="cpu")["signals"]["tracks"] == ["dnase", "other"]


def test_shuffled_rows_would_be_given_away_by_their_missing_signal(toy: Toy, tmp_path: Path):
    text = FUSED + '\n[negatives]\nkinds = ["dinucleotide_shuffle"]\nper_element = 1\n'
    for name in ("elements.bed", "toy.fa", "dnase.bw", "other.bw"):
        text = text.replace(f'"{name}"', f'"{toy.folder / name}"')
    (tmp_path / "dataset.toml").write_text(text)
    shuffles = build_dataset(DatasetConfig.from_toml(tmp_path / "dataset.toml"), out=tmp_path / "dataset")
    with pytest.raises(DataError, match="would give them away"):
        fit(model_config({**MODEL, "signals": SIGNALS}), shuffles, TrainConfig(**HOW), out=tmp_path / "run")
