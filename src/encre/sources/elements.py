"""What every source hands on: a table with one row an element, its tasks, and how it came about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from encre.errors import ConfigError, FormatError
from encre.genome.assembly import Assembly, get_assembly
from encre.ledger import Ledger
from encre.progress import SILENT, Progress
from encre.reproducibility import sha256_file
from encre.sources.lock import licence_of
from encre.tables import place
from encre.tasks import Task, TaskSet

#: Columns that every source gives, with their types; the targets stand behind them.
COLUMNS = {
    "chrom": pl.String,
    "start": pl.Int64,
    "end": pl.Int64,
    "accession": pl.String,
    "ccre_class": pl.String,
    "kind": pl.String,
    "split": pl.String,
}
_PLACE = ("chrom", "start", "end")
SPLITS = ("train", "valid", "test")
_SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "valid": "valid",
    "validation": "valid",
    "val": "valid",
    "dev": "valid",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True)
class Elements:
    """Elements of a source, N rows.

    Parameters
    ----------
    table
        ``chrom``, ``start``, ``end`` (0-based half-open; null where a sequence has no place), ``accession``,
        ``ccre_class``, ``kind`` (``"element"``), ``split`` (``train``, ``valid``, ``test`` or null), then one Float32
        column a task (NaN = not measured), then whatever else the source tells.
    tasks
        The K tasks; ``task.target`` names the column.
    ledger
        Rows in and out of every step so far.
    files
        What was read: ``name``, ``sha256``, ``size`` (bytes), ``licence``, ``form``.
    codes, offsets
        The source's own sequences, flat codes uint8 and (N + 1,) int64; None when they come from a genome.
    left_out
        ``chrom``, ``start``, ``end`` of elements that the source has and that are no rows; None for none.
    """

    table: pl.DataFrame
    tasks: TaskSet
    ledger: Ledger
    files: list[dict[str, Any]] = field(default_factory=list)
    codes: np.ndarray | None = None
    offsets: np.ndarray | None = None
    left_out: pl.DataFrame | None = None

    def __len__(self) -> int:
        return self.table.height

    @property
    def places(self) -> pl.DataFrame:
        """``chrom``, ``start``, ``end`` of every element of the source: the rows, then those that were left out."""
        parts = [self.table] if self.left_out is None else [self.table, self.left_out]
        return pl.concat(part.select(pl.col(name).cast(COLUMNS[name]) for name in _PLACE) for part in parts)


def arrange(table: pl.DataFrame, tasks: TaskSet) -> pl.DataFrame:
    """Bring a table to the form of :class:`Elements`: missing columns as null, targets as Float32, in order."""
    missing = [pl.lit(None, dtype=kind).alias(name) for name, kind in COLUMNS.items() if name not in table.columns]
    table = table.with_columns(missing).with_columns(
        *(pl.col(name).cast(kind) for name, kind in COLUMNS.items() if name != "kind"),
        pl.col("kind").cast(pl.String).fill_null("element"),
        *(pl.col(task.target).cast(pl.Float32).fill_null(float("nan")) for task in tasks),
    )
    first = [*COLUMNS, *(task.target for task in tasks)]
    return table.select([*first, *(name for name in table.columns if name not in first)])


def describe(path: str | Path, *, form: str, licence: str = "", sha256: str = "") -> dict[str, Any]:
    """The entry of one source file for the manifest.

    Parameters
    ----------
    path
        The file.
    form
        What it is.
    licence
        What its kind is known to have, where no lock says what this very file has.
    sha256
        Of its bytes, when that is known already.
    """
    path = Path(path)
    return {
        "name": path.name,
        "sha256": sha256 or sha256_file(path),
        "size": path.stat().st_size,
        "licence": licence_of(path) or licence or "not stated by the file",
        "form": form,
    }


def with_lengths(name: str, genome: str, *, progress: Progress = SILENT) -> Assembly:
    """The named assembly; a custom one (``"custom:NAME"``) with the lengths of its genome file, if that is there.

    Parameters
    ----------
    name
        As a config names it.
    genome
        FASTA or 2bit of it; it is opened (and, the first time, imported) only for a custom assembly.
    progress
        Where the import reports.
    """
    assembly = get_assembly(name)
    if assembly.is_custom and genome and Path(genome).is_file():
        from encre.genome.store import Genome

        return Assembly(assembly.name, Genome(genome, assembly=assembly, progress=progress).lengths)
    return assembly


def group_tasks(
    groups: Mapping[str, Sequence[str]], regression: Mapping[str, Sequence[str]] | None = None, *, where: str
) -> TaskSet:
    """Tasks of a user's own data: group -> target columns, named as the columns; one column alone is binary.

    Parameters
    ----------
    groups
        Groups whose targets are 0 or 1.
    regression
        Groups whose targets are numbers.
    where
        The file, for messages.

    Raises
    ------
    ConfigError
        When there is none, a name stands twice, a group is of both kinds, or a target has the name of a column that
        elements have anyway.
    """
    regression = regression or {}
    if both := sorted(groups.keys() & regression.keys()):
        raise ConfigError(f"the group '{both[0]}' stands in tasks and in regression", where=where)
    tasks = TaskSet(
        Task(name, group, "regression" if group in regression else "binary" if len(names) == 1 else "multilabel")
        for group, names in {**groups, **regression}.items()
        for name in names
    )
    if taken := [task.name for task in tasks if task.name in (*COLUMNS, "group", "line", "name", "length", "index")]:
        raise ConfigError(f"a target cannot be called '{taken[0]}': every element has that column", where=where)
    return tasks


def read_splits(values: pl.Series, *, where: object, lines: pl.Series | None = None) -> pl.Series:
    """Bring split names to ``train``, ``valid``, ``test``; anything else is a :class:`FormatError`."""
    text = values.cast(pl.String).str.strip_chars().str.to_lowercase()
    found = text.replace_strict(_SPLIT_NAMES, default=None, return_dtype=pl.String)
    bad = found.is_null()
    if bad.any():
        row = bad.arg_max() or 0
        raise FormatError(
            "this is no split",
            where=place(where, int(lines[row]) if lines is not None else None, name=values.name),
            expected="train, valid or test",
            got=f"'{values[row]}'",
        )
    return found.alias("split")


def check_targets(table: pl.DataFrame, tasks: Iterable[Task], *, where: object) -> None:
    """Refuse a target that is neither 0, 1 (a regression's: a finite number) nor missing, naming line and column."""
    for task in tasks:
        values = table[task.name].cast(pl.Float64)
        measured = task.kind == "regression"
        fits = values.is_finite() if measured else values.is_in([0.0, 1.0])
        bad = ~(values.is_null() | values.is_nan() | fits)
        if bad.any():
            row = bad.arg_max() or 0
            line = int(table["line"][row]) if "line" in table.columns else None
            raise FormatError(
                f"a target is {'a number' if measured else '1, 0'} or empty (not measured)",
                where=place(where, line, name=task.name),
                got=f"{values[row]:g}",
                remedy=""
                if measured
                else "Turn measurements into 0 and 1, or name the column under regression in place of tasks.",
            )
