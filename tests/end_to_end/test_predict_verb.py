"""`encre predict` on every trunk: forms in and out, the background, base rates, stdin, and what cannot be scored."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from encre.evaluation.background import Background, quantiles_of
from encre.evaluation.calibration import Calibration
from encre.models.checkpoint import save_model
from encre.models.model import build_model
from encre.models.registry import model_config
from toy_models import MOTIFS, motif_tasks, random_text, save_motif_run

CENTRE = 1000
"""Where the first peak's centre lies; the heart motif stands there, the brain motif 500 bases on."""

TRUNKS: dict[str, dict[str, Any]] = {
    "cnn": {"name": "cnn", "input": "one_hot", "channels": [8, 8]},
    "cnn_lstm": {"name": "cnn_lstm", "channels": [8, 8, 8], "lstm": 8},
    "transformer": {"name": "transformer", "width": 16, "layers": 1, "feed_forward": 16, "k": 3},
}


def toy_calibration() -> Calibration:
    return Calibration(
        dict.fromkeys(MOTIFS, 1.0),
        dict.fromkeys(MOTIFS, 0.5),
        biases=dict.fromkeys(MOTIFS, 0.0),
        n=dict.fromkeys(MOTIFS, 100),
        prevalence=dict.fromkeys(MOTIFS, 0.2),
        background=Background({name: quantiles_of(np.linspace(-8, 8, 500)) for name in MOTIFS}, {}),
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run and a genome: chr1 of 3,000 bases with both motifs, chr2 of 200 bases, chr3 of N."""
    run = save_motif_run(tmp_path / "run", width=100)
    toy_calibration().write(run / "calibration.json")
    planted = {CENTRE - 4: MOTIFS["heart"], CENTRE + 496: MOTIFS["brain"]}
    bases = {"chr1": random_text(3000, 1, planted=planted), "chr2": random_text(200, 2), "chr3": "N" * 500}
    (tmp_path / "toy.fa").write_text("".join(f">{name}\n{text}\n" for name, text in bases.items()))
    return tmp_path


def peaks(folder: Path) -> Path:
    """A narrowPeak over each motif and one at the end of chr2."""
    path = folder / "x.narrowPeak"
    rows = [("chr1", CENTRE - 10, CENTRE + 10), ("chr1", CENTRE + 450, CENTRE + 550), ("chr2", 180, 200)]
    text = "".join(f"{c}\t{s}\t{e}\tp{i}\t100\t.\t5.50\t-1\t2e1\t7\n" for i, (c, s, e) in enumerate(rows))
    path.write_text(text)
    return path


@pytest.fixture
def predict(encre, folder: Path):
    """Run the verb with the toy's model and genome."""

    def call(source: object, *words: object, model: str = "run"):
        genome = ["--genome", folder / "toy.fa", "--assembly", "custom:toy"]
        return encre("predict", source, "--model", folder / model, *genome, *words)

    return call


def table_of(outcome) -> pl.DataFrame:
    assert outcome.code == 0, outcome.err
    return pl.read_csv(io.StringIO(outcome.out), separator="\t")


def test_peaks_are_widened_scored_and_counted(predict, folder: Path) -> None:
    outcome = predict(peaks(folder))
    table = table_of(outcome)
    heart, brain = table["probability_heart"], table["probability_brain"]
    assert (heart > 0.5).to_list() == [True, False, False]
    assert (brain > 0.5).to_list() == [False, True, False]
    assert (table["percentile_heart"] > 50).to_list() == [True, False, False]
    assert table["length"].to_list() == [100, 100, 100]
    assert table["n_share"].to_list() == [0, 0, 0.4]
    for said in (
        "Context: windows of 100 bp",
        "2 of 3 regions are narrower than 100 bp",
        "1 of 3 windows reach off a chromosome's end",
        "1 of 3 rows hold more than 10% N",
    ):
        assert said in outcome.err
    found = json.loads(predict(peaks(folder), "--json", "-q").out)
    assert found["counts"] == {
        "rows": 3, "scored": 3, "unscorable": 0, "widened": 2, "padded": 1, "tiled": 0, "short": 0, "n_rich": 1,
    }  # fmt: skip
    assert [row["name"] for row in found["predictions"]] == ["p0", "p1", "p2"]


def test_bed_and_annotated_peaks(predict, folder: Path) -> None:
    source = peaks(folder)
    assert predict(source, "--out", folder / "o.bed", "--task", "brain").code == 0
    rows = [line.split("\t") for line in (folder / "o.bed").read_text().splitlines() if not line.startswith("#")]
    table = table_of(predict(source, "-q"))
    assert [int(row[4]) for row in rows] == [round(1000 * p) for p in table["probability_brain"]]
    assert predict(source, "--out", folder / "o.narrowPeak").code == 0
    lines = (folder / "o.narrowPeak").read_text().splitlines()
    assert lines[1].endswith("peak\tprobability_heart\tprobability_brain")
    assert ["\t".join(line.split("\t")[:10]) for line in lines[2:]] == source.read_text().splitlines()
    again = table_of(predict(folder / "o.bed", "-q"))  # what it wrote it reads
    assert again["logit_heart"].to_list() == table["logit_heart"].to_list()


def test_stdin_gives_the_same_table_as_the_file(predict, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = peaks(folder)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(source.read_bytes())))
    assert predict("-", "-q").out == predict(source, "-q").out


def test_a_base_rate_lowers_what_is_rare(predict, folder: Path) -> None:
    source = peaks(folder)
    plain, rare = (table_of(predict(source, "-q", *words)) for words in ([], ["--base-rate", "heart=0.01"]))
    odds = plain["probability_heart"] / (1 - plain["probability_heart"]) * (0.01 / 0.99) / (0.2 / 0.8)
    assert rare["probability_heart"].to_list() == pytest.approx((odds / (1 + odds)).to_list(), rel=1e-4)
    assert rare["probability_brain"].equals(plain["probability_brain"])
    assert rare["logit_heart"].equals(plain["logit_heart"])


def test_unscorable_rows_are_refused_or_listed_apart(predict, folder: Path) -> None:
    path = folder / "x.bed"
    path.write_text("chr3\t100\t200\tgap\nchr1\t0\t100\tfine\nchr3\t0\t50\tgap2\n")
    out = folder / "o.tsv"
    refused = predict(path, "--out", out)
    assert refused.code == 2
    assert "'gap' holds only N" in refused.err
    assert "1 more" in refused.err
    assert not out.exists()
    done = predict(path, "--out", out, "--skip-unscorable")
    assert done.code == 0, done.err
    assert "2 of 3 rows cannot be scored" in done.err
    assert pl.read_csv(out, separator="\t")["name"].to_list() == ["fine"]
    assert pl.read_csv(f"{out}.unscorable.tsv", separator="\t")["name"].to_list() == ["gap", "gap2"]
    shown = predict(path, "--skip-unscorable")
    assert re.search(r"Not scored: gap: only N", shown.err)
    found = json.loads(predict(path, "--skip-unscorable", "--json", "-q").out)
    assert [row["name"] for row in found["unscorable"]] == ["gap", "gap2"]
    assert found["counts"]["unscorable"] == 2


@pytest.mark.parametrize("trunk", TRUNKS)
def test_every_trunk_scores_regions_on_both_strands(predict, folder: Path, trunk: str) -> None:
    torch.manual_seed(0)
    model = build_model(model_config(TRUNKS[trunk]), tasks=motif_tasks()).eval()
    sequence = {"mode": "element", "width": None, "jitter": 0, "min_length": 60, "max_length": 120}
    save_model(
        folder / trunk,
        model,
        manifest={"sequence": sequence, "dataset": {"name": "toy", "digest": "0" * 64, "path": ""}},
        calibration=toy_calibration().to_dict(),
    )
    bases = (folder / "toy.fa").read_text().split("\n")[1]
    turned = bases[100:180].translate(str.maketrans("ACGT", "TGCA"))[::-1]
    (folder / "x.fa").write_text(f">forward\n{bases[100:180]}\n>reverse\n{turned}\n")
    (folder / "x.gff3").write_text(
        "chr1\tx\tenhancer\t101\t180\t.\t.\t.\tID=E1\nchr1\tx\tgene\t1\t500\t.\t+\t.\tID=g\n"
    )
    outcome = predict(folder / "x.gff3", "--precision", "fp32", model=trunk)
    regions, both = table_of(outcome), table_of(predict(folder / "x.fa", "-q", model=trunk))
    assert regions["name"].to_list() == ["enhancer:E1", "gene:g"]
    assert regions["length"].to_list() == [80, 500]
    assert regions["windows"].to_list() == [1, 8]
    assert "a region is read as it is" in outcome.err
    for kind in ("logit", "probability", "percentile"):
        value = regions[f"{kind}_heart"][0]
        assert both[f"{kind}_heart"].to_list() == pytest.approx([value, value], abs=2e-5)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--task", "heart"], ["ConfigError", "--out FILE.bed"]),
        (["--task", "lung", "--out", "o.bed"], ["ConfigError", "'lung'", "brain, heart"]),
        (["--base-rate", "heart=2"], ["ConfigError", "'heart'", "below 1"]),
        (["--base-rate", "lots"], ["ConfigError", "one number for all tasks"]),
        (["--precision", "fp16"], ["ConfigError", "fp32, bf16 or auto"]),
        (["--out", "o.txt"], ["ConfigError", ".narrowPeak"]),
        (["--combine", "median"], ["ConfigError", "mean or max"]),
    ],
)
def test_options_that_make_no_sense(
    predict, folder: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: list[str]
) -> None:
    monkeypatch.chdir(folder)
    before = sorted(folder.iterdir())
    outcome = predict("chr1:1-100", "-q", *words)
    assert outcome.code == 2
    assert outcome.out == ""
    assert outcome.err.count("\n") == 1
    for word in said:
        assert word in outcome.err
    assert sorted(folder.iterdir()) == before


def test_a_run_without_calibration_says_which_command_makes_it(predict, folder: Path) -> None:
    (folder / "run" / "calibration.json").unlink()
    outcome = predict("chr1:951-1,050")
    table = table_of(outcome)
    assert table["probability_heart"].to_list() == [None]
    assert table["percentile_heart"].to_list() == [None]
    assert "encre evaluate RUN" in outcome.err
    refused = predict("chr1:951-1,050", "--out", folder / "o.bed")
    assert refused.code == 2
    assert "none for any task" in refused.err


def test_evaluate_stores_the_background_that_predict_ranks_against(encre, toy, run_folder: Path) -> None:
    assert encre("evaluate", run_folder, "-q").code == 0
    calibration = Calibration.read(run_folder / "calibration.json")
    valid = pl.read_parquet(run_folder / "predictions" / "valid.parquet")
    assert calibration.background is not None
    name = next(iter(calibration.background.quantiles))
    measured = valid.filter(pl.col(f"target_{name}").is_not_nan())
    negatives = measured.filter(pl.col(f"target_{name}") == 0)[f"logit_{name}"].to_numpy()
    assert calibration.background.rows[name] == len(negatives)
    assert calibration.prevalence[name] == pytest.approx(1 - len(negatives) / len(measured))
    outcome = encre(
        "predict", toy.registry, "--model", run_folder, "--genome", toy.genome, "--assembly", "custom:toy"
    )
    table = table_of(outcome)
    below = [(negatives < logit).mean() * 100 for logit in table[f"logit_{name}"]]
    assert table[f"percentile_{name}"].to_list() == pytest.approx(below, abs=100 / len(negatives) + 0.5)
