"""`encre explain` as a user runs it: what it writes for each method, and what it refuses."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from encre.models.checkpoint import save_model
from encre.models.cnn import CNNConfig
from encre.models.cnn_lstm import CNNLSTMConfig
from encre.models.model import build_model
from encre.models.transformer import TransformerConfig
from encre.tasks import screen_tasks
from toy_models import MOTIFS, random_text, save_motif_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy genome, regions, sequences, and the run that knows two motifs."""
    folder = tmp_path_factory.mktemp("explain")
    chrom = random_text(600, 3, planted={240: MOTIFS["heart"], 420: MOTIFS["brain"]})
    (folder / "toy.fa").write_text(f">chrA\n{chrom}\n")
    (folder / "peaks.bed").write_text("chrA\t200\t300\tfirst\nchrA\t380\t480\tsecond\n")
    (folder / "seqs.fa").write_text(f">planted\n{chrom[200:300]}\n>short\n{chrom[380:450]}\n")
    save_motif_run(folder / "run")
    return folder


def words(folder: Path, source: str, out: Path, *more: object) -> list[object]:
    genome = ("--genome", folder / "toy.fa", "--assembly", "custom:toy") if source.endswith(".bed") else ()
    return ["explain", folder / source, "--model", folder / "run", "--out", out, "--threads", 1, *genome, *more]


def test_regions_give_arrays_bigwigs_tables_and_logos(encre, folder: Path, tmp_path: Path):
    done = encre(*words(folder, "peaks.bed", tmp_path / "out", "--logos", 1, "--logo-region", "chrA:236-260"))
    assert done.code == 0, done.err
    assert "2 windows of 2 rows" in done.out
    assert "Completeness does not apply to in silico mutagenesis" in done.out
    made = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert sum("brain/logos/002" in name for name in made) == 2
    made = [name for name in made if "brain/logos/002" not in name]
    a_task = ["contributions.bw", "logos/001_chrA_236-260.png", "logos/001_chrA_236-260.svg"]
    assert made == sorted(
        ["contributions.parquet", "explain.json", "ohe.npz", "windows.tsv"]
        + [f"{task}/{name}" for task in MOTIFS for name in [*a_task, "shap.npz"]]
        + [f"heart/logos/002_chrA_201-300.{ending}" for ending in ("png", "svg")]
    )
    files = json.loads((tmp_path / "out" / "explain.json").read_text())["files"]
    assert set(made) - set(files) == {"explain.json"}
    windows = pl.read_csv(tmp_path / "out" / "windows.tsv", separator="\t")
    assert windows["name"].to_list() == ["first", "second"]
    assert windows["start"].to_list() == [200, 380]
    assert "difference_heart" not in windows.columns  # nothing to differ from
    contributions = pl.read_parquet(tmp_path / "out" / "contributions.parquet")
    best = contributions.sort("contribution_heart", descending=True).head(6)["start"].to_list()
    assert set(best) <= set(range(240, 249))
    assert (tmp_path / "out" / "heart" / "logos" / "001_chrA_236-260.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("method", ["gradient_x_input", "integrated_gradients", "deeplift", "shap"])
def test_one_task_by_every_method(encre, folder: Path, tmp_path: Path, method: str):
    out = tmp_path / "out"
    done = encre(*words(folder, "seqs.fa", out, "--task", "heart", "--method", method, "--json"))
    assert done.code == 0, done.err
    summary = json.loads(done.out)
    assert summary["method"] == method
    assert "Completeness error" in summary["words"][0]
    error = summary["completeness_error"]["heart"]
    assert error["max"] >= error["median"] >= 0
    if method != "gradient_x_input":
        assert error["max"] <= summary["limit"] * 20
    assert np.load(out / "ohe.npz")["arr_0"].shape == np.load(out / "shap.npz")["arr_0"].shape == (2, 4, 100)
    assert not (out / "contributions.bw").exists()  # sequences have no coordinates
    windows = pl.read_csv(out / "windows.tsv", separator="\t")
    np.testing.assert_allclose(windows["sum_heart"], windows["difference_heart"], atol=10 if "x" in method else 0.1)


def test_bytes_do_not_depend_on_the_run(encre, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    options = ("--task", "heart", "--method", "shap", "--logos", 1, "--seed", 3)
    for name in ("one", "two"):
        assert encre(*words(folder, "peaks.bed", tmp_path / name, *options)).code == 0
    for path in (tmp_path / "one").rglob("*"):
        if path.is_file() and path.suffix in (".bw", ".parquet", ".tsv", ".svg", ".png", ".json"):
            assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes(), path


def test_a_named_sequence_can_be_drawn(encre, folder: Path, tmp_path: Path):
    done = encre(*words(folder, "seqs.fa", tmp_path / "out", "--task", "brain", "--logo-region", "short:30-60"))
    assert done.code == 0, done.err
    assert (tmp_path / "out" / "logos" / "001_short_30-60.svg").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            ("--method", "deeplift", "--reference", "genome"),
            "takes no reference 'genome'. Possible: uniform, zero, shuffle",
        ),
        (("--method", "saliency"), "there is no method 'saliency'"),
        (("--task", "lung"), "there is no task 'lung'"),
        (("--logo-region", "planted:90-120"), "no explained window holds the whole region"),
        (("--method", "integrated_gradients", "--limit", "1e-9"), "does not converge"),
    ],
)
def test_what_cannot_be_is_said_in_a_paragraph(encre, folder: Path, tmp_path: Path, more: tuple[str, ...], said: str):
    done = encre(*words(folder, "seqs.fa", tmp_path / "out", *more))
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "out").exists()


def test_rows_that_cannot_be_scored_are_refused_or_listed_apart(encre, folder: Path, tmp_path: Path):
    path = tmp_path / "some.fa"
    path.write_text(f">good\n{random_text(80, 1)}\n>hidden\n{'N' * 80}\n")
    call = ("explain", path, "--model", folder / "run", "--threads", 1, "--out", tmp_path / "out")
    done = encre(*call)
    assert done.code == 2
    assert "'hidden' holds only N" in done.err
    done = encre(*call, "--skip-unscorable", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["left_out"] == {"unscorable": 1, "unconverged": 0, "only_n": 0}
    assert pl.read_csv(tmp_path / "out" / "unscorable.tsv", separator="\t")["name"].to_list() == ["hidden"]


def test_regions_need_a_genome(encre, folder: Path, tmp_path: Path):
    done = encre("explain", "chrA:1-100", "--model", folder / "run", "--out", tmp_path / "out", "--threads", 1)
    assert done.code == 2
    assert "--genome" in done.err


TINY = {"width": 8, "heads": 2, "layers": 1, "feed_forward": 8, "positions": 120}
TRUNKS = {
    "cnn_lstm": CNNLSTMConfig(channels=(4,), kernel_sizes=(3,), pools=(2,), lstm=4, embedding=4),
    "transformer": TransformerConfig(**TINY),
}


@pytest.mark.parametrize("trunk", TRUNKS)
def test_other_trunks_take_what_is_possible_and_say_it(encre, folder: Path, tmp_path: Path, trunk: str):
    model = build_model(TRUNKS[trunk], tasks=screen_tasks())
    sequence = {"mode": "window", "width": 100, "min_length": 100, "max_length": 100}
    save_model(tmp_path / "run", model, manifest={"sequence": sequence, "dataset": {"name": "toy"}})
    call = ("explain", folder / "seqs.fa", "--model", tmp_path / "run", "--threads", 1, "--task", "heart")
    done = encre(*call, "--method", "deeplift", "--out", tmp_path / "out")
    assert done.code == 2
    assert "Possible with it: ism, gradient_x_input, integrated_gradients." in done.err
    for method in ("ism", "integrated_gradients"):
        done = encre(*call, "--method", method, "--out", tmp_path / method)
        assert done.code == 0, done.err
        shap = np.load(tmp_path / method / "shap.npz")["arr_0"]
        assert shap.shape == (2, 4, 100)
        assert np.abs(shap).max() > 0


def test_a_kmer_cnn_takes_every_method(encre, folder: Path, tmp_path: Path):
    config = CNNConfig(channels=(4,), kernel_sizes=(3,), pools=(2,), embedding=4)
    sequence = {"mode": "window", "width": 100, "min_length": 100, "max_length": 100}
    manifest = {"sequence": sequence, "dataset": {"name": "toy"}}
    save_model(tmp_path / "run", build_model(config, tasks=screen_tasks()), manifest=manifest)
    call = ("explain", folder / "seqs.fa", "--model", tmp_path / "run", "--threads", 1, "--task", "heart")
    for method in ("gradient_x_input", "deeplift", "shap"):
        done = encre(*call, "--method", method, "--out", tmp_path / method)
        assert done.code == 0, done.err
        windows = pl.read_csv(tmp_path / method / "windows.tsv", separator="\t")
        if method != "gradient_x_input":
            np.testing.assert_allclose(windows["sum_heart"], windows["difference_heart"], atol=1e-4)


def test_the_shipped_model_knows_gata(encre, tmp_path: Path):
    # an open site of K562 with two places for GATA1, chr1:7,572,825-7,572,884
    site = "TGGAAGACGAAGATAAAAGGCTGCCAGGGCTGGCCAAGGGCCCAGTCTGATAAGAAACCG"
    (tmp_path / "site.fa").write_text(f">site\n{site}\n")
    for method in ("ism", "shap"):
        out = tmp_path / method
        call = ("explain", tmp_path / "site.fa", "--task", "K562", "--method", method, "--out", out, "--threads", 1)
        done = encre(*call)
        assert done.code == 0, done.err
        table = pl.read_parquet(out / "contributions.parquet").sort("contribution_K562", descending=True)
        best = set(table.head(6)["position"].to_list())
        assert best <= {*range(10, 16), *range(46, 54)}, (method, best)


def test_a_full_disk_leaves_nothing(encre, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("encre.genome.bigwig.BigWigWriter.add", full)
    done = encre(*words(folder, "peaks.bed", tmp_path / "out", "--task", "heart"))
    assert done.code == 2
    assert "the disk filled up while writing" in done.err
    assert list(tmp_path.iterdir()) == []
