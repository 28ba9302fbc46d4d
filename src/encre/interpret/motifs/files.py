"""A motif analysis as a folder: JSON, MEME, tables, BED, logos."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from encre.files import staged_folder, write_json
from encre.interpret.motifs import figures
from encre.interpret.motifs.finding import FoundMotif, Motifs
from encre.interpret.motifs.insertion import Effects
from encre.interpret.motifs.pairs import Spacing
from encre.interpret.motifs.settings import MotifSettings
from encre.predict.outputs import as_text
from encre.reproducibility import provenance
from encre.sequence.meme import write_meme

if TYPE_CHECKING:
    from encre.predict.predictor import Predictor

FORMAT = {"kind": "motifs", "version": 1}

_TEXT = ("name", "task", "sign", "consensus", "called", "nearest")
_SPACING: dict[str, Any] = {
    "left": pl.String, "right": pl.String, "orientation": pl.String, "task": pl.String, "gap": pl.Int64,
    "beyond_sum": pl.Float64, "low": pl.Float64, "high": pl.Float64, "together": pl.Float64,
    "p_value": pl.Float64, "q_value": pl.Float64,
}  # fmt: skip


def write_motifs(
    found: Motifs, folder: str | Path, *, predictor: Predictor, settings: MotifSettings, database: str = ""
) -> dict[str, Any]:
    """Write a new folder, and return what ``motifs.json`` holds.

    ``motifs.json`` (everything; what the report reads), ``motifs.meme`` (the patterns), ``motifs.tsv`` (a row a
    pattern), ``hits.bed`` (BED6 and three columns more; ``hits.tsv`` where places on the genome are not known),
    ``spacing.tsv``, ``database_effects.tsv`` when it was asked for, ``logos/`` and ``spacing.png`` / ``.svg``.

    Parameters
    ----------
    found
        From :func:`encre.interpret.motifs.finding.find_motifs`.
    folder
        New or empty; nothing half-written is left there.
    predictor, settings, database
        The model, the settings and the name of the motif file, for the record.
    """
    tasks = predictor.tasks.names
    spacing = [line for lines in figures.ranked(found.spacing) for line in lines]
    values = {
        "format": FORMAT,
        "model": predictor.describe(with_path=False),
        "sequences": found.sequences,
        "tasks": found.tasks,
        "method": found.method,
        "database": database,
        "settings": settings.model_dump(mode="json"),
        "notes": found.notes,
        "seqlets": [vars(count) for count in found.counts],
        "motifs": [_motif(m, _effect(found.effects, i, tasks)) for i, m in enumerate(found.motifs)],
        "hits": found.hits.height,
        "spacing": [_spacing(line) for line in spacing],
        "provenance": provenance(),
    }
    with staged_folder(folder) as staged:
        write_json(staged / "motifs.json", values)
        write_meme(staged / "motifs.meme", [motif.pattern.motif for motif in found.motifs])
        (staged / "motifs.tsv").write_text(as_text(motif_table(found, tasks)), encoding="utf-8")
        _write_hits(found.hits, staged)
        (staged / "spacing.tsv").write_text(as_text(spacing_table(spacing)), encoding="utf-8")
        if found.database_effects is not None:
            table = _database_table(found, tasks)
            (staged / "database_effects.tsv").write_text(as_text(table), encoding="utf-8")
        figures.write_logos(found.motifs, staged / "logos")
        figures.write_spacing(found.spacing, staged)
    return values


def motif_table(found: Motifs, tasks: tuple[str, ...]) -> pl.DataFrame:
    """A row a motif: what it is, what it is called, how often it is there, what it does to each task."""
    rows = []
    for i, motif in enumerate(found.motifs):
        best = motif.matches[0] if motif.matches else None
        row = {
            "name": motif.pattern.name, "task": motif.pattern.task, "sign": "+" if motif.pattern.sign > 0 else "-",
            "consensus": motif.pattern.motif.consensus, "seqlets": motif.pattern.seqlets,
            "called": motif.called or None,
            "nearest": best.motif.title if best else None, "p_value": best.p_value if best else None,
            "q_value": best.q_value if best else None, "hits": motif.hits,
        }  # fmt: skip
        rows.append(row | _flat(_effect(found.effects, i, tasks)))
    kinds: dict[str, Any] = {"seqlets": pl.Int64, "hits": pl.Int64}
    for name in _TEXT:
        kinds[name] = pl.String
    order = ["name", "task", "sign", "consensus", "seqlets", "called", "nearest", "p_value", "q_value", "hits"]
    order += [f"{kind}_{task}" for task in tasks for kind in ("effect", "low", "high")]
    return pl.DataFrame(rows, schema={name: kinds.get(name, pl.Float64) for name in order}, strict=False)


def spacing_table(spacing: list[Spacing]) -> pl.DataFrame:
    """A row a pair, orientation, task and gap."""
    frames = [
        pl.DataFrame(
            {
                "left": s.left, "right": s.right, "orientation": s.orientation, "task": s.task, "gap": s.gaps,
                "beyond_sum": s.beyond, "low": s.low, "high": s.high, "together": s.together,
                "p_value": s.p_value, "q_value": s.q_value,
            }
        )
        for s in spacing
    ]  # fmt: skip
    return pl.concat(frames) if frames else pl.DataFrame(schema=_SPACING)


def _database_table(found: Motifs, tasks: tuple[str, ...]) -> pl.DataFrame:
    assert found.database_effects is not None
    rows = [
        {"name": motif.name, "label": motif.label or None, "consensus": motif.consensus}
        | _flat(_effect(found.database_effects, i, tasks))
        for i, motif in enumerate(found.database)
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def _write_hits(hits: pl.DataFrame, folder: Path) -> None:
    if "chrom" not in hits.columns:
        (folder / "hits.tsv").write_text(as_text(hits), encoding="utf-8")
        return
    score = (pl.col("p_value").log10() * -100).round().clip(0, 1000).cast(pl.Int64).alias("bed_score")
    columns = ["chrom", "start", "end", "motif", score, "strand", "score", "p_value", "sequence"]
    name = pl.col("motif").str.replace_all(" ", "_")  # a blank would end the field in some readers
    table = hits.with_columns(name).select(columns).sort("chrom", "start", "end", "motif", maintain_order=True)
    (folder / "hits.bed").write_text(as_text(table).partition("\n")[2], encoding="utf-8")


def _motif(motif: FoundMotif, effects: Mapping[str, Any]) -> dict[str, Any]:
    pattern = motif.pattern
    matches = [
        {"name": m.motif.name, "label": m.motif.label, "p_value": m.p_value, "q_value": m.q_value, "strand": m.strand}
        for m in motif.matches
    ]
    return {
        "name": pattern.name,
        "task": pattern.task,
        "sign": pattern.sign,
        "called": motif.called,
        "consensus": pattern.motif.consensus,
        "seqlets": pattern.seqlets,
        "hits": motif.hits,
        "pwm": np.round(pattern.motif.pwm, 6).tolist(),
        "contribution": np.round(pattern.contribution, 6).tolist(),
        "matches": matches,
        "effects": effects,
    }


def _effect(effects: Effects, row: int, tasks: tuple[str, ...]) -> dict[str, Any]:
    """Task -> mean, low, high; None where the motif does not fit."""
    columns = (effects.mean[row], effects.low[row], effects.high[row])
    return {
        task: {n: _plain(c[k]) for n, c in zip(("mean", "low", "high"), columns, strict=True)}
        for k, task in enumerate(tasks)
    }


def _flat(effects: Mapping[str, Any]) -> dict[str, Any]:
    names = {"mean": "effect", "low": "low", "high": "high"}
    return {f"{names[kind]}_{task}": value for task, values in effects.items() for kind, value in values.items()}


def _plain(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None


def _spacing(spacing: Spacing) -> dict[str, Any]:
    arrays = {n: np.round(getattr(spacing, n), 6).tolist() for n in ("beyond", "low", "high", "together")}
    return {
        "left": spacing.left, "right": spacing.right, "orientation": spacing.orientation, "task": spacing.task,
        "gaps": spacing.gaps.tolist(), **arrays, "p_value": spacing.p_value, "q_value": spacing.q_value,
        "matters": spacing.matters, "statement": spacing.statement,
    }  # fmt: skip
