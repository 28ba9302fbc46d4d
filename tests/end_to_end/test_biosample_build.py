"""A build with one tissue from one file and one folded from three biosamples, up to the dataset folder."""

from __future__ import annotations

import gzip
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from encre.data.build import DatasetConfig
from encre.data.dataset import Dataset

LENGTHS = {"chrA": 60_000, "chrB": 20_000, "chrC": 20_000}
CLASSES = ("PLS", "pELS", "dELS", "CA-CTCF")


@pytest.fixture
def folder(tmp_path):
    """Genome, registry, one aggregate and three biosamples of which the last has no DNase; and the config."""
    rng = np.random.default_rng(7)
    letters = np.frombuffer(b"ACGT", np.uint8)
    with (tmp_path / "genome.fa").open("wb") as handle:
        for name, length in LENGTHS.items():
            handle.write(b">" + name.encode() + b"\n" + letters[rng.integers(0, 4, length)].tobytes() + b"\n")
    rows = []
    for name, length in LENGTHS.items():
        for start in range(500, length - 500, 400):
            rows.append((name, start, start + 200, f"EH38E{len(rows):07d}", CLASSES[int(rng.integers(4))]))

    def write(name, classes, remark):
        text = "".join(
            f"{c}\t{s}\t{e}\t{a}\t0\t.\t{s}\t{e}\t0,0,0\t{k}\t{remark}\n"
            for (c, s, e, a, _), k in zip(rows, classes, strict=True)
        )
        (tmp_path / name).write_text(text)

    (tmp_path / "registry.bed").write_text("".join(f"{c}\t{s}\t{e}\tD{a}\t{a}\t{k}\n" for c, s, e, a, k in rows))
    biosamples = [[row[4] if rng.random() < 0.5 else "Low-DNase" for row in rows] for _ in range(3)]
    write("heart.bed", biosamples[0], "Aggregated-Samples")
    write("one.bed", biosamples[1], "All-data/Full-classification")
    write("two.bed", biosamples[2], "Missing-data/Partial-classification")
    write("three.bed", ["High-H3K27ac"] * len(rows), "Missing-data/Partial-classification")
    (tmp_path / "dataset.toml").write_text(
        '[source]\nkind = "screen"\nregistry = "registry.bed"\ngenome = "genome.fa"\nassembly = "custom:toy"\n'
        'classes = ["pELS", "dELS", "PLS"]\n'
        '[source.tissues]\nbrain = { files = ["one.bed", "two.bed", "three.bed"], rule = "majority" }\n'
        'heart = "heart.bed"\n'
        '[split]\nby = "chromosome"\nvalid = ["chrB"]\ntest = ["chrC"]\n'
    )
    return tmp_path


def test_build_with_a_folded_tissue(folder, encre, tmp_path):
    config = folder / "dataset.toml"
    done = encre("-q", "data", "build", config, "--out", tmp_path / "data")
    assert done.code == 0, done.err
    dataset = Dataset.open(tmp_path / "data")
    assert dataset.tasks.names == ("enhancer", "brain", "heart")
    table = dataset.elements
    assert set(table["ccre_class"].unique()) == {"pELS", "dELS", "PLS"}
    classes = {}
    for name in ("one", "two"):
        lines = [line.split("\t") for line in (folder / f"{name}.bed").read_text().splitlines()]
        classes[name] = {fields[3]: fields[9] for fields in lines}
    # More than half of the two that measured it: both.
    both = [all(classes[n][a] in ("pELS", "dELS") for n in classes) for a in table["accession"]]
    assert table["active_brain"].to_list() == [float(value) for value in both]
    steps = [step.name for step in dataset.ledger.steps]
    assert steps[:7] == [
        "read registry",
        "join brain: one.bed",
        "join brain: two.bed",
        "join brain: three.bed",
        "fold brain",
        "join heart",
        "keep classes",
    ]
    sources = json.loads((tmp_path / "data" / "manifest.json").read_text())["sources"]
    assert [source["name"] for source in sources][1:5] == ["one.bed", "two.bed", "three.bed", "heart.bed"]


def test_the_folders_own_config_builds_the_same_again(folder, encre, tmp_path):
    assert encre("-q", "data", "build", folder / "dataset.toml", "--out", tmp_path / "data").code == 0
    again = DatasetConfig.from_toml(tmp_path / "data" / "config.toml")
    assert list(again.source.tissues) == ["brain", "heart"]
    assert encre("-q", "data", "build", tmp_path / "data" / "config.toml", "--out", tmp_path / "again").code == 0
    assert Dataset.open(tmp_path / "again").digest == Dataset.open(tmp_path / "data").digest


def test_an_organ_that_was_not_downloaded_is_one_paragraph(folder, encre, tmp_path):
    text = (
        (folder / "dataset.toml")
        .read_text()
        .replace('files = ["one.bed", "two.bed", "three.bed"]', 'organ = "brain"')
    )
    (folder / "organ.toml").write_text(text)
    done = encre("-q", "data", "build", folder / "organ.toml", "--out", tmp_path / "data")
    assert done.code == 2
    assert "encre data download" in done.err
    assert not (tmp_path / "data").exists()


@pytest.fixture
def portal(folder):
    """A small ENCODE: two brain annotations of one file each, md5 told, the first file only in the cloud."""
    packed = {name: gzip.compress((folder / f"{name}.bed").read_bytes(), mtime=0) for name in ("one", "two")}
    files = {
        f"ENCSR00{i}AAA": {
            "accession": f"ENCFF00{i}AAA",
            "file_format": "bed",
            "assembly": "toy",
            "md5sum": hashlib.md5(content).hexdigest(),
            "file_size": len(content),
            "href": f"/files/ENCFF00{i}AAA/@@download/ENCFF00{i}AAA.bed.gz",
            "preferred_default": True,
        }
        for i, content in enumerate(packed.values(), start=1)
    }
    hits = [
        {
            "accession": accession,
            "biosample_ontology": {"term_name": "cortex", "classification": "tissue", "organ_slims": ["brain"]},
        }
        for accession in files
    ]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            parts = urlsplit(self.path)
            asked = parse_qs(parts.query)
            if parts.path == "/search/" and asked["type"] == ["File"]:
                self.give([files[asked["dataset"][0].split("/")[2]]])
            elif parts.path == "/search/":
                self.give(hits if asked.get("biosample_ontology.organ_slims") == ["brain"] else [])
            elif parts.path == "/cloud/ENCFF001AAA.bed.gz":
                self.answer(200, packed["one"])
            elif "ENCFF002AAA" in parts.path:
                self.answer(200, packed["two"])
            else:
                self.answer(404, b"<html>Not here</html>")

        def give(self, graph):
            body = json.dumps({"@graph": graph, "total": len(graph)}).encode()
            self.answer(200 if graph else 404, body, "application/json")

        def answer(self, status, body, kind="application/octet-stream"):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    files["ENCSR001AAA"]["cloud_metadata"] = {"url": f"{address}/cloud/ENCFF001AAA.bed.gz"}
    yield address
    server.shutdown()
    server.server_close()


def test_an_organ_is_downloaded_and_built_without_the_network(folder, portal, encre, tmp_path):
    config = folder / "organ.toml"
    text = (folder / "dataset.toml").read_text()
    text = text.replace('files = ["one.bed", "two.bed", "three.bed"]', 'organ = "brain"').replace("custom:toy", "toy")
    config.write_text(text + f'[download]\nencode = "{portal}"\n')
    # ENCODE knows assemblies that encre need not know: the search asks for the name that the config gives.
    done = encre("-q", "data", "download", config)
    assert done.code == 0, done.err
    assert '"organ:brain" = [\n    "ENCFF001AAA",\n    "ENCFF002AAA",\n]' in (folder / "encre.lock").read_text()
    config.write_text(config.read_text().replace('"toy"', '"custom:toy"').replace(portal, "http://127.0.0.1:9"))
    done = encre("-q", "data", "build", config, "--out", tmp_path / "data")
    assert done.code == 0, done.err
    dataset = Dataset.open(tmp_path / "data")
    steps = {step.name: step.notes for step in dataset.ledger.steps}
    assert steps["fold brain"]["biosamples"] == 2
    # The same two biosamples named as files give the same data.
    config.write_text(
        text.replace('organ = "brain"', 'files = ["one.bed", "two.bed"]').replace('"toy"', '"custom:toy"')
    )
    assert encre("-q", "data", "build", config, "--out", tmp_path / "plain").code == 0
    assert Dataset.open(tmp_path / "plain").elements.equals(dataset.elements)
