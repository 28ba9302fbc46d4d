from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from encre.errors import (
    ConfigError,
    DataError,
    FormatError,
    IntervalError,
    MissingFileError,
    UnknownChromosomeError,
)
from encre.sources.screen import ScreenSettings, read_screen
from encre.tasks import TISSUES

# chrom, start, end, accession, class
REGISTRY = [
    ("chr1", 100, 300, "EH38E01", "pELS"),
    ("chr1", 500, 700, "EH38E02", "dELS"),
    ("chr2", 100, 350, "EH38E03", "PLS"),
    ("chr2", 900, 1100, "EH38E04", "CA-CTCF"),
    ("chrX", 50, 250, "EH38E05", "CA"),
]
HEART = ["pELS", "Low-DNase", "dELS", "CA-CTCF", "CA-only"]


def six(rows=REGISTRY) -> str:
    return "".join(f"{c}\t{s}\t{e}\tEH38D{a[-2:]}\t{a}\t{k}\n" for c, s, e, a, k in rows)


def ten(rows=REGISTRY) -> str:
    return "".join(f"{c}\t{s}\t{e}\t{a}\t0\t.\t{s}\t{e}\t1,2,3\t{k}\n" for c, s, e, a, k in rows)


def tissue(classes=HEART, rows=REGISTRY) -> str:
    changed = [(*row[:4], k) for row, k in zip(rows, classes, strict=True)]
    return "".join(line + "\tAggregated-Samples\n" for line in ten(changed).splitlines())


@pytest.fixture
def read(tmp_path):
    """Read a registry and tissue files given as texts (None: the tissue has no file)."""

    def read(registry: str = six(), *, assembly="GRCh38", join="auto", max_unmatched=0.05, **tissues: str | None):
        (tmp_path / "registry.bed").write_bytes(registry.encode())
        paths = {}
        for name, text in (tissues or {"heart": tissue()}).items():
            paths[name] = "" if text is None else str(tmp_path / f"{name}.bed")
            if text is not None:
                Path(paths[name]).write_bytes(text.encode())
        settings = ScreenSettings(
            registry=str(tmp_path / "registry.bed"),
            tissues=paths,
            genome="",
            assembly=assembly,
            join=join,
            max_unmatched=max_unmatched,
        )
        return read_screen(settings)

    return read


def notes(elements, step: str) -> dict:
    return next(dict(s.notes) for s in elements.ledger.steps if s.name == step)


class TestRegistry:
    @pytest.mark.parametrize("form", [six, ten])
    def test_both_forms_give_one_table(self, read, form):
        elements = read(form())
        table = elements.table
        assert table.select("chrom", "start", "end", "accession", "ccre_class").rows() == REGISTRY
        assert table["enhancer"].to_list() == [1, 1, 0, 0, 0]
        assert table["kind"].unique().to_list() == ["element"]
        assert table["ctcf_bound"].null_count() == 5
        assert notes(elements, "read registry")["version by its classes"] == "V4"

    def test_gzip_and_crlf(self, tmp_path, read):
        plain = read().table
        assert read(six().replace("\n", "\r\n")).table.equals(plain)
        path = tmp_path / "registry.bed.gz"
        path.write_bytes(gzip.compress(six().encode()))
        settings = ScreenSettings(registry=str(path), tissues={"heart": str(tmp_path / "heart.bed")}, genome="")
        assert read_screen(settings).table.equals(plain)

    def test_older_labels_keep_their_names_and_tell_ctcf(self, read):
        labels = ["pELS,CTCF-bound", "dELS", "DNase-H3K4me3,CTCF-bound", "CTCF-only,CTCF-bound", "PLS"]
        rows = [(*row[:4], label) for row, label in zip(REGISTRY, labels, strict=True)]
        elements = read(six(rows))
        assert elements.table["ccre_class"].to_list() == ["pELS", "dELS", "DNase-H3K4me3", "CTCF-only", "PLS"]
        assert elements.table["ctcf_bound"].to_list() == [True, False, True, True, False]
        assert elements.table["enhancer"].to_list() == [1, 1, 0, 0, 0]
        assert notes(elements, "read registry")["version by its classes"] == "V2 or V3"

    def test_other_chromosome_names(self, read):
        elements = read(six().replace("chr1\t", "NC_000001.11\t").replace("chrX\t", "X\t"))
        assert elements.table["chrom"].to_list() == [row[0] for row in REGISTRY]

    def test_files_are_described(self, read):
        files = read().files
        assert [file["name"] for file in files] == ["registry.bed", "heart.bed"]
        assert all(len(file["sha256"]) == 64 and file["size"] > 0 and file["licence"] for file in files)


class TestTissues:
    def test_active_is_pels_or_dels_there(self, read):
        elements = read(heart=tissue(), brain=tissue(["Low-DNase"] * 5))
        assert elements.table["active_heart"].to_list() == [1, 0, 1, 0, 0]
        assert elements.table["active_brain"].to_list() == [0] * 5
        assert elements.tasks.names == ("enhancer", "heart", "brain")
        assert elements.table["active_heart"].dtype == pl.Float32

    def test_tissue_without_a_file_is_not_measured(self, read):
        elements = read(heart=tissue(), liver=None)
        assert elements.table["active_liver"].is_nan().all()
        assert notes(elements, "join liver") == {"not measured": 5}

    def test_biosample_without_dnase_is_not_measured(self, read):
        classes = ["High-H3K27ac", "High-H3K4me3,High-CTCF", "Unclassified", "dELS", "Low-DNase"]
        active = read(k562=tissue(classes)).table["active_k562"].to_numpy()
        assert np.isnan(active[:3]).all()
        assert active[3:].tolist() == [1, 0]

    @pytest.mark.parametrize("join", ["auto", "accession", "coordinate"])
    def test_reordered_duplicate_and_unmatched_rows_are_counted(self, read, join):
        lines = tissue().splitlines(keepends=True)
        extra = "chr9\t1\t9\tEH38E99\t0\t.\t1\t9\t0,0,0\tdELS\tAggregated-Samples\n"
        text = "".join([lines[4], lines[0], lines[0], lines[2], lines[3], extra])
        elements = read(heart=text, join=join, max_unmatched=0.3)
        active = elements.table["active_heart"].to_numpy()
        assert active[[0, 2, 3, 4]].tolist() == [1, 1, 0, 0]
        assert np.isnan(active[1])
        said = notes(elements, "join heart")
        assert said["joined on"] == ("coordinates" if join == "coordinate" else "accession")
        assert said["rows in the file"] == 6
        assert said["unmatched registry rows"] == 1
        assert said["unmatched rows of the file"] == 1
        assert said["duplicate rows (first kept)"] == 1
        assert said["reordered rows"] == 4
        assert said["not measured"] == 1

    def test_without_accessions_the_coordinates_join(self, read):
        bare = [(c, s, e, ".", k) for c, s, e, _, k in REGISTRY]
        plain = read().table["active_heart"].to_list()
        by_place = read(heart=tissue(rows=bare))
        assert by_place.table["active_heart"].to_list() == plain
        assert notes(by_place, "join heart")["joined on"] == "coordinates"
        elements = read(ten(bare))
        assert elements.table["active_heart"].to_list() == plain
        assert elements.table["accession"].null_count() == 5
        with pytest.raises(DataError, match="not every row has one"):
            read(heart=tissue(rows=bare), join="accession")

    def test_another_registry_version_is_refused(self, read):
        other = [(c, s, e, f"EH38E1{i}", k) for i, (c, s, e, _, k) in enumerate(REGISTRY)]
        with pytest.raises(DataError, match=r"heart\.bed: this is a tissue file of another registry version: 5 of 5"):
            read(heart=tissue(rows=other))
        with pytest.raises(DataError, match="another registry version"):
            read(heart="".join(tissue().splitlines(keepends=True)[:4]))

    def test_same_accessions_at_other_places_are_refused(self, read):
        lifted = [(c, s + 40, e + 40, a, k) for c, s, e, a, k in REGISTRY]
        with pytest.raises(DataError, match="have other coordinates"):
            read(heart=tissue(rows=lifted))


class TestBadFiles:
    @pytest.mark.parametrize(
        ("line", "kind", "said"),
        [
            (
                "chr1\t100\t300\tD\tEH38E01\tpELS",
                FormatError,
                r"line 6 \(accession\): .*EH38E01 stands twice.*line 1",
            ),
            ("chr1\t1\t300\tD\tEH38E09\tdELs", FormatError, r"line 6 \(class\): no registry.*Did you mean 'dELS'"),
            ("chr1\t1\t300\tD\tEH38E09", FormatError, "line 6: .*wrong number of columns.*expected 6"),
            ("chr1\t300\t300\tD\tEH38E09\tPLS", IntervalError, "line 6, column 3: the end is not beyond"),
            ("chr1\t-3\t300\tD\tEH38E09\tPLS", FormatError, r"line 6, column 2 \(start\): .*negative"),
            ("chr1\t1.5\t300\tD\tEH38E09\tPLS", FormatError, r"line 6, column 2 \(start\): .*fractional"),
            ("chr1\t248956400\t248956423\tD\tEH38E09\tPLS", IntervalError, "line 6, column 3: .*248,956,422"),
            ("chr23\t1\t300\tD\tEH38E09\tPLS", UnknownChromosomeError, r"line 6, column 1: .*'chr23'.*Did you mean"),
            ("chrom\tstart\tend\tD\tE\tclass", FormatError, "line 6, column 2"),
        ],
    )
    def test_bad_registry_line_is_named(self, read, line, kind, said):
        with pytest.raises(kind, match=rf"registry\.bed, {said}") as error:
            read(six() + line + "\n")
        assert "\n" not in str(error.value)

    def test_header_where_none_belongs(self, read):
        with pytest.raises(FormatError, match="line 1, column 1: a header line stands where none belongs"):
            read("chrom\tstart\tend\tdhs\taccession\tclass\n" + six())

    @pytest.mark.parametrize("text", ["chr1\t1\t2\n", ">chr1\nACGT\n"])
    def test_not_a_registry(self, read, text):
        with pytest.raises(FormatError, match="not a SCREEN registry file.*6 or 10"):
            read(text)

    def test_registry_given_as_tissue(self, read):
        with pytest.raises(FormatError, match=r"heart\.bed, line 1: this is not a SCREEN tissue file"):
            read(heart=six())

    def test_unknown_class_in_a_tissue_file(self, read):
        with pytest.raises(FormatError, match=r"heart\.bed, line 2 \(class\).*'Low-DNAse'.*'Low-DNase'"):
            read(heart=tissue(["pELS", "Low-DNAse", "dELS", "CA", "CA"]))

    def test_missing_files_and_no_tissue(self, tmp_path):
        with pytest.raises(MissingFileError, match=r"none\.bed"):
            read_screen(ScreenSettings(registry=str(tmp_path / "none.bed"), tissues={"heart": ""}, genome=""))
        with pytest.raises(ConfigError, match="no tissue"):
            read_screen(ScreenSettings(registry="x", tissues={}, genome=""))

    def test_custom_genome_checks_bounds_too(self, tmp_path):
        (tmp_path / "g.fa").write_text(">chr1\n" + "A" * 400 + "\n")
        (tmp_path / "r.bed").write_text(six(REGISTRY[:2]))
        settings = ScreenSettings(
            registry=str(tmp_path / "r.bed"),
            tissues={"heart": ""},
            genome=str(tmp_path / "g.fa"),
            assembly="custom:newt",
        )
        with pytest.raises(IntervalError, match=r"r\.bed, line 2, column 3.*at most 400"):
            read_screen(settings)


@pytest.mark.data
class TestRealForms:
    def settings(self, data, registry="GRCh38-cCREs.bed.gz", **keywords):
        folder = data / "screen_like"
        tissues = {name: str(folder / f"{name}.noccl.cCREs.bed.gz") for name in TISSUES}
        return ScreenSettings(registry=str(folder / registry), tissues=tissues, genome="", **keywords)

    def test_nine_tissues_join_the_same_way_on_accession_and_on_coordinates(self, data):
        tables = [
            read_screen(self.settings(data, registry, join=join)).table
            for registry in ("GRCh38-cCREs.bed.gz", "ENCFF420VPZ-like.bed.gz")
            for join in ("accession", "coordinate")
        ]
        assert all(table.equals(tables[0]) for table in tables)
        counts = tables[0].select(pl.col(f"active_{name}").sum() for name in TISSUES).row(0)
        # pELS and dELS rows of each file, counted with cut | sort | uniq -c.
        assert counts == (2211, 3054, 661, 442, 524, 672, 1074, 1208, 1158)
        assert dict(tables[0]["ccre_class"].value_counts().iter_rows())["pELS"] == 978

    def test_files_without_accessions(self, data, tmp_path):
        folder = data / "screen_like"
        plain = read_screen(self.settings(data)).table
        tissues = {}
        for name in TISSUES:
            text = gzip.decompress((folder / f"{name}.noccl.cCREs.bed.gz").read_bytes()).decode()
            rows = [line.split("\t") for line in text.splitlines()]
            tissues[name] = str(tmp_path / f"{name}.bed")
            Path(tissues[name]).write_text("".join("\t".join([*r[:3], ".", *r[4:]]) + "\n" for r in rows))
        settings = ScreenSettings(registry=str(folder / "GRCh38-cCREs.bed.gz"), tissues=tissues, genome="")
        elements = read_screen(settings)
        assert elements.table.equals(plain)
        assert notes(elements, "join brain")["joined on"] == "coordinates"

    def test_older_registry(self, data):
        elements = read_screen(self.settings(data, "GRCh38-cCREs.V3-style.bed.gz"))
        assert len(elements) == 500
        assert elements.table["ctcf_bound"].sum() == 253
        assert notes(elements, "join brain")["unmatched registry rows"] == 0
        assert notes(elements, "join brain")["unmatched rows of the file"] == 8719
