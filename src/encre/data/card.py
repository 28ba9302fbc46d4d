"""The dataset card: what a person should know before using a dataset, as ``README.md`` in its folder."""

from __future__ import annotations

from typing import Any

from encre.data import audit_words as words
from encre.tasks import TaskSet


def card(manifest: dict[str, Any], tasks: TaskSet) -> str:
    """The card's Markdown, from a manifest (``files`` and ``provenance`` are not needed)."""
    parts = [
        f"# Dataset: {manifest['name']}",
        _summary(manifest, tasks),
        "## Splits and tasks",
        _tasks(manifest, tasks),
        "## Where it comes from",
        _sources(manifest),
        "## What was done",
        _ledger(manifest),
        *(("## Negatives", _negatives(manifest["negatives"])) if manifest.get("negatives") else ()),
        *(("## Signals", _signals(manifest["signals"])) if manifest.get("signals") else ()),
        "## Audit",
        _audit(manifest),
        "## Use",
        _USE.format(digest=manifest["digest"]),
    ]
    return "\n\n".join(parts) + "\n"


_USE = """\
```python
import encre

data = encre.Dataset.open("this folder")
batch = data.train.batch([0, 1, 2])  # codes (B, L) uint8, length, targets (B, K), target_mask, index
```

Coordinates are 0-based, half-open. A target of NaN was not measured; it is masked in training and left out of
every metric. Choose thresholds on valid only; test is for the last word.

Content digest: `{digest}`"""


def _summary(manifest: dict[str, Any], tasks: TaskSet) -> str:
    sequence = manifest["sequence"]
    rows = sum(split["rows"] for split in manifest["splits"].values())
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in manifest["kinds"].items())
    if sequence["mode"] == "window":
        jitter = f", with {sequence['jitter']} more on each side for shifting" if sequence["jitter"] else ""
        bases = f"windows of {sequence['width']} bases centred on the elements{jitter}"
    elif sequence["min_length"] == sequence["max_length"]:
        bases = f"whole elements, all of {sequence['max_length']} bases"
    else:
        bases = f"whole elements of {sequence['min_length']} to {sequence['max_length']} bases"
    where = f" Assembly: {manifest['assembly']}." if manifest["assembly"] else ""
    return f"{rows:,} sequences ({kinds}) and {len(tasks)} tasks; {bases}.{where}"


def _tasks(manifest: dict[str, Any], tasks: TaskSet) -> str:
    splits = manifest["splits"]
    head = ["task", "group", *(f"{name} ({part['rows']:,} rows)" for name, part in splits.items())]
    lines = [head, ["---"] * len(head)]
    for task in tasks:
        cells = [_counts(part["tasks"][task.name]) for part in splits.values()]
        lines.append([task.name, task.group, *cells])
    return _table(lines) + "\n\nA cell says positives / measured (prevalence)."


def _counts(counts: dict[str, int]) -> str:
    if "measured" in counts:
        return f"{counts['measured']:,} measured"
    measured = counts["positive"] + counts["negative"]
    share = f" ({counts['positive'] / measured:.1%})" if measured else ""
    return f"{counts['positive']:,} / {measured:,}{share}"


def _sources(manifest: dict[str, Any]) -> str:
    lines = [["file", "SHA-256", "licence"], ["---"] * 3]
    for source in manifest["sources"]:
        name, licence = str(source.get("name", "")), str(source.get("licence") or "as stated by its owner")
        lines.append([name, f"`{str(source.get('sha256', ''))[:16]}…`", licence])
    return _table(lines)


def _ledger(manifest: dict[str, Any]) -> str:
    lines = [["step", "rows in", "rows out", "why, and what was noticed"], ["---"] * 4]
    for step in manifest["ledger"]:
        said = [f"-{count:,} {reason}" for reason, count in step["dropped"].items()]
        said += [f"+{count:,} {reason}" for reason, count in step["added"].items()]
        said += [f"{reason}: {_number(value)}" for reason, value in step["notes"].items()]
        lines.append([step["name"], f"{step['rows_in']:,}", f"{step['rows_out']:,}", "; ".join(said)])
    return _table(lines)


def _negatives(quality: list[dict[str, Any]]) -> str:
    """Kinds of negatives, and how like the positives they are."""
    names = list(dict.fromkeys(name for found in quality for name in found["smd"]))
    lines = [["kind", "wanted", "made", "kept", *names], ["---"] * (4 + len(names))]
    for found in quality:
        cells = [_smd(found["smd"].get(name)) for name in names]
        counts = (found["wanted"], found["made"], found["kept"])
        lines.append([found["kind"], *(f"{count:,}" for count in counts), *cells])
    return (
        f"{_table(lines)}\n\nA cell says the standardised mean difference from the positives (Austin 2009; below 0.1 "
        "is usually called balanced), and before it what it was without matching."
    )


def _smd(found: dict[str, float | None] | None) -> str:
    if found is None or found["after"] is None:
        return "not defined"
    before, after = found["before"], found["after"]
    return f"{after:.3f}" if before in (None, after) else f"{before:.3f} → {after:.3f}"


def _signals(signals: dict[str, Any]) -> str:
    lines = [["track", "tissue", "assay", "file", "bins without a value"], ["---"] * 5]
    for track in signals["tracks"]:
        lines.append([track["name"], track["tissue"], track["assay"], track["file"], f"{track['missing_share']:.1%}"])
    return (
        f"`batch.signals (B, S, bins)`: the {signals['reduce']} over {signals['bin']} bases, transform "
        f"{signals['transform']}, scale {signals['scale']} fitted on train; NaN where nothing was measured.\n\n"
        + _table(lines)
    )


def _audit(manifest: dict[str, Any]) -> str:
    leakage, shortcuts = manifest["audit"]["leakage"], manifest["audit"]["shortcuts"]
    leaks = [["rows with a partner in another split", "pairs", "valid rows", "test rows", "repeats"], ["---"] * 5]
    for row in words.leak_rows(leakage):
        pairs = row.reason if row.pairs is None else f"{row.pairs:,}"
        leaks.append([row.words, pairs, row.valid, row.test, row.repeats])
    names = words.shortcut_names(shortcuts)
    lines = [["task", *(f"{words.FEATURES[name]} alone" for name in names)], ["---"] * (1 + len(names))]
    for row in words.shortcut_rows(shortcuts):
        name = f"{row.task} against {row.kind}" if row.kind else row.task
        lines.append([name, *(_score(value) for value in row.scores)])
    neighbours = manifest["audit"].get("neighbours")
    parts = [
        words.leak_sentence(leakage),
        _table(leaks),
        words.repeat_sentence(leakage),
        f"AUROC that one property of a sequence alone reaches on {shortcuts['split']} (0.5 = nothing; below 0.5 the "
        "smaller value goes with the positives). A model must beat these.",
        _table(lines),
        words.shortcut_note(shortcuts),
        "" if neighbours is None else _neighbours(neighbours),
    ]
    return "\n\n".join(part for part in parts if part)


def _neighbours(neighbours: dict[str, Any]) -> str:
    lines = [["task", *words.NEIGHBOUR_HEADS], ["---"] * (1 + len(words.NEIGHBOUR_HEADS))]
    lines += [[task, *cells] for task, cells in words.neighbour_rows(neighbours)]
    return f"What a memory of training would score: {words.neighbour_head(neighbours)}.\n\n{_table(lines)}"


def _score(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.3f}"


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _table(lines: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
