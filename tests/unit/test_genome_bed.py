from __future__ import annotations

import gzip
import math

import pytest

from encre.errors import FormatError, IntervalError, UnknownChromosomeError
from encre.genome.assembly import GRCH38
from encre.genome.bed import check_bounds, read_bed


@pytest.fixture
def bed(tmp_path):
    def write(text: str, name: str = "peaks.bed"):
        path = tmp_path / name
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return path

    return write


def test_three_columns(bed):
    frame = read_bed(bed("chr1\t10\t20\nchr2\t0\t5\n"))
    assert frame.columns == ["chrom", "start", "end", "name", "score", "strand", "line"]
    assert frame.select("chrom", "start", "end", "name", "strand", "line").rows() == [
        ("chr1", 10, 20, "", ".", 1),
        ("chr2", 0, 5, "", ".", 2),
    ]
    assert math.isnan(frame["score"][0])


@pytest.mark.parametrize("count", [4, 5, 6, 9, 12])
def test_more_columns(bed, count):
    fields = ["chr1", "10", "20", "a", "5.5", "-", "10", "20", "0,0,0", "1", "10,", "0,"][:count]
    frame = read_bed(bed("\t".join(fields) + "\n", "peaks.bed.gz"))
    assert frame["name"][0] == "a"
    assert frame["strand"][0] == ("-" if count >= 6 else ".")


def test_narrow_peak(bed):
    frame = read_bed(bed("chr1\t10\t20\tp1\t1000\t.\t7.25\t-1\t3.5\t4\n", "x.narrowPeak"))
    assert frame.select("signal", "p_value", "q_value", "peak").row(0) == (7.25, -1.0, 3.5, 4)


def test_chromosome_names_become_the_assemblys(bed):
    frame = read_bed(bed("1\t10\t20\nNC_000002.12\t1\t2\nchrUn_1\t1\t2\n"), assembly=GRCH38)
    assert frame["chrom"].to_list() == ["chr1", "chr2", "chrUn_1"]


@pytest.mark.parametrize(
    ("line", "kind", "said"),
    [
        ("chr1\t20\t20", IntervalError, "line 3, column 3: the end is not beyond the start"),
        ("chr1\t20\t10", IntervalError, "line 3, column 3: the end is not beyond the start"),
        ("chr1\t90\t101", IntervalError, r"line 3, column 3: the interval reaches beyond .*at most 100.*assembly"),
        ("chr11\t1\t2", UnknownChromosomeError, r"line 3, column 1: .*'chr11'.*Did you mean 'chr1'"),
        ("chr1\t-5\t10", FormatError, r"line 3, column 2 \(start\): this number is negative"),
        ("chr1\t1.5\t10", FormatError, r"line 3, column 2 \(start\): this number is fractional"),
        ("chr1\t1", FormatError, "line 3: the line has a wrong number of columns"),
    ],
)
def test_bad_line_is_named(bed, line, kind, said):
    path = bed(f"# comment\nchr1\t1\t100\n{line}\n")
    with pytest.raises(kind, match=said) as error:
        read_bed(path, lengths={"chr1": 100, "chr2": 50})
    assert str(path) in str(error.value)


@pytest.mark.parametrize("text", ["chr1 10 20\n", "just words\n", "a\tb\n", "\t".join("abcdefghijklmno") + "\n"])
def test_not_a_bed(bed, text):
    with pytest.raises(FormatError, match="not a BED file"):
        read_bed(bed(text))


def test_header_only_where_it_belongs(bed):
    path = bed("chrom\tstart\tend\nchr1\t1\t2\n")
    with pytest.raises(FormatError, match="line 1, column 1: a header line stands where none belongs"):
        read_bed(path)
    assert read_bed(path, header="optional").height == 1


def test_check_bounds_without_lines_names_the_row(bed):
    frame = read_bed(bed("chr1\t1\t5\n")).drop("line")
    with pytest.raises(IntervalError, match=r"regions, row 1"):
        check_bounds(frame, {"chr1": 4}, where="regions")
