"""`encre data download` as a user runs it, from a mirror on the same disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from encre.sources.catalogue import load_catalogue
from encre.sources.lock import read_lock

DATA = b"chr1\t0\t200\n" * 50_000


@pytest.fixture
def job(tmp_path: Path) -> Path:
    (tmp_path / "mirror.bed").write_bytes(DATA)
    config = tmp_path / "dataset.toml"
    config.write_text(
        f"""
        [source]
        registry = "@mine"
        [catalogue.mine]
        title = "my own"
        addresses = ["file:///nowhere/mine.bed", "{(tmp_path / "mirror.bed").as_uri()}"]
        form = "table"
        rows = 50000
        """
    )
    return config


def test_dry_run_then_download_then_offline(encre, job):
    plan = json.loads(encre("data", "download", job, "--dry-run", "--json").out)
    (file,) = plan["files"]
    assert (file["name"], file["there"], file["size"]) == ("mine", False, len(DATA))
    assert not (job.parent / "files").exists()
    assert "1 of 1 files would come into" in encre("data", "download", job, "--dry-run").out

    assert encre("data", "download", job, "--offline").code == 2
    got = json.loads(encre("data", "download", job, "--json").out)["files"][0]
    assert got["new"]
    assert Path(got["path"]).read_bytes() == DATA
    assert read_lock(job.parent / "encre.lock")["mine"].sha256 == got["sha256"]

    (job.parent / "mirror.bed").unlink()
    again = json.loads(encre("data", "download", job, "--offline", "--json").out)["files"][0]
    assert again == got | {"new": False}
    assert "0 of 1 files came now" in encre("data", "download", job).out


def test_another_folder(encre, job, tmp_path):
    assert encre("data", "download", job, "--out", tmp_path / "else", "--jobs", 2).code == 0
    assert (tmp_path / "else" / "mirror.bed").read_bytes() == DATA
    assert read_lock(job.parent / "encre.lock")["mine"].file == "else/mirror.bed"


def test_the_catalogue_is_listed(encre):
    outcome = encre("data", "download", "--list")
    for word in ("screen-v4", "screen-v4-brain-all", "972.9 MB", "GPL-3"):
        assert word in outcome.out
    listed = json.loads(encre("data", "download", "--list", "--json").out)
    assert [one["name"] for one in listed] == list(load_catalogue())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name a config"),
        (["sreen-v4"], "Did you mean 'screen-v4'"),
        (["no-such.toml"], "no such config file"),
        (["screen-v4", "--offline"], "the lock does not name it"),
        (["screen-v4", "--jobs", "99"], "less than or equal to 16"),
    ],
)
def test_bad_input_is_one_paragraph(encre, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    outcome = encre("data", "download", *words, "--quiet")
    assert outcome.code == 2
    assert said in outcome.err
    assert outcome.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_failed_download_leaves_nothing_and_says_why(encre, job):
    (job.parent / "mirror.bed").write_bytes(DATA[:-11])
    outcome = encre("data", "download", job, "--quiet")
    assert outcome.code == 2
    for word in ("'mine' could not be downloaded", "cannot be read", "49,999 rows instead of 50,000", "by hand"):
        assert word in outcome.err
    assert list((job.parent / "files").iterdir()) == []


def test_a_build_from_references_is_the_build_from_paths(encre, toy):
    """The same data, wherever the files came from."""
    plain = toy.config.read_text()
    assert encre("data", "build", toy.config, "--out", toy.folder / "from_paths", "-q").code == 0
    job = toy.folder / "job"
    job.mkdir()
    config = job / "dataset.toml"
    text = plain.replace(f'"{toy.registry.name}"', '"@registry"').replace('"toy.fa"', '"@genome"')
    tables = [("registry", toy.registry, "registry"), ("genome", toy.folder / "toy.fa", "genome")]
    for name, path in toy.tissues.items():
        text = text.replace(f'"{path.name}"', f'"@{name}"')
        tables.append((name, path, "tissue"))
    entries = [
        f'[catalogue.{name}]\naddresses = ["{path.as_uri()}"]\nform = "{form}"\nlicence = "of {name}"\n'
        for name, path, form in tables
    ]
    config.write_text(text + "\n" + "\n".join(entries))
    refused = encre("data", "build", config, "--out", toy.folder / "from_references", "-q")
    assert refused.code == 2
    assert f"encre data download {config}" in refused.err
    assert encre("data", "download", config, "-q").code == 0
    assert encre("data", "build", config, "--out", toy.folder / "from_references", "-q").code == 0
    manifests = [
        json.loads((toy.folder / f"from_{n}" / "manifest.json").read_text()) for n in ("paths", "references")
    ]
    assert manifests[0]["digest"] == manifests[1]["digest"]
    # The lock knows the licence of each file; it used to be lost on the way to the dataset.
    assert {file["licence"] for file in manifests[1]["sources"]} == {f"of {name}" for name, *_ in tables}
    assert manifests[0]["sources"][-1]["licence"] == "not stated by the file"
