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
    shown = ("name", "digest", "assembly", "sequence", "splits", "kinds", "ledger", "audit", "sources", "provenance")
    return {
        "kind": "dataset",
        "path": str(dataset.path),
        "tasks": [{"name": t.name, "group": t.group, "kind": t.kind} for t in dataset.tasks],
        **{key: manifest.get(key) for key in shown},
    }


def draw_dataset(console: Console, dataset: Dataset) -> None:
    """Splits, ledger and audit of a dataset."""
    manifest = dataset.manifest
    sequence = manifest["sequence"]
    shortest, longest = sequence["min_length"], sequence["max_length"]
    width = f"{shortest:,}" if shortest == longest else f"{shortest:,}-{longest:,}"
    shape = f"{'windows' if sequence['mode'] == 'window' else 'elements'} of {width} bp"
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in manifest.get("kinds", {}).items())
    console.print(f"[bold]dataset {manifest['name']}[/bold]  ·  {dataset.path}")
    console.print(f"{kinds}  ·  {shape}  ·  {manifest['assembly'] or 'no assembly'}  ·  digest {dataset.digest[:12]}")
    _draw_splits(console, manifest["splits"])
    ledger = Table("step", "in", "dropped", "added", "out", title="Ledger: no row disappears uncounted")
    for step in dataset.ledger.steps:
        notes = "".join(f"\n  [dim]{note}: {_number(count)}[/dim]" for note, count in step.notes.items())
        dropped, added = _counts(step.dropped), _counts(step.added)
        ledger.add_row(step.name + notes, f"{step.rows_in:,}", dropped, added, f"{step.rows_out:,}")
    console.print(ledger)
    draw_audit(console, dataset.audit)


def _draw_splits(console: Console, splits: Mapping[str, Any]) -> None:
    """Positives of each task by split: rows are tasks, so that nine tissues fit a terminal."""
    heads = [f"{name}: {split['rows']:,} rows" for name, split in splits.items()]
    table = Table("positives of measured", *heads, title="Splits")
    for task in next(iter(splits.values()))["tasks"]:
        table.add_row(task, *(_share(split["tasks"][task]) for split in splits.values()))
    console.print(table)


def _share(counts: Mapping[str, int]) -> str:
    if "measured" in counts:
        return f"{counts['measured']:,} measured"
    measured = counts["positive"] + counts["negative"]
    return f"{counts['positive']:,} of {measured:,} ({counts['positive'] / measured:.0%})" if measured else "none"


def draw_audit(console: Console, audit: Mapping[str, Any]) -> None:
    """Leakage in one sentence, and what length, GC and N share alone would score."""
    leakage, shortcuts = audit["leakage"], audit["shortcuts"]
    if leakage["pairs"]:
        found = ", ".join(f"{count:,} {splits}" for splits, count in leakage["by_splits"].items() if count)
        console.print(f"Leakage: {leakage['pairs']:,} pairs of equal sequences stand in two splits ({found}).")
    else:
        console.print("Leakage: no sequence, and no reverse complement of one, stands in two splits.")
    table = Table("task", "length", "GC", "N share", title=f"Shortcuts: AUROC on {shortcuts['split']} of each alone")
    for task, scores in shortcuts["tasks"].items():
        cells = ("-" if (v := scores[name]) is None else f"{v:.3f}" for name in ("length", "gc", "n_share"))
        table.add_row(task, *cells)
    console.print(table)


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
    """One row a model, then one a baseline: macro AUROC and AUPRC of each task group, with intervals.

    Parameters
    ----------
    console
        Where to.
    evaluations
        Name -> ``evaluation.json`` of a run; the baselines shown are those of each new dataset once.
    """
    first = next(iter(evaluations.values()))
    groups = list(first["groups"])
    blocks = first["blocks"]
    title = f"{first['split']}: {first['rows']:,} rows, intervals from {blocks['count']} {blocks['kind']} blocks"
    heads = [f"{group} {metric}" for group in groups for metric in ("AUROC", "AUPRC")]
    table = Table("", *heads, f"{groups[-1]} AUROC over 5-mers", title=title)
    for name, values in evaluations.items():
        over = values.get("differences", {}).get("kmer5", {}).get("all", {})
        difference = over.get(f"{groups[-1]}/macro", {}).get("auroc")
        table.add_row(f"[bold]{name}[/bold]", *_group_cells(values, groups), _interval(difference, sign=True))
    table.add_section()
    for name, values in first["baselines"].items():
        table.add_row(name, *_group_cells(values, groups), "")
    console.print(table)


def _group_cells(values: Mapping[str, Any], groups: list[str]) -> list[str]:
    macros = [values["groups"].get(group, {}).get("macro", {}) for group in groups]
    return [_interval(macro.get(metric)) for macro in macros for metric in ("auroc", "auprc")]


def draw_comparison(console: Console, result: Mapping[str, Any]) -> None:
    """Paired differences of every two runs, by group and task."""
    blocks = result["blocks"]
    title = f"differences on {result['split']}, intervals from {blocks['count']} {blocks['kind']} blocks"
    table = Table("runs", "scope", "task", "AUROC", "AUPRC", title=title)
    for pair in result["pairs"]:
        for scope, names in pair["differences"].items():
            for name, metrics in names.items():
                cells = [_interval(metrics.get(metric), sign=True) for metric in ("auroc", "auprc")]
                table.add_row(f"{pair['a']} - {pair['b']}", scope, name, *cells)
        table.add_section()
    console.print(table)


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


def _interval(value: Mapping[str, Any] | None, *, sign: bool = False) -> str:
    """``0.912 [0.904, 0.920]``; a dash where it is not defined."""
    if not value or value.get("value") is None:
        return "-"
    form = "+.3f" if sign else ".3f"
    text = f"{value['value']:{form}}"
    if value.get("low") is None:
        return text
    return f"{text} \\[{value['low']:{form}}, {value['high']:{form}}]"


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
