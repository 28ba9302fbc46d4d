"""BED3 to BED12 and narrowPeak, plain or gzip, read strictly (https://genome.ucsc.edu/FAQ/FAQformat.html#format1)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import polars as pl

from encre.errors import FormatError, IntervalError, UnknownChromosomeError, nearest
from encre.genome.assembly import Assembly
from encre.tables import Column, categories, first_row, place, read_rows

_POSITION = (Column("chrom", "category"), Column("start", "int", 0), Column("end", "int", 0))
_NAMED = (Column("name"), Column("score", "float"), Column("strand"))
_NARROW_PEAK = (
    Column("signal", "float"),
    Column("p_value", "float"),
    Column("q_value", "float"),
    Column("peak", "int", -1),
)
_MOST_COLUMNS = 12


def read_bed(
    path: str | Path,
    *,
    assembly: Assembly | None = None,
    lengths: Mapping[str, int] | None = None,
    header: Literal["no", "optional"] = "no",
    places: bool = False,
) -> pl.DataFrame:
    """Read a BED or narrowPeak file.

    Comment, ``track`` and ``browser`` lines are skipped; CRLF line ends are fine.

    Parameters
    ----------
    path
        Plain or gzip, 3 to 12 tab-separated columns; ten columns whose last is a number are narrowPeak.
    assembly
        Chromosome names are brought to this assembly's (``1`` and ``NC_000001.11`` become ``chr1``).
    lengths
        Chromosome lengths to check against, as ``Genome.lengths``.
    header
        Whether a first line with column names is refused or skipped.
    places
        Read no more than chromosome, start, end and name, whatever stands behind them and however many columns: the
        registry's own BED has a class where BED has a strand. A narrowPeak is read whole.

    Returns
    -------
    pl.DataFrame
        ``chrom``, ``start``, ``end`` (0-based half-open, Int64), ``name`` (empty when the file has none), ``score``
        (NaN for none), ``strand`` (``.`` for none), for narrowPeak ``signal, p_value, q_value, peak``, and ``line``.

    Raises
    ------
    MissingFileError, FormatError
        Naming file, line and column.
    IntervalError, UnknownChromosomeError
        For a row that :func:`check_bounds` refuses.
    """
    row = first_row(path)
    count = len(row.fields)
    narrow = count == 10 and row.fields[9].strip().lstrip("-").isdigit()
    most = count if places else _MOST_COLUMNS
    if not narrow and not len(_POSITION) <= count <= most:
        _refuse_count(path, row.line, row.fields)
    named = _NAMED[:1] if places and not narrow else _NAMED
    known = [*_POSITION, *named, *(_NARROW_PEAK if narrow else ())]
    columns = [*known, *(Column(f"_{i}", "skip") for i in range(count))][:count]
    frame = read_rows(path, columns=columns, header=header)
    missing = {"name": pl.lit(""), "score": pl.lit(float("nan")), "strand": pl.lit(".")}
    frame = frame.with_columns(value.alias(name) for name, value in missing.items() if name not in frame.columns)
    frame = canonical_names(frame, assembly).with_columns(pl.col("chrom").cast(pl.String))
    check_bounds(frame, lengths, where=path)
    order = [c.name for c in [*known[: max(count, 6)]] if c.name in frame.columns]
    return frame.select([*order, "line"])


def canonical_names(frame: pl.DataFrame, assembly: Assembly | None) -> pl.DataFrame:
    """Bring the ``chrom`` column to an assembly's names; what it does not know stays as it is."""
    if assembly is None or assembly.is_custom:
        return frame
    numbers, names = categories(frame["chrom"])
    renamed = [assembly.canonical(name) or name for name in names]
    if renamed == names:
        return frame
    return frame.with_columns(pl.Series("chrom", renamed, dtype=frame["chrom"].dtype).gather(numbers))


def check_bounds(
    frame: pl.DataFrame,
    lengths: Mapping[str, int] | None,
    *,
    where: object,
    columns: tuple[int, int, int] | None = (1, 2, 3),
) -> None:
    """Refuse an interval that is empty, reversed, negative, off its chromosome, or on an unknown one.

    Parameters
    ----------
    frame
        Columns ``chrom, start, end`` (0-based half-open) and, for the message, ``line``.
    lengths
        Chromosome name -> length in bases; None or empty checks the interval alone.
    where
        The file, for the message.
    columns
        In which of its columns (1-based) chromosome, start and end stand; None for columns that have names.

    Raises
    ------
    IntervalError
        Naming file, line and the interval.
    UnknownChromosomeError
        Naming file and line, with the nearest known name.
    """
    start, end = frame["start"].to_numpy(), frame["end"].to_numpy()
    place_of = _Place(where, columns)
    _refuse(frame, start < 0, "the start is negative", place_of=place_of)
    _refuse(frame, end <= start, "the end is not beyond the start", place_of=place_of)
    if not lengths:
        return
    numbers, names = categories(frame["chrom"])
    limit = np.array([lengths.get(name, -1) for name in names], dtype=np.int64)[numbers]
    if (limit < 0).any():
        row = int(np.argmax(limit < 0))
        raise UnknownChromosomeError(
            f"the chromosome '{names[numbers[row]]}' is not in the genome",
            where=place_of(frame, row, column=0),
            remedy=nearest(names[numbers[row]], list(lengths)[:30]),
        )
    _refuse(frame, end > limit, "the interval reaches beyond its chromosome", place_of=place_of, limit=limit)


class _Place(NamedTuple):
    """Says where in a file a row stands."""

    where: object
    columns: tuple[int, int, int] | None

    def __call__(self, frame: pl.DataFrame, row: int, *, column: int) -> str:
        """The place of a row's chromosome (0), start (1) or end (2)."""
        if "line" not in frame.columns:
            return f"{self.where}, row {row + 1:,}"
        return place(self.where, int(frame["line"][row]), column=self.columns[column] if self.columns else None)


def _refuse(
    frame: pl.DataFrame, bad: np.ndarray, what: str, *, place_of: _Place, limit: np.ndarray | None = None
) -> None:
    if not bad.any():
        return
    row = int(np.argmax(bad))
    chrom, start, end = (frame[name][row] for name in ("chrom", "start", "end"))
    raise IntervalError(
        what,
        where=place_of(frame, row, column=1 if start < 0 else 2),
        expected=f"an end of at most {limit[row]:,}" if limit is not None else "",
        got=f"{chrom} {start} {end}",
        remedy="Is the file of another assembly?" if limit is not None else "Correct or remove the line.",
    )


def _refuse_count(path: str | Path, line: int, fields: list[str]) -> None:
    spaced = len(fields) == 1 and len(fields[0].split()) >= len(_POSITION)
    raise FormatError(
        "this is not a BED file",
        where=place(path, line),
        expected=f"{len(_POSITION)} to {_MOST_COLUMNS} columns separated by tabs",
        got=f"{len(fields)}: '{' | '.join(fields)[:60]}'",
        remedy="Its fields stand between spaces: put tabs between them." if spaced else "",
    )
