"""Strict delimited text into polars: quick when all is well, exact about the place when it is not.

A file is read whole and parsed by Arrow's threaded CSV reader. Only when that refuses, or a value is out of range, a
second and slower pass goes line by line to name the first bad one: file, 1-based line, column.
Every frame carries ``line``, the 1-based line of each row, so that later checks can name it too.
"""

from __future__ import annotations

import csv
import io
import mmap
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, NoReturn

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv as pacsv

from encre.errors import FormatError, MissingFileError, nearest
from encre.files import explain_damage, open_existing, open_plain, read_bytes

Header = Literal["no", "yes", "optional"]
Kind = Literal["text", "category", "int", "float", "skip"]

_INTEGER = re.compile(r"\s*-?\d+\s*\Z")
_TRACK_LINES = ("#", "track ", "track\t", "browser ", "browser\t")
_MISSING = ("", "NA", "NaN", "nan", ".")
_ARROW_TYPES = {
    "text": pa.large_string(),
    "category": pa.dictionary(pa.int32(), pa.string()),
    "int": pa.int64(),
    "float": pa.float64(),
}
# The empty block that ends every whole bgzip file (SAM specification, section 4.1.2).
BGZIP_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


@dataclass(frozen=True)
class Column:
    """One column of a file.

    Parameters
    ----------
    name
        Its name in the frame, and in messages.
    kind
        ``"text"``; ``"category"`` (text with few different values); ``"int"`` (64 bits, never missing);
        ``"float"`` (an empty field, ``NA``, ``NaN`` or ``.`` becomes NaN); ``"skip"`` (counted, not read).
    minimum
        The smallest value allowed in a number column.
    """

    name: str
    kind: Kind = "text"
    minimum: int | None = None


class Row(NamedTuple):
    """The fields of one line and its 1-based number."""

    fields: list[str]
    line: int


def place(path: object, line: int | None = None, *, column: int | None = None, name: str = "") -> str:
    """Say where: ``peaks.bed, line 3, column 2 (start)``; line and column are 1-based."""
    text = str(path)
    if line is not None:
        text += f", line {line:,}"
    if column is not None:
        text += f", column {column}"
    return f"{text} ({name})" if name else text


def categories(values: pl.Series) -> tuple[np.ndarray, list[str]]:
    """The different texts of a column, and which of them each row has.

    Parameters
    ----------
    values
        Text or categorical, without nulls (N,).

    Returns
    -------
    tuple
        Numbers (N,) int64 into the list of texts; every text in the list occurs.
    """
    values = values if values.dtype == pl.Categorical else values.cast(pl.String).cast(pl.Categorical)
    physical = values.to_physical().to_numpy()
    found = np.flatnonzero(np.bincount(physical, minlength=1))
    rank = np.zeros(int(found[-1]) + 1 if len(found) else 1, dtype=np.int64)
    example = np.zeros_like(rank)
    rank[found] = np.arange(len(found))
    example[physical] = np.arange(len(physical))  # any row that has it
    return rank[physical], values.gather(example[found]).cast(pl.String).to_list()


def first_row(path: str | Path, *, separator: str = "\t", comments: bool = True) -> Row:
    """The first line that is neither blank nor (with ``comments``) a comment, ``track`` or ``browser`` line.

    Raises
    ------
    FormatError
        When the file is empty, binary, a web page, a damaged gzip, or has no such line.
    """
    with explain_damage(path), open_plain(path) as handle:
        head = handle.read(1 << 16)
    if not head.strip():
        raise FormatError("the file is empty", where=path, remedy="Check that it was written or downloaded whole.")
    _refuse_foreign(head, path)
    text = head.removeprefix(b"\xef\xbb\xbf").decode("utf-8", errors="replace")
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not (comments and line.startswith(_TRACK_LINES)):
            return Row(line.split(separator), number)
    raise FormatError("the file has comment lines only, no row", where=path)


def read_rows(
    path: str | Path,
    *,
    columns: Sequence[Column],
    header: Header = "no",
    separator: str = "\t",
) -> pl.DataFrame:
    """Read a file whose columns are known by position (BED and its kin).

    Comment lines (``#``), ``track`` and ``browser`` lines and blank lines are skipped; CRLF line ends are fine.

    Parameters
    ----------
    path
        Plain or gzip text.
    columns
        Every column of the file, in order; those of kind ``"skip"`` are counted and left out.
    header
        Whether a first line with names is refused, required or recognised (by a word in a number column).
    separator
        The delimiter, one character.

    Returns
    -------
    pl.DataFrame
        One row a line in file order, the named columns and ``line`` (UInt32, 1-based).

    Raises
    ------
    FormatError
        Naming file, line and column of the first field that is wrong.
    MissingFileError
        When there is no such file.
    """
    columns = list(columns)
    content = _content(path)
    body = _skip_leading(content, path, comments=True)
    row = _split_first(body, separator)
    if _looks_like_header(row, columns):
        if header == "no":
            _refuse_header(path, body.line, row)
        body = body.after_first_line()
    elif header == "yes":
        raise FormatError("the header line is missing", where=place(path, body.line), got=_shown(row))
    return _Reader(path, columns, separator=separator).read(body, comments=True)


def read_table(
    path: str | Path,
    *,
    columns: Sequence[Column],
    optional: Iterable[str] = (),
) -> pl.DataFrame:
    """Read named columns of a CSV, TSV or Parquet file with a header; other columns are left out.

    Parameters
    ----------
    path
        ``.parquet``; ``.csv`` (comma, quotes allowed) or anything else (tab), each plain or gzip.
    columns
        What to read, by name, in the order of the result.
    optional
        Names that may be absent from the file.

    Returns
    -------
    pl.DataFrame
        The columns that were found and ``line`` (1-based line; for Parquet the 1-based row).

    Raises
    ------
    FormatError
        A column is missing (the nearest name is offered), or naming line and column of the first bad field.
    """
    path = Path(path)
    if path.suffix == ".parquet":
        return _read_parquet(path, columns, optional)
    separator = "," if ".csv" in path.suffixes[-2:] else "\t"
    content = _content(path)
    body = _skip_leading(content, path, comments=False)
    names = [name.strip() for name in _split_first(body, separator, quoted=True)]
    names[0] = names[0].removeprefix("#")
    wanted = {column.name: column for column in columns}
    _refuse_missing(names, wanted, optional, where=place(path, body.line))
    if twice := sorted({n for n in names if n in wanted and names.count(n) > 1}):
        raise FormatError(f"the column '{twice[0]}' stands twice in the header", where=place(path, body.line))
    layout = [wanted.get(name, Column(f"\0{i}", "skip")) for i, name in enumerate(names)]
    reader = _Reader(path, layout, separator=separator, quoted=True)
    frame = reader.read(body.after_first_line(), comments=False)
    return frame.select([*(name for name in wanted if name in frame.columns), "line"])


def table_header(path: str | Path) -> list[str]:
    """The column names of a CSV, TSV or Parquet file (see :func:`read_table`)."""
    path = Path(path)
    if path.suffix == ".parquet":
        return list(_parquet_schema(path))
    row = first_row(path, separator="," if ".csv" in path.suffixes[-2:] else "\t", comments=False)
    return [name.strip().strip('"') for name in [row.fields[0].removeprefix("#"), *row.fields[1:]]]


def refuse_cut_bgzip(path: str | Path) -> None:
    """Refuse a bgzip file without its end block: cut between two blocks it would unpack without complaint."""
    with open_existing(path) as handle:
        head = handle.read(18)
        if head[:4] != b"\x1f\x8b\x08\x04" or head[12:14] != b"BC":
            return
        handle.seek(0, io.SEEK_END)
        handle.seek(max(0, handle.tell() - len(BGZIP_END)))
        if handle.read() != BGZIP_END:
            raise FormatError(
                "the bgzip file is truncated (its end block is missing)", where=path, remedy="Download it again."
            )


class _Body(NamedTuple):
    """The bytes from the first line that counts, and that line's 1-based number."""

    content: bytes | mmap.mmap
    begin: int
    line: int

    def after_first_line(self) -> _Body:
        end = self.content.find(b"\n", self.begin)
        return _Body(self.content, len(self.content) if end < 0 else end + 1, self.line + 1)

    def count(self, letter: str) -> int:
        """How often a letter stands there; much faster than a search in a memory map."""
        view = np.frombuffer(self.content, dtype=np.uint8)[self.begin :]
        parts = np.split(view, range(1 << 20, len(view), 1 << 20))
        return sum(int(np.count_nonzero(part == ord(letter))) for part in parts)

    def line_ends(self) -> int:
        """How many lines, a last one without a line end included."""
        return self.count("\n") + (len(self.content) > self.begin and self.content[-1:] != b"\n")


class _Reader:
    """Parses one body by one column layout."""

    def __init__(self, path: str | Path, columns: list[Column], *, separator: str, quoted: bool = False) -> None:
        self.path, self.columns, self.separator, self.quoted = path, columns, separator, quoted

    def read(self, body: _Body, *, comments: bool) -> pl.DataFrame:
        content = memoryview(body.content)[body.begin :]
        if not re.compile(rb"\S").search(body.content, body.begin):
            raise FormatError("there is no row below the header", where=place(self.path, body.line - 1))
        lines: np.ndarray | None = None
        if comments and body.count("#") and body.content.find(b"\n#", body.begin) >= 0:
            content, lines = self._without_comments(body)
        table = self._parse(content)
        if isinstance(table, pa.ArrowInvalid) and comments and lines is None:
            content, lines = self._without_comments(body)
            table = self._parse(content)
        if isinstance(table, pa.ArrowInvalid):
            self._explain(body, comments, table)
        frame = self._to_polars(table)
        if frame is None:
            self._explain(body, comments, None)
        rows = frame.height
        if lines is None or len(lines) != rows:
            lines = self._line_numbers(body, rows, comments)
        return frame.with_columns(pl.Series("line", lines, dtype=pl.UInt32))

    def _parse(self, content: bytes | memoryview) -> pa.Table | pa.ArrowInvalid:
        kept = [c for c in self.columns if c.kind != "skip"]
        quoting = {"quote_char": '"' if self.quoted else False, "newlines_in_values": self.quoted}
        try:
            return pacsv.read_csv(
                pa.BufferReader(pa.py_buffer(content)),
                read_options=pacsv.ReadOptions(column_names=[c.name for c in self.columns], block_size=4 << 20),
                parse_options=pacsv.ParseOptions(delimiter=self.separator, **quoting),
                convert_options=pacsv.ConvertOptions(
                    column_types={c.name: _ARROW_TYPES[c.kind] for c in kept},
                    include_columns=[c.name for c in kept],
                    null_values=list(_MISSING),
                    strings_can_be_null=False,
                ),
            )
        except pa.ArrowInvalid as error:
            return error

    def _to_polars(self, table: pa.Table) -> pl.DataFrame | None:
        """The frame, or None when a number is missing or below its minimum."""
        frame = pl.DataFrame(pl.from_arrow(table, rechunk=True))
        for column in self.columns:
            if column.kind not in ("int", "float"):
                continue
            values = frame[column.name]
            if column.kind == "int" and values.null_count():
                return None
            least = values.min()
            if column.minimum is not None and isinstance(least, int | float) and least < column.minimum:
                return None
        floats = [c.name for c in self.columns if c.kind == "float"]
        return frame.with_columns(pl.col(floats).fill_null(float("nan"))) if floats else frame

    def _without_comments(self, body: _Body) -> tuple[bytes, np.ndarray]:
        prefixes = tuple(word.encode() for word in _TRACK_LINES)
        lines = body.content[body.begin :].split(b"\n")
        kept = [i for i, line in enumerate(lines) if line.strip() and not line.startswith(prefixes)]
        return b"\n".join(lines[i] for i in kept) + b"\n", np.array(kept, dtype=np.int64) + body.line

    def _line_numbers(self, body: _Body, rows: int, comments: bool) -> np.ndarray:
        if body.line_ends() == rows:
            return np.arange(body.line, body.line + rows, dtype=np.int64)
        numbers = [row.line for row in self._rows(body, comments)]
        return np.array(numbers if len(numbers) == rows else range(body.line, body.line + rows), dtype=np.int64)

    def _rows(self, body: _Body, comments: bool) -> Iterator[Row]:
        text = body.content[body.begin :].decode("utf-8", errors="replace")
        quoting = csv.QUOTE_MINIMAL if self.quoted else csv.QUOTE_NONE
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=self.separator, quoting=quoting)
        before = 0
        for fields in reader:
            line, before = body.line + before, reader.line_num
            blank = not fields or (len(fields) == 1 and not fields[0].strip())
            if not blank and not (comments and self.separator.join(fields).startswith(_TRACK_LINES)):
                yield Row(fields, line)

    def _explain(self, body: _Body, comments: bool, error: Exception | None) -> NoReturn:
        for row in self._rows(body, comments):
            if len(row.fields) != len(self.columns):
                self._wrong_count(row)
            for number, (column, text) in enumerate(zip(self.columns, row.fields, strict=True), start=1):
                if problem := _problem(column, text):
                    raise FormatError(
                        problem,
                        where=place(self.path, row.line, column=number, name=column.name),
                        got=f"'{text[:60]}'",
                        remedy="Correct or remove the line.",
                    )
            if "�" in "".join(row.fields):
                raise FormatError("the line is not UTF-8 text", where=place(self.path, row.line))
        raise FormatError(f"the file cannot be parsed: {error}", where=self.path)

    def _wrong_count(self, row: Row) -> NoReturn:
        count = len(row.fields)
        by_space = count == 1 and len(row.fields[0].split()) > 1
        named = {"\t": "tabs", ",": "commas"}.get(self.separator, repr(self.separator))
        raise FormatError(
            "the line has a wrong number of columns",
            where=place(self.path, row.line),
            expected=f"{len(self.columns)} separated by {named}",
            got=f"{count}: {_shown(row.fields)}",
            remedy=f"Its fields stand between spaces: put {named} between them."
            if by_space
            else "Every line must have as many columns as the first.",
        )


def _problem(column: Column, text: str) -> str:
    """What is wrong with one field, or an empty string."""
    if column.kind not in ("int", "float") or (column.kind == "float" and text.strip() in _MISSING):
        return ""
    try:
        value = float(text)
    except ValueError:
        return "this is not a number" if text.strip() else "a number is missing"
    if column.kind == "int" and (not _INTEGER.match(text) or abs(value) > 2**62):
        if abs(value) >= 2**62:
            return "this number is too large"
        return "this number is fractional" if value != int(value) else "this is not a whole number"
    if column.minimum is not None and value < column.minimum:
        return "this number is negative" if column.minimum == 0 else f"this number is below {column.minimum}"
    return ""


def _content(path: str | Path) -> bytes | mmap.mmap:
    """The text of a file: a plain one is mapped (no copy of hundreds of megabytes), a gzip is unpacked."""
    refuse_cut_bgzip(path)
    with open_existing(path) as handle:
        packed = handle.read(2) == b"\x1f\x8b"
        handle.seek(0)
        plain = not packed and handle.read(1 << 16).strip()
        content = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) if plain else read_bytes(path)
    _refuse_foreign(content[: 1 << 16], path)
    return content


def _refuse_foreign(head: bytes, path: str | Path) -> None:
    if b"\0" in head or sum(byte < 9 or 13 < byte < 32 for byte in head[:4096]) > 8:
        raise FormatError(
            "this is a binary file, not a text table",
            where=place(path, 1, column=1),
            got=f"the bytes {head[:8].hex(' ')}",
        )
    if re.match(rb"\s*<(!doctype|html|\?xml)", head[:200], re.IGNORECASE):
        raise FormatError(
            "this is a web page, not a table",
            where=place(path, 1, column=1),
            remedy="The download was answered by a page; fetch the file itself.",
        )


def _skip_leading(content: bytes | mmap.mmap, path: str | Path, *, comments: bool) -> _Body:
    """Step over the byte-order mark, blank lines and leading comments."""
    begin, line = (3 if content[:3] == b"\xef\xbb\xbf" else 0), 1
    prefixes = tuple(word.encode() for word in _TRACK_LINES)
    while begin < len(content):
        end = content.find(b"\n", begin)
        end = len(content) if end < 0 else end
        if content[begin:end].strip() and not (comments and content[begin:end].startswith(prefixes)):
            return _Body(content, begin, line)
        begin, line = end + 1, line + 1
    raise FormatError("the file has comment lines only, no row", where=path)


def _split_first(body: _Body, separator: str, *, quoted: bool = False) -> list[str]:
    end = body.content.find(b"\n", body.begin)
    line = body.content[body.begin : end if end >= 0 else None].decode("utf-8", errors="replace").rstrip("\r")
    return next(csv.reader([line], delimiter=separator)) if quoted else line.split(separator)


def _looks_like_header(row: list[str], columns: list[Column]) -> bool:
    """A first line of the right width with a word in every column where a whole number belongs."""
    numbers = [i for i, column in enumerate(columns) if column.kind == "int"]
    return len(row) == len(columns) and bool(numbers) and all(re.match(r"\s*[^\W\d]", row[i]) for i in numbers)


def _refuse_header(path: str | Path, line: int, row: list[str]) -> NoReturn:
    raise FormatError(
        "a header line stands where none belongs",
        where=place(path, line, column=1),
        expected="a row",
        got=_shown(row),
        remedy="Remove the line, or begin it with '#'.",
    )


def _shown(fields: Sequence[str]) -> str:
    text = " | ".join(fields)
    return f"'{text[:77]}…'" if len(text) > 78 else f"'{text}'"


def _refuse_missing(names: Sequence[str], wanted: Iterable[str], optional: Iterable[str], *, where: object) -> None:
    for name in wanted:
        if name not in names and name not in set(optional):
            raise FormatError(f"there is no column '{name}'", where=where, remedy=nearest(name, names))


def _parquet_schema(path: Path) -> dict[str, pl.DataType]:
    if not path.exists():
        raise MissingFileError("there is no such file", where=path, remedy="Check the path.")
    try:
        return dict(pl.read_parquet_schema(path))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise FormatError("this is not a Parquet file, or it is damaged", where=path, got=str(error)) from error


def _read_parquet(path: Path, columns: Sequence[Column], optional: Iterable[str]) -> pl.DataFrame:
    names = list(_parquet_schema(path))
    _refuse_missing(names, [c.name for c in columns], optional, where=path)
    found = [column for column in columns if column.name in names]
    try:
        frame = pl.read_parquet(path, columns=[c.name for c in found])
    except (pl.exceptions.PolarsError, OSError) as error:
        raise FormatError("the Parquet file is damaged", where=path, got=str(error)) from error
    if not frame.height:
        raise FormatError("the table has no row", where=path)
    types = {"text": pl.String, "category": pl.Categorical, "int": pl.Int64, "float": pl.Float64}
    for number, column in enumerate(found, start=1):
        series = frame[column.name]
        if series.dtype.is_nested():
            raise FormatError("the column holds lists, not single values", where=place(path, name=column.name))
        text = series.cast(pl.String) if column.kind == "int" and series.dtype.is_float() else series
        cast = text.cast(types[column.kind], strict=False)
        bad = cast.is_null() & (series.is_not_null() if column.kind == "float" else pl.Series([True]))
        if column.minimum is not None:
            bad = bad | (cast < column.minimum).fill_null(value=False)
        if column.kind != "text" and bad.any():
            row = bad.arg_max() or 0
            what = _problem(column, str(series[row])) or "this is not a number"
            where = place(path, row + 1, column=number, name=column.name)
            raise FormatError(what, where=where, got=f"'{series[row]}'")
        frame = frame.with_columns(cast.fill_null(float("nan")) if column.kind == "float" else cast)
    lines = pl.Series("line", np.arange(1, frame.height + 1), dtype=pl.UInt32)
    return frame.select([column.name for column in found]).with_columns(lines)
