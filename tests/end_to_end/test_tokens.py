"""Subwords and language models through the command line: learned, trained on, moved, resumed, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from encre.data.dataset import Dataset
from encre.models.checkpoint import load_model
from encre.models.registry import model_config
from encre.sequence.bpe import BytePairs
from encre.train.loop import fit
from encre.train.settings import TrainConfig
from interrupted import interrupt_at
from toy_language_models import write_bert


def learn(encre, source: Path, out: Path, *more: object) -> dict:
    done = encre("data", "tokenizer", source, "--out", out, "--tokens", 48, "--bases", 8000, "--json", *more)
    assert done.code == 0, done.err
    return json.loads(done.out)


def test_byte_pairs_are_learned_from_a_genome_a_bed_and_a_dataset(encre, toy, dataset, tmp_path):
    one, again, other = (tmp_path / f"{name}.json" for name in ("one", "again", "other"))
    facts = learn(encre, toy.genome, one)
    assert (facts["tokens"], facts["bases"]) == (48, 8000 // 128 * 128)
    assert 1.5 < facts["bases_a_token"] < 4
    learn(encre, toy.genome, again)
    learn(encre, toy.genome, other, "--seed", 1)
    assert one.read_text() == again.read_text() != other.read_text()
    bed = toy.write("some.bed", [["chrA", str(start), str(start + 500)] for start in range(1000, 20_000, 700)])
    facts = learn(encre, bed, tmp_path / "bed.json", "--genome", toy.genome, "--assembly", "custom:toy")
    assert facts["bases"] == 8000
    facts = learn(encre, dataset, tmp_path / "rows.json")
    longest = int(Dataset.open(dataset).train.length.max())
    assert 8000 <= facts["bases"] < 8000 + longest
    assert BytePairs((tmp_path / "rows.json").read_text()).vocabulary_size == 48


def test_what_cannot_be_learned_from_is_said(encre, toy, tmp_path):
    out = tmp_path / "never.json"
    for words, said in (
        ((toy.genome, "--bases", 100), "too little to learn from"),
        ((toy.genome, "--tokens", 100_000, "--bases", 8000), "too few for so many tokens"),
        ((tmp_path / "none.fa",), "there is no such file"),
        ((toy.folder,), "not a dataset folder"),
    ):
        done = encre("data", "tokenizer", *words, "--out", out)
        assert (done.code, out.exists()) == (2, False)
        assert said in done.err


def test_a_run_on_byte_pairs_does_the_whole_job_without_their_file(encre, toy, dataset, tmp_path):
    learn(encre, toy.genome, tmp_path / "pairs.json")
    config = tmp_path / "bpe.toml"
    values = 'name = "cnn"\nchannels = [8, 8]\ninput = "bpe"\nvocabulary = "{}"\n'.format(tmp_path / "pairs.json")
    config.write_text(f"[model]\n{values}[train]\nepochs = 1\nbatch_size = 32\n")
    done = encre("train", config, "--data", dataset, "--out", tmp_path / "run", "-q")
    assert done.code == 0, done.err
    (tmp_path / "pairs.json").unlink()
    run = (tmp_path / "run").rename(tmp_path / "moved")
    done = encre("evaluate", run, "-q")
    assert done.code == 0, done.err
    fasta = tmp_path / "x.fa"
    fasta.write_text(">a\n" + "ACGTTGCA" * 20 + "\n>n\n" + "ACGTTGNNNN" * 16 + "\n")
    done = encre("predict", fasta, "--model", run, "--json")
    assert done.code == 0, done.err
    done = encre("explain", fasta, "--model", run, "--out", tmp_path / "explained", "-q")
    assert done.code == 0, done.err
    done = encre("explain", fasta, "--model", run, "--out", tmp_path / "no", "--method", "gradient_x_input")
    assert done.code == 2
    assert "got cnn on byte-pair subwords" in done.err
    assert "Possible with it: ism" in done.err
    places = ("--genome", toy.genome, "--assembly", "custom:toy", "--out", f"{tmp_path / 'scanned'}/")
    done = encre("scan", "chrA:1-2,000", "--model", run, "--stride", 100, *places, "-q")
    assert done.code == 0, done.err


def test_a_language_model_does_the_whole_job_without_its_folder(encre, dataset, tmp_path):
    folder = write_bert(tmp_path / "bert", positions=256)
    config = tmp_path / "bert.toml"
    values = f'name = "language_model"\nfolder = "{folder}"\ntuning = "lora"\nlora_rank = 2\n'
    config.write_text(f"[model]\n{values}[train]\nepochs = 1\nbatch_size = 32\n")
    done = encre("train", config, "--data", dataset, "--out", tmp_path / "run", "-q")
    assert done.code == 0, done.err
    shutil.rmtree(folder)
    done = encre("evaluate", tmp_path / "run", "-q")
    assert done.code == 0, done.err
    fasta = tmp_path / "x.fa"
    fasta.write_text(">a\n" + "ACGTTGCA" * 20 + "\n")
    done = encre("predict", fasta, "--model", tmp_path / "run", "--json")
    assert done.code == 0, done.err
    done = encre("train", config, "--data", dataset, "--out", tmp_path / "other", "-q")
    assert done.code == 2
    assert "this is not a folder of a language model" in done.err


@pytest.mark.parametrize("name", ["frozen", "lora", "full", "bpe"])
def test_interrupted_and_resumed_equals_unbroken(name, dataset, tmp_path, monkeypatch):
    if name == "bpe":
        from encre.sequence.bpe import train_byte_pairs

        text = "".join(np.random.default_rng(0).choice(list("ACGT"), 5_000))
        (tmp_path / "pairs.json").write_text(train_byte_pairs([text], vocabulary_size=48).to_json())
        values = {"name": "transformer", "input": "bpe", "vocabulary": str(tmp_path / "pairs.json")}
        values |= {"width": 8, "layers": 1, "heads": 2, "feed_forward": 8}
    else:
        folder = write_bert(tmp_path / "bert", positions=256)
        values = {"name": "language_model", "folder": str(folder), "tuning": name, "lora_rank": 2}
    settings = TrainConfig(epochs=2, batch_size=32, device="cpu", precision="fp32", checkpoint_every=2)
    data = Dataset.open(dataset)
    fit(model_config(values), data, settings, out=tmp_path / "whole")
    interrupt_at(monkeypatch, 6)
    with pytest.raises(KeyboardInterrupt):
        fit(model_config(values), data, settings, out=tmp_path / "broken")
    fit(model_config(values), data, settings, out=tmp_path / "broken", resume=True)
    whole, broken = (load_model(tmp_path / part).model.state_dict() for part in ("whole", "broken"))
    assert all(torch.equal(whole[key], broken[key]) for key in whole)
