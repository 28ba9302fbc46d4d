"""GFF and GTF: 1-based inclusive in the file, 0-based half-open in the table, errors with file, line and column."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from encre.errors import EncreError, FormatError, IntervalError, UnknownChromosomeError
from encre.genome.assembly import get_assembly
from encre.genome.gff import read_gff

GFF = """##gff-version 3
#!genome-build GRCh38
chr1\tRegulatory_Build\tenhancer\t101\t300\t.\t.\t.\tID=ENSR1;Note=a b
chr1\tRegulatory_Build\tpromoter\t1\t1\t0.5\t+\t.\tName=P1

1\tsrc\tCTCF_site\t7\t20\t.\t-\t0\t.
"""


def write(path: Path, text: str) -> Path:
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["x.gff3", "x.gff.gz"])
def test_positions_become_0_based_and_names_come_from_the_attributes(tmp_path: Path, name: str) -> None:
    frame = read_gff(write(tmp_path / name, GFF), assembly=get_assembly("GRCh38"))
    assert frame.select("chrom", "start", "end", "feature", "name", "strand", "line").rows() == [
        ("chr1", 100, 300, "enhancer", "ENSR1", ".", 3),
        ("chr1", 0, 1, "promoter", "P1", "+", 4),
        ("chr1", 6, 20, "CTCF_site", "", "-", 6),
    ]


def test_gtf_names(tmp_path: Path) -> None:
    attributes = ['gene_id "G1"; gene_name "MYC"; level 2;', 'gene_id "G1"; transcript_id "T1";', "gene_id G2"]
    rows = [f"chr1\tHAVANA\texon\t{i}\t9\t.\t+\t.\t{text}" for i, text in enumerate(attributes, start=1)]
    assert read_gff(write(tmp_path / "x.gtf", "\n".join(rows)))["name"].to_list() == ["G1", "T1", "G2"]


@pytest.mark.parametrize(
    ("line", "kind", "words"),
    [
        ("chr1\ts\tf\t0\t9\t.\t.\t.\tID=a", FormatError, ["line 2", "column 4", "below 1"]),
        ("chr1\ts\tf\t1.5\t9\t.\t.\t.\tID=a", FormatError, ["line 2", "column 4"]),
        ("chr1\ts\tf\t10\t9\t.\t.\t.\tID=a", IntervalError, ["line 2", "column 5", "chr1 10 9 (1-based)"]),
        ("chr1\ts\tf\t10\t1001\t.\t.\t.\tID=a", IntervalError, ["line 2", "column 5", "at most 1,000"]),
        ("chr9\ts\tf\t10\t11\t.\t.\t.\tID=a", UnknownChromosomeError, ["line 2", "column 1", "'chr9'"]),
        ("chr1\ts\tf\t10\t11\t.\t.", FormatError, ["line 2", "expected 9", "got 7"]),
        ("##FASTA\n>chr1\nACGT", FormatError, ["line 2", "##FASTA", "FASTA of its own"]),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, line: str, kind: type[EncreError], words: list[str]) -> None:
    path = write(tmp_path / "x.gff", f"chr1\ts\tf\t1\t9\t.\t.\t.\tID=a\n{line}\n")
    with pytest.raises(kind) as raised:
        read_gff(path, lengths={"chr1": 1000})
    for word in ["x.gff", *words]:
        assert word in str(raised.value)


def test_a_bed_is_no_gff(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="not a GFF"):
        read_gff(write(tmp_path / "x.gff", "chr1\t1\t9\n"))
