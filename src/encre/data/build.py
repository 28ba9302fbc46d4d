"""Build a dataset folder: source, sequences, negatives, groups, clusters, splits, signals, audit, folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from encre.data.audit import AuditSettings, audit, check_audit
from encre.data.clusters import ClusterSettings, cluster_rows
from encre.data.dataset import SPLITS, Dataset
from encre.data.extract import drop_unusable, extract
from encre.data.negatives import (
    NegativeSettings,
    check_quality,
    genomic_negatives,
    judged_again,
    shuffled_negatives,
)
from encre.data.rows import Rows
from encre.data.settings import DatasetConfig, SequenceSettings, SplitSettings
from encre.data.signals import Signals, SignalSettings, open_tracks, read_signals
from encre.data.splits import SPLITTERS, check_splits, record
from encre.data.writing import write_dataset
from encre.files import explain_full_disk, refuse_occupied, staged_folder
from encre.genome.store import Genome
from encre.ledger import Ledger
from encre.progress import SILENT, Progress
from encre.sources.elements import Elements, describe
from encre.sources.registry import read_source
from encre.tasks import TaskSet

__all__ = [
    "AuditSettings",
    "ClusterSettings",
    "DatasetConfig",
    "NegativeSettings",
    "SequenceSettings",
    "SignalSettings",
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
    tasks, ledger = elements.tasks, Ledger(list(elements.ledger.steps))
    if config.signals is not None:
        open_tracks(config.signals, _assembly(None, config))
    opened = _genome(elements, config, genome, progress)
    progress.say(f"{elements.table.height:,} elements; taking their sequences")
    rows = extract(elements, config.sequence, opened, ledger=ledger)
    rows = drop_unusable(_with_columns(rows), config.sequence, ledger=ledger)
    rows, quality = _with_negatives(rows, elements, config, opened, ledger=ledger, progress=progress)
    counts = check_splits(rows.table, tasks)
    check_quality(quality, config.negatives)
    progress.say("auditing leakage and shortcuts")
    found = audit(rows, tasks, config.audit, config.clusters, progress=progress)
    check_audit(found, config.audit)
    signals = _signals(rows, config, opened, ledger=ledger, scratch=Path(out).parent, progress=progress)
    about = {
        "name": config.name,
        "sources": [*(dict(file) for file in elements.files), *_other_files(opened, config)],
        "assembly": _assembly(opened, config),
        "config": config.model_dump(mode="json"),
        "sequence": _sequence(rows, config.sequence),
        "splits": {s: {"rows": int((rows.table["split"] == s).sum()), "tasks": counts[s]} for s in SPLITS},
        "kinds": dict(rows.table["kind"].value_counts().sort("count", "kind", descending=True).iter_rows()),
        "negatives": quality,
        "ledger": ledger.to_list(),
        "audit": found,
    }
    progress.say(f"writing {len(rows):,} rows to {out}")
    with staged_folder(out) as folder:
        write_dataset(folder, rows, tasks, config_toml=config.to_toml(), about=about, signals=signals)
    return Dataset.open(out)


def _with_negatives(
    rows: Rows,
    elements: Elements,
    config: DatasetConfig,
    genome: Genome | None,
    *,
    ledger: Ledger,
    progress: Progress,
) -> tuple[Rows, list[dict[str, Any]]]:
    """Rows with their negatives, groups, clusters and splits: what has its own place is split, the rest inherits."""
    rows, quality = genomic_negatives(
        rows,
        elements.tasks,
        config.negatives,
        genome=genome,
        taken=elements.places,
        ledger=ledger,
        progress=progress,
    )
    rows = _grouped(rows, elements.tasks, ledger)
    if config.clusters is not None or config.split.by == "cluster":
        progress.say("looking for near-duplicates")
        before = len(rows)
        rows = cluster_rows(rows, config.clusters or ClusterSettings(), ledger=ledger, progress=progress)
        if len(rows) < before:  # families of repeats were left out, more of them from background
            quality = judged_again(quality, rows, elements.tasks, config.negatives)
    rows = rows.with_columns(split=SPLITTERS[config.split.by](rows, elements.tasks, config.split))
    record(rows.table, config.split.by, ledger)
    rows, more = shuffled_negatives(rows, elements.tasks, config.negatives, ledger=ledger)
    return rows, [*quality, *more]


def _signals(
    rows: Rows, config: DatasetConfig, genome: Genome | None, *, ledger: Ledger, scratch: Path, progress: Progress
) -> Signals | None:
    if config.signals is None:
        return None
    progress.say(f"reading signals: {', '.join(config.signals.tracks)}")
    scratch.mkdir(parents=True, exist_ok=True)
    return read_signals(
        rows,
        config.signals,
        train_mask=(rows.table["split"] == "train").to_numpy(),
        assembly=genome.assembly if genome is not None else _assembly(None, config),
        ledger=ledger,
        scratch=scratch,
        progress=progress,
    )


def _genome(
    elements: Elements, config: DatasetConfig, genome: Genome | str | Path | None, progress: Progress
) -> Genome | None:
    """The genome to take sequences from, opened only when it is needed."""
    if isinstance(genome, Genome):
        return genome
    path = genome or getattr(config.source, "genome", "")
    own = elements.codes is not None and config.sequence.mode == "element"
    if not path or (own and "background" not in config.negatives.kinds):
        return None
    progress.say(f"opening the genome {path}")
    return Genome(path, assembly=getattr(config.source, "assembly", "GRCh38"), progress=progress)


def _other_files(genome: Genome | None, config: DatasetConfig) -> list[dict[str, Any]]:
    """What was read besides the source's own files, as ``Elements.files`` has it."""
    found = []
    if genome is not None:
        found.append(describe(genome.path, form="genome", sha256=genome.digest))
    files = {"exclusion list": config.negatives.exclude, "transcription start sites": config.negatives.tss}
    return found + [describe(path, form=form) for form, path in files.items() if path and config.negatives.kinds]


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
