"""Tables to score: CSV, TSV or Parquet with a column ``sequence``, or with ``chrom``, ``start`` and ``end``."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from encre.errors import FormatError, SequenceError, nearest
from encre.files import read_bytes
from encre.predict.forms import CHROM, END, START, not_readable
from encre.tables import place

_NAMES = ("name", "id", "accession", "element")


@dataclass(frozen=True)
class Table:
    """A table as it was read.

    Parameters
    ----------
    path
        Where it lies.
    frame
        Its rows; every column of a text table is text.
    is_text
        Whether it has lines, and a header in the first, that messages can name.
    """

    path: Path
    frame: pl.DataFrame
    is_text: bool

    def column(self, names: Sequence[str]) -> pl.Series | None:
        """The first column that has one of these names, whatever the case; None when there is none."""
        by_lower = {column.strip().lower(): column for column in self.frame.columns}
        found = next((self.frame[by_lower[name]] for name in names if name in by_lower), None)
        if found is not None and found.dtype.is_nested():
            raise FormatError(f"the column '{found.name}' holds lists, not single values", where=self.path)
        return found

    def _named(self, names: Sequence[str]) -> pl.Series:
        if (found := self.column(names)) is None:
            raise FormatError(f"the table has no column '{names[0]}'", where=self.path)
        return found

    @property
    def has_sequences(self) -> bool:
        """Whether its rows are sequences; otherwise they are intervals.

        Raises
        ------
        FormatError
            When they are neither.
        """
        if self.column(("sequence",)) is not None:
            return True
        if all(self.column(names) is not None for names in (CHROM, START, END)):
            return False
        columns = self.frame.columns
        raise FormatError(
            "the table has no column 'sequence', nor columns 'chrom', 'start' and 'end'",
            where=self.path,
            got=f"columns {', '.join(columns[:20])}",
            remedy=nearest("sequence", columns) if len(columns) < 20 else "",
        )

    def names(self) -> pl.Series:
        """What the rows are called, (N,) text; empty where the table does not say."""
        found = self.column(_NAMES)
        empty = pl.repeat("", self.frame.height, dtype=pl.String, eager=True)
        return empty if found is None else found.cast(pl.String).fill_null("").str.strip_chars()

    def sequences(self) -> list[str]:
        """The column ``sequence``, (N,).

        Raises
        ------
        SequenceError
            When one is empty; the message names its row.
        """
        texts = self._named(("sequence",)).cast(pl.String).str.strip_chars()
        empty = (texts.is_null() | (texts.str.len_bytes() == 0)).arg_true()
        if len(empty):
            raise SequenceError("the sequence is empty", where=self._row(int(empty[0])))
        return texts.to_list()

    def intervals(self) -> pl.DataFrame:
        """``chrom``, ``start``, ``end`` (0-based half-open, as they stand), ``name`` and, of a text, ``line``.

        Raises
        ------
        FormatError
            When a position is no whole number; the message names its row.
        """
        chrom, start, end = (self._named(names) for names in (CHROM, START, END))
        numbers = [self._whole(series) for series in (start, end)]
        lines = {"line": pl.arange(2, self.frame.height + 2, eager=True)} if self.is_text else {}
        text = chrom.cast(pl.String).fill_null("").str.strip_chars()
        return pl.DataFrame({"chrom": text, "start": numbers[0], "end": numbers[1], "name": self.names(), **lines})

    def _whole(self, values: pl.Series) -> pl.Series:
        stripped = values.str.strip_chars() if values.dtype == pl.String else values
        found = stripped.cast(pl.Int64, strict=False)
        bad = found.is_null()
        if values.dtype.is_float():
            bad = bad | (found.cast(values.dtype) != values)
        if bad.any():
            row = int(bad.arg_true()[0])
            raise FormatError(f"'{values.name}' is not a whole number", where=self._row(row), got=f"'{values[row]}'")
        return found

    def _row(self, row: int) -> str:
        return place(self.path, row + 2) if self.is_text else f"{self.path}, row {row + 1:,}"


def read_any_table(path: Path, *, parquet: bool) -> Table:
    """Read a table whole.

    Raises
    ------
    FormatError
        When it is damaged, ragged (the line is named) or has no rows.
    """
    frame = _read_parquet(path) if parquet else _read_text(path)
    if not parquet:  # blank lines at the end are no rows
        filled = frame.select(~pl.all_horizontal(pl.all().is_null())).to_series().arg_true()
        frame = frame.head(filled[-1] + 1 if len(filled) else 0)
    if frame.height == 0:
        raise FormatError("the table has a header and no rows", where=path)
    return Table(path, frame, not parquet)


def _read_parquet(path: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise FormatError(f"the Parquet file cannot be read ({error})", where=path) from error


def _read_text(path: Path) -> pl.DataFrame:
    """A delimited text table, every column as text; a wrong column count names its line."""
    content = read_bytes(path)
    try:
        head = content[: content.find(b"\n") + 1 or None].decode("utf-8")
    except UnicodeDecodeError:
        raise not_readable(path) from None
    separator = "\t" if "\t" in head else ","
    try:
        return pl.read_csv(content, separator=separator, infer_schema=False)
    except pl.exceptions.PolarsError as error:
        raise _first_ragged_line(path, content, separator) or FormatError(
            f"not a table ({str(error).splitlines()[0]})", where=path
        ) from error


def _first_ragged_line(path: Path, content: bytes, separator: str) -> FormatError | None:
    rows = csv.reader(io.StringIO(content.decode("utf-8", "replace"), newline=""), delimiter=separator)
    expected = len(next(rows, []))
    for row in rows:
        if row and len(row) != expected:
            return FormatError(
                "wrong number of columns",
                where=place(path, rows.line_num),
                expected=f"{expected} as in the header",
                got=f"{len(row)}",
            )
    return None
