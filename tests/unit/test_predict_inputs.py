"""What can be scored, and what is said about what cannot."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from encre.errors import (
    ConfigError,
    EncreError,
    FormatError,
    IntervalError,
    MissingFileError,
    SequenceError,
    UnknownChromosomeError,
)
from encre.genome.store import Genome
from encre.predict.inputs import Records, read_inputs
from encre.sequence.alphabet import decode_many


def texts(records: Records) -> list[str]:
    return decode_many(records.codes, records.offsets)


def write(path: Path, text: str | bytes) -> Path:
    content = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("name", ["x.fa", "x.fasta.gz", "x", "x.txt"])
def test_fasta_with_wrapped_lines_and_crlf(tmp_path: Path, name: str) -> None:
    records = read_inputs(write(tmp_path / name, ">one first\r\nACGT\r\nacgn\r\n>two\r\nTTTT\r\n"))
    assert list(records.names) == ["one", "two"]
    assert texts(records) == ["ACGTACGN", "TTTT"]


@pytest.mark.parametrize(("name", "separator"), [("x.csv", ","), ("x.tsv", "\t"), ("x.csv.gz", ","), ("x.txt", "\t")])
def test_text_table_with_a_sequence_column(tmp_path: Path, name: str, separator: str) -> None:
    rows = [["id", "Sequence", "score"], ["a", "ACGT", "1"], ["b", "GGN", "2"]]
    records = read_inputs(write(tmp_path / name, "\r\n".join(separator.join(row) for row in rows) + "\r\n"))
    assert list(records.names) == ["a", "b"]
    assert texts(records) == ["ACGT", "GGN"]


def test_parquet_whatever_its_name(tmp_path: Path) -> None:
    pl.DataFrame({"sequence": ["ACGT", "TT"]}).write_parquet(tmp_path / "x.data")
    records = read_inputs(tmp_path / "x.data")
    assert list(records.names) == ["row_1", "row_2"]
    assert texts(records) == ["ACGT", "TT"]


@pytest.mark.parametrize(
    ("name", "content", "kind", "words"),
    [
        ("x.fa", "", FormatError, ["empty"]),
        ("x.fa", "ACGT\n", FormatError, ["not a FASTA"]),
        ("x.fa", ">a\nACGT\n>b\n>c\nA\n", FormatError, ["'b'", "line 3"]),
        ("x.fa", ">a\nAC1GT\n", FormatError, ["line 2", "column 3"]),
        ("x.csv", "sequence\nAC1GT\n", SequenceError, ["not DNA", "position 3"]),
        ("x.csv", "name,seq\na,ACGT\n", FormatError, ["'sequence'", "name, seq"]),
        ("x.csv", "name,sequence\na,ACGT\nb,AC,GT\n", FormatError, ["line 3", "expected 2", "got 3"]),
        ("x.csv", "name,sequence\na,ACGT\nb,\n", SequenceError, ["line 3"]),
        ("x.csv", "name,sequence\n", FormatError, ["no rows"]),
        ("x.list", b"\xef\xbb\xbf", FormatError, ["none of the forms"]),
        ("x.bin", b"\x00\x01\x02\x03" * 50, FormatError, ["none of the forms"]),
        ("x.parquet", b"PAR1" + b"\x00" * 40, FormatError, ["Parquet"]),
    ],
)
def test_bad_files_are_said_with_their_place(
    tmp_path: Path, name: str, content: str | bytes, kind: type[EncreError], words: list[str]
) -> None:
    with pytest.raises(kind) as raised:
        read_inputs(write(tmp_path / name, content))
    for word in [name, *words]:
        assert word in str(raised.value)


@pytest.mark.parametrize(
    ("column", "kind", "said"),
    [
        (["ACGT", None], SequenceError, "row 2"),
        ([["A"], ["C"]], FormatError, "holds lists"),
        ([], FormatError, "no rows"),
    ],
)
def test_bad_columns_of_a_parquet_are_said(
    tmp_path: Path, column: list[object], kind: type[EncreError], said: str
) -> None:
    pl.DataFrame({"sequence": column}).write_parquet(tmp_path / "x.parquet")
    with pytest.raises(kind, match=said):
        read_inputs(tmp_path / "x.parquet")


def test_truncated_gzip(tmp_path: Path) -> None:
    whole = gzip.compress(b">a\n" + b"ACGTTGCA" * 5000)
    (tmp_path / "x.fa.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FormatError, match="truncated or damaged"):
        read_inputs(tmp_path / "x.fa.gz")


def test_what_is_neither_file_nor_region() -> None:
    with pytest.raises(MissingFileError, match="does not read as a region"):
        read_inputs("nowhere.fa")


def test_a_region_needs_a_genome() -> None:
    with pytest.raises(ConfigError, match="--genome"):
        read_inputs("chr1:1,000-2,000")


def test_no_sequences_at_all() -> None:
    with pytest.raises(SequenceError, match="no sequence"):
        Records.from_sequences([])


# ------------------------------------------------------------------------------------------ regions

BASES = {"chrA": "ACGTTGCAAC" * 10, "chrB": "GGGGG" + "N" * 15 + "TTTTT"}


@pytest.fixture
def genome(tmp_path: Path) -> Genome:
    text = "".join(f">{name}\n{bases}\n" for name, bases in BASES.items())
    return Genome(write(tmp_path / "toy.fa", text), assembly="custom:toy")


SAME = {
    "x.bed": "chrA\t10\t20\tone\nchrB\t0\t5\ttwo\n",
    "registry.bed": "chrA\t10\t20\tone\tEH38E1\tpELS\nchrB\t0\t5\ttwo\tEH38E2\tdELS\n",
    "wide.bed": "".join(f"{row}" + "\tx" * 16 + "\n" for row in ("chrA\t10\t20\tone", "chrB\t0\t5\ttwo")),
    "x.narrowPeak": "chrA\t10\t20\tone\t0\t.\t1\t1\t1\t5\nchrB\t0\t5\ttwo\t0\t.\t1\t1\t1\t-1\n",
    "x.broadPeak.gz": "chrA\t10\t20\tone\t0\t.\t1\t1\t1\nchrB\t0\t5\ttwo\t0\t.\t1\t1\t1\n",
    "x.csv": "Chrom,START,end,name\nchrA,10,20,one\nchrB,0,5,two\n\n",
    "x.tsv": "score\t#chrom\tchromStart\tchromEnd\tname\n1\tchrA\t10\t20\tone\n2\tchrB\t0\t5\ttwo\n",
}


@pytest.mark.parametrize("name", SAME)
@pytest.mark.parametrize("by_stdin", [False, True])
def test_every_form_of_the_same_regions(
    tmp_path: Path, genome: Genome, monkeypatch: pytest.MonkeyPatch, name: str, by_stdin: bool
) -> None:
    path = write(tmp_path / name, SAME[name])
    if by_stdin:  # without a name, the form is told from the content alone
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(path.read_bytes())))
    records = read_inputs("-" if by_stdin else path, genome=genome)
    assert records.source == ("stdin" if by_stdin else str(path))
    assert list(records.names) == ["one", "two"]
    assert texts(records) == [BASES["chrA"][10:20], "GGGGG"]
    assert records.chrom == ["chrA", "chrB"]
    assert np.column_stack([records.start, records.end]).tolist() == [[10, 20], [0, 5]]


def test_parquet_of_regions(tmp_path: Path, genome: Genome) -> None:
    frame = pl.DataFrame({"chr": ["chrA"], "start": [10], "end": [20.0]})
    frame.write_parquet(tmp_path / "x.parquet")
    records = read_inputs(tmp_path / "x.parquet", genome=genome)
    assert (list(records.names), texts(records)) == (["chrA:11-20"], [BASES["chrA"][10:20]])


def test_gff_counts_from_1_and_keeps_its_feature_in_the_name(tmp_path: Path, genome: Genome) -> None:
    rows = ["chrA\tx\tenhancer\t11\t20\t.\t.\t.\tID=E1", "chrB\tx\tpromoter\t1\t5\t.\t+\t.\t."]
    for name in ("x.gff3", "x.txt"):
        records = read_inputs(write(tmp_path / name, "\n".join(rows)), genome=genome)
        assert list(records.names) == ["enhancer:E1", "promoter:chrB:1-5"]
        assert texts(records) == [BASES["chrA"][10:20], "GGGGG"]


@pytest.mark.parametrize("text", ["chrA:11-20\nchrB:1..5\n", "# mine\nchrA:1,1-20\n\nchrB:1-5:-\n"])
def test_a_list_of_region_strings(tmp_path: Path, genome: Genome, text: str) -> None:
    records = read_inputs(write(tmp_path / "list", text), genome=genome)
    assert list(records.names) == ["chrA:11-20", "chrB:1-5"]
    assert texts(records) == [BASES["chrA"][10:20], "GGGGG"]


def test_windows_are_widened_around_their_centre_and_padding_is_counted(tmp_path: Path, genome: Genome) -> None:
    path = write(tmp_path / "x.bed", "chrA\t10\t20\nchrA\t0\t4\nchrB\t20\t25\nchrA\t30\t90\n")
    records = read_inputs(path, genome=genome, width=20)
    assert texts(records) == [
        BASES["chrA"][5:25],
        "N" * 8 + BASES["chrA"][:12],
        BASES["chrB"][12:] + "N" * 7,
        BASES["chrA"][30:90],
    ]
    assert records.padded is not None
    assert records.padded.tolist() == [0, 8, 7, 0]


def test_a_narrow_peak_keeps_its_lines(tmp_path: Path, genome: Genome) -> None:
    lines = ["chrA\t10\t20\ta\t0\t.\t1.50\t-1\t1e3\t5", "chrB\t0\t5\tb\t7\t+\t2\t2\t2\t0"]
    path = write(tmp_path / "x.narrowPeak", "# made by hand\r\n" + "\r\n".join(lines) + "\r\n")
    records = read_inputs(path, genome=genome)
    assert records.peaks is not None
    assert records.peaks.to_list() == lines
    taken = records.take(np.array([1]))
    assert (taken.names, texts(taken), taken.chrom) == (["b"], ["GGGGG"], ["chrB"])
    assert taken.peaks is not None
    assert taken.peaks.to_list() == lines[1:]


@pytest.mark.parametrize(
    ("name", "content", "kind", "words"),
    [
        ("x.fa", ">a x\nAC\n>b\nA\n>a y\nGG\n", FormatError, ["'a' stands twice", "line 5", "line 1"]),
        ("x.gff", "chrA\tx\tf\t1\t101\t.\t.\t.\tID=a\n", IntervalError, ["line 1, column 5", "at most 100"]),
        ("x.gff", "chrA\t1\t101\n", FormatError, ["not a GFF"]),
        ("x.csv", "chrom,start,end\nchrA,1,9\nchrA,1,101\n", IntervalError, ["line 3", "at most 100"]),
        ("x.csv", "chrom,start,end\nchrA,1,9\nchrQ,1,10\n", UnknownChromosomeError, ["line 3", "chrQ"]),
        ("x.csv", "chrom,start,end\nchrA,1,9\nchrA,x,10\n", FormatError, ["line 3", "'start'", "'x'"]),
        ("x.csv", "chrom,start\nchrA,1\n", FormatError, ["'chrom', 'start' and 'end'", "chrom, start"]),
        ("x.txt", "chrA:1-20\nchrA:20-1\n", IntervalError, ["line 2", "last base"]),
        ("x.txt", "chrA:1-20\nchrA:1-101\n", IntervalError, ["line 2", "at most 100"]),
        ("x.vcf", "##fileformat=VCFv4.2\n", FormatError, ["encre variants"]),
        ("x", "hello\n", FormatError, ["none of the forms"]),
    ],
)
def test_bad_regions_are_said_with_their_place(
    tmp_path: Path, genome: Genome, name: str, content: str, kind: type[EncreError], words: list[str]
) -> None:
    with pytest.raises(kind) as raised:
        read_inputs(write(tmp_path / name, content), genome=genome)
    for word in [name, *words]:
        assert word in str(raised.value)


def test_what_is_wrong_on_stdin_is_said_of_stdin(genome: Genome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"chrA\t1\t101\n")))
    with pytest.raises(IntervalError, match="^stdin, line 1, column 3: "):
        read_inputs("-", genome=genome)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"")))
    with pytest.raises(FormatError, match="^stdin: the file is empty"):
        read_inputs("-", genome=genome)
