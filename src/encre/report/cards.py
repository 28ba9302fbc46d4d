"""The model card: what a person should know before using a run, as ``README.md`` in its folder.

(The dataset card is written by ``data.build``, where the dataset is made.)
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from encre.evaluation.metrics import REGRESSION
from encre.evaluation.runs import EVALUATION, RUN_VERSION, read_evaluation
from encre.evaluation.summary import label, number, sentences, text
from encre.files import read_json, read_manifest, staged_file
from encre.report.background import budget_findings, data_findings, provenance_rows
from encre.report.folders import RunView


def write_model_card(run: str | Path) -> Path:
    """Write ``README.md`` into a run folder.

    Parameters
    ----------
    run
        A run folder; what was measured is in the card once the run was evaluated.

    Returns
    -------
    Path
        Where the card lies.

    Raises
    ------
    MissingFileError, FolderError
        When it is no run folder, or its evaluation is damaged.
    """
    path = Path(run) / "README.md"
    card = model_card(run)
    with staged_file(path) as staged:
        staged.write_text(card, encoding="utf-8")
    return path


def model_card(run: str | Path) -> str:
    """The Markdown of a run's model card."""
    run = Path(run)
    manifest = read_manifest(run, kind="run", version=RUN_VERSION)
    evaluated = (run / EVALUATION["test"]).is_file()
    evaluation = read_evaluation(run) if evaluated else {}
    who = label(str(manifest["model"]))
    view = RunView(run, run.resolve().name, who, "s0", manifest, evaluation)
    dataset = manifest.get("dataset") or {}
    parts = [
        f"# {who}, trained on {dataset.get('name') or 'a dataset without a name'}",
        _about(manifest),
        "## What was found",
        _found(view) if evaluated else "Not evaluated yet: run `encre evaluate` on this folder.",
        "## Limits",
        _limits(view),
        "## How it was made",
        _table([["fact", "value"], ["---", "---"], *([name, cells[0]] for name, cells in provenance_rows([view]))]),
        "## Use",
        _USE,
    ]
    return "\n\n".join(parts) + "\n"


_USE = """\
```python
import encre

model = encre.load("this folder")
model.predict(["ACGT..."])  # a row a sequence, a logit and a probability a task
```

or `encre predict sequences.fa --model RUN`. A logit is averaged over both strands; a probability is
`sigmoid(logit / temperature + bias)`, or what the isotonic steps say, with the values of `calibration.json`, fitted
on the valid split."""


def _about(manifest: Mapping[str, Any]) -> str:
    tasks = ", ".join(f"`{name}`" for name in manifest.get("tasks", []))
    sequence = manifest.get("sequence") or {}
    low, high = sequence.get("min_length"), sequence.get("max_length")
    bases = f"{high} bases" if low == high else f"{low} to {high} bases"
    said = (
        f"It reads DNA sequences of {bases} and gives a logit for each of: {tasks}." if high else f"Tasks: {tasks}."
    )
    said = f"{said} It has {manifest.get('parameters', 0):,} parameters."
    return "\n".join([said, *(f"\n{note}" for note in manifest.get("notes", []))])


def _found(view: RunView) -> str:
    evaluation = view.evaluation
    blocks = evaluation["blocks"]
    said = "\n".join(f"- {sentence}" for sentence in sentences({view.name: evaluation}))
    tables = [_metrics(evaluation, metrics) for metrics in (("auroc", "auprc", "mcc"), REGRESSION)]
    how = (
        f"On the {evaluation['split']} split ({evaluation['rows']:,} rows), with 95 % intervals from "
        f"{evaluation['resamples']:,} resamples of {blocks['count']} blocks ({blocks['kind']})."
    )
    if tables[0]:
        how += " The threshold (a calibrated probability) maximised MCC on valid."
    return "\n\n".join(part for part in (said, *tables, how) if part)


def _metrics(evaluation: Mapping[str, Any], metrics: tuple[str, ...]) -> str:
    """A row a task that has the first of the metrics, and a row for the mean of each group of several."""
    classes = "mcc" in metrics
    heads = ["task", "rows", *(["prevalence"] if classes else []), *map(label, metrics), *(["threshold"] * classes)]
    lines = [heads, ["---"] * len(heads)]
    for name, task in evaluation["tasks"].items():
        if metrics[0] in (found := task["metrics"]):
            cells = [*([number(task["prevalence"])] if classes else []), *(text(found[m]) for m in metrics)]
            lines.append([name, f"{task['n']:,}", *cells, *([number(task["threshold"])] * classes)])
    for group, values in evaluation["groups"].items():
        if len(values["tasks"]) > 1 and metrics[0] in (found := values["macro"]):
            cells = [*([""] * classes), *(text(found[m]) for m in metrics), *([""] * classes)]
            lines.append([f"**{group}, macro**", "", *cells])
    return _table(lines) if len(lines) > 2 else ""


def _reads(view: RunView) -> str:
    """What the scores rest on."""
    signals = view.evaluation.get("signals") if view.evaluation else None
    if not signals:
        return "It scores sequence alone: what a cell does with it, it does not know."
    tracks = ", ".join(f"`{name}`" for name in signals["tracks"])
    without = (
        "answers without them as well, less well." if signals["track_dropout"] else "gives no answer without them."
    )
    return f"It reads the signal tracks {tracks} beside the sequence, made as in training, and {without}"


def _limits(view: RunView) -> str:
    data = read_json(view.path / "dataset.json") if (view.path / "dataset.json").is_file() else {}
    said = [finding.text for finding in (*data_findings(data), *budget_findings([view]))]
    if assembly := data.get("assembly"):
        said.append(
            f"Trained on sequence of {assembly}; other species and synthetic DNA are outside what was tested."
        )
    said.append(_reads(view))
    said.append("Not for clinical use.")
    return "\n".join(f"- {sentence}" for sentence in said)


def _table(lines: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
