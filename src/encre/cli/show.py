"""Folders and results as plain values (for ``--json``) and as tables on the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

if TYPE_CHECKING:
    from rich.console import Console

    from encre.data.dataset import Dataset


def describe_folder(path: Path, *, verify: bool) -> dict[str, Any]:
    """Plain values about a dataset or run folder; ``verify`` checks every file against its checksum."""
    if kind_of(path) == "run":
        return describe_run(path, verify=verify)
    from encre.data.dataset import Dataset

    return describe_dataset(Dataset.open(path, verify=verify)) | ({"verified": True} if verify else {})


def draw_folder(console: Console, path: Path, *, verified: bool = False) -> None:
    """A dataset or run folder as tables."""
    if kind_of(path) == "run":
        draw_run(console, path)
    else:
        from encre.data.dataset import Dataset

        draw_dataset(console, Dataset.open(path))
    if verified:
        console.print("Every file is whole: the checksums agree.")


def kind_of(path: Path) -> str:
    """``"run"`` or ``"dataset"``; anything else is an error in words."""
    from encre.errors import FolderError, MissingFileError
    from encre.files import read_json

    if not path.is_dir():
        raise MissingFileError("there is no such folder", where=path, remedy="Name a dataset or run folder.")
    manifest = read_json(path / "manifest.json") if (path / "manifest.json").is_file() else {}
    found = manifest.get("format") if isinstance(manifest, dict) else None
    kind = found.get("kind") if isinstance(found, dict) else None
    if kind not in ("run", "dataset"):
        raise FolderError("this is neither a dataset nor a run folder", where=path, expected="encre's manifest.json")
    return kind


# ---------------------------------------------------------------------------------------------- datasets


def describe_dataset(dataset: Dataset) -> dict[str, Any]:
    """Plain values about a dataset."""
    manifest = dataset.manifest
    return {
        "kind": "dataset",
        "path": str(dataset.path),
        "name": manifest.get("name"),
        "digest": dataset.digest,
        "assembly": manifest.get("assembly"),
        "sequence": manifest.get("sequence"),
        "tasks": [{"name": t.name, "group": t.group, "kind": t.kind} for t in dataset.tasks],
        "splits": _splits(dataset),
        "ledger": dataset.ledger.to_list(),
        "audit": dataset.audit,
        "sources": manifest.get("sources"),
        "provenance": manifest.get("provenance"),
    }


def draw_dataset(console: Console, dataset: Dataset) -> None:
    """Splits, ledger and audit of a dataset."""
    manifest = dataset.manifest
    sequence = manifest.get("sequence", {})
    console.print(f"[bold]dataset[/bold] {manifest.get('name')}  ·  {dataset.path}")
    shape = (
        f"windows of {sequence.get('width')} bp"
        if sequence.get("mode") == "window"
        else f"elements of {sequence.get('min_length')}-{sequence.get('max_length')} bp"
    )
    console.print(f"{shape}  ·  {manifest.get('assembly') or 'no assembly'}  ·  digest {str(dataset.digest)[:12]}")
    draw_splits(console, _splits(dataset))
    ledger = Table("step", "in", "dropped", "added", "out", title="Ledger: no row disappears uncounted", expand=False)
    for step in dataset.ledger.steps:
        dropped = _counts(step.dropped)
        ledger.add_row(step.name, f"{step.rows_in:,}", dropped, _counts(step.added), f"{step.rows_out:,}")
        for note, count in step.notes.items():
            ledger.add_row(f"  [dim]{note}: {_number(count)}[/dim]", "", "", "", "")
    console.print(ledger)
    draw_audit(console, dataset.audit)


def draw_splits(console: Console, splits: list[dict[str, Any]]) -> None:
    """Rows, and positives of each task, by split."""
    tasks = list(splits[0]["positives"]) if splits else []
    table = Table("split", "rows", *tasks, title="Rows, and positives of each task")
    for split in splits:
        positives, measured = split["positives"], split["measured"]
        cells = [f"{positives[t]:,} of {measured[t]:,}" if measured[t] else "not measured" for t in tasks]
        table.add_row(split["split"], f"{split['rows']:,}", *cells)
    console.print(table)


def draw_audit(console: Console, audit: Mapping[str, Any]) -> None:
    """The audit as its leaves, one a line."""
    table = Table("check", "found", title="Audit: leakage across splits, and what shortcuts alone would score")
    for name, value in _leaves(audit):
        table.add_row(name, _number(value))
    console.print(table)


def _splits(dataset: Dataset) -> list[dict[str, Any]]:
    found = []
    for name in ("train", "valid", "test"):
        subset = getattr(dataset, name)
        mask = subset.target_mask
        positives = ((subset.targets > 0.5) & mask).sum(0)
        found.append(
            {
                "split": name,
                "rows": len(subset.index),
                "measured": dict(zip(dataset.tasks.names, mask.sum(0).tolist(), strict=True)),
                "positives": dict(zip(dataset.tasks.names, positives.tolist(), strict=True)),
            }
        )
    return found


# -------------------------------------------------------------------------------------------------- runs


def describe_run(path: Path, *, verify: bool = False) -> dict[str, Any]:
    """Plain values about a run folder; with ``verify`` its files are checked by loading the model."""
    from encre.files import read_json, read_manifest

    manifest = read_manifest(path, kind="run", version=1)
    if verify:
        from encre.models.checkpoint import load_model

        load_model(path)
    parts = {
        name.removesuffix(".json"): read_json(path / name) if (path / name).is_file() else None
        for name in ("calibration.json", "evaluation.json")
    }
    return {"kind": "run", "path": str(path), **manifest, **parts, **({"verified": True} if verify else {})}


def draw_run(console: Console, path: Path) -> None:
    """What a run is, how it was trained, and, once evaluated, how good it is."""
    value = describe_run(path)
    data = value.get("dataset", {})
    console.print(f"[bold]run[/bold] {path}  ·  {value.get('model')}, {value.get('parameters', 0):,} parameters")
    console.print(f"dataset {data.get('name')} (digest {str(data.get('digest'))[:12]})")
    table = Table("training", "", show_header=True)
    for name, leaf in _leaves(value.get("training", {})):
        table.add_row(name, _number(leaf))
    for name, leaf in _leaves(value.get("provenance", {})):
        table.add_row(f"[dim]{name}[/dim]", f"[dim]{_number(leaf)}[/dim]")
    console.print(table)
    if value.get("evaluation"):
        draw_evaluations(console, {path.name: value["evaluation"]})
    else:
        console.print("Not evaluated yet: `encre evaluate` adds metrics, calibration and a model card.")


# ------------------------------------------------------------------------------------------------ doctor


def draw_doctor(console: Console, found: Mapping[str, Any]) -> None:
    """The machine, and what would be slow on it."""
    table = Table("machine", "", title="encre doctor")
    for topic, values in found.items():
        for name, value in _leaves(values) if isinstance(values, Mapping) else ():
            table.add_row(f"{topic}: {name}", _number(value))
    console.print(table)
    for line in found["advice"]:
        console.print(f"- {line}")
    if not found["advice"]:
        console.print("Nothing here should be slow.")


# ------------------------------------------------------------------------------------------- evaluations


def draw_evaluations(console: Console, evaluations: Mapping[str, Mapping[str, Any]]) -> None:
    """Placeholder until the evaluation's form is known."""


def draw_comparison(console: Console, result: Any) -> None:
    """Placeholder until the comparison's form is known."""


# --------------------------------------------------------------------------------------------- the cells


def _leaves(value: Any, prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Nested plain values as (path, leaf), lists of plain values joined."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{prefix} {key}".strip())
    elif isinstance(value, list) and any(isinstance(item, Mapping | list) for item in value):
        yield prefix, f"{len(value)} listed (see --json)"
    else:
        yield prefix, value


def _counts(reasons: Mapping[str, int]) -> str:
    return "\n".join(f"{count:,} {reason}" for reason, count in reasons.items())


def _number(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return ", ".join(_number(item) for item in value) or "none" if isinstance(value, list) else str(value)
