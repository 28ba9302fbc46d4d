"""Write a prediction table as TSV, CSV or Parquet, beside its place and renamed into it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from encre.errors import ConfigError, FolderError
from encre.files import staged_file

TABLES = (".tsv", ".csv", ".parquet")


def check_output(path: str | Path | None, *, forms: Sequence[str] = TABLES) -> None:
    """Refuse an output name that cannot be written, before any work is done.

    Parameters
    ----------
    path
        Where the output should go; None for stdout.
    forms
        Endings that can be written, whatever their case.

    Raises
    ------
    ConfigError
        When the ending is none of them.
    FolderError
        When a folder stands there.
    """
    if path is None:
        return
    path = Path(path)
    if path.suffix.lower() not in (form.lower() for form in forms):
        raise ConfigError(f"the output '{path}' has no known form", expected=", ".join(forms), got=f"'{path.suffix}'")
    if path.is_dir():
        raise FolderError("a folder stands where the output file should go", where=path, remedy="Name a file.")


def write_table(table: pl.DataFrame, path: str | Path) -> None:
    """Write the table in the form that the ending names."""
    check_output(path)
    path = Path(path)
    with staged_file(path) as staged:
        if path.suffix.lower() == ".parquet":
            table.write_parquet(staged)
        else:
            staged.write_text(as_text(table, separator="," if path.suffix.lower() == ".csv" else "\t"))


def write_text(table: pl.DataFrame) -> None:
    """Write the table as TSV to stdout."""
    sys.stdout.write(as_text(table))


def as_text(table: pl.DataFrame, *, separator: str = "\t") -> str:
    """The table as delimited text with a header; numbers with six significant digits, nothing for null."""
    return rounded(table).write_csv(separator=separator)


def rounded(table: pl.DataFrame) -> pl.DataFrame:
    """Its numbers with the six significant digits that a text shows."""
    return table.with_columns(pl.selectors.float().round_sig_figs(6))


def with_model(table: pl.DataFrame, name: str) -> pl.DataFrame:
    """The table with a last column ``model``: a row says who scored it, also when files are joined."""
    return table.with_columns(pl.lit(name).alias("model"))
