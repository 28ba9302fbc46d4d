"""The main job through the command line: build, look, train, judge, compare, report, predict."""

from __future__ import annotations

import io
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest


@pytest.fixture
def judged(encre, toy, originals: Path, run_folder: Path) -> Path:
    """A run that was evaluated on the toy dataset."""
    outcome = encre("evaluate", run_folder, "-q")
    assert outcome.code == 0, outcome.err
    return run_folder


def test_build_shows_the_ledger_and_the_audit(encre, toy) -> None:
    outcome = encre("data", "build", toy.config, "--out", toy.folder / "out")
    assert outcome.code == 0, outcome.err
    for words in ("Ledger", "join brain", "Leakage:", "Shortcuts", "enhancer", "heart"):
        assert words in outcome.out
    assert "reading source 'screen'" in outcome.err
    card = (toy.folder / "out" / "README.md").read_text()
    assert "# Dataset: toy" in card


def test_info_says_the_same_of_a_dataset_as_its_manifest(encre, dataset: Path) -> None:
    manifest = json.loads((dataset / "manifest.json").read_text())
    for words in (["info", dataset], ["data", "info", dataset], ["data", "check", dataset]):
        value = json.loads(encre(*words, "--json").out)
        assert value["kind"] == "dataset"
        assert value["digest"] == manifest["digest"]
        assert value["splits"]["test"]["rows"] == manifest["splits"]["test"]["rows"]
        assert [task["name"] for task in value["tasks"]] == ["enhancer", "brain", "heart"]
    assert json.loads(encre("info", dataset, "--verify", "--json").out)["verified"] is True


def test_info_on_a_run_before_and_after_evaluation(encre, run_folder: Path) -> None:
    value = json.loads(encre("info", run_folder, "--json", "--verify").out)
    assert (value["kind"], value["model"], value["verified"]) == ("run", "cnn", True)
    assert value["evaluation"] is None
    assert "encre evaluate" in encre("info", run_folder).out
    assert encre("evaluate", run_folder, "-q").code == 0
    assert json.loads(encre("info", run_folder, "--json").out)["evaluation"]["split"] == "test"
    assert "5-mer logistic regression" in encre("info", run_folder).out


def test_seed_and_set_reach_the_config(encre, toy, dataset: Path, model_toml: Path) -> None:
    words = ["train", model_toml, "--data", dataset, "--out", toy.folder / "run", "--seed", 5, "--device", "cpu"]
    outcome = encre(*words, "--set", "model.channels=[4,4]", "--json", "-q")
    assert outcome.code == 0, outcome.err
    value = json.loads(outcome.out)
    assert value["training"]["seed"] == 5
    config = (toy.folder / "run" / "config.toml").read_text()
    assert 'device = "cpu"' in config
    assert "seed = 5" in config


def test_resume_goes_on_where_it_stopped(encre, toy, dataset: Path, model_toml: Path) -> None:
    out = toy.folder / "run"
    words = ["train", model_toml, "--data", dataset, "--out", out, "--set", "train.epochs=2", "-q"]
    assert encre(*words).code == 0
    again = encre(*words, "--resume")
    assert again.code == 0, again.err
    (out / "manifest.json").unlink()
    refused = encre(*words)
    assert refused.code == 2
    assert "--resume" in refused.err


def test_evaluate_judges_the_run_beside_the_baselines(encre, judged: Path) -> None:
    for name in ("evaluation.json", "calibration.json", "README.md", "predictions/test.parquet"):
        assert (judged / name).is_file(), name
    value = json.loads(encre("evaluate", judged, "--json", "-q").out)["cnn"]
    assert set(value["baselines"]) >= {"all_positive", "length_only", "gc_only", "kmer4", "kmer5"}
    assert value["groups"]["tissue"]["macro"]["auroc"].keys() >= {"value", "low", "high"}
    drawn = encre("evaluate", judged, "-q").out
    assert "5-mer logistic regression" in drawn
    assert "tissue" in drawn
    assert "AUROC" in drawn


def test_compare_and_report(encre, toy, judged: Path) -> None:
    other = Path(shutil.copytree(judged, judged.with_name("twin")))
    outcome = encre("compare", judged, other, "--json", "-q")
    assert outcome.code == 0, outcome.err
    pair = json.loads(outcome.out)["pairs"][0]
    assert pair["differences"]["all"]["enhancer"]["auroc"]["value"] == 0
    assert "cnn - twin" in encre("compare", judged, other).out
    page = toy.folder / "report.html"
    assert json.loads(encre("report", judged, other, "--out", page, "--json").out) == {"report": str(page)}
    assert page.read_text().lstrip().lower().startswith("<!doctype html>")


def test_a_dataset_that_moved_is_found_with_data(encre, toy, run_folder: Path, dataset: Path) -> None:
    manifest = json.loads((run_folder / "manifest.json").read_text())
    manifest["dataset"]["path"] = str(toy.folder / "gone")
    (run_folder / "manifest.json").write_text(json.dumps(manifest))
    lost = encre("evaluate", run_folder, "-q")
    assert lost.code == 2
    assert "--data" in lost.err
    found = encre("evaluate", run_folder, "--data", dataset, "-q")
    assert found.code == 0, found.err


def genome_text(toy, chrom: str, start: int, end: int) -> str:
    records = dict(part.split("\n", 1) for part in toy.genome.read_text().lstrip(">").split("\n>"))
    return records[chrom].replace("\n", "")[start:end]


def test_every_form_of_the_same_sequence_gets_the_same_row(encre, toy, judged: Path) -> None:
    start, end = 1000, 1180
    text = genome_text(toy, "chrA", start, end)
    files = {
        "x.fa": f">one\n{text}\n",
        "x.csv": f"name,sequence\none,{text.lower()}\n",
        "x.bed": f"chrA\t{start}\t{end}\tone\n",
        "x.narrowPeak": f"chrA\t{start}\t{end}\tone\t0\t.\t1\t1\t1\t50\n",
    }
    for name, content in files.items():
        (toy.folder / name).write_text(content)
    pl.DataFrame({"name": ["one"], "sequence": [text]}).write_parquet(toy.folder / "x.parquet")
    genome = ["--genome", toy.genome, "--assembly", "custom:toy"]
    found = {}
    for source in [*(toy.folder / name for name in files), toy.folder / "x.parquet", f"chrA:{start + 1:,}-{end:,}"]:
        outcome = encre("predict", source, "--model", judged, *genome, "-q")
        assert outcome.code == 0, outcome.err
        found[str(source)] = pl.read_csv(io.StringIO(outcome.out), separator="\t")
    tables = list(found.values())
    scores = [c for c in tables[0].columns if c.startswith(("logit_", "probability_"))]
    assert scores == [
        f"{kind}_{task}" for kind in ("logit", "probability") for task in ("enhancer", "brain", "heart")
    ]
    for table in tables:
        assert table.select("length", *scores).equals(tables[0].select("length", *scores))
        assert table["model"].to_list() == ["cnn"]
        if "chrom" in table.columns:
            assert table.select("chrom", "start", "end").row(0) == ("chrA", start, end)


def test_output_forms_hold_the_same_table(encre, toy, judged: Path) -> None:
    fasta = toy.folder / "x.fa"
    fasta.write_text(f">one\n{genome_text(toy, 'chrA', 0, 170)}\n>long\n{genome_text(toy, 'chrB', 0, 900)}\n")
    tables = []
    for name in ("o.tsv", "o.csv", "o.parquet"):
        outcome = encre("predict", fasta, "--model", judged, "--out", toy.folder / name)
        assert outcome.code == 0, outcome.err
        assert "1 of 2 sequences are longer than the model's 200 bp" in outcome.err
        path = toy.folder / name
        read = pl.read_parquet(path) if name.endswith("parquet") else None
        tables.append(pl.read_csv(path, separator="\t" if name.endswith("tsv") else ",") if read is None else read)
    assert tables[0]["windows"].to_list() == [1, 8]
    for table in tables[1:]:
        assert table.columns == tables[0].columns
        for name in table.columns[4:-1]:
            assert table[name].to_list() == pytest.approx(tables[0][name].to_list(), rel=1e-4)
    rows = json.loads(encre("predict", fasta, "--model", judged, "--json", "-q").out)
    assert [row["name"] for row in rows["predictions"]] == ["one", "long"]
    assert rows["model"]["tasks"] == ["enhancer", "brain", "heart"]


def test_predict_without_a_model_uses_the_shipped_one_or_says_there_is_none(encre, toy) -> None:
    from encre.predict.predictor import DEFAULT_MODEL

    fasta = toy.folder / "x.fa"
    fasta.write_text(f">one\n{genome_text(toy, 'chrA', 0, 200)}\n")
    outcome = encre("predict", fasta)
    if (DEFAULT_MODEL / "manifest.json").is_file():
        assert outcome.code == 0, outcome.err
        assert "encre default model" in outcome.out
        assert "Limits of the shipped model" in outcome.err
    else:
        assert outcome.code == 2
        assert "--model" in outcome.err


def test_stdout_may_be_cut_short(toy, run_folder: Path) -> None:
    fasta = toy.folder / "x.fa"
    fasta.write_text("".join(f">s{i}\n{genome_text(toy, 'chrA', i, i + 150)}\n" for i in range(2000)))
    command = f"{sys.executable} -m encre -q predict {fasta} --model {run_folder} | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("name\t")
    assert done.stderr == ""


def test_ctrl_c_while_training_keeps_only_what_resume_needs(toy, dataset: Path, model_toml: Path) -> None:
    out = toy.folder / "run"
    command = [sys.executable, "-m", "encre", "train", str(model_toml), "--data", str(dataset), "--out", str(out)]
    command += ["--set", "train.epochs=100000", "--set", "train.patience=100000"]
    started = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (out / "state" / "last.safetensors").is_file() and time.monotonic() < deadline:
        time.sleep(0.05)
    started.send_signal(signal.SIGINT)
    _, err = started.communicate(timeout=60)
    assert started.returncode == 130, err
    assert err.splitlines()[-1].startswith("Interrupted: stopped cleanly")
    assert not (out / "manifest.json").exists()
    assert {path.name for path in out.iterdir()} == {"state"}
    assert not list(out.rglob("*.partial"))
