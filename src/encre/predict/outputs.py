"""Write a prediction table as TSV, CSV or Parquet, beside its place and renamed into it."""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

from encre.errors import ConfigError, FolderError
from encre.files import staged_file

_FORMS = (".tsv", ".csv", ".parquet")


def check_output(path: str | Path | None) -> None:
    """Refuse an output name that cannot be written, before any work is done.

    Raises
    ------
    ConfigError
        When the ending is none of .tsv, .csv, .parquet.
    FolderError
        When a folder stands there.
    """
    if path is None:
        return
    path = Path(path)
    if path.suffix.lower() not in _FORMS:
        raise ConfigError(
            f"the output '{path}' has no known form", expected=", ".join(_FORMS), got=f"'{path.suffix}'"
        )
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
    rounded = table.with_columns(pl.selectors.float().round_sig_figs(6))
    return rounded.write_csv(separator=separator)
