"""VCF in and out: bytes survive, lines are named, indices are used, and what is no VCF is refused."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import pysam
import pytest

from encre.errors import FormatError, MissingFileError
from encre.genome.intervals import Interval
from encre.genome.vcf import Definition, Vcf, extended_header, is_vcf, new_header, with_info, write_vcf

HEAD = (
    "##fileformat=VCFv4.2\n"
    '##INFO=<ID=DP,Number=1,Type=Integer,Description="depth">\n'
    '##INFO=<ID=ENCRE_DL_heart,Number=1,Type=String,Description="of an earlier run">\n'
    '##FILTER=<ID=q10,Description="low">\n'
    '##FORMAT=<ID=GT,Number=1,Type=String,Description="genotype">\n'
    "##contig=<ID=chr1,length=1000>\n"
    "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tSå\n"
)
BODY = (
    "chr1\t10\trs1\tA\tG\t3.123456789\tPASS\tDP=3;ENCRE_DL_heart=old\tGT\t0/1\n"
    "chr1\t20\t.\tAC\tA,<DEL>,*\t.\tq10\t.\tGT\t0|1\n"
    "2\t30\t.\ta\tt\t.\t.\tDP=1\tGT\t./.\n"
)
DELTA = Definition("ENCRE_DL_heart", "delta logit")


def write(path: Path, text: str = HEAD + BODY) -> Path:
    raw = text.encode()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


def test_alleles_are_split_and_know_their_line(tmp_path: Path):
    table = Vcf(write(tmp_path / "x.vcf.gz")).table()
    assert table.rows() == [
        (8, 0, 1, "chr1", 10, "rs1", "A", "G"),
        (9, 1, 1, "chr1", 20, ".", "AC", "A"),
        (9, 1, 2, "chr1", 20, ".", "AC", "<DEL>"),
        (9, 1, 3, "chr1", 20, ".", "AC", "*"),
        (10, 2, 1, "2", 30, ".", "a", "t"),
    ]


def test_windows_line_ends_and_a_byte_order_mark_are_read_rightly(tmp_path: Path):
    plain = Vcf(write(tmp_path / "x.vcf")).table()
    other = Vcf(write(tmp_path / "y.vcf", "\ufeff" + (HEAD + BODY).replace("\n", "\r\n"))).table()
    assert plain.equals(other)


def test_bytes_that_are_no_utf8_survive_and_are_marked_in_the_table(tmp_path: Path):
    record = b"chr1\t5\tGen\xe9\tA\tG\t.\t.\tDP=3;X=\xff"
    (tmp_path / "x.vcf").write_bytes(HEAD.encode() + record + b"\n")
    vcf = Vcf(tmp_path / "x.vcf")
    assert vcf.table()["id"].to_list() == ["Gen\ufffd"]
    write_vcf(tmp_path / "y.vcf", vcf.header, (line for _, line in vcf.records()))
    assert (tmp_path / "y.vcf").read_bytes() == (tmp_path / "x.vcf").read_bytes()
    (tmp_path / "z.vcf").write_bytes((HEAD + BODY).encode("utf-16"))
    with pytest.raises(FormatError, match="no header") as caught:
        Vcf(tmp_path / "z.vcf")
    str(caught.value).encode()


@pytest.mark.parametrize("name", ["y.vcf", "y.vcf.gz", "y.bcf"])
def test_what_is_written_pysam_reads_back(tmp_path: Path, name: str):
    vcf = Vcf(write(tmp_path / "x.vcf"))
    header = extended_header(vcf.header, {"chr1": 1000, "2": 400}, [DELTA], "##encre_model=old")
    header = extended_header(header, {}, [DELTA], "##encre_model=toy")
    texts = ["ENCRE_DL_heart=0.5", "ENCRE_DL_heart=-1.25,.,.", ""]
    records = [with_info(line, text, {DELTA.id}) for (_, line), text in zip(vcf.records(), texts, strict=True)]
    write_vcf(tmp_path / name, header, records)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["x.vcf", name]), "nothing left beside"
    before = pysam.set_verbosity(0)
    with pysam.VariantFile(str(tmp_path / name)) as found:
        assert list(found.header.contigs) == ["chr1", "2"]
        assert list(found.header.samples) == ["Så"]
        assert str(found.header).count("encre_model") == 1
        assert found.header.info["ENCRE_DL_heart"].number == "A"
        first, second, third = found
    pysam.set_verbosity(before)
    assert (first.info["DP"], first.info["ENCRE_DL_heart"], first.samples[0]["GT"]) == (3, (0.5,), (0, 1))
    assert second.info["ENCRE_DL_heart"] == (-1.25, None, None)
    assert second.filter.keys() == ["q10"]
    assert "ENCRE_DL_heart" not in third.info


def test_records_keep_every_byte_but_info(tmp_path: Path):
    vcf = Vcf(write(tmp_path / "x.vcf"))
    write_vcf(tmp_path / "y.vcf", vcf.header, (line for _, line in vcf.records()))
    assert (tmp_path / "y.vcf").read_bytes() == (tmp_path / "x.vcf").read_bytes()
    assert with_info(BODY.splitlines()[0], "ENCRE_DL_heart=1", {"ENCRE_DL_heart"}).split("\t")[5:8] == [
        "3.123456789", "PASS", "DP=3;ENCRE_DL_heart=1",
    ]  # fmt: skip
    assert with_info(BODY.splitlines()[1], "", {"ENCRE_DL_heart"}) == BODY.splitlines()[1]


@pytest.mark.parametrize("form", ["vcf", "vcf.gz", "bcf"])
def test_a_region_is_the_same_with_and_without_index(tmp_path: Path, form: str):
    names = {"chr1": "chr1", "2": "chr2"}
    path = tmp_path / f"x.{form}"
    plain = Vcf(write(tmp_path / "plain.vcf"))
    write_vcf(path, extended_header(plain.header, {"2": 400}, []), (line for _, line in plain.records()))
    rows = {}
    for text in ("chr1:11-25", "chr1:21-21", "chr2:1-100", "chr1:300-400"):
        region = Interval.from_region(text)
        rows[text] = Vcf(path, region=region, name_of=names.get).table().drop("line").rows()
    assert [len(found) for found in rows.values()] == [3, 3, 1, 0]
    if form != "vcf":
        before = pysam.set_verbosity(0)
        pysam.tabix_index(str(path), preset="bcf" if form == "bcf" else "vcf", csi=form == "bcf")
        pysam.set_verbosity(before)
        assert Vcf(path).has_index
        for text, found in rows.items():
            again = Vcf(path, region=Interval.from_region(text), name_of=names.get)
            assert again.table().drop("line").rows() == found


def test_vcf_is_told_from_its_content_or_its_name(tmp_path: Path):
    assert is_vcf(write(tmp_path / "x.gz"))
    assert is_vcf(write(tmp_path / "x.vcf", "nothing"))
    assert not is_vcf(write(tmp_path / "x.tsv", "chrom\tpos\tref\talt\n"))


HEADERLESS: list[tuple[str, str, list[str]]] = [
    ("records only", BODY, ["no header", "line 1", "##fileformat"]),
    ("names only", HEAD.splitlines()[-1] + "\n" + BODY, ["no header", "line 1", "##fileformat"]),
    ("no names", "".join(HEAD.splitlines(keepends=True)[:-1]) + BODY, ["line 7", "column names"]),
    ("other names", HEAD.replace("ALT", "ALLELE") + BODY, ["line 7", "column names"]),
    ("a web page", "<!doctype html>", ["no header"]),
    ("empty", "", ["empty"]),
]


@pytest.mark.parametrize(("text", "said"), [case[1:] for case in HEADERLESS], ids=[case[0] for case in HEADERLESS])
def test_a_vcf_without_header_is_refused(tmp_path: Path, text: str, said: list[str]):
    with pytest.raises(FormatError) as caught:
        Vcf(write(tmp_path / "x.vcf", text))
    assert all(word in str(caught.value) for word in ["x.vcf", *said])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("chr1 5 . A G . . .", "spaces"),
        ("chr1\t5\t.\tA\tG\t.\t.", "8 columns"),
        ("chr1\tx\t.\tA\tG\t.\t.\t.", "column 2"),
        ("chr1\t99999999999999999999\t.\tA\tG\t.\t.\t.", "whole number"),
        ("chr1\t-3\t.\tA\tG\t.\t.\t.", "whole number"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, said: str):
    vcf = Vcf(write(tmp_path / "x.vcf", HEAD + BODY + line + "\n"))
    with pytest.raises(FormatError, match="line 11") as caught:
        vcf.table()
    assert said in str(caught.value)


def test_damage_is_said(tmp_path: Path):
    whole = gzip.compress((HEAD + BODY * 300).encode())
    (tmp_path / "x.vcf.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FormatError, match="truncated or damaged"):
        Vcf(tmp_path / "x.vcf.gz").table()
    write_vcf(tmp_path / "y.vcf.gz", HEAD.splitlines(), BODY.splitlines())
    (tmp_path / "y.vcf.gz").write_bytes((tmp_path / "y.vcf.gz").read_bytes()[:-28])
    with pytest.raises(FormatError, match="end block is missing"):
        Vcf(tmp_path / "y.vcf.gz")
    with pytest.raises(MissingFileError):
        Vcf(tmp_path / "none.vcf")


def test_a_bcf_of_undefined_keys_is_refused_where_htslib_would_end_the_process(tmp_path: Path):
    header = extended_header(new_header(), {"chr1": 100}, [])
    with pytest.raises(FormatError, match="INFO 'XX'") as caught:
        write_vcf(tmp_path / "x.bcf", header, ["chr1\t3\t.\tA\tG\t.\tPASS\tXX=1"])
    assert "chr1:3" in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_long_vcf_is_packed_so_that_tabix_finds_its_records(tmp_path: Path):
    header = extended_header(new_header(), {"chr1": 10**6}, [])
    records = [f"chr1\t{10 * at + 1}\tr{at}\tA\tG\t.\t.\t." for at in range(20_000)]
    write_vcf(tmp_path / "x.vcf.gz", header, records)
    assert gzip.decompress((tmp_path / "x.vcf.gz").read_bytes()).decode().splitlines() == [*header, *records]
    pysam.tabix_index(str(tmp_path / "x.vcf.gz"), preset="vcf")
    found = Vcf(tmp_path / "x.vcf.gz", region=Interval("chr1", 150_000, 150_025)).table()
    assert found["id"].to_list() == ["r15000", "r15001", "r15002"]


FULL = """
import resource, signal, sys
from encre.genome.vcf import new_header, write_vcf
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
write_vcf(sys.argv[1], new_header(), (f"chr1\\t{at}\\tr{hash(str(at))}\\tA\\tG\\t.\\t.\\t." for at in range(20_000)))
"""


@pytest.mark.parametrize("name", ["x.vcf", "x.vcf.gz", "x.bcf"])
def test_a_full_disk_is_said_and_nothing_is_left(tmp_path: Path, name: str):
    done = subprocess.run(
        [sys.executable, "-c", FULL, tmp_path / name, "40000"], capture_output=True, text=True, check=False
    )
    assert f"ResourceError: {tmp_path / name}: the disk filled up while writing" in done.stderr
    assert "ignored" not in done.stderr
    assert not list(tmp_path.iterdir())
