"""What can be scored, and what is said about what cannot."""

from __future__ import annotations

import gzip
from pathlib import Path

import polars as pl
import pytest

from encre.errors import ConfigError, EncreError, FormatError, MissingFileError, SequenceError
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
