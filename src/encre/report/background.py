"""What the runs stand on: data, audit, budgets and provenance, as plain values and sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from encre.data import audit_words as words
from encre.evaluation.summary import Finding, group_label, number
from encre.report.folders import RunView

_STRONG = 0.6
"""From this AUROC on (either side of a half) a shortcut is worth a warning, unless the audit says another."""
_PROFIT = 0.01
"""From this gain in accuracy on, leaked rows are worth a warning."""


def data_findings(data: Mapping[str, Any]) -> list[Finding]:
    """Leakage and shortcuts in plain words; nothing when the dataset's manifest is not at hand."""
    audit, found = data.get("audit") or {}, []
    leakage, shortcuts = audit.get("leakage"), audit.get("shortcuts")
    if leakage is not None:
        found.append(_leak_finding(leakage))
    if shortcuts is not None:
        found.append(_shortcut_finding(shortcuts))
    if (neighbours := audit.get("neighbours")) is not None:
        found += _neighbour_findings(neighbours)
    return found


def _leak_finding(leakage: Mapping[str, Any]) -> Finding:
    """What stands in two splits; only copies and nearly equal rows are a caution, since neighbours on the genome may
    overlap by a base.
    """
    near = (leakage.get("near_rows") or {}).get("test", 0)
    said = words.leak_sentence(leakage)
    if leakage["pairs"] or near:
        return Finding(f"{said} This flatters models that memorise.", "caution")
    return Finding(said, "good")


def _neighbour_findings(neighbours: Mapping[str, Any]) -> list[Finding]:
    """The task whose memory profits most from rows that leak."""
    profits = [
        (values["profit"]["accuracy"], task)
        for task, values in neighbours["tasks"].items()
        if (values.get("profit") or {}).get("accuracy") is not None
    ]
    if not profits:
        return []
    profit, task = max(profits)
    on = group_label(task)
    said = f"rows that leak change the accuracy of the nearest training neighbour by {profit:+.3f} on {on}"
    if profit >= _PROFIT:
        return [Finding(f"Memory pays: {said}.", "caution")]
    return [Finding(f"Memory pays little: {said}.", "good")]


def _shortcut_finding(shortcuts: Mapping[str, Any]) -> Finding:
    scored = [
        (abs(value - 0.5), value, words.FEATURES[name], row)
        for row in words.shortcut_rows(shortcuts)
        for name, value in zip(words.shortcut_names(shortcuts), row.scores, strict=True)
        if value is not None
    ]
    if not scored:
        return Finding("What a shortcut alone would score is not defined on this split.", "caution")
    strength, value, name, row = max(scored, key=lambda item: item[:2])
    against = f" against {row.kind.replace('_', ' ')}" if row.kind else ""
    said = f"{name} on {group_label(row.task)}{against} with an AUROC of {number(value)}"
    if strength + 0.5 >= shortcuts.get("flag", _STRONG):
        return Finding(
            f"A shortcut is open: the strongest is {said}. Read the tasks beside the simple baselines.", "caution"
        )
    return Finding(f"No shortcut carries the result: the strongest is {said} (0.5 is chance).", "good")


def budget_findings(views: Sequence[RunView]) -> list[Finding]:
    """What each run was trained with, and whether time cut it short."""
    cut, found = [], []
    for view in views:
        training, planned = view.manifest.get("training") or {}, view.config.get("train") or {}
        minutes = planned.get("max_minutes")
        if minutes:
            done, asked = training.get("epochs"), planned.get("epochs")
            epochs = f", {done} of at most {asked} epochs" if done and asked else ""
            cut.append(f"{view.label} ({minutes:g} min{epochs})")
        elif (done := training.get("epochs")) and (best := training.get("best_epoch")) and done == best and done > 1:
            said = f"{view.label} was still improving on valid in its last epoch ({done}); more training may help."
            found.append(Finding(said, "caution"))
    if cut:
        said = f"Trained on a limited time budget: {'; '.join(cut)}. Longer training may score higher."
        found.insert(0, Finding(said, "caution"))
    return found


def data_section(view: RunView) -> dict[str, Any]:
    """Splits, ledger, sources and audit of the dataset, for the template; empty without its manifest."""
    data = view.data
    if not data:
        return {}
    splits = data.get("splits") or {}
    tasks = list(next(iter(splits.values()))["tasks"]) if splits else []
    steps = data.get("ledger") or []
    audit = data.get("audit") or {}
    most = max((max(step["rows_in"], step["rows_out"]) for step in steps), default=1) or 1
    return {
        "name": data.get("name", ""),
        "assembly": data.get("assembly", ""),
        "digest": data.get("digest", ""),
        "shape": _shape(data.get("sequence") or {}),
        "kinds": data.get("kinds") or {},
        "rows": sum(part["rows"] for part in splits.values()),
        "splits": {name: part["rows"] for name, part in splits.items()},
        "tasks": [(task, [_counts(part["tasks"].get(task, {})) for part in splits.values()]) for task in tasks],
        "steps": [{**step, "share": round(100 * step["rows_out"] / most, 2)} for step in steps],
        "sources": data.get("sources") or [],
        "leakage": _leakage(audit.get("leakage")),
        "shortcuts": _shortcuts(audit.get("shortcuts")),
        "neighbours": _neighbours(audit.get("neighbours")),
    }


def _shape(sequence: Mapping[str, Any]) -> str:
    if sequence.get("mode") == "window":
        return f"windows of {sequence.get('width')} bases of real flanking sequence, centred on the element"
    low, high = sequence.get("min_length"), sequence.get("max_length")
    return f"whole elements of {high} bases" if low == high else f"whole elements of {low} to {high} bases"


def _counts(counts: Mapping[str, int]) -> dict[str, Any]:
    if "positive" not in counts:
        return {"measured": counts.get("measured", 0), "positive": None, "share": None}
    measured = counts["positive"] + counts["negative"]
    share = counts["positive"] / measured if measured else None
    return {"measured": measured, "positive": counts["positive"], "share": share}


def _leakage(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A row a kind of leakage, and how to read the repeats."""
    if not found:
        return None
    return {"rows": words.leak_rows(found), "note": words.repeat_sentence(found)}


def _shortcuts(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Each shortcut's AUROC with how far it lies from chance, 0 to 1, for the shade of its cell."""
    if not found:
        return None
    rows = [
        (row.task, row.kind, [(value, round(200 * abs((value or 0.5) - 0.5))) for value in row.scores])
        for row in words.shortcut_rows(found)
    ]
    names = [words.FEATURES[name] for name in words.shortcut_names(found)]
    return {"split": found["split"], "names": names, "rows": rows, "note": words.shortcut_note(found)}


def _neighbours(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What a memory of training would score: a row a task."""
    if not found:
        return None
    rows = list(words.neighbour_rows(found))
    return {"said": words.neighbour_head(found), "heads": words.NEIGHBOUR_HEADS, "rows": rows}


def provenance_rows(views: Sequence[RunView]) -> list[tuple[str, list[str]]]:
    """A row a fact, a cell a run: what was trained on what, with which versions."""
    facts = [_facts(view) for view in views]
    names = list(dict.fromkeys(name for fact in facts for name in fact))
    return [(name, [fact.get(name, "\N{EN DASH}") for fact in facts]) for name in names]


def _facts(view: RunView) -> dict[str, str]:
    manifest, made = view.manifest, view.manifest.get("provenance") or {}
    training, dataset = manifest.get("training") or {}, manifest.get("dataset") or {}
    planned, model = view.config.get("train") or {}, view.config.get("model") or {}
    facts = {
        "Run folder": view.path.name,
        "Architecture": _architecture(model),
        "Members": ", ".join(f"{m['run']} (seed {m['seed']})" for m in manifest.get("members", [])),
        "Parameters": f"{manifest['parameters']:,}" if manifest.get("parameters") else "",
        "Epochs": _epochs(training, planned),
        "Sequences seen": f"{training['sequences']:,}" if training.get("sequences") else "",
        "Time": _duration(training.get("seconds")),
        "Device": _device(training),
        "Seed": str(training.get("seed", "")),
        "Training": _settings({k: v for k, v in planned.items() if k not in _SAID_ELSEWHERE}),
        "Dataset": f"{dataset.get('name') or 'unnamed'}, digest {str(dataset.get('digest'))[:12]}",
        "encre": " · ".join(str(v) for v in (made.get("encre"), made.get("git")) if v),
        "Versions": ", ".join(
            f"{k} {v}" for k, v in {"Python": made.get("python"), **made.get("versions", {})}.items()
        ),
        "Machine": str(made.get("machine", "")),
        "Made": str(made.get("created", "")).replace("T", " ").replace("+00:00", " UTC"),
    }
    return {name: value for name, value in facts.items() if value}


_SAID_ELSEWHERE = ("seed", "epochs", "device", "logs", "checkpoint_every")


def _architecture(model: Mapping[str, Any]) -> str:
    """The settings of a model; of an ensemble, those of its members, each shape once."""
    if not model.get("members"):
        return _settings(model)
    shapes = Counter(_settings(member) for member in model["members"])
    return "mean of " + "; ".join(f"{count} x {shape}" for shape, count in shapes.items())


def _settings(values: Mapping[str, Any]) -> str:
    shown = [f"{k} {_value(v)}" for k, v in values.items() if k != "name" and v not in ({}, [], None)]
    return ", ".join(([str(values["name"])] if "name" in values else []) + shown)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return "–".join(_value(v) for v in value)  # noqa: RUF001 - a range of layers reads better with it
    if isinstance(value, Mapping):
        return " ".join(f"{k} {_value(v)}" for k, v in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)


def _epochs(training: Mapping[str, Any], planned: Mapping[str, Any]) -> str:
    if not training.get("epochs"):
        return ""
    of = f" of at most {planned['epochs']}" if planned.get("epochs") else ""
    kept = f", epoch {training['best_epoch']} kept" if training.get("best_epoch") else ""
    return f"{training['epochs']}{of}{kept}"


def _device(training: Mapping[str, Any]) -> str:
    parts = [training.get("device"), training.get("precision")]
    if training.get("threads"):
        parts.append(f"{training['threads']} threads")
    if (training.get("world_size") or 1) > 1:
        parts.append(f"{training['world_size']} processes")
    return ", ".join(str(p) for p in parts if p)


def _duration(seconds: float | None) -> str:
    if not seconds:
        return ""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
