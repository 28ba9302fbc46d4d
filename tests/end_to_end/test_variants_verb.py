"""`encre variants` through the command line: every form in and out, and bad input in one paragraph."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pysam
import pytest
from test_bad_input import refuse

from toy_models import MOTIFS, random_text, save_motif_run

TEXT = random_text(3000, seed=5, planted={1000: MOTIFS["heart"], 1600: MOTIFS["brain"]})
HEAD = (
    "##fileformat=VCFv4.2\n"
    '##INFO=<ID=DP,Number=1,Type=Integer,Description="depth">\n'
    '##FORMAT=<ID=GT,Number=1,Type=String,Description="genotype">\n'
    "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tone\n"
)


class Given(NamedTuple):
    folder: Path
    words: list[object]

    def vcf(self, *rows: tuple[int, str, str], name: str = "x.vcf", head: str = HEAD) -> Path:
        lines = [f"1\t{pos}\trs{pos}\t{ref}\t{alt}\t.\tPASS\tDP=4\tGT\t0/1" for pos, ref, alt in rows]
        raw = (head + "\n".join(lines) + "\n").encode()
        (self.folder / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
        return self.folder / name


@pytest.fixture
def given(tmp_path: Path) -> Given:
    (tmp_path / "toy.fa").write_text(f">chr1\n{TEXT}\n")
    run = save_motif_run(tmp_path / "run")
    words = ["--model", run, "--genome", tmp_path / "toy.fa", "--assembly", "custom:toy", "--threads", "1"]
    return Given(tmp_path, words)


def base(pos: int) -> str:
    return TEXT[pos - 1]


def other(pos: int) -> str:
    return "ACGT"[("ACGT".index(base(pos)) + 1) % 4]


def good() -> list[tuple[int, str, str]]:
    return [
        (1005, base(1005), other(1005)),
        (1201, base(1201).lower(), f"{other(1201)},{base(1201)}GA"),
        (1602, TEXT[1601:1605], base(1602)),
    ]


@pytest.fixture
def numbered(given: Given) -> Given:
    """The same, the chromosome called 1 as in the VCF."""
    (given.folder / "toy.fa").write_text(f">1\n{TEXT}\n")
    return given


@pytest.mark.parametrize("out", ["y.vcf", "y.vcf.gz", "y.bcf"])
def test_a_vcf_comes_back_with_info_fields(encre, numbered: Given, out: str) -> None:
    path = numbered.folder / out
    outcome = encre("variants", numbered.vcf(*good(), name="x.vcf.gz"), *numbered.words, "--out", path)
    assert outcome.code == 0, outcome.err
    assert "4 alleles of 3 records (1 with several alleles)" in outcome.err
    assert "not causal" in outcome.err
    before = pysam.set_verbosity(0)
    with pysam.VariantFile(str(path)) as found:
        assert found.header.contigs["1"].length == 3000
        assert list(found.header.samples) == ["one"]
        kinds = {name: found.header.info[name].number for name in found.header.info if name.startswith("ENCRE")}
        assert kinds == {f"ENCRE_{kind}_{task}": "A" for kind in ("DL", "DP", "P", "Q") for task in MOTIFS}
        first, second, third = found
    pysam.set_verbosity(before)
    assert first.info["ENCRE_DL_heart"][0] < -1
    assert abs(first.info["ENCRE_DL_brain"][0]) < 1e-5
    assert first.info["ENCRE_DP_heart"][0] < -0.1
    assert 0 < first.info["ENCRE_P_heart"][0] < 0.2
    assert len(second.info["ENCRE_Q_heart"]) == 2
    assert third.info["ENCRE_DL_brain"][0] < -1
    assert (first.info["DP"], first.id, first.samples["one"]["GT"]) == (4, "rs1005", (0, 1))


@pytest.mark.parametrize("out", ["y.tsv", "y.csv", "y.parquet"])
def test_tables_out(encre, numbered: Given, out: str) -> None:
    path = numbered.folder / out
    assert encre("variants", numbered.vcf(*good()), *numbered.words, "--out", path, "-q").code == 0
    read = {"y.parquet": pl.read_parquet}.get(out, lambda p: pl.read_csv(p, separator="," if "csv" in out else "\t"))
    found = read(path)
    assert found.columns[:7] == ["chrom", "pos", "id", "ref", "alt", "kind", "n_share"]
    assert found.columns[7:13] == [
        f"{name}_heart" for name in ("logit_ref", "logit_alt", "delta_logit", "delta_probability", "p", "q")
    ]
    assert found["kind"].to_list() == ["SNV", "SNV", "insertion", "deletion"]
    assert found["model"].unique().to_list() == ["run"]
    assert not (numbered.folder / f"{out}.skipped.tsv").exists()


def test_stdout_and_json(encre, numbered: Given) -> None:
    words = ["variants", numbered.vcf(*good()), *numbered.words, "--background", "0"]
    text = encre(*words)
    assert text.out.splitlines()[0].split("\t")[:4] == ["chrom", "pos", "id", "ref"]
    assert len(text.out.splitlines()) == 5
    found = json.loads(encre(*words, "--json").out)
    assert found["kinds"] == {"SNV": 2, "insertion": 1, "deletion": 1}
    assert (found["records"], found["alleles"], found["scored"]) == (3, 4, 4)
    assert [row["pos"] for row in found["variants"]] == [1005, 1201, 1201, 1602]


def test_the_seed_alone_decides_the_random_changes(encre, numbered: Given) -> None:
    words = ["variants", numbered.vcf(*good()), *numbered.words, "--background", "60", "-q"]
    first, again, other_seed = encre(*words), encre(*words), encre(*words, "--seed", "7")
    assert first.out == again.out
    assert first.out != other_seed.out


def test_what_is_skipped_is_listed_beside_the_output_and_counted(encre, numbered: Given) -> None:
    rows = [*good(), (1300, base(1300), "<DEL>,*"), (1400, other(1400), base(1400))]
    words = ["variants", numbered.vcf(*rows), *numbered.words, "--skip-mismatched", "--skip-unsupported"]
    for out in ("y.vcf", "y.tsv"):
        path = numbered.folder / out
        outcome = encre(*words, "--out", path, "--json", "--background", "0")
        summary = json.loads(outcome.out)
        assert sum(summary["not_scored"].values()) == 3
        assert "Not scored, 1: REF and ALT look swapped." in outcome.err
        skipped = pl.read_csv(summary["not_scored_file"], separator="\t", infer_schema=False)
        assert skipped.select("line", "pos", "alt").rows() == [
            ("8", "1300", "<DEL>"), ("8", "1300", "*"), ("9", "1400", base(1400)),
        ]  # fmt: skip
        assert skipped["genome"].to_list() == [None, None, base(1400)]
    assert pl.read_csv(numbered.folder / "y.tsv", separator="\t").height == 4
    without = encre(*words, "--background", "0", "--quiet")
    assert len(without.out.splitlines()) == 1 + 4
    assert "symbolic" in without.err, "without a file to stand beside, they are listed on stderr"
    assert len(json.loads(encre(*words, "--background", "0", "--json").out)["apart"]) == 3
    records = [line for line in (numbered.folder / "y.vcf").read_text().splitlines() if line[0] != "#"]
    assert len(records) == 5, "a VCF keeps every record"
    assert records[3].split("\t")[7] == "DP=4"
    words = ["variants", numbered.vcf(*good()), *numbered.words, "--out", numbered.folder / "y.vcf", "-q"]
    assert encre(*words).code == 0
    assert not (numbered.folder / "y.vcf.skipped.tsv").exists(), "an older list would be taken for this run's"


def test_a_table_becomes_a_vcf_with_anchored_deletions(encre, given: Given) -> None:
    rows = [("chr1", 1005, base(1005), other(1005)), ("chr1", 1602, TEXT[1601:1603], "-"), ("chr1", 1, base(1), "-")]
    path = given.folder / "x.tsv"
    path.write_text("chrom\tpos\tref\talt\n" + "".join("\t".join(map(str, row)) + "\n" for row in rows))
    outcome = encre("variants", path, *given.words, "--out", given.folder / "y.vcf", "--background", "0")
    assert outcome.code == 0, outcome.err
    with pysam.VariantFile(str(given.folder / "y.vcf")) as found:
        alleles = [(record.pos, *record.alleles) for record in found]  # type: ignore[misc]
    assert alleles == [(1005, base(1005), other(1005)), (1601, TEXT[1600:1603], base(1601)), (1, TEXT[:2], base(2))]
    again = encre("variants", given.folder / "y.vcf", *given.words, "--background", "0", "-q")
    first = encre("variants", path, *given.words, "--background", "0", "-q")
    scores = [[row.split("\t")[6:] for row in outcome.out.splitlines()] for outcome in (again, first)]
    assert scores[0] == scores[1]


def test_saturate_and_region(encre, given: Given) -> None:
    (given.folder / "x.bed").write_text("chr1\t990\t1020\tpeak\n")
    out = given.folder / "y.vcf.gz"
    assert encre("variants", "--saturate", given.folder / "x.bed", *given.words, "--out", out, "-q").code == 0
    with pysam.VariantFile(str(out)) as found:
        records = list(found)
    assert len(records) == 90
    assert min(records, key=lambda r: r.info["ENCRE_DL_heart"][0]).pos in range(1001, 1010)
    words = ["variants", given.folder / "x.bed", "--saturate", "--region", "chr1:1,001-1,002", *given.words, "-q"]
    assert len(encre(*words).out.splitlines()) == 7


def test_an_index_gives_the_same_rows(encre, numbered: Given) -> None:
    plain = numbered.vcf(*good())
    packed = pysam.tabix_index(str(plain), preset="vcf", keep_original=True)
    tail = [*numbered.words, "--region", "1:1,201-1,602", "--background", "0", "-q"]
    found = [encre("variants", path, *tail).out for path in (plain, packed)]
    assert found[0] == found[1]
    assert len(found[0].splitlines()) == 4


WRONG = [
    (
        "swapped",
        [(1005, other(1005), base(1005))],
        "FormatError",
        ["line 5 (1:1,005", "swapped", "--skip-mismatched"],
    ),
    ("symbolic", [*good(), (1300, base(1300), "<DEL>")], "FormatError", ["line 8 (1:1,300", "symbolic"]),
    ("star", [(1300, base(1300), "*")], "FormatError", ["line 5", "'*'", "--skip-unsupported"]),
    ("beyond the end", [(3001, "A", "C")], "IntervalError", ["line 5", "beyond the end"]),
    ("over the edge", [(2999, TEXT[2998:] + "A", base(2999))], "IntervalError", ["line 5", "beyond the end"]),
    ("position 0", [(0, "A", "C")], "IntervalError", ["line 5", "before the first base"]),
]


@pytest.mark.parametrize(("rows", "kind", "said"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_bad_alleles(encre, numbered: Given, rows, kind: str, said: list[str]) -> None:
    words = ["variants", numbered.vcf(*rows), *numbered.words, "--out", numbered.folder / "y.vcf"]
    refuse(encre, numbered.folder, words, kind=kind, said=["x.vcf", *said])


def test_bad_files_and_options(encre, given: Given) -> None:
    def refused(*words: object, kind: str, said: list[str]) -> None:
        refuse(encre, given.folder, ["variants", *words], kind=kind, said=said)

    path = given.vcf((1005, base(1005), other(1005)))
    unknown = given.vcf((1005, base(1005), other(1005)), name="u.vcf")
    unknown.write_text(unknown.read_text().replace("\n1\t", "\nchrZ\t"))
    headless = given.vcf((5, base(5), other(5)), name="h.vcf", head="")
    refused(unknown, *given.words, kind="UnknownChromosomeError", said=["chrZ", "line 5"])
    refused(headless, *given.words, kind="FormatError", said=["no header", "##fileformat"])
    refused(given.folder / "none.vcf", *given.words, kind="MissingFileError", said=["none.vcf"])
    refused(path, *given.words, "--out", "y.xlsx", kind="ConfigError", said=["y.xlsx", ".vcf.gz"])
    refused(path, *given.words, "--shifts", "9", kind="ConfigError", said=["central half"])
    refused(path, *given.words, "--region", "chr1", kind="IntervalError", said=["chr1"])
    (given.folder / "x.bed").write_text("chr1\t2990\t3010\n")
    refused(given.folder / "x.bed", *given.words, kind="FormatError", said=["no column 'chrom'", "--saturate"])
    refused(given.folder / "x.bed", "--saturate", *given.words, kind="IntervalError", said=["line 1", "3,000"])


@pytest.mark.slow
@pytest.mark.data
def test_the_shipped_model_scores_measured_variants(encre, data: Path, tmp_path: Path) -> None:
    source = data / "benchmarks" / "saturation_mutagenesis_dev" / "elements_variants.tsv.gz"
    frame = pl.read_csv(source, separator="\t", infer_schema_length=0)
    some = frame.filter(pl.col("Element").is_in(["HNF4A", "HBB"]) & (pl.col("Release") == "GRCh38"))
    some.write_csv(tmp_path / "x.tsv", separator="\t")
    words = ["--genome", data / "genome" / "hg38.sparse.fa.gz", "--background", "0", "--threads", "1", "-q"]
    whole = encre("variants", tmp_path / "x.tsv", *words)
    assert whole.code == 2
    assert "the genome has N: is hg38.sparse.fa.gz complete?" in whole.err
    outcome = encre("variants", tmp_path / "x.tsv", *words, "--out", tmp_path / "y.tsv", "--skip-mismatched")
    assert outcome.code == 0, outcome.err
    found, listed = (pl.read_csv(tmp_path / name, separator="\t") for name in ("y.tsv", "y.tsv.skipped.tsv"))
    assert found.height + listed.height == some.height
    assert found["kind"].value_counts(sort=True).rows() == [("SNV", 600), ("deletion", 65)]
    assert set(listed["genome"]) == {"N"}
