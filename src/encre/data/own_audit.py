"""The audit of sequences that encre did not build a dataset of: FASTA files or tables, one a split or all in one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from encre.data.audit import AuditSettings, Keep, audit
from encre.data.clusters import ClusterSettings
from encre.data.rows import Rows
from encre.errors import ConfigError, DataError, FormatError, SequenceError
from encre.files import explain_damage, open_plain
from encre.genome.bed import check_bounds
from encre.genome.fasta import read_fasta
from encre.progress import SILENT, Progress
from encre.sequence.alphabet import encode_many, n_share
from encre.sources.elements import arrange, check_targets, group_tasks, read_splits
from encre.sources.own import FastaSettings, read_own_fasta
from encre.tables import Column, place, read_table, table_header
from encre.tasks import Task, TaskSet

#: Up to so many rows, near-duplicates and neighbours are looked for without being asked.
SMALL = 200_000
#: Share of letters other than A, C, G, T from which on a file is remarked upon.
_STRANGE = 0.1
_SEQUENCE = ("sequence", "seq")
_LABEL = ("label", "target")
_NAMES = ("name", "id", "accession")
_PLACES = ("chrom", "start", "end")
#: ``chr1:100-300``, ``CHR1_100_300`` or bedtools' ``name::chr1:100-300(+)``.
_COORDINATES = r"(?i)(?:^|[:|])chr(?P<chrom>\w+?)[:_](?P<start>\d{1,12})[-_](?P<end>\d{1,12})(?:\D|$)"


@dataclass(frozen=True)
class OwnFiles:
    """Which files, and what their columns are called.

    Parameters
    ----------
    train, test, valid
        A file a split: FASTA, or CSV, TSV or Parquet with a sequence column; plain or gzip.
    table
        Instead of those, one table with a split column.
    sequence
        The sequence column; empty for ``sequence`` or ``seq``.
    labels
        Columns (of a FASTA, keys of its headers) that hold 0 and 1; empty for ``label`` or ``target`` where a table
        has one of 0 and 1.
    split
        The split column of ``table``.
    """

    train: Path | None = None
    test: Path | None = None
    valid: Path | None = None
    table: Path | None = None
    sequence: str = ""
    labels: tuple[str, ...] = ()
    split: str = "split"

    @property
    def named(self) -> dict[str, Path]:
        """Split (or ``table``) -> file.

        Raises
        ------
        ConfigError
            When there is nothing to compare with training.
        """
        if self.table is not None:
            if self.train or self.test or self.valid:
                raise ConfigError("a table with a split column and files of the splits cannot both be given")
            return {"table": self.table}
        given = {"train": self.train, "valid": self.valid, "test": self.test}
        if self.train is None or len([path for path in given.values() if path]) < 2:
            raise ConfigError(
                "there are no two splits to compare",
                got=", ".join(f"--{name}" for name, path in given.items() if path),
                remedy="Give --train and --test (or --valid), or one table with a split column.",
            )
        return {name: path for name, path in given.items() if path is not None}


@dataclass(frozen=True)
class Own:
    """Sequences read from somebody's files: grouped rows, their tasks (None without labels), and what to know."""

    rows: Rows
    tasks: TaskSet | None
    files: dict[str, str]
    notes: list[str] = field(default_factory=list)


def audit_files(
    files: OwnFiles,
    settings: AuditSettings | None = None,
    clusters: ClusterSettings | None = None,
    *,
    keep: Keep | None = None,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Audit anybody's files.

    Parameters
    ----------
    files
        What to read.
    settings
        As for a build; up to :data:`SMALL` rows near-duplicates and neighbours are looked for in any case.
    clusters
        What counts as nearly equal; the defaults when None.
    keep
        Given the table of :func:`encre.data.leakage.leaked_rows`.
    progress
        Told of each step.

    Returns
    -------
    dict
        As :func:`encre.data.audit.audit`, and ``files`` (split or ``table`` -> file name), ``splits`` (of each,
        ``rows``, ``repeats`` (rows whose sequence, on either strand, stands earlier in the same split) and ``placed``
        (rows with coordinates)), ``tasks`` and ``notes`` in words.

    Raises
    ------
    MissingFileError, FormatError, SequenceError, IntervalError
        Naming file, line and column.
    ConfigError
        When there are no two splits, or no column of that name.
    """
    progress.say(f"reading {', '.join(path.name for path in files.named.values())}")
    own = read_files(files)
    settings, notes = settings or AuditSettings(), [*own.notes, *_strange(own.rows)]
    if len(own.rows) <= SMALL:
        settings = settings.model_copy(update={"near_duplicates": True, "neighbours": own.tasks is not None})
    elif not settings.wants_near:
        notes.append(f"more than {SMALL:,} rows: near-duplicates are looked for when asked (--near)")
    if own.tasks is None:
        notes.append("no labels: leakage only (name a column of 0 and 1 for shortcuts and neighbours)")
    table = own.rows.table
    judged = "test" if (table["split"] == "test").any() else "valid"
    found = audit(own.rows, own.tasks, settings, clusters, split=judged, keep=keep, progress=progress)
    names = list(own.tasks.names) if own.tasks is not None else []
    return found | {"files": own.files, "splits": _counts(table), "tasks": names, "notes": notes}


def _strange(rows: Rows) -> Iterator[str]:
    """A remark on each split that hardly is DNA: letters that are no base are N, and N is like nothing."""
    unknown = n_share(rows.codes, rows.offsets) * rows.lengths
    for split in ("train", "valid", "test"):
        here = (rows.table["split"] == split).to_numpy()
        if (share := unknown[here].sum() / max(rows.lengths[here].sum(), 1)) > _STRANGE:
            yield f"{share:.0%} of the letters of {split} are none of A, C, G and T: is this DNA?"


def _counts(table: pl.DataFrame) -> dict[str, dict[str, int]]:
    """Rows, repeats within the split, and rows with coordinates, of each split that has a row."""
    parts = {name: table.filter(pl.col("split") == name) for name in ("train", "valid", "test")}
    return {
        name: {
            "rows": part.height,
            "repeats": part.height - part["group"].n_unique(),
            "placed": int(part["start"].is_not_null().sum()),
        }
        for name, part in parts.items()
        if part.height
    }


def read_files(files: OwnFiles) -> Own:
    """Read the files into rows with groups and splits; raises as :func:`audit_files` does."""
    named = files.named
    parts = {name: _read(path, files, split=name == "table") for name, path in named.items()}
    notes: list[str] = []
    labels = list(files.labels) or _shared_labels(parts, notes)
    tasks = group_tasks({"label": labels}, where=", ".join(map(str, named.values()))) if labels else None
    tables = []
    for name, (table, _, _) in parts.items():
        here = table if name == "table" else table.with_columns(split=pl.lit(name))
        columns = [c for c in (*_PLACES, "accession", "split", "line") if c in here.columns]
        targets = [pl.col(label).cast(pl.Float64) for label in labels]
        tables.append(arrange(here.select(*columns, *targets), tasks or ()))  # pyright: ignore[reportArgumentType]
    table = pl.concat(tables, how="vertical")
    if not (table["split"] == "train").any() or table["split"].n_unique() < 2:
        split = f"column '{files.split}'"
        raise DataError(
            f"there are no two splits to compare in {split}", where=files.table, expected="train and test"
        )
    codes, offsets = _joined([(codes, offsets) for _, codes, offsets in parts.values()])
    shown = {name: path.name for name, path in named.items()}
    return Own(Rows(table, codes, offsets).grouped(), tasks, shown, notes)


def _joined(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Flat codes and offsets of all parts, one behind the other."""
    codes, offsets, done = [], [np.zeros(1, dtype=np.int64)], 0
    for part, edges in parts:
        codes.append(part)
        offsets.append(edges[1:] + done)
        done += int(edges[-1])
    return np.concatenate(codes), np.concatenate(offsets)


Part = tuple[pl.DataFrame, np.ndarray, np.ndarray]


def _read(path: Path, files: OwnFiles, *, split: bool) -> Part:
    """One file: a table of what is known of each sequence, flat codes and offsets."""
    with explain_damage(path), open_plain(path) as handle:
        head = handle.read(1 << 12).lstrip()
    if head[:1] in (b">", b";"):
        if split:
            raise ConfigError("one FASTA is no two splits", where=path, remedy="Give --train FILE and --test FILE.")
        table, codes, offsets = _read_fasta(path, files)
    else:
        table, codes, offsets = _read_table(path, files, split=split)
    return _placed(table, np.diff(offsets)), codes, offsets


def _read_fasta(path: Path, files: OwnFiles) -> Part:
    if not files.labels:
        records = read_fasta(path)
        table = pl.DataFrame(
            {"accession": records.names, "line": records.lines}, schema_overrides={"line": pl.UInt32}
        )
        return table, records.codes, records.offsets
    found = read_own_fasta(FastaSettings(file=str(path), tasks={"label": list(files.labels)}))
    assert found.codes is not None, "a FASTA brings its sequences"
    assert found.offsets is not None
    unknown = pl.lit(None, dtype=pl.UInt32).alias("line")
    return found.table.select("accession", unknown, *files.labels), found.codes, found.offsets


def _read_table(path: Path, files: OwnFiles, *, split: bool) -> Part:
    header = table_header(path)
    lower = {name.lower(): name for name in reversed(header)}
    sequence = files.sequence or next((lower[name] for name in _SEQUENCE if name in lower), "")
    if not sequence:
        raise FormatError(
            "this is neither a FASTA nor a table with a sequence column",
            where=place(path, 1),
            expected="a column 'sequence' or 'seq'",
            got=f"'{' | '.join(header)[:60]}'",
            remedy="Name it: --sequence-column NAME.",
        )
    columns = [Column(sequence), *([Column(files.split)] if split else [])]
    columns += [Column(name, "float") for name in files.labels]
    guessed = [] if files.labels else [lower[name] for name in _LABEL if name in lower][:1]
    columns += [Column(name) for name in guessed]
    columns += [Column(lower[name]) for name in _NAMES if name in lower][:1]
    if all(name in header for name in _PLACES):
        columns += [Column("chrom"), Column("start", "int", 0), Column("end", "int", 0)]
    table = read_table(path, columns=list({column.name: column for column in columns}.values()))
    check_targets(table, (Task(name, "label") for name in files.labels), where=path)
    if "chrom" in table.columns:
        check_bounds(table, None, where=str(path))
    if split:
        table = table.with_columns(read_splits(table[files.split], where=path, lines=table["line"]))
    named = [lower[name] for name in _NAMES if name in lower][:1]
    table = table.with_columns(pl.col(name).cast(pl.String).alias("accession") for name in named)
    codes, offsets = _encode(table, sequence, path)
    kept = [c for c in ("line", "split", "accession", *_PLACES, *files.labels, *guessed) if c in table.columns]
    return table.select(list(dict.fromkeys(kept))), codes, offsets


def _encode(table: pl.DataFrame, column: str, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Flat codes and offsets of a text column; an empty or foreign sequence is named by its line."""
    texts = table[column].cast(pl.String).fill_null("").str.strip_chars()
    for bad, what in (
        (texts.str.len_bytes() == 0, "the sequence is empty"),
        (texts.str.contains(r"[^A-Za-z*.\-]"), "this is not a DNA sequence"),
    ):
        if bad.any():
            row = bad.arg_max() or 0
            raise SequenceError(
                what,
                where=place(path, int(table["line"][row]), name=column),
                got=f"'{texts[row][:40]}'" if texts[row] else "",
            )
    return encode_many(texts.to_list())


def _shared_labels(parts: Mapping[str, Part], notes: list[str]) -> list[str]:
    """The label column that every file has and that holds 0 and 1 only; a note where there is one of another kind."""
    for table, _, _ in parts.values():
        for name in table.columns:
            if name.lower() not in _LABEL:
                continue
            everywhere = [other[name] for other, _, _ in parts.values() if name in other.columns]
            texts = pl.concat([values.cast(pl.String) for values in everywhere])
            numbers = texts.str.strip_chars().cast(pl.Float64, strict=False)
            if len(everywhere) == len(parts) and numbers.is_in([0.0, 1.0]).all() and not numbers.has_nulls():
                return [name]
            notes.append(f"column '{name}' is not 0 and 1 in every file, and was not taken for labels")
            return []
    return []


def _placed(table: pl.DataFrame, lengths: np.ndarray) -> pl.DataFrame:
    """Coordinates out of names, where the file has no columns for them and the length agrees.

    A name may count from 0 (``chr1:100-300`` has 200 bases, as bedtools writes it) or from 1 (201, as samtools).
    """
    if "chrom" in table.columns or "accession" not in table.columns:
        return table
    parts = table["accession"].fill_null("").str.extract_groups(_COORDINATES).struct
    start, end = (parts.field(name).cast(pl.Int64) for name in ("start", "end"))
    beyond = pl.Series(lengths) - (end - start)  # 1 where the name counts from 1
    known = beyond.is_in([0, 1]).fill_null(False)
    found = {"chrom": "chr" + parts.field("chrom"), "start": start - beyond, "end": end}
    return table.with_columns(
        pl.when(known).then(values).otherwise(None).alias(name) for name, values in found.items()
    )
