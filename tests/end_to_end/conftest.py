"""Tiny genomes, registries and datasets for tests through the command line, and the command line itself."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from encre.cli.main import run


class Outcome(NamedTuple):
    """What a command left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str


Encre = Callable[..., Outcome]

#: Chromosomes of the toy genome (a custom assembly): name -> bases.
CHROMOSOMES = {"chrA": 60_000, "chrB": 30_000, "chrC": 30_000}
CLASSES = ("PLS", "pELS", "dELS", "CA-CTCF")


@pytest.fixture
def encre(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Encre:
    """Run a command in this process: ``encre("data", "build", path, "--out", out)``."""
    monkeypatch.setenv("COLUMNS", "200")

    def call(*words: object) -> Outcome:
        capsys.readouterr()
        code = run([str(word) for word in words])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


class Toy(NamedTuple):
    """A toy genome and registry, as files and as rows."""

    folder: Path
    genome: Path
    registry: Path
    tissues: dict[str, Path]
    config: Path
    rows: list[list[str]]

    def write(self, name: str, rows: list[list[str]]) -> Path:
        """A tab-separated file in the toy's folder (gzip when its name ends so)."""
        return write_rows(self.folder / name, rows)


def write_rows(path: Path, rows: list[list[str]]) -> Path:
    text = "".join("\t".join(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def tissue_rows(rows: list[list[str]], active: Callable[[int], bool]) -> list[list[str]]:
    """The 11-column tissue file of registry rows; enhancers stay what they are where ``active``."""
    found = []
    for number, (chrom, start, end, _, accession, name) in enumerate(rows):
        state = name if active(number) else "Low-DNase"
        found.append([chrom, start, end, accession, "0", ".", start, end, "255,0,0", state, "Aggregated-Samples"])
    return found


def make_toy(folder: Path) -> None:
    """200 registry elements of 150-200 bp on three chromosomes; chrB is valid, chrC test."""
    rng = np.random.default_rng(7)
    with (folder / "toy.fa").open("w") as handle:
        for name, length in CHROMOSOMES.items():
            text = "".join(rng.choice(list("ACGT"), length))
            handle.write(f">{name}\n" + "\n".join(text[i : i + 60] for i in range(0, length, 60)) + "\n")
    rows = []
    for chrom, length in CHROMOSOMES.items():
        for start in range(300, length - 600, 600):
            number, width = len(rows), 150 + int(rng.integers(0, 51))
            name = CLASSES[number % len(CLASSES)]
            ids = (f"EH38D{number:07d}", f"EH38E{number:07d}")
            rows.append([chrom, str(start), str(start + width), *ids, name])
    write_rows(folder / "registry.bed", rows)
    write_rows(folder / "brain.bed", tissue_rows(rows, lambda i: i % 3 == 0))
    write_rows(folder / "heart.bed", tissue_rows(rows, lambda i: i % 5 != 0))
    (folder / "dataset.toml").write_text(DATASET_TOML)


DATASET_TOML = """
name = "toy"

[source]
kind = "screen"
registry = "registry.bed"
genome = "toy.fa"
assembly = "custom:toy"

[source.tissues]
brain = "brain.bed"
heart = "heart.bed"

[split]
valid = ["chrB"]
test = ["chrC"]
"""

MODEL_TOML = """
[model]
name = "cnn"
channels = [8, 8]
embedding = 4

[train]
epochs = 1
batch_size = 32
"""


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy's files, its dataset and a very small CNN trained on it, made once; tests get copies."""
    folder = tmp_path_factory.mktemp("originals")
    make_toy(folder)
    (folder / "cnn.toml").write_text(MODEL_TOML)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENCRE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        out = {"dataset": folder / "dataset", "run": folder / "cnn"}
        words = ["data", "build", folder / "dataset.toml", "--out", out["dataset"], "-q"]
        assert run([str(word) for word in words]) == 0
        words = ["train", folder / "cnn.toml", "--data", out["dataset"], "--out", out["run"], "-q"]
        assert run([str(word) for word in words]) == 0
    return folder


@pytest.fixture
def toy(originals: Path, tmp_path: Path) -> Toy:
    """A copy of the toy's files that a test may spoil."""
    folder = tmp_path / "toy"
    folder.mkdir()
    for path in originals.iterdir():
        if path.is_file():
            shutil.copy(path, folder)
    rows = [line.split("\t") for line in (folder / "registry.bed").read_text().splitlines()]
    tissues = {name: folder / f"{name}.bed" for name in ("brain", "heart")}
    return Toy(folder, folder / "toy.fa", folder / "registry.bed", tissues, folder / "dataset.toml", rows)


@pytest.fixture
def model_toml(toy: Toy) -> Path:
    """The config of a very small CNN trained for one epoch."""
    return toy.folder / "cnn.toml"


@pytest.fixture
def dataset(originals: Path, toy: Toy) -> Path:
    """A copy of the toy's dataset."""
    return Path(shutil.copytree(originals / "dataset", toy.folder / "dataset"))


@pytest.fixture
def run_folder(originals: Path, toy: Toy) -> Path:
    """A copy of the run; its manifest names the original dataset."""
    return Path(shutil.copytree(originals / "cnn", toy.folder / "runs" / "cnn"))
