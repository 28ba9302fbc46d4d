"""The main job on real forms: registry, nine tissue files and hg38 through the shipped full-size configs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from encre.cli.main import run
from encre.tasks import TISSUES

ROOT = Path(__file__).resolve().parents[2]
#: Full-size configs, made small enough for a test: the form is what is tested here, not the skill.
SMALL = ("train.epochs=1", "train.batch_size=128")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    out = tmp_path_factory.mktemp("screen") / "data"
    os.environ.setdefault("ENCRE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    files = data / "screen_like"
    chosen = {"registry": files / "GRCh38-cCREs.bed.gz", "genome": data / "genome" / "hg38.sparse.fa.gz"}
    chosen |= {f"tissues.{tissue}": files / f"{tissue}.noccl.cCREs.bed.gz" for tissue in TISSUES}
    words = [word for key, path in chosen.items() for word in ("--set", f"source.{key}={path}")]
    assert (
        run(["--quiet", "data", "build", str(ROOT / "examples/screen_v4/dataset.toml"), "--out", str(out), *words])
        == 0
    )
    return out


@pytest.mark.data
@pytest.mark.slow
def test_from_files_to_report(built: Path, tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]):
    model, bed = tmp_path / "cnn", tmp_path / "peaks.bed"
    words = [word for value in (*SMALL, "model.channels=[16, 16]") for word in ("--set", value)]
    assert (
        run(
            [
                "-q",
                "train",
                str(ROOT / "examples/screen_v4/cnn.toml"),
                "--data",
                str(built),
                "--out",
                str(model),
                *words,
            ]
        )
        == 0
    )
    assert run(["-q", "evaluate", str(model)]) == 0
    assert run(["-q", "report", str(model), "--out", str(tmp_path / "report.html")]) == 0
    evaluation = json.loads((model / "evaluation.json").read_text())
    assert set(evaluation["baselines"]) == {"all_positive", "length_only", "gc_only", "kmer4", "kmer5"}
    page = (tmp_path / "report.html").read_text()
    assert "large intestine" in page
    assert "more than 50% N" in page, "the 2,000 rows without sequence must be seen in the ledger"
    elements = pl.read_parquet(built / "elements.parquet").head(5)
    bed.write_text("".join(f"{c}\t{s}\t{e}\n" for c, s, e in elements.select("chrom", "start", "end").iter_rows()))
    capsys.readouterr()
    genome = data / "genome" / "hg38.sparse.fa.gz"
    assert run(["-q", "--json", "predict", str(bed), "--genome", str(genome), "--model", str(model)]) == 0
    rows = json.loads(capsys.readouterr().out)["predictions"]
    assert [row["chrom"] for row in rows] == elements["chrom"].to_list()
    assert {"logit_enhancer", "logit_kidney"} <= rows[0].keys()


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("name", ["cnn_lstm", "transformer"])
def test_the_other_full_size_configs_train(built: Path, tmp_path: Path, name: str):
    width = ["model.width=16", "model.layers=1", "model.feed_forward=16"] if name == "transformer" else []
    lstm = ["model.channels=[8, 8, 8]", "model.lstm=8"] if name == "cnn_lstm" else []
    words = [word for value in (*SMALL, *width, *lstm) for word in ("--set", value)]
    out = tmp_path / name
    assert (
        run(
            [
                "-q",
                "train",
                str(ROOT / f"examples/screen_v4/{name}.toml"),
                "--data",
                str(built),
                "--out",
                str(out),
                *words,
            ]
        )
        == 0
    )
    assert (out / "weights.safetensors").stat().st_size > 1000


@pytest.mark.slow
def test_torchrun_trains_through_the_command_line(dataset: Path, model_toml: Path, tmp_path: Path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "encre"]
    words = ["--json", "train", str(model_toml), "--data", str(dataset), "--out", str(tmp_path / "run")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, *words], capture_output=True, text=True, timeout=300, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    described = json.loads(done.stdout)  # once, from the process that leads
    assert described["training"]["world_size"] == 2
