from __future__ import annotations

import gzip
import math
from pathlib import Path

import polars as pl
import pytest

from encre.errors import FormatError, MissingFileError
from encre.tables import Column, first_row, read_rows, read_table, table_header

BED = [Column("chrom", "category"), Column("start", "int", 0), Column("end", "int", 0), Column("name")]
GOOD = "chr1\t10\t20\ta\nchr2\t5\t9\tb\n"


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def rows(frame: pl.DataFrame) -> list[tuple]:
    return frame.with_columns(pl.col("chrom").cast(pl.String)).rows()


@pytest.fixture
def bed(tmp_path):
    return lambda content: write(tmp_path / "peaks.bed", content)


class TestReadRows:
    def test_values_and_lines(self, bed):
        frame = read_rows(bed(GOOD), columns=BED)
        assert rows(frame) == [("chr1", 10, 20, "a", 1), ("chr2", 5, 9, "b", 2)]

    def test_no_line_end_at_the_end(self, bed):
        assert read_rows(bed(GOOD.rstrip("\n")), columns=BED).height == 2

    @pytest.mark.parametrize("name", ["peaks.bed.gz", "peaks.bed"])
    def test_gzip_is_told_from_the_content(self, tmp_path, name):
        frame = read_rows(write(tmp_path / name, gzip.compress(GOOD.encode())), columns=BED)
        assert rows(frame) == [("chr1", 10, 20, "a", 1), ("chr2", 5, 9, "b", 2)]

    def test_windows_line_ends_leave_no_trace(self, bed):
        frame = read_rows(bed(GOOD.replace("\n", "\r\n")), columns=BED)
        assert rows(frame) == [("chr1", 10, 20, "a", 1), ("chr2", 5, 9, "b", 2)]

    def test_byte_order_mark(self, bed):
        assert rows(read_rows(bed("\ufeff" + GOOD), columns=BED))[0][0] == "chr1"

    @pytest.mark.parametrize("lead", ["# made by hand\n", "browser position chr1\ntrack name=x\n", "\n\n"])
    def test_leading_comments_shift_the_lines(self, bed, lead):
        frame = read_rows(bed(lead + GOOD), columns=BED)
        assert frame["line"].to_list() == [lead.count("\n") + 1, lead.count("\n") + 2]

    @pytest.mark.parametrize("inner", ["# second half\n", "track name=y\n", "\n", "#chr1\t1\t2\tx\n"])
    def test_comments_between_rows_are_no_rows(self, bed, inner):
        first, second = GOOD.splitlines(keepends=True)
        frame = read_rows(bed(first + inner + second), columns=BED)
        assert rows(frame) == [("chr1", 10, 20, "a", 1), ("chr2", 5, 9, "b", 3)]

    def test_quotes_are_plain_letters_in_bed(self, bed):
        frame = read_rows(bed('chr1\t1\t2\t5"UTR\nchr1\t3\t4\tb\n'), columns=BED)
        assert frame["name"].to_list() == ['5"UTR', "b"]

    def test_optional_header_is_stepped_over(self, bed):
        frame = read_rows(bed("chrom\tstart\tend\tname\n" + GOOD), columns=BED, header="optional")
        assert frame["line"].to_list() == [2, 3]

    def test_missing_numbers_become_nan_in_float_columns_only(self, bed):
        columns = [Column("x", "float"), Column("y")]
        frame = read_rows(bed("1.5\tNA\n.\t.\nNaN\t\n"), columns=columns)
        assert frame["x"][0] == 1.5
        assert math.isnan(frame["x"][1])
        assert math.isnan(frame["x"][2])
        assert frame["y"].to_list() == ["NA", ".", ""]


class TestBadFiles:
    """Each says file, line and column of the first fault, in one paragraph."""

    @pytest.mark.parametrize(
        ("content", "where", "what"),
        [
            (GOOD + "chr3\t1\t2\n", "line 3", "wrong number of columns"),
            (GOOD + "chr3\t1\t2\tc\td\n", "line 3", "wrong number of columns"),
            (GOOD + "chr3 1 2 c\n", "line 3", "spaces"),
            ("# x\n" + GOOD + "chr3\t1.5\t2\tc\n", "line 4, column 2 (start)", "fractional"),
            (GOOD + "chr3\t-1\t2\tc\n", "line 3, column 2 (start)", "negative"),
            (GOOD + "chr3\t1\tx2\tc\n", "line 3, column 3 (end)", "not a number"),
            (GOOD + "chr3\t1\t\tc\n", "line 3, column 3 (end)", "missing"),
            (GOOD + "chr3\t1\t1e5\tc\n", "line 3, column 3 (end)", "not a whole number"),
            (GOOD + "chr3\t1\t99999999999999999999\tc\n", "line 3, column 3 (end)", "too large"),
            (GOOD + "chrom\tstart\tend\tname\n", "line 3, column 2 (start)", "not a number"),
            ("chrom\tstart\tend\tname\n" + GOOD, "line 1, column 1", "header line stands where none belongs"),
            ("\0\1\2\3" * 50, "line 1, column 1", "binary"),
            ("<!DOCTYPE html><html>Not found</html>\n", "line 1, column 1", "web page"),
            (b"chr1\t1\t2\t\xff\xfe\n", "line 1", "UTF-8"),
        ],
    )
    def test_place_and_reason(self, bed, content, where, what):
        path = bed(content)
        with pytest.raises(FormatError) as error:
            read_rows(path, columns=BED)
        message = str(error.value)
        assert f"{path}, {where}" in message
        assert what in message
        assert "\n" not in message

    def test_windows_line_ends_do_not_hide_a_bad_line(self, bed):
        with pytest.raises(FormatError, match=r"line 3, column 2 \(start\)"):
            read_rows(bed((GOOD + "chr3\t1.5\t2\tc\n").replace("\n", "\r\n")), columns=BED)

    @pytest.mark.parametrize("content", ["", "\n \n", gzip.compress(b"", mtime=0)], ids=["none", "blank", "gzip"])
    def test_empty(self, bed, content):
        with pytest.raises(FormatError, match="empty"):
            read_rows(bed(content), columns=BED)

    def test_comments_only(self, bed):
        with pytest.raises(FormatError, match="comment lines only"):
            read_rows(bed("# nothing\n"), columns=BED)

    def test_header_only(self, bed):
        with pytest.raises(FormatError, match="no row below the header"):
            read_rows(bed("chrom\tstart\tend\tname\n"), columns=BED, header="optional")

    def test_missing_file(self, tmp_path):
        with pytest.raises(MissingFileError, match="no such file"):
            read_rows(tmp_path / "no.bed", columns=BED)

    def test_folder_instead_of_a_file(self, tmp_path):
        with pytest.raises(MissingFileError, match="folder"):
            read_rows(tmp_path, columns=BED)

    def test_truncated_gzip(self, bed):
        whole = gzip.compress(b"".join(b"chr1\t%d\t%d\ta\n" % (i, i + 7) for i in range(5000)))
        with pytest.raises(FormatError, match="truncated"):
            read_rows(bed(whole[: len(whole) // 2]), columns=BED)

    def test_bgzip_cut_between_blocks(self, tmp_path):
        pysam = pytest.importorskip("pysam")
        plain = write(tmp_path / "a.bed", GOOD * 9000)
        pysam.tabix_compress(str(plain), str(tmp_path / "a.bed.gz"))
        whole = (tmp_path / "a.bed.gz").read_bytes()
        assert read_rows(tmp_path / "a.bed.gz", columns=BED).height == 18000
        # Without its end block gzip unpacks it without complaint: rows used to go missing in silence this way.
        with pytest.raises(FormatError, match="truncated"):
            read_rows(write(tmp_path / "cut.bed.gz", whole[:-28]), columns=BED)


class TestReadTable:
    COLUMNS = (Column("sequence"), Column("active", "float"))

    @pytest.mark.parametrize(("name", "separator"), [("t.csv", ","), ("t.tsv", "\t"), ("t.txt", "\t")])
    def test_named_columns_in_the_order_asked_for(self, tmp_path, name, separator):
        text = "active,note,sequence\n1,x,ACGT\n,y,GGG\n".replace(",", separator)
        frame = read_table(write(tmp_path / name, text), columns=self.COLUMNS)
        assert frame.columns == ["sequence", "active", "line"]
        assert frame["sequence"].to_list() == ["ACGT", "GGG"]
        assert math.isnan(frame["active"][1])
        assert frame["line"].to_list() == [2, 3]

    def test_quoted_fields(self, tmp_path):
        path = write(tmp_path / "t.csv", 'note,sequence,active\n"a, ""b""",ACGT,1\n"two\nlines",GG,0\nz,TT,1\n')
        frame = read_table(path, columns=[Column("note"), *self.COLUMNS])
        assert frame["note"].to_list() == ['a, "b"', "two\nlines", "z"]
        assert frame["line"].to_list() == [2, 3, 5]

    def test_parquet(self, tmp_path):
        pl.DataFrame({"sequence": ["AC", "GT"], "active": [1, None]}).write_parquet(tmp_path / "t.parquet")
        frame = read_table(tmp_path / "t.parquet", columns=self.COLUMNS)
        assert frame["active"][0] == 1
        assert math.isnan(frame["active"][1])
        assert table_header(tmp_path / "t.parquet") == ["sequence", "active"]

    def test_missing_column_offers_the_nearest(self, tmp_path):
        path = write(tmp_path / "t.csv", "sequences,active\nACGT,1\n")
        with pytest.raises(FormatError, match="Did you mean 'sequences'"):
            read_table(path, columns=self.COLUMNS)

    def test_column_twice(self, tmp_path):
        path = write(tmp_path / "t.csv", "sequence,active,active\nACGT,1,0\n")
        with pytest.raises(FormatError, match="'active' stands twice"):
            read_table(path, columns=self.COLUMNS)

    @pytest.mark.parametrize(
        ("text", "where"),
        [
            ("sequence,active\nAC,1\nGT,yes\n", r"line 3, column 2 \(active\)"),
            ("sequence,active\nAC,1\nGT\n", "line 3"),
        ],
    )
    def test_bad_field(self, tmp_path, text, where):
        with pytest.raises(FormatError, match=where):
            read_table(write(tmp_path / "t.csv", text), columns=self.COLUMNS)

    def test_bad_parquet_value_and_damaged_file(self, tmp_path):
        path = tmp_path / "t.parquet"
        pl.DataFrame({"sequence": ["AC", "GT"], "active": ["1", "yes"]}).write_parquet(path)
        with pytest.raises(FormatError, match=r"line 2, column 2 \(active\)"):
            read_table(path, columns=self.COLUMNS)
        with pytest.raises(FormatError, match="Parquet"):
            read_table(write(tmp_path / "u.parquet", "no parquet"), columns=self.COLUMNS)


def test_first_row_skips_comments(tmp_path):
    path = write(tmp_path / "x.bed", "# c\ntrack name=a\nchr1\t1\t2\n")
    assert first_row(path) == (["chr1", "1", "2"], 3)
