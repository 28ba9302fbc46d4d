"""Folders and results as plain values (for ``--json``) and as tables on the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

if TYPE_CHECKING:
    from rich.console import Console

    from encre.data.dataset import Dataset
    from encre.ledger import Ledger


def describe_folder(path: Path, *, verify: bool) -> dict[str, Any]:
    """Plain values about a dataset or run folder; ``verify`` checks every file against its checksum."""
    if (kind := kind_of(path)) == "run":
        return describe_run(path, verify=verify)
    if kind == "pretrained":
        from encre.train.start import open_source

        return {"kind": kind, "path": str(path), **open_source(path).manifest, "verified": True}
    from encre.data.dataset import Dataset

    return describe_dataset(Dataset.open(path, verify=verify)) | ({"verified": True} if verify else {})


def draw_folder(console: Console, path: Path, *, verified: bool = False) -> None:
    """A dataset or run folder as tables."""
    if (kind := kind_of(path)) == "run":
        draw_run(console, path)
    elif kind == "pretrained":
        from encre.train.start import open_source

        draw_pretrained(console, path, open_source(path).manifest)
    else:
        from encre.data.dataset import Dataset

        draw_dataset(console, Dataset.open(path))
    if verified:
        console.print("Every file is whole: the checksums agree.")


def kind_of(path: Path) -> str:
    """``"run"``, ``"dataset"`` or ``"pretrained"``; anything else is an error in words."""
    from encre.errors import FolderError, MissingFileError
    from encre.files import read_json

    if not path.is_dir():
        raise MissingFileError("there is no such folder", where=path, remedy="Name a dataset or run folder.")
    manifest = read_json(path / "manifest.json") if (path / "manifest.json").is_file() else {}
    found = manifest.get("format") if isinstance(manifest, dict) else None
    kind = found.get("kind") if isinstance(found, dict) else None
    if kind not in ("run", "dataset", "pretrained"):
        raise FolderError("this is neither a dataset nor a run folder", where=path, expected="encre's manifest.json")
    return kind


def draw_pretrained(console: Console, path: Path, manifest: Mapping[str, Any]) -> None:
    """What a pretrained trunk names of masked bases, beside the baselines, and how to go on."""
    found = manifest["evaluation"]
    rows = {f"the pretrained {manifest['model']} trunk": found["accuracy"], **found["baselines"]}
    console.print(
        f"Share of {found['bases']:,} masked bases named rightly, in {found['windows']:,} held-out windows:"
    )
    for name, share in sorted(rows.items(), key=lambda row: -row[1]):
        console.print(f"  {share:.4f}  {name.replace('_', ' ')}")
    console.print(
        f'Begin from it: encre train CONFIG --data DIR --out RUN --set train.start="{path}"', soft_wrap=True
    )


# ---------------------------------------------------------------------------------------------- datasets


def describe_dataset(dataset: Dataset) -> dict[str, Any]:
    """Plain values about a dataset."""
    manifest = dataset.manifest
    shown = (
        "name",
        "digest",
        "assembly",
        "sequence",
        "splits",
        "kinds",
        "negatives",
        "ledger",
        "audit",
        "signals",
        "sources",
        "provenance",
    )
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
    _draw_ledger(console, dataset.ledger)
    if manifest.get("negatives"):
        _draw_negatives(console, manifest["negatives"])
    draw_audit(console, dataset.audit)


def _draw_ledger(console: Console, ledger: Ledger) -> None:
    """One line a step with its rows in and out; below it what was dropped, added and noticed, which may be long."""
    console.print("\n[bold]Ledger: no row disappears uncounted[/bold]")
    for step in ledger.steps:
        console.print(f"  {step.rows_in:>10,} → {step.rows_out:>10,}  {step.name}")
        told = [f"-{count:,} {reason}" for reason, count in step.dropped.items()]
        told += [f"+{count:,} {reason}" for reason, count in step.added.items()]
        told += [f"[dim]{note}: {_number(count)}[/dim]" for note, count in step.notes.items() if count != 0]
        for line in told:
            console.print(f"{'':>27}{line}", soft_wrap=True)
    console.print()


def _draw_negatives(console: Console, quality: list[Mapping[str, Any]]) -> None:
    """How like the positives each kind of negatives is: standardised mean differences."""
    names = list(dict.fromkeys(name for found in quality for name in found["smd"]))
    title = "Negatives: standardised mean difference from the positives, unmatched → as they are"
    table = _table(title, "kind", "made of wanted", *names)
    for found in quality:
        cells = [_difference(found["smd"].get(name)) for name in names]
        made, kept = found["made"], found.get("kept", found["made"])
        left = f", {kept:,} kept" if kept != made else ""
        table.add_row(found["kind"], f"{made:,} of {found['wanted']:,}{left}", *cells)
    console.print(table)


def _difference(found: Mapping[str, float | None] | None) -> str:
    if found is None or found["after"] is None:
        return "-"
    before, after = found["before"], found["after"]
    return f"{after:.3f}" if before in (None, after) else f"{before:.3f} → {after:.3f}"


def _draw_splits(console: Console, splits: Mapping[str, Any]) -> None:
    """Positives of each task by split: rows are tasks, so that nine tissues fit a terminal."""
    heads = [f"{name}: {split['rows']:,} rows" for name, split in splits.items()]
    table = _table("Splits: positives of measured rows", "task", *heads)
    for task in next(iter(splits.values()))["tasks"]:
        table.add_row(task, *(_share(split["tasks"][task]) for split in splits.values()))
    console.print(table)


def _share(counts: Mapping[str, int]) -> str:
    if "measured" in counts:
        return f"{counts['measured']:,} measured"
    measured = counts["positive"] + counts["negative"]
    return f"{counts['positive']:,} of {measured:,} ({counts['positive'] / measured:.0%})" if measured else "none"


def draw_own_files(console: Console, about: Mapping[str, Any]) -> None:
    """Files that were audited: rows, repeats and coordinates of each split, and what to know."""
    table = _table(", ".join(about["files"].values()), "split", "rows", "repeats within it", "with coordinates")
    for split, counts in about["splits"].items():
        table.add_row(split, *(f"{counts[key]:,}" for key in ("rows", "repeats", "placed")))
    console.print(table)
    for note in about["notes"]:
        console.print(f"- {note}", markup=False)


def draw_audit(console: Console, audit: Mapping[str, Any]) -> None:
    """Leakage by kind, what each shortcut alone would score, and what leaked rows are worth to a memory."""
    from encre.data import audit_words as words

    leakage, shortcuts, neighbours = audit["leakage"], audit.get("shortcuts"), audit.get("neighbours")
    console.print(f"Leakage: {words.leak_sentence(leakage)}", markup=False)
    table = _table("Rows with a partner in another split", "", "pairs", "valid rows", "test rows", "repeats")
    for row in words.leak_rows(leakage):
        if row.pairs is None:
            table.add_row(f"[dim]{row.words}: {row.reason}[/dim]", "-", "-", "-", "-")
        else:
            table.add_row(row.words, f"{row.pairs:,}", row.valid, row.test, row.repeats)
    console.print(table)
    for sentence in words.example_sentences(leakage):
        console.print(f"- {sentence}", markup=False)
    if said := words.repeat_sentence(leakage):
        console.print(said, markup=False)
    if shortcuts is not None:
        _draw_shortcuts(console, shortcuts)
    if neighbours is not None:
        console.print(f"Memory: {words.neighbour_head(neighbours)}.", markup=False)
        table = _table("Nearest training neighbour", "task", *words.NEIGHBOUR_HEADS)
        for task, cells in words.neighbour_rows(neighbours):
            table.add_row(task, *cells)
        console.print(table)


def _draw_shortcuts(console: Console, shortcuts: Mapping[str, Any]) -> None:
    from encre.data import audit_words as words

    names = words.shortcut_names(shortcuts)
    title = f"Shortcuts: AUROC that each alone would score on {shortcuts['split']}"
    table = _table(title, "task", *(words.FEATURES[name] for name in names))
    limit = shortcuts.get("flag", 1.0)
    for row in words.shortcut_rows(shortcuts):
        cells = (_shade(value, limit) for value in row.scores)
        table.add_row(f"[dim]  against {row.kind}[/dim]" if row.kind else row.task, *cells)
    console.print(table)
    if note := words.shortcut_note(shortcuts):
        console.print(note, markup=False)
    if flagged := shortcuts.get("flagged"):
        console.print(f"{len(flagged)} of them are flagged (*): beyond {limit:g}, in either direction.")


def _shade(value: float | None, limit: float) -> str:
    if value is None:
        return "-"
    return f"[bold]{value:.3f}*[/bold]" if abs(value - 0.5) + 0.5 > limit else f"{value:.3f} "


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
    table = _table("Training", "", "", show_header=False)
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
    table = _table("This machine", "", "", show_header=False)
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
    """Models, then baselines: both skill metrics of each task group, the first with its interval; what it means.

    Parameters
    ----------
    console
        Where to.
    evaluations
        Name -> ``evaluation.json`` of a run, all over one dataset.
    """
    from encre.evaluation.summary import group_label, label, leaderboard, sentences, skill_metrics

    first = next(iter(evaluations.values()))
    blocks = first["blocks"]
    title = (
        f"{first['split']}: {first['rows']:,} rows; 95 % intervals by resampling {blocks['kind']} ({blocks['count']})"
    )
    table = _table(title, "")
    told = {group: skill_metrics(first, group) for group in first["groups"]}
    for group, (metric, second) in told.items():
        table.add_column(f"{group_label(group)}\n{label(metric, short=True)}", no_wrap=True)
        table.add_column(f"\n{label(second, short=True)}", justify="right")
    models = 0
    for row in leaderboard(evaluations):
        is_model = row.kind == "model"
        if models and not is_model:
            table.add_section()
        models = models + 1 if is_model else 0
        cells = [cell for group, metrics in told.items() for cell in _skill(row.values.get(group, {}), *metrics)]
        table.add_row(f"[bold]{row.label}[/bold]" if is_model else row.label, *cells)
    console.print(table)
    for sentence in sentences(evaluations):
        console.print(f"- {sentence}", markup=False)


def _skill(macro: Mapping[str, Any], metric: str, second: str) -> tuple[str, str]:
    return _interval(macro.get(metric)), _interval({"value": (macro.get(second) or {}).get("value")})


def draw_comparison(console: Console, result: Mapping[str, Any]) -> None:
    """Paired differences of every two runs, by group and task."""
    from encre.evaluation.judgement import RANKING
    from encre.evaluation.summary import label

    blocks = result["blocks"]
    title = f"{result['split']}: differences; 95 % intervals by resampling {blocks['kind']} ({blocks['count']})"
    found = {
        m for pair in result["pairs"] for names in pair["differences"].values() for d in names.values() for m in d
    }
    shown = [metric for metric in RANKING if metric in found]
    table = _table(title, "runs", "scope", "task", *(label(metric, short=True) for metric in shown))
    for pair in result["pairs"]:
        for scope, names in pair["differences"].items():
            for name, metrics in names.items():
                cells = [_interval(metrics.get(metric), sign=True) for metric in shown]
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


def _table(title: str, *heads: str, show_header: bool = True) -> Table:
    """A quiet table: one rule under the heads, none between rows."""
    from rich import box

    table = Table(*heads, title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.show_header = show_header
    return table


def _interval(value: Mapping[str, Any] | None, *, sign: bool = False) -> str:
    """``0.912 (0.904 to 0.920)``; a dash where it is not defined."""
    if not value or value.get("value") is None:
        return "-"
    form = "+.3f" if sign else ".3f"
    if value.get("low") is None:
        return f"{value['value']:{form}}"
    return f"{value['value']:{form}} ({value['low']:{form}} to {value['high']:{form}})"


def _number(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return ", ".join(_number(item) for item in value) or "none" if isinstance(value, list) else str(value)
