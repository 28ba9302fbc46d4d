"""The ENCODE client against a local server that plays the portal's JSON, and its bad days."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from encre.cli.main import run
from encre.errors import ConfigError, DataError, FormatError, ResourceError
from encre.sources.encode import Portal, entries_of_config, search
from encre.sources.organs import NAME_RULES, ORGAN_RULES, organ_of, terms_of
from encre.sources.web import Web


def ontology(name, *slims, classification="tissue", **more):
    return {"term_name": name, "classification": classification, "organ_slims": list(slims), **more}


def annotation(number, biosample, **more):
    return {
        "@id": f"/annotations/ENCSR{number:03d}AAA/",
        "accession": f"ENCSR{number:03d}AAA",
        "encyclopedia_version": ["ENCODE v4"],
        "date_released": "2021-03-04",
        "description": "candidate Cis-Regulatory Elements",
        "biosample_ontology": biosample,
        "files": [],
        **more,
    }


def bed(number, **more):
    name = f"ENCFF{number:03d}AAA"
    return {
        "accession": name,
        "file_format": "bed",
        "file_type": "bed bed9+",
        "output_type": "candidate Cis-Regulatory Elements",
        "assembly": "GRCh38",
        "md5sum": f"{number:032x}",
        "file_size": 1000 + number,
        "href": f"/files/{name}/@@download/{name}.bed.gz",
        "cloud_metadata": {"url": f"https://cloud.example/{name}.bed.gz"},
        "date_created": "2021-02-03T04:05:06.7+00:00",
        **more,
    }


def bigwig(number, output, **more):
    return {**bed(number), "file_format": "bigWig", "file_type": "bigWig", "output_type": output, **more}


class Encode:
    """What the server has, what it was asked for, and what goes wrong (``trouble``: answers given first)."""

    def __init__(self) -> None:
        self.annotations: list[dict] = []
        self.experiments: list[dict] = []
        self.files: dict[str, list[dict]] = {}  # dataset accession -> files
        self.asked: list[str] = []
        self.headers: list = []
        self.trouble: list[tuple[int, str, str]] = []
        self.page = 10**6
        self.address = ""

    def answer(self, target: str) -> tuple[int, dict]:
        parts = urlsplit(target)
        asked = parse_qs(parts.query)
        if parts.path.startswith("/experiments/"):
            accession = parts.path.split("/")[2]
            found = [e for e in self.experiments if e["accession"] == accession]
            return (
                (200, {**found[0], "files": self.files.get(accession, [])}) if found else (404, {"status": "error"})
            )
        if parts.path.startswith("/files/"):
            found = [f for files in self.files.values() for f in files if f["accession"] == parts.path.split("/")[2]]
            return (200, found[0]) if found else (404, {"status": "error"})
        if parts.path != "/search/":
            return 404, {"title": "Not Found"}
        if asked["type"] == ["File"]:
            hits = self.files.get(asked["dataset"][0].split("/")[2], [])
            hits = [f for f in hits if f.get("file_format") == asked["file_format"][0]]
        else:
            hits = self.annotations if asked["type"] == ["Annotation"] else self.experiments
            hits = [h for h in hits if self.fits(h, asked)]
        begin = int(asked.get("from", ["0"])[0])
        shown = hits[begin : begin + self.page]
        return (200 if hits else 404), {"@graph": shown, "total": len(hits), "facets": [], "notification": "…"}

    def fits(self, hit: dict, asked: dict) -> bool:
        slims = hit["biosample_ontology"].get("organ_slims", [])
        if "biosample_ontology.organ_slims" in asked and asked["biosample_ontology.organ_slims"][0] not in slims:
            return False
        if asked.get("biosample_ontology.organ_slims!") == ["*"] and slims:
            return False
        return all(values[0] in hit[key] for key, values in asked.items() if key in hit)


@pytest.fixture
def encode():
    """A running portal."""
    portal = Encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            portal.asked.append(self.path)
            portal.headers.append(self.headers)
            if portal.trouble:
                status, kind, text = portal.trouble.pop(0)
            else:
                status, value = portal.answer(self.path)
                kind, text = "application/json", json.dumps(value)
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body) + (100 if kind == "cut" else 0)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    portal.address = f"http://127.0.0.1:{server.server_port}"
    yield portal
    server.shutdown()
    server.server_close()


@pytest.fixture
def portal(encode) -> Portal:
    return Portal(encode.address, web=Web(tries=2, wait=lambda seconds: None), pause=0)


HTML = (200, "text/html", "<!DOCTYPE html><html>Are you a human?</html>")
BUSY = (503, "text/html", "<html>busy</html>")


class TestSearch:
    def test_a_hit_becomes_a_row(self, encode, portal):
        encode.annotations = [annotation(1, ontology("cerebellum", "brain"))]
        encode.files = {"ENCSR001AAA": [bed(7)]}
        assert search("brain", portal=portal).to_dicts() == [
            {
                "accession": "ENCSR001AAA",
                "file_accession": "ENCFF007AAA",
                "biosample": "cerebellum",
                "classification": "tissue",
                "organ": "brain",
                "size": 1007,
                "date": "2021-02-03",
                "md5": f"{7:032x}",
                "address": f"{encode.address}/files/ENCFF007AAA/@@download/ENCFF007AAA.bed.gz",
                "mirror": "https://cloud.example/ENCFF007AAA.bed.gz",
                "output_type": "candidate Cis-Regulatory Elements",
            }
        ]

    def test_the_queries_are_the_portals_own(self, encode, portal):
        encode.annotations = [annotation(1, ontology("colon", "large intestine"))]
        encode.files = {"ENCSR001AAA": [bed(7)]}
        search("large_intestine", portal=portal)
        assert encode.asked == [
            "/search/?type=Annotation&annotation_type=candidate+Cis-Regulatory+Elements&assembly=GRCh38&status=released"
            "&encyclopedia_version=ENCODE+v4&biosample_ontology.organ_slims=large+intestine&format=json&limit=all",
            "/search/?type=File&dataset=/annotations/ENCSR001AAA/&file_format=bed&format=json&limit=all",
        ]
        assert {headers["Accept"] for headers in encode.headers} == {"application/json"}
        assert all(headers["User-Agent"].startswith("encre/") for headers in encode.headers)

    def test_nothing_found_is_an_empty_table(self, encode, portal):
        table = search("spleen", portal=portal)
        assert table.height == 0
        assert table.columns[:3] == ["accession", "file_accession", "biosample"]

    def test_an_organ_is_told_by_the_rules_and_by_name_where_slims_are_missing(self, encode, portal):
        bare = {"term_name": "motor neuron", "classification": "in vitro differentiated cells"}
        encode.annotations = [
            annotation(1, ontology("aorta", "blood vessel", "blood")),
            annotation(2, ontology("GM12878", classification="cell line")),
            annotation(3, ontology("monocyte", "blood", classification="primary cell")),
            annotation(4, bare),
            annotation(5, ontology("HeLa-S3", classification="cell line")),
        ]
        encode.files = {f"ENCSR00{i}AAA": [bed(i)] for i in range(1, 6)}
        assert search("blood", portal=portal)["biosample"].to_list() == ["GM12878", "monocyte"]
        assert search("brain", portal=portal)["biosample"].to_list() == ["motor neuron"]
        everything = search(portal=portal)
        assert dict(everything.select("biosample", "organ").iter_rows()) == {
            "aorta": "blood vessel",
            "GM12878": "blood",
            "HeLa-S3": "",
            "monocyte": "blood",
            "motor neuron": "brain",
        }

    def test_an_organ_outside_the_table_is_encodes_own_term(self, encode, portal):
        encode.annotations = [annotation(1, ontology("stomach", "stomach", "mouth"))]
        encode.files = {"ENCSR001AAA": [bed(1)]}
        assert search("stomach", portal=portal)["organ"].to_list() == ["stomach"]

    def test_biosample_text_and_limit(self, encode, portal):
        encode.annotations = [annotation(i, ontology(f"layer {i} of Cortex", "brain")) for i in range(1, 9)]
        encode.annotations.append(annotation(9, ontology("cerebellum", "brain")))
        encode.files = {f"ENCSR00{i}AAA": [bed(i)] for i in range(1, 10)}
        assert search("brain", biosample="cortex", portal=portal).height == 8
        encode.asked.clear()
        table = search("brain", portal=portal, limit=2)
        assert table["biosample"].to_list() == ["cerebellum", "layer 1 of Cortex"]
        assert sum("type=File" in path for path in encode.asked) <= 4  # no more datasets than are needed, and a few

    def test_a_server_that_gives_pages_is_asked_for_all(self, encode, portal):
        encode.page = 3
        encode.annotations = [annotation(i, ontology("cortex", "brain")) for i in range(1, 8)]
        encode.files = {f"ENCSR00{i}AAA": [bed(i)] for i in range(1, 8)}
        assert search("brain", portal=portal)["accession"].to_list() == [f"ENCSR00{i}AAA" for i in range(1, 8)]

    def test_what_the_portal_leaves_out_is_empty(self, encode, portal):
        encode.annotations = [annotation(1, ontology("cortex", "brain"))]
        file = {key: bed(1)[key] for key in ("accession", "file_format", "href")}
        encode.files = {"ENCSR001AAA": [file]}
        row = search("brain", portal=portal).row(0, named=True)
        assert (row["size"], row["md5"], row["mirror"], row["output_type"]) == (None, "", "", "")
        assert row["date"] == "2021-03-04"  # the annotation's

    def test_files_of_another_assembly_or_withdrawn_are_left_out_and_preferred_ones_win(self, encode, portal):
        encode.annotations = [annotation(1, ontology("cortex", "brain"))]
        encode.files = {"ENCSR001AAA": [bed(1, assembly="hg19"), bed(2, status="revoked"), bed(3), bed(4)]}
        assert search("brain", portal=portal)["file_accession"].to_list() == ["ENCFF003AAA", "ENCFF004AAA"]
        encode.files["ENCSR001AAA"][3]["preferred_default"] = True
        assert search("brain", portal=portal)["file_accession"].to_list() == ["ENCFF004AAA"]

    @pytest.mark.parametrize(
        ("assay", "query", "output"),
        [
            ("DNase", "assay_title=DNase-seq", "read-depth normalized signal"),
            ("ATAC", "assay_title=ATAC-seq", "fold change over control"),
            ("H3K27ac", "assay_title=Histone+ChIP-seq&target.label=H3K27ac", "fold change over control"),
        ],
    )
    def test_signal(self, encode, portal, assay, query, output):
        experiment = annotation(1, ontology("left lung", "lung"))
        del experiment["files"]
        encode.experiments = [experiment]
        encode.files = {
            "ENCSR001AAA": [
                bigwig(1, output),
                bigwig(2, output, preferred_default=True),
                bigwig(3, "signal p-value", preferred_default=True),
                bed(4),
            ]
        }
        assert search("lung", assay, portal=portal)["file_accession"].to_list() == ["ENCFF002AAA"]
        assert encode.asked[0].startswith(f"/search/?type=Experiment&{query}&assembly=GRCh38&status=released&")
        assert encode.asked[1] == "/experiments/ENCSR001AAA/?format=json"

    def test_mouse_is_asked_for_by_encodes_name(self, encode, portal):
        search("heart", assembly="GRCm38", portal=portal)
        assert all("assembly=mm10" in path for path in encode.asked)

    def test_an_unknown_assay(self, portal):
        with pytest.raises(ConfigError, match="no assay 'H3K27'.*Did you mean 'H3K27ac'"):
            search(assay="H3K27", portal=portal)  # type: ignore[arg-type]


class TestTrouble:
    @pytest.fixture(autouse=True)
    def _one_hit(self, encode):
        encode.annotations = [annotation(1, ontology("cortex", "brain"))]
        encode.files = {"ENCSR001AAA": [bed(1)]}

    @pytest.mark.parametrize("first", [BUSY, (429, "text/plain", "slow down"), (200, "cut", '{"@graph"')])
    def test_once_busy_or_cut_and_then_good(self, encode, portal, first):
        encode.trouble = [first]
        assert search("brain", portal=portal).height == 1

    def test_busy_for_good(self, encode, portal):
        encode.trouble = [BUSY] * 20
        with pytest.raises(ResourceError, match=r"127\.0\.0\.1.*ENCODE is busy and stays so \(status 503\)"):
            search("brain", portal=portal)

    def test_a_web_page_instead_of_json(self, encode, portal):
        encode.trouble = [HTML]
        with pytest.raises(FormatError, match=r"did not answer with JSON \(got a web page \(status 200\)\).*mirror"):
            search("brain", portal=portal)
        encode.trouble = [(404, "text/html", "<html>no</html>")]
        with pytest.raises(FormatError, match="web page .status 404"):
            search("brain", portal=portal)

    def test_a_refusal_is_told(self, encode, portal):
        encode.trouble = [(403, "application/json", '{"detail": "not for you"}')]
        with pytest.raises(ResourceError, match=r"ENCODE refused \(status 403: not for you\)"):
            search("brain", portal=portal)

    def test_nobody_listens(self):
        portal = Portal("http://127.0.0.1:9", web=Web(wait=lambda seconds: None))
        with pytest.raises(ResourceError, match="ENCODE did not answer"):
            search("brain", portal=portal)

    def test_an_address_that_is_none(self):
        with pytest.raises(ConfigError, match="begins with https"):
            Portal("encodeproject.org")


class TestOrgans:
    @pytest.mark.parametrize(("part", "organ"), ORGAN_RULES)
    def test_every_line_of_the_table(self, part, organ):
        assert organ_of([f"{part} of something"], "") == organ
        assert any(part in values[0][1] for values in terms_of(organ))

    @pytest.mark.parametrize(
        ("slims", "organ"),
        [
            (["blood", "blood vessel"], "blood vessel"),
            (["brain", "blood"], "blood"),
            (["musculature of body", "heart"], "muscle"),
            (["skin of body", "limb"], "skin"),
            (["mammary gland", "skin of body"], "skin"),
            (["bone element", "bone marrow"], "bone marrow"),
            (["extraembryonic component", "placenta"], "placenta"),
            (["adrenal gland"], "adrenal"),
            (["nose"], ""),
        ],
    )
    def test_the_first_line_decides(self, slims, organ):
        assert organ_of(slims, "neuron") == organ

    @pytest.mark.parametrize(
        ("name", "organ"),
        [
            ("neurosphere", "brain"),
            ("bipolar neuron", "brain"),
            ("cardiomyocyte", "heart"),
            ("T cell", "blood"),
            ("naive T cell", "blood"),
            ("GM23338", "blood"),
            ("HepG2", ""),
            ("aneuroid", ""),
        ],
    )
    def test_names_decide_where_there_is_no_slim(self, name, organ):
        assert organ_of([], name) == organ

    def test_the_table_has_each_organ_of_the_names(self):
        assert {organ for _, organ in NAME_RULES} <= {organ for _, organ in ORGAN_RULES}


class TestEntriesOfConfig:
    def config(self, encode, **tissues):
        return {"source": {"kind": "screen", "tissues": tissues}, "download": {"encode": encode.address}}

    def test_organs_and_accessions_become_entries(self, encode, portal):
        encode.annotations = [
            annotation(2, ontology("cortex", "brain")),
            annotation(1, ontology("cerebellum", "brain")),
            annotation(3, ontology("SK-N-SH", "brain", classification="cell line")),
            annotation(4, ontology("left lung", "lung")),
        ]
        encode.files = {f"ENCSR00{i}AAA": [bed(i), bed(i + 10, date_created="2019-01-01")] for i in range(1, 5)}
        values = self.config(
            encode,
            brain={"organ": "brain", "rule": "majority"},
            nerve={"organ": "brain", "classification": ["tissue"]},
            lung={"accessions": ["ENCSR004AAA", "ENCFF002AAA"]},
            heart="heart.bed",
            skin={"files": ["a.bed", "b.bed"]},
        )
        found = entries_of_config(values, portal=portal)
        assert {group: [entry.name for entry in entries] for group, entries in found.items()} == {
            "organ:brain": ["ENCFF001AAA", "ENCFF002AAA", "ENCFF003AAA"],
            "organ:brain:tissue": ["ENCFF001AAA", "ENCFF002AAA"],
            "ENCSR004AAA": ["ENCFF004AAA"],
            "ENCFF002AAA": ["ENCFF002AAA"],
        }
        entry = found["organ:brain"][0]
        assert entry.title == "cCREs in cerebellum"
        assert entry.addresses == (
            f"{encode.address}/files/ENCFF001AAA/@@download/ENCFF001AAA.bed.gz",
            "https://cloud.example/ENCFF001AAA.bed.gz",
        )
        assert (entry.form, entry.size, entry.md5, entry.assembly) == ("biosample", 1001, f"{1:032x}", "GRCh38")
        assert entries_of_config(values, portal=portal) == found

    def test_a_config_without_biosamples_asks_nobody(self, encode):
        assert entries_of_config({"source": {"kind": "dhs"}}) == {}
        assert entries_of_config(self.config(encode, heart="h.bed", skin={"files": ["a.bed", "b.bed"]})) == {}
        assert encode.asked == []

    def test_nothing_there_or_not_right(self, encode):
        with pytest.raises(DataError, match=r"no cCRE file of organ:brian in GRCh38.*Did you mean 'brain'"):
            entries_of_config(self.config(encode, b={"organ": "brian"}))
        with pytest.raises(DataError, match="no cCRE file of ENCSR009AAA"):
            entries_of_config(self.config(encode, b={"accessions": ["ENCSR009AAA"]}))
        with pytest.raises(DataError, match="no cCRE file of ENCFF009AAA"):
            entries_of_config(self.config(encode, b={"accessions": ["ENCFF009AAA"]}))
        with pytest.raises(ConfigError, match=r"\[source\.tissues\.b\].*unknown key 'organs'"):
            entries_of_config(self.config(encode, b={"organs": "brain"}))
        encode.annotations = [annotation(1, ontology("cortex", "brain"))]
        encode.files = {"ENCSR001AAA": [{"accession": "ENCFF001AAA"} | {"file_format": "bed"}]}
        with pytest.raises(DataError, match="names no address for ENCFF001AAA"):
            entries_of_config(self.config(encode, b={"organ": "brain"}))

    def test_another_encyclopedia(self, encode):
        encode.annotations = [annotation(1, ontology("cortex", "brain"), encyclopedia_version=["ENCODE v3"])]
        encode.files = {"ENCSR001AAA": [bed(1)]}
        values = self.config(encode, b={"organ": "brain"})
        values["download"]["encyclopedia"] = "ENCODE v3"
        assert len(entries_of_config(values)["organ:brain"]) == 1


class TestCommand:
    @pytest.fixture(autouse=True)
    def _two_hits(self, encode, monkeypatch):
        monkeypatch.setenv("COLUMNS", "200")
        encode.annotations = [annotation(i, ontology(f"cortex {i}", "brain")) for i in (1, 2)]
        encode.files = {f"ENCSR00{i}AAA": [bed(i, file_size=i * 2_000_000)] for i in (1, 2)}

    def test_table(self, encode, capsys):
        assert run(["-q", "data", "search", "--organ", "brain", "--encode", encode.address]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert " ".join(lines[0].split()) == "accession file accession biosample classification organ size date"
        assert lines[2].split()[:4] == ["ENCSR002AAA", "ENCFF002AAA", "cortex", "2"]
        assert lines[-1] == "2 files of 2 datasets, 6.0 MB"

    def test_json_and_file(self, encode, capsys, tmp_path):
        words = ["--json", "data", "search", "--organ", "brain", "--limit", "1", "--encode", encode.address]
        assert run([*words, "--out", str(tmp_path / "found.tsv")]) == 0
        (found,) = json.loads(capsys.readouterr().out)["files"]
        assert (found["file_accession"], found["size"]) == ("ENCFF001AAA", 2_000_000)
        header, row = (tmp_path / "found.tsv").read_text().splitlines()
        assert dict(zip(header.split("\t"), row.split("\t"), strict=True))["biosample"] == "cortex 1"

    def test_nothing_found_says_so(self, encode, capsys):
        assert run(["-q", "data", "search", "--organ", "brian", "--encode", encode.address]) == 0
        assert capsys.readouterr().out.strip() == "Nothing found. Did you mean 'brain'?"

    def test_bad_words_are_one_paragraph(self, encode, capsys):
        assert run(["-q", "data", "search", "--assay", "dnase", "--encode", encode.address]) == 2
        said = capsys.readouterr().err.strip()
        assert said == "ConfigError: there is no assay 'dnase' to search for. Did you mean 'DNase'?"
