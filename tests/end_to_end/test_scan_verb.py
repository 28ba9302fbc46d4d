"""`encre scan` through the command line: files, words, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyBigWig
import pytest

from encre.genome.bed import read_bed
from toy_models import MOTIFS, random_text, save_motif_run
from toy_scans import write_fasta


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("scan")
    text = random_text(5_000, 3, planted={1_000: MOTIFS["heart"], 3_000: MOTIFS["brain"]})
    write_fasta(folder / "toy.fa", {"chr1": text, "chr2": "N" * 3_000 + random_text(1_000, 4), "short": "ACGT" * 10})
    save_motif_run(folder / "run")
    save_motif_run(folder / "bare", calibrated=False)
    calibration = json.loads((folder / "run" / "calibration.json").read_text())
    calibration["prevalence"] = dict.fromkeys(MOTIFS, 0.5)
    (folder / "run" / "calibration.json").write_text(json.dumps(calibration))
    return folder


@pytest.fixture
def scan(encre, folder, tmp_path):
    """Run a scan of the toy: ``scan("chr1", "--stride", 10)``; files go to ``out``."""

    def call(*words: object, run: str = "run", out: object = f"{tmp_path}/out/"):
        places = ("--genome", folder / "toy.fa", "--assembly", "custom:toy", "--model", folder / run)
        return encre("scan", *words, *places, "--out", out)

    return call


def test_regions_chromosomes_and_beds_in_one(scan, tmp_path):
    bed = tmp_path / "some.bed"
    bed.write_text("chr1\t2950\t3050\n")
    done = scan("chr1:951-1,050", "chr2", bed, "short", "--stride", 20, "--base-rate", "0.2", "--json")
    assert done.code == 0, done.err
    summary = json.loads(done.out)
    assert summary == json.loads((tmp_path / "out" / "scan.json").read_text())
    assert summary["regions"] == {"given": 4, "without_window": ["short:1-40"]}
    assert "1 of 4 regions have no room for a window" in done.err
    windows = summary["windows"]
    assert windows["left_out_only_n"] == 146
    assert windows["left_out_above_max_n"] == 2  # 80 and 60 of 100 bases are N
    assert windows["scored_with_some_n"] == 2
    assert windows["total"] == windows["scored"] + 148
    heart = summary["tasks"]["heart"]
    assert (heart["threshold"], heart["threshold_of"], heart["base_rate"]) == (0.5, "probability", 0.2)
    rows = read_bed(tmp_path / "out" / "heart.narrowPeak").filter(chrom="chr1")
    assert rows.height == 1
    assert rows["start"][0] <= 1_000 < rows["end"][0]
    with pyBigWig.open(str(tmp_path / "out" / "heart.bw")) as reader:
        assert len(reader.intervals("chr1")) == 12  # 100 bases touch 6 bins of 20, twice
        assert reader.stats("chr1", 980, 1_030, type="max", exact=True)[0] == pytest.approx(heart["max"], abs=1e-6)


def test_base_rate_and_threshold_move_the_calls_and_are_stated(scan, tmp_path):
    assert scan("chr1", "--stride", 10, "--keep-shards").code == 0
    rows = {}
    for rate in ("0.5", "0.001"):
        done = scan("chr1", "--stride", 10, "--base-rate", rate, "--threshold", "0.2", "--keep-shards")
        assert done.code == 0, done.err
        assert "1 of them are finished already" in done.err  # no new scoring
        text = (tmp_path / "out" / "heart.narrowPeak").read_text()
        assert f"a probability of 0.2 or more at a base rate of {rate}" in text
        rows[rate] = text.count("\n") - 2
    assert rows["0.5"] > rows["0.001"]


def test_a_prefix_and_logits(scan, tmp_path):
    done = scan("chr1", "--value", "logit", "--threshold", "1.5", out=tmp_path / "x.bw")
    assert done.code == 0, done.err
    assert {path.name for path in tmp_path.iterdir()} == {
        "x.heart.bw", "x.brain.bw", "x.heart.narrowPeak", "x.brain.narrowPeak", "x.json",
    }  # fmt: skip
    assert "a logit of 1.5 or more;" in (tmp_path / "x.heart.narrowPeak").read_text()
    with pyBigWig.open(str(tmp_path / "x.heart.bw")) as reader:
        values = reader.values("chr1", 0, 5_000, numpy=True)
    assert np.nanmax(values) == pytest.approx(json.loads((tmp_path / "x.json").read_text())["tasks"]["heart"]["max"])
    assert np.nanmax(values) > 1.5 > 0 > np.nanmedian(values)


def test_a_model_without_calibration_gives_logits_and_says_so(scan, tmp_path):
    done = scan("chr1", run="bare")
    assert done.code == 0, done.err
    assert "No calibrated probability for heart, brain: the tracks hold logits." in done.err
    assert "No peaks for heart, brain" in done.err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"heart.bw", "brain.bw", "scan.json"}
    done = scan("chr1", "--base-rate", "0.1", run="bare")
    assert done.code == 2
    assert "encre evaluate" in done.err


def test_bf16_is_near_and_kept_apart(scan, tmp_path):
    tracks = []
    for precision in ("fp32", "bf16"):
        done = scan("chr1:1-1000", "--precision", precision, "--value", "logit", out=f"{tmp_path}/{precision}/")
        assert done.code == 0, done.err
        with pyBigWig.open(str(tmp_path / precision / "heart.bw")) as reader:
            tracks.append(reader.values("chr1", 200, 900, numpy=True))
    np.testing.assert_allclose(*tracks, atol=0.1)
    assert scan("chr1", "--keep-shards").code == 0
    assert "belong to another scan: the precision differs" in scan("chr1", "--precision", "bf16").err


def test_killed_while_the_work_folder_is_removed(scan, tmp_path, monkeypatch):
    """What is left of it is still of this scan: the manifest goes last."""
    unlink, gone = Path.unlink, []

    def killed(path: Path, **kind: bool) -> None:
        if path.suffix == ".safetensors" or path.name == "manifest.json":
            gone.append(path.name)
            if len(gone) == 2:
                raise KeyboardInterrupt
        unlink(path, **kind)

    monkeypatch.setattr(Path, "unlink", killed)
    assert scan("chr1", "chr2").code == 130
    monkeypatch.undo()
    assert gone == ["00000.safetensors", "00001.safetensors"]
    done = scan("chr1", "chr2")
    assert done.code == 0, done.err
    assert not (tmp_path / "out" / "scan.shards").exists()


def test_a_foreign_work_folder_is_refused(scan, tmp_path):
    assert scan("chr1", "--stride", 10, "--keep-shards").code == 0
    done = scan("chr1", "--stride", 20)
    assert done.code == 2
    assert "the shards here belong to another scan: the stride differs (expected 20; got 10)" in done.err
    assert "another --out" in done.err
    for change in (("chr2", "--stride", 10), ("chr1", "--stride", 10, "--max-n", 0.1)):
        assert "belong to another scan" in scan(*change).err
    (tmp_path / "mine.shards").mkdir()
    (tmp_path / "mine.shards" / "notes.txt").write_text("keep me")
    done = scan("chr1", out=tmp_path / "mine")
    assert done.code == 2
    assert (tmp_path / "mine.shards" / "notes.txt").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("chr9",), "no chromosome of the genome"),
        (("chr1:4,000-6,000",), "reaches beyond its chromosome"),
        (("chr1:0-100",), "counts bases from 1"),
        (("short",), "no region has room for a window"),
        (("chr2:1-1000",), "every window is left out"),
        (("chr1", "--stride", "0"), "'stride'"),
        (("chr1", "--value", "odds"), "'value'"),
        (("chr1", "--threshold", "3"), "above 0 and below 1"),
        (("chr1", "--value", "logit", "--threshold", "nan"), "finite"),
        (("chr1", "--base-rate", "2"), "above 0 and below 1"),
        (("chr1", "--base-rate", "liver=0.1"), "liver"),
        (("chr1", "--engine", "slurm"), "'engine'"),
        (("chr1", "--address", "auto"), "--engine ray"),
        (("chr1", "--max-n", "2"), "'max_n'"),
    ],
)
def test_bad_input_is_one_paragraph(scan, tmp_path, words, said):
    done = scan(*words)
    assert done.code == 2, done.err
    assert said in done.err
    assert "Traceback" not in done.err
    left = [path for path in (tmp_path / "out").rglob("*") if path.is_file()] if (tmp_path / "out").exists() else []
    assert not left


LIMITED = """
import resource, signal, sys
from encre.cli.main import run
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
sys.exit(run(sys.argv[2:]))
"""


def test_a_full_disk_is_one_paragraph_and_leaves_what_was_there(encre, folder, tmp_path):
    words = ["scan", "chr1", "--stride", "1", "--genome", str(folder / "toy.fa"), "--assembly", "custom:toy"]
    words += ["--model", str(folder / "run"), "--out", f"{tmp_path}/out/", "--keep-shards"]

    def on_full_disk(limit: int) -> None:
        command = [sys.executable, "-c", LIMITED, str(limit), *words, "--base-rate", "0.1"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 2, done.stderr
        assert "ResourceError" in done.stderr
        assert "the disk filled up while writing" in done.stderr
        assert "Traceback" not in done.stderr

    def content() -> dict[str, bytes]:
        return {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    on_full_disk(10_000)  # no room for a shard
    assert set(content()) == {"out/scan.shards/manifest.json"}
    assert encre(*words).code == 0
    before = content()
    assert len(before) == 7
    on_full_disk(len(before["out/heart.bw"]) // 2)  # no room for a track
    assert content() == before
