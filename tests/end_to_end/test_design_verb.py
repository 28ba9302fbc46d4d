"""`encre design` through the command line: what it writes, what it says, what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from encre.errors import FolderError
from encre.report.design_page import write_design_page
from toy_models import MOTIFS, random_text, save_motif_run

HEART, BRAIN = MOTIFS["heart"], MOTIFS["brain"]
TARGET = "heart up, brain down"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return save_motif_run(tmp_path / "run", width=80)


@pytest.fixture
def fasta(tmp_path: Path) -> Path:
    path = tmp_path / "starts.fa"
    texts = [random_text(60, 2, planted={20: BRAIN}), random_text(70, 7, planted={20: BRAIN})]
    path.write_text("".join(f">element_{i}\n{text}\n" for i, text in enumerate(texts)))
    return path


@pytest.fixture
def genome(tmp_path: Path) -> Path:
    path = tmp_path / "toy.fa"
    rng = np.random.default_rng(1)
    text = "N" * 200 + "".join(rng.choice(list("ACGT"), 900)) + "N" * 300 + "ACGTT" * 10
    path.write_text(f">chrA\n{text}\n>chrB\n{'GC' * 200}\n")
    return path


def names_and_texts(path: Path) -> list[tuple[str, str]]:
    lines = path.read_text().split()
    heads = [word for word in lines if word.startswith(">")]
    texts = [word for word in lines if re.fullmatch("[ACGTN]{20,}", word)]
    return list(zip(heads, texts, strict=True))


def test_a_design_folder_holds_sequences_tables_and_a_page(encre, run: Path, fasta: Path, tmp_path: Path):
    out = tmp_path / "out"
    words = [
        "--start",
        fasta,
        "--count",
        2,
        "--max-edits",
        8,
        "--forbid",
        "GGTCTC",
        "--gc",
        "0.3-0.7",
        "--keep",
        "5:9",
    ]
    outcome = encre("design", "--model", run, "--target", TARGET, *words, "--out", out, "--seed", 3)
    assert outcome.code == 0, outcome.err
    assert "never scored by anything but the model" in outcome.out.replace("\n", " ")
    assert sorted(path.name for path in out.iterdir()) == [
        "design.html", "design.json", "designs.fasta", "designs.parquet", "designs.tsv", "trajectory.tsv",
    ]  # fmt: skip
    table = pl.read_parquet(out / "designs.parquet")
    assert table.height == 4
    assert names_and_texts(out / "designs.fasta") == [(f">{n}", s) for n, s in table["name", "sequence"].iter_rows()]
    assert f"score={table['score'][0]:.4f}" in (out / "designs.fasta").read_text()
    assert pl.read_csv(out / "designs.tsv", separator="\t").columns == table.columns
    for text, start, changes in table["sequence", "start_sequence", "changes"].iter_rows():
        assert text[5:9] == start[5:9]
        redone = list(start)
        for change in changes.split():
            at, before, after = re.fullmatch(r"(\d+)([ACGT])>([ACGT])", change).groups()  # type: ignore[union-attr]
            assert redone[int(at)] == before
            redone[int(at)] = after
        assert "".join(redone) == text
    summary = json.loads((out / "design.json").read_text())
    assert summary["objective"] == "logit(heart) - logit(brain)"
    assert summary["settings"]["seed"] == 3
    assert summary["counts"] == {"starts": 2, "asked": 4, "designs": 4, "left_out_as_alike": 0}
    paths = pl.read_csv(out / "trajectory.tsv", separator="\t")
    assert set(paths["name"]) == set(table["name"])


def test_the_page_shows_every_edit_and_needs_nothing_else(encre, run: Path, fasta: Path, tmp_path: Path):
    judge = save_motif_run(tmp_path / "judge", width=80)
    out = tmp_path / "out"
    words = ["--model", run, "--judge", judge, "--target", TARGET, "--start", fasta, "--left", "ACGT"]
    assert encre("design", *words, "--out", out, "-q").code == 0
    page = (out / "design.html").read_text()
    table = pl.read_parquet(out / "designs.parquet")
    shown = re.findall(r'<mark title="(\d+): ([ACGT])&gt;([ACGT])">\3</mark>', page)
    assert [f"{at}{a}>{b}" for at, a, b in shown] == " ".join(table["changes"]).split()
    for row in table.iter_rows(named=True):
        assert row["name"] in page
    assert "better than their start to every judge: judge" in page
    assert "Does it convince the judges?" in page
    assert not re.search(r'(src|href)="(?!#|data:)', page), "self-contained"
    assert "<script" not in page


@pytest.mark.parametrize("method", ["greedy", "evolution"])
def test_same_seed_same_bytes(encre, run: Path, tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    words = ["--method", method, "--steps", 6, "--population", 10, "--length", 40, "--count", 2, "--model", run]
    for name in ("one", "two"):
        assert encre("design", "--target", TARGET, *words, "--out", tmp_path / name, "--seed", 4, "-q").code == 0
    for path in (tmp_path / "one").iterdir():
        if path.suffix != ".parquet":
            assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_windows_of_the_genome_hold_known_bases_within_the_range_of_gc(
    encre, run: Path, genome: Path, tmp_path: Path
):
    out = tmp_path / "out"
    words = ["--start", "genome", "--genome", genome, "--assembly", "custom:toy", "--count", 4, "--length", 60]
    limits = ["--gc", "0.3-0.7", "--max-edits", 6]
    outcome = encre("design", "--model", run, "--target", TARGET, *words, *limits, "--out", out, "--json", "-q")
    assert outcome.code == 0, outcome.err
    value = json.loads(outcome.out)
    assert len(value["designs"]) == 4
    sequence = genome.read_text().split()[1]
    for row in value["designs"]:
        assert row["chrom"] == "chrA", "chrB cannot be brought below 0.7 GC in six edits"
        assert sequence[row["start_position"] : row["end_position"]] == row["start_sequence"]


def test_a_region_becomes_a_window_around_its_centre(encre, run: Path, genome: Path, tmp_path: Path):
    out = tmp_path / "out"
    words = ["--start", "chrA:501-520", "--genome", genome, "--assembly", "custom:toy"]
    assert encre("design", "--model", run, "--target", "heart up", *words, "--out", out, "-q").code == 0
    (row,) = pl.read_parquet(out / "designs.parquet").iter_rows(named=True)
    assert row["length"] == 80
    assert str(run) not in (out / "design.json").read_text()
    assert row["start_sequence"] == genome.read_text().split()[1][470:550]
    assert (row["start_position"], row["end_position"]) == (470, 550)


REFUSED = [
    (["--target", "hart up"], "ConfigError", "Did you mean 'heart'"),
    (["--target", "heart up, heart down"], "ConfigError", "two things of 'heart'"),
    (["--target", "heart up", "--max-edits", 0], "ConfigError", "nothing to design"),
    (["--target", "heart up", "--gc", "0.9-1", "--max-edits", 3], "ConfigError", "cannot be reached"),
    (["--target", "heart up", "--gc", "half"], "ConfigError", "0.4-0.6"),
    (["--target", "heart up", "--keep", "9"], "ConfigError", "START:END"),
    (["--target", "heart up", "--forbid", "GAX"], "ConfigError", "IUPAC"),
    (["--target", "heart up", "--method", "best"], "ConfigError", "method"),
    (["--target", "heart up", "--start", "nowhere.fa"], "MissingFileError", "nowhere.fa"),
    (["--target", "heart up", "--start", "genome"], "ConfigError", "--genome"),
    (["--target", "heart up", "--length", 90], "SequenceError", "1 to 80 bases"),
    (["--target", "heart up", "--judge", "nothing"], "MissingFileError", "nothing"),
]


@pytest.mark.parametrize(("words", "kind", "said"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_cannot_be_is_one_paragraph(encre, run: Path, fasta: Path, tmp_path: Path, words, kind, said):
    start = [] if "--start" in words or "--length" in words else ["--start", fasta]
    outcome = encre("design", "--model", run, *start, *words, "--out", tmp_path / "out", "-q")
    assert outcome.code == 2
    assert outcome.err.startswith(f"{kind}: "), outcome.err
    assert said in outcome.err
    assert outcome.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_occupied_folder_is_left_alone(encre, run: Path, tmp_path: Path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    outcome = encre("design", "--model", run, "--target", "heart up", "--out", tmp_path / "out")
    assert outcome.code == 2
    assert "not empty" in outcome.err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_nothing_is_left_when_the_page_fails(encre, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(folder: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("encre.report.design_page.write_design_page", full)
    outcome = encre("design", "--model", run, "--target", "heart up", "--out", tmp_path / "out", "-q")
    assert outcome.code == 2
    assert outcome.err.startswith("ResourceError: ")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_page_is_refused_of_what_is_no_design_folder(tmp_path: Path):
    (tmp_path / "design.json").write_text('{"format": {"kind": "design", "version": 99}}')
    with pytest.raises(FolderError, match="not a design folder of this encre"):
        write_design_page(tmp_path)
