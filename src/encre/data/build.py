"""Build a dataset folder: source -> sequences -> negatives -> groups -> splits -> audit -> folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from encre.data.dataset import SPLITS, Dataset
from encre.data.extract import drop_unusable, extract
from encre.data.leakage import check_leakage, exact_leakage
from encre.data.negatives import add_negatives
from encre.data.rows import Rows
from encre.data.settings import (
    AuditSettings,
    DatasetConfig,
    NegativeSettings,
    SequenceSettings,
    SplitSettings,
)
from encre.data.shortcuts import check_shortcuts, shortcut_scores
from encre.data.splits import check_splits, record, split_by_chromosome, split_by_column, split_by_group
from encre.data.writing import write_dataset
from encre.files import explain_full_disk, refuse_occupied, staged_folder
from encre.genome.store import Genome
from encre.ledger import Ledger
from encre.progress import SILENT, Progress
from encre.sources.elements import Elements
from encre.sources.registry import read_source
from encre.tasks import TaskSet

__all__ = [
    "AuditSettings",
    "DatasetConfig",
    "NegativeSettings",
    "SequenceSettings",
    "SplitSettings",
    "build_dataset",
    "build_from_elements",
]


def build_dataset(
    config: DatasetConfig,
    *,
    out: str | Path,
    genome: Genome | str | Path | None = None,
    progress: Progress = SILENT,
) -> Dataset:
    """Read the config's source and write an audited dataset folder.

    The same config and source files give the same content (and digest).

    Parameters
    ----------
    config
        From :meth:`DatasetConfig.from_toml` or keyword arguments.
    out
        The folder to write; it must not exist, or be empty. It appears whole or not at all.
    genome
        An opened genome or its path, instead of the one that [source] names.
    progress
        Told of each step.

    Raises
    ------
    EncreError
        Anything that the user can mend: a bad file, an empty split, a full disk.
    GateError
        When a limit of [audit] is exceeded (exit code 3).
    """
    refuse_occupied(out)
    progress.say(f"reading source '{config.source.kind}'")  # pyright: ignore[reportAttributeAccessIssue]
    elements = read_source(config.source, progress=progress)
    with explain_full_disk(out):
        return build_from_elements(elements, config, out=out, genome=genome, progress=progress)


def build_from_elements(
    elements: Elements,
    config: DatasetConfig,
    *,
    out: str | Path,
    genome: Genome | str | Path | None = None,
    progress: Progress = SILENT,
) -> Dataset:
    """As :func:`build_dataset`, from elements that were read already."""
    refuse_occupied(out)
    ledger = Ledger(list(elements.ledger.steps))
    opened = _genome(elements, config, genome, progress)
    progress.say(f"{elements.table.height:,} elements; taking their sequences")
    rows = extract(elements, config.sequence, opened, ledger=ledger)
    rows = drop_unusable(_with_columns(rows), config.sequence, ledger=ledger)
    rows = _split(_grouped(rows, elements.tasks, ledger), elements.tasks, config.split, ledger)
    negatives = config.negatives
    if negatives.kinds:
        progress.say(f"making negatives: {', '.join(negatives.kinds)}")
        rows = add_negatives(
            rows,
            elements.tasks,
            kinds=negatives.kinds,
            per_element=negatives.per_element,
            seed=negatives.seed,
            ledger=ledger,
        )
    counts = check_splits(rows.table, elements.tasks)
    progress.say("auditing leakage and shortcuts")
    audit = _audit(rows, elements.tasks, config.audit)
    about = {
        "name": config.name,
        "sources": [dict(file) for file in elements.files],
        "assembly": _assembly(opened, config),
        "config": config.model_dump(mode="json"),
        "sequence": _sequence(rows, config.sequence),
        "splits": {s: {"rows": int((rows.table["split"] == s).sum()), "tasks": counts[s]} for s in SPLITS},
        "kinds": dict(rows.table["kind"].value_counts(sort=True).iter_rows()),
        "ledger": ledger.to_list(),
        "audit": audit,
    }
    progress.say(f"writing {len(rows):,} rows to {out}")
    with staged_folder(out) as folder:
        write_dataset(folder, rows, elements.tasks, config_toml=config.to_toml(), about=about)
    return Dataset.open(out)


def _genome(
    elements: Elements, config: DatasetConfig, genome: Genome | str | Path | None, progress: Progress
) -> Genome | None:
    """The genome to take sequences from, opened only when it is needed."""
    if isinstance(genome, Genome):
        return genome
    path = genome or getattr(config.source, "genome", "")
    if not path or (elements.codes is not None and config.sequence.mode == "element"):
        return None
    progress.say(f"opening the genome {path}")
    return Genome(path, assembly=getattr(config.source, "assembly", "GRCh38"), progress=progress)


def _assembly(genome: Genome | None, config: DatasetConfig) -> str:
    if genome is not None:
        return str(getattr(genome.assembly, "name", genome.assembly))
    kind = getattr(config.source, "kind", "")
    return str(getattr(config.source, "assembly", "GRCh38" if kind == "dhs" else ""))


def _with_columns(rows: Rows) -> Rows:
    """Rows whose table has every fixed column, empty where the source has none."""
    kinds = {"chrom": pl.String, "start": pl.Int64, "end": pl.Int64, "accession": pl.String}
    kinds |= {"ccre_class": pl.String, "kind": pl.String, "split": pl.String}
    have = rows.table.columns
    columns = [
        pl.col(name).cast(dtype) if name in have else pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in kinds.items()
    ]
    table = rows.table.with_columns(columns).with_columns(pl.col("kind").fill_null("element"))
    return Rows(table, rows.codes, rows.offsets, rows.jitter)


def _grouped(rows: Rows, tasks: TaskSet, ledger: Ledger) -> Rows:
    """Rows with their groups; copies are kept and counted, and so are those that contradict each other."""
    rows = rows.grouped()
    copies = len(rows) - rows.table["group"].n_unique()
    repeated = rows.table.filter(pl.len().over("group") > 1).group_by("group")
    apart = repeated.agg(pl.col(task.target).fill_nan(None).drop_nulls().n_unique() > 1 for task in tasks)
    notes = {
        "rows that repeat an earlier sequence or its reverse complement (kept)": copies,
        "repeated sequences whose targets disagree": apart.filter(
            pl.any_horizontal(task.target for task in tasks)
        ).height,
    }
    ledger.add("group by canonical sequence", len(rows), len(rows), notes=notes)
    return rows


def _split(rows: Rows, tasks: TaskSet, settings: SplitSettings, ledger: Ledger) -> Rows:
    if settings.by == "chromosome":
        split = split_by_chromosome(rows, valid=settings.valid, test=settings.test)
    elif settings.by == "group":
        split = split_by_group(
            rows,
            tasks,
            valid_fraction=settings.valid_fraction,
            test_fraction=settings.test_fraction,
            seed=settings.seed,
        )
    else:
        split = split_by_column(rows)
    rows = rows.with_columns(split=split)
    record(rows.table, settings.by, ledger)
    return rows


def _audit(rows: Rows, tasks: TaskSet, settings: AuditSettings) -> dict[str, Any]:
    leakage = exact_leakage(rows.table)
    check_leakage(leakage, settings.max_exact_leakage)
    shortcuts = shortcut_scores(rows, tasks)
    check_shortcuts(shortcuts, settings.max_shortcut_auroc)
    return {"leakage": leakage, "shortcuts": shortcuts}


def _sequence(rows: Rows, settings: SequenceSettings) -> dict[str, Any]:
    """What a model must know of the sequences; lengths in bases, without jitter's flanks."""
    lengths = rows.lengths
    return {
        "mode": settings.mode,
        "width": settings.width,
        "jitter": rows.jitter,
        "min_length": int(lengths.min()),
        "max_length": int(lengths.max()),
        "bases": int(rows.offsets[-1]),
        "packing": "two codes a byte, the first in the high half",
    }
