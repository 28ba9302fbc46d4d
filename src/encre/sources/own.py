"""A user's own data: a BED with a genome, a FASTA with labels, or a table with a sequence column.

Targets are 1, 0, or empty (``NA``, ``NaN``, ``.``) where nothing was measured. The config names them:
``tasks = {enhancer = ["active"], tissue = ["heart", "brain"]}``, group -> columns. Columns of measurements (an MPRA's
activity, Z-scores) are named the same way: ``regression = {activity = ["log2_rna_dna"]}``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from pydantic import Field

from encre.config import Config
from encre.errors import DataError, FormatError, SequenceError, nearest
from encre.genome.bed import canonical_names, check_bounds, read_bed
from encre.genome.fasta import Records, read_fasta
from encre.genome.store import Genome
from encre.ledger import Ledger
from encre.progress import SILENT, Progress
from encre.sequence.alphabet import encode_many
from encre.sequence.flat import join, offsets_of
from encre.sources.elements import (
    Elements,
    arrange,
    check_targets,
    describe,
    group_tasks,
    read_splits,
    with_lengths,
)
from encre.tables import Column, place, read_table, table_header
from encre.tasks import TaskSet

_PLACES = {
    "chrom": ("chrom", "chr", "chromosome", "seqnames"),
    "start": ("start", "chromStart", "chrom_start"),
    "end": ("end", "chromEnd", "chrom_end", "stop"),
}
_NAMES = ("name", "id", "accession")
_MISSING = ("", "na", "nan", ".")


class BedSettings(Config):
    """Settings of a BED source.

    Parameters
    ----------
    file
        BED, 0-based half-open: with a header line that names the target columns, or plain with ``labels``.
    genome, assembly
        FASTA or 2bit, and its assembly (``"custom:NAME"`` for another organism).
    tasks
        Group -> target columns, 0 or 1.
    regression
        Group -> target columns, any number.
    labels
        Side table (CSV, TSV, Parquet) with a column ``name`` and the target columns, joined on the BED's name.
    split_column
        Column with ``train``, ``valid`` or ``test``; empty for none.
    """

    kind: Literal["bed"] = "bed"
    file: str
    genome: str
    assembly: str = "GRCh38"
    tasks: dict[str, list[str]] = Field(default_factory=dict)
    regression: dict[str, list[str]] = Field(default_factory=dict)
    labels: str = ""
    split_column: str = ""


class FastaSettings(Config):
    """Settings of a FASTA source.

    Parameters
    ----------
    file
        FASTA whose headers say ``>name heart=1 brain=0`` or ``>name|1|0`` (targets in the order of ``tasks``), or
        anything, with ``labels``.
    tasks, regression, labels, split_column
        As for a BED; in a header the split stands as ``split_column=train``.
    """

    kind: Literal["fasta"] = "fasta"
    file: str
    tasks: dict[str, list[str]] = Field(default_factory=dict)
    regression: dict[str, list[str]] = Field(default_factory=dict)
    labels: str = ""
    split_column: str = ""


class TableSettings(Config):
    """Settings of a table source.

    Parameters
    ----------
    file
        CSV, TSV (each plain or gzip) or Parquet with a header.
    sequence
        The sequence column.
    tasks, regression, split_column
        As for a BED.
    chrom, start, end
        Columns with the place of each sequence, 0-based half-open; used when the table has all three.
    """

    kind: Literal["table"] = "table"
    file: str
    sequence: str = "sequence"
    tasks: dict[str, list[str]] = Field(default_factory=dict)
    regression: dict[str, list[str]] = Field(default_factory=dict)
    split_column: str = ""
    chrom: str = "chrom"
    start: str = "start"
    end: str = "end"


def read_own_bed(settings: BedSettings, *, progress: Progress = SILENT) -> Elements:
    """Read intervals with their targets; the sequences come from the genome later.

    Raises
    ------
    MissingFileError, FormatError, IntervalError, UnknownChromosomeError
        Naming file and line.
    DataError
        When no row of the side table finds its element.
    """
    tasks = group_tasks(settings.tasks, settings.regression, where=settings.file)
    assembly = with_lengths(settings.assembly, settings.genome, progress=progress)
    lengths = assembly.lengths
    if Path(settings.genome).is_file():
        lengths = Genome(settings.genome, assembly=settings.assembly, progress=progress).lengths
    ledger, files, left_out = Ledger(), [describe(settings.file, form="BED")], None
    if settings.labels:
        read = read_bed(settings.file, assembly=assembly, header="optional").drop("score", "strand")
        ledger.add("read BED", read.height, read.height)
        table = _join_labels(read, settings.labels, tasks, split=settings.split_column, ledger=ledger)
        left_out = read.join(table, on="line", how="anti")
        files.append(describe(settings.labels, form="side table of targets"))
    else:
        table = canonical_names(_read_headed_bed(settings, tasks), assembly)
        table = _with_split(table, settings.split_column, where=settings.file)
        ledger.add("read BED", table.height, table.height, notes=_measured(table, tasks))
    check_bounds(table, lengths, where=settings.file)
    return Elements(arrange(_named(table), tasks), tasks, ledger, files, left_out=left_out)


def read_own_fasta(settings: FastaSettings, *, progress: Progress = SILENT) -> Elements:
    """Read sequences with targets in their headers or in a side table.

    Raises
    ------
    MissingFileError, FormatError
        Naming file and line.
    DataError
        When no row of the side table finds its element.
    """
    tasks = group_tasks(settings.tasks, settings.regression, where=settings.file)
    records = read_fasta(settings.file)
    ledger, files = Ledger(), [describe(settings.file, form="FASTA")]
    codes, offsets = records.codes, records.offsets
    if settings.labels:
        table = pl.DataFrame({"name": records.names}).with_row_index("row")
        ledger.add("read FASTA", table.height, table.height)
        table = _join_labels(table, settings.labels, tasks, split=settings.split_column, ledger=ledger)
        files.append(describe(settings.labels, form="side table of targets"))
        rows = table["row"].to_numpy().astype(np.int64)
        table, begin, end = table.drop("row"), offsets[rows], offsets[rows + 1]
        codes, offsets = join(codes, begin, end), offsets_of(end - begin)
    else:
        table = _read_headers(records, settings, tasks)
        table = table.with_columns(pl.Series("line", records.lines, dtype=pl.UInt32))
        check_targets(table, tasks, where=settings.file)
        ledger.add("read FASTA", table.height, table.height, notes=_measured(table, tasks))
        table = _with_split(table, settings.split_column, where=settings.file)
    return Elements(arrange(_named(table), tasks), tasks, ledger, files, codes, offsets)


def read_own_table(settings: TableSettings, *, progress: Progress = SILENT) -> Elements:
    """Read sequences and targets from one table.

    Raises
    ------
    MissingFileError, FormatError, SequenceError
        Naming file, line and column.
    """
    tasks = group_tasks(settings.tasks, settings.regression, where=settings.file)
    header = table_header(settings.file)
    places = {"chrom": settings.chrom, "start": settings.start, "end": settings.end}
    has_places = all(name in header for name in places.values())
    columns = [Column(settings.sequence), *_label_columns(tasks, settings.split_column)]
    if has_places:
        columns += [Column(settings.chrom), Column(settings.start, "int", 0), Column(settings.end, "int", 0)]
    columns += [Column(name) for name in header if name in _NAMES][:1]
    table = read_table(settings.file, columns=columns)
    if has_places:
        table = table.rename({old: new for new, old in places.items() if old != new})
        check_bounds(table, None, where=settings.file)
    check_targets(table, tasks, where=settings.file)
    codes, offsets = _encode(table[settings.sequence], table["line"], settings)
    table = _with_split(table.drop(settings.sequence), settings.split_column, where=settings.file)
    ledger = Ledger()
    ledger.add("read table", table.height, table.height, notes=_measured(table, tasks))
    file = describe(settings.file, form="table with a sequence column")
    return Elements(arrange(_named(table), tasks), tasks, ledger, [file], codes, offsets)


def _read_headed_bed(settings: BedSettings, tasks: TaskSet) -> pl.DataFrame:
    """A BED whose first line names its columns, with chrom, start, end and the targets among them."""
    header = table_header(settings.file)
    found = {new: next((old for old in known if old in header), None) for new, known in _PLACES.items()}
    if None in found.values():
        raise FormatError(
            "the targets' columns are not named",
            where=place(settings.file, 1),
            expected=f"a header line: chrom, start, end, {', '.join(tasks.names)}",
            got=f"'{' | '.join(header)[:60]}'",
            remedy='Add the header line, or name a side table: labels = "targets.tsv".',
        )
    chrom, start, end = (str(found[name]) for name in ("chrom", "start", "end"))
    columns = [Column(chrom), Column(start, "int", 0), Column(end, "int", 0)]
    columns += [Column(name) for name in header if name in _NAMES][:1]
    columns += _label_columns(tasks, settings.split_column)
    table = read_table(settings.file, columns=columns)
    table = table.rename({str(old): new for new, old in found.items() if old != new})
    check_targets(table, tasks, where=settings.file)
    return table


def _label_columns(tasks: TaskSet, split_column: str) -> list[Column]:
    split = [Column(split_column)] if split_column else []
    return [*(Column(name, "float") for name in tasks.names), *split]


def _join_labels(table: pl.DataFrame, path: str, tasks: TaskSet, *, split: str, ledger: Ledger) -> pl.DataFrame:
    """Give rows their targets by name; rows without targets are left out and counted, a name twice is refused."""
    header = table_header(path)
    key = next((name for name in _NAMES if name in header), None)
    if key is None:
        raise FormatError(
            "the side table has no column 'name'", where=place(path, 1), got=f"'{' | '.join(header)[:60]}'"
        )
    labels = read_table(path, columns=[Column(key), *_label_columns(tasks, split)])
    check_targets(labels, tasks, where=path)
    again = ~labels[key].is_first_distinct()
    if again.any():
        row = again.arg_max() or 0
        where = place(path, int(labels["line"][row]), name=key)
        raise FormatError(f"the name '{labels[key][row]}' stands twice", where=where)
    labels = _with_split(labels, split, where=path).rename({key: "name"}).drop("line")
    hit = table["name"].is_in(labels["name"].implode())
    if not hit.any():
        raise DataError(
            "no row of the side table has the name of an element",
            where=path,
            expected=f"a name as '{table['name'][0]}'",
            got=f"'{labels['name'][0]}'",
        )
    kept = table.join(labels, on="name", how="inner", maintain_order="left")
    used = kept["name"].n_unique()
    notes = {"rows of the side table": labels.height, "of them without an element": labels.height - used}
    dropped = {"no row in the side table": table.height - kept.height}
    ledger.add("join targets", table.height, kept.height, dropped=dropped, notes={**notes, **_measured(kept, tasks)})
    return kept


def _read_headers(records: Records, settings: FastaSettings, tasks: TaskSet) -> pl.DataFrame:
    """Name, targets and split out of ``>name heart=1`` or ``>name|1|0``."""
    if all("=" not in header for header in records.headers):
        return _read_barred_headers(records, settings, tasks)
    keys = [*tasks.names, *([settings.split_column] if settings.split_column else [])]
    found = [dict(re.findall(r"(?:^|[\s;|])([^\s=;|]+)=([^\s;|]*)", header)) for header in records.headers]
    seen = set().union(*found)
    for key in keys:
        if key not in seen:
            raise FormatError(f"no header has '{key}='", where=settings.file, remedy=nearest(key, seen))
    table: dict[str, object] = {"name": records.names}
    for task in tasks:
        values = [entry.get(task.name, "") for entry in found]
        table[task.name] = _numbers(values, task.name, lines=records.lines, path=settings.file)
    if settings.split_column:
        table[settings.split_column] = [entry.get(settings.split_column) for entry in found]
    return pl.DataFrame(table)


def _read_barred_headers(records: Records, settings: FastaSettings, tasks: TaskSet) -> pl.DataFrame:
    fields = [header.split()[0].split("|") for header in records.headers]
    wanted = 1 + len(tasks) + bool(settings.split_column)
    for line, header, parts in zip(records.lines, records.headers, fields, strict=True):
        if len(parts) != wanted:
            shape = "|".join(["name", *tasks.names, *([settings.split_column] if settings.split_column else [])])
            raise FormatError(
                "the header does not tell the targets",
                where=place(settings.file, line),
                expected=f"'>{shape}', or '>name {tasks.names[0]}=1 …'",
                got=f"'>{header[:60]}'",
                remedy='Or name a side table: labels = "targets.tsv".',
            )
    columns = list(zip(*fields, strict=True))
    table: dict[str, object] = {"name": columns[0]}
    for i, name in enumerate(tasks.names, start=1):
        table[name] = _numbers(columns[i], name, lines=records.lines, path=settings.file)
    if settings.split_column:
        table[settings.split_column] = columns[-1]
    return pl.DataFrame(table)


def _numbers(texts: Sequence[str], name: str, *, lines: Sequence[int], path: str) -> list[float]:
    numbers = []
    for text, line in zip(texts, lines, strict=True):
        try:
            numbers.append(float("nan") if text.lower() in _MISSING else float(text))
        except ValueError:
            where = place(path, line, name=name)
            raise FormatError("a target is a number or empty (not measured)", where=where, got=f"'{text}'") from None
    return numbers


def _encode(sequences: pl.Series, lines: pl.Series, settings: TableSettings) -> tuple[np.ndarray, np.ndarray]:
    """Flat codes and offsets of a text column; an empty or foreign sequence is named by its line."""
    texts = sequences.fill_null("").str.strip_chars()
    empty = texts.str.len_bytes() == 0
    if empty.any():
        line = int(lines[empty.arg_max() or 0])
        raise SequenceError("the sequence is empty", where=place(settings.file, line, name=settings.sequence))
    try:
        return encode_many(texts.to_list())
    except SequenceError:
        bad = texts.str.contains(r"[^A-Za-z*.\-]")
        row = bad.arg_max() or 0
        raise SequenceError(
            "this is not a DNA sequence",
            where=place(settings.file, int(lines[row]), name=settings.sequence),
            expected="letters only",
            got=f"'{texts[row][:40]}'",
        ) from None


def _with_split(table: pl.DataFrame, column: str, *, where: str) -> pl.DataFrame:
    if not column:
        return table
    lines = table["line"] if "line" in table.columns else None
    split = read_splits(table[column], where=where, lines=lines)
    return table.drop(column).with_columns(split)


def _named(table: pl.DataFrame) -> pl.DataFrame:
    """The row's name becomes its accession; what only served messages goes."""
    key = next((name for name in ("name", "accession", "id") if name in table.columns), None)
    if key is not None:
        name = pl.col(key).cast(pl.String)
        table = table.with_columns(pl.when(name.is_in(["", "."])).then(None).otherwise(name).alias("accession"))
    return table.drop([name for name in ("name", "id", "line") if name in table.columns])


def _measured(table: pl.DataFrame, tasks: TaskSet) -> Mapping[str, int]:
    """For the ledger: in how many rows each target is 1 (a regression: was measured), and was not measured."""
    notes = {}
    for task in tasks:
        values = table[task.name].cast(pl.Float64)
        missing = int((values.is_null() | values.is_nan()).sum())
        if task.kind == "regression":
            notes[f"{task.name} measured"] = table.height - missing
        else:
            notes[f"{task.name} = 1"] = int((values == 1).sum())
        if missing:
            notes[f"{task.name} not measured"] = missing
    return notes
