"""Masked bases: what is hidden, what the baselines guess, which windows are drawn, and what a trunk learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from encre.errors import ConfigError, DataError, FolderError, SequenceError
from encre.genome.store import Genome
from encre.models.registry import model_config
from encre.predict.predictor import load
from encre.sequence.alphabet import decode
from encre.train.pretraining import loop
from encre.train.pretraining.baseline import Chain, baselines
from encre.train.pretraining.loop import pretrain
from encre.train.pretraining.masking import masked
from encre.train.pretraining.model import MaskedBases
from encre.train.pretraining.windows import GenomeWindows
from encre.train.settings import PretrainConfig

CNN = {"name": "cnn", "input": "one_hot", "channels": [24, 24], "kernel_sizes": [9, 9], "pools": [1, 2]}
WORD = "ACGGTCATTGCA"


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def genome(tmp_path_factory: pytest.TempPathFactory) -> Genome:
    """Three chromosomes in which one word stands again and again between random bases, with gaps of N."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("genome")
    with (folder / "toy.fa").open("w") as handle:
        for name in ("one", "two", "three"):
            pieces = [WORD + "".join(rng.choice(list("ACGT"), rng.integers(1, 5))) for _ in range(700)]
            pieces[::200] = ["N" * 50] * len(pieces[::200])
            handle.write(f">{name}\n{''.join(pieces)}\n")
    return Genome(folder / "toy.fa", assembly=None, cache=folder / "cache")


def settings(**values: Any) -> PretrainConfig:
    usual = {"steps": 60, "batch_size": 16, "window": 60, "learning_rate": 5e-3, "valid_every": 30, "device": "cpu"}
    usual |= {"valid_windows": 64, "valid": ["two"], "test": ["three"], "span": 3, "precision": "fp32"}
    return PretrainConfig.parse(usual | values)


def test_masks_hide_known_bases_in_stretches_and_keep_the_rest():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, (200, 100)).astype(np.uint8)
    length = rng.integers(40, 101, 200)
    codes[np.arange(100) >= length[:, None]] = 4
    codes[:, 10:15] = 4
    before = codes.copy()
    shown, asked = masked(codes, length, np.random.default_rng(1), share=0.15, span=5, mixed=False)
    assert np.array_equal(codes, before)
    assert (shown[asked] == 4).all()
    assert np.array_equal(shown[~asked], codes[~asked])
    assert not asked[codes == 4].any()
    assert 0.11 < asked.sum() / (codes < 4).sum() < 0.15
    shown, asked = masked(codes, length, np.random.default_rng(1), share=0.15, span=5)
    assert 0.75 < (shown[asked] == 4).mean() < 0.85
    assert 0.1 < (shown[asked] == codes[asked]).mean() < 0.16, "a tenth as it is, and a quarter of a tenth by chance"
    assert np.array_equal(shown[~asked], codes[~asked])


def test_the_chain_is_certain_where_bases_follow_each_other():
    """In ACGTACGT… every base is told by the bases before it, at any distance and from either side."""
    codes = np.tile(np.array([0, 1, 2, 3], np.uint8), 25)[None]
    asked = np.zeros((1, 100), bool)
    asked[0, [0, 20, 21, 22, 60, 99]] = True
    shown = np.where(asked, 4, codes).astype(np.uint8)
    found = baselines(codes, codes, shown, asked)
    assert found["markov_4_both_sides"] == 1.0
    assert found["most_frequent_base"] == pytest.approx(3 / 6)
    assert Chain(codes, reach=3).scores(shown, asked).shape == (6, 4)


def test_windows_hold_no_unknown_base_and_come_from_their_own_chromosomes(genome: Genome):
    windows = GenomeWindows(genome, settings())
    whole = {name: _chromosome(genome, name) for name in genome.lengths}
    for part, home in (("train", "one"), ("valid", "two")):
        codes, length = getattr(windows, part)(np.random.default_rng(0), 50)
        assert (codes < 4).all()
        assert (length == 60).all()
        both = whole[home] + "|" + whole[home].translate(str.maketrans("ACGT", "TGCA"))[::-1]
        assert all(decode(row) in both for row in codes)
    assert windows.about["genome"]["chromosomes"] == ["one"]


def _chromosome(genome: Genome, name: str) -> str:
    codes, _ = genome.gather([name], np.array([0]), np.array([genome.lengths[name]]))
    return decode(codes)


def test_a_genome_without_a_window_left_is_refused(genome: Genome):
    with pytest.raises(DataError, match="for train"):
        GenomeWindows(genome, settings(valid=["one"], test=["two", "three"]))
    with pytest.raises(DataError, match="for valid"):
        GenomeWindows(genome, settings(valid=["chr6"], test=[]))


SHAPES = [
    ({"name": "cnn"}, 1),
    ({"name": "cnn", "k": 6, "pools": [2, 3]}, 6),
    ({"name": "cnn", "input": "one_hot", "pools": [4, 4]}, 16),
    ({"name": "cnn_lstm", "lstm": 8, "channels": [8, 8, 8]}, 1),
    ({"name": "transformer", "width": 16, "layers": 1, "feed_forward": 16, "k": 4, "stride": 4}, 4),
    ({"name": "residual"}, None),
]


@pytest.mark.parametrize(("values", "bases"), SHAPES, ids=str)
def test_every_trunk_names_bases_at_their_places(values: dict[str, Any], bases: int | None):
    torch.manual_seed(0)
    model = MaskedBases(model_config(values), window=96).eval()
    if bases is not None:
        assert model.bases == bases
    codes = torch.randint(0, 4, (2, 96), dtype=torch.uint8)
    codes[1, 80:] = 4
    logits, read = model(codes, torch.tensor([96, 80]))
    assert logits.shape == (2, 96, 4)
    assert read[0].float().mean() > 0.85
    assert not read[1, 96 - 16 + model.bases :].any()


def test_what_cannot_be_pretrained_is_said(genome: Genome, tmp_path: Path):
    windows = GenomeWindows(genome, settings())
    short = model_config({"name": "transformer", "width": 16, "positions": 40})
    with pytest.raises(SequenceError, match="at most 42 bases"):
        pretrain(short, windows, settings(), out=tmp_path / "run")
    with pytest.raises(ConfigError, match="cannot be pretrained"):
        MaskedBases(model_config({"name": "ensemble", "members": []}), window=60)
    assert not (tmp_path / "run").exists()


def test_a_trunk_learns_more_than_the_baselines_know(genome: Genome, tmp_path: Path):
    """A word of twelve bases stands all over the toy: four bases on either side tell less than the whole word."""
    windows, random_state = GenomeWindows(genome, settings()), torch.get_rng_state()
    manifest = pretrain(model_config(CNN), windows, settings(steps=250), out=tmp_path / "run")
    found = manifest["evaluation"]
    assert torch.equal(torch.get_rng_state(), random_state)
    assert found["baselines"]["most_frequent_base"] < 0.4
    assert found["accuracy"] > found["baselines"]["most_frequent_base"] + 0.3
    assert found["accuracy"] > found["baselines"]["markov_4_both_sides"]
    assert manifest["genome"]["chromosomes"] == ["one"]
    with pytest.raises(FolderError, match=r"not a run folder \(got pretrained\).*train.start"):
        load(str(tmp_path / "run"))


def test_interrupted_and_resumed_equals_unbroken(genome: Genome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    windows, config = GenomeWindows(genome, settings()), model_config(CNN | {"norm": "batch", "dropout": 0.2})
    whole = pretrain(config, windows, settings(), out=tmp_path / "whole")
    judge = loop.Pretraining._judge

    def breaks(self: loop.Pretraining, progress: Any) -> None:
        judge(self, progress)
        raise KeyboardInterrupt

    monkeypatch.setattr(loop.Pretraining, "_judge", breaks)
    with pytest.raises(KeyboardInterrupt):
        pretrain(config, windows, settings(), out=tmp_path / "broken")
    monkeypatch.undo()
    with pytest.raises(ConfigError, match=r"another 'pretrain.span'"):
        pretrain(config, windows, settings(span=4), out=tmp_path / "broken", resume=True)
    broken = pretrain(config, windows, settings(), out=tmp_path / "broken", resume=True)
    assert broken["files"]["weights.safetensors"] == whole["files"]["weights.safetensors"]
    assert pretrain(config, windows, settings(), out=tmp_path / "broken", resume=True) == broken
