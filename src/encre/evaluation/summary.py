"""Evaluations as a leaderboard and in plain words, for the command line, the report and the model card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

Evaluation = Mapping[str, Any]
Metric = Mapping[str, Any]
Tone = Literal["good", "caution", "bad", "plain"]

LABELS = {
    "cnn": "CNN",
    "cnn_lstm": "CNN+LSTM",
    "transformer": "Transformer",
    "ensemble": "Ensemble",
    "hybrid": "Hybrid",
    "longformer": "Longformer",
    "performer": "Performer",
    "dilated": "Dilated convolutions",
    "residual": "Residual CNN",
    "equivariant": "Strand-equivariant CNN",
    "all_positive": "Always positive",
    "length_only": "Length only",
    "gc_only": "GC content only",
    "kmer4": "4-mer logistic regression",
    "kmer5": "5-mer logistic regression",
    "nearest_neighbour": "Nearest training sequence",
    "gkm_svm": "gkm-SVM",
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "mcc": "MCC",
    "balanced_accuracy": "Balanced accuracy",
    "precision": "Precision",
    "recall": "Recall",
    "f1": "F1",
    "brier": "Brier score",
    "ece": "Calibration error",
    "pearson": "Pearson correlation",
    "spearman": "Spearman correlation",
    "r2": "R2",
    "mse": "Mean squared error",
}


SHORT = {
    "kmer4": "4-mer regression",
    "kmer5": "5-mer regression",
    "gc_only": "GC only",
    "balanced_accuracy": "Bal. acc.",
    "brier": "Brier",
    "pearson": "Pearson r",
    "spearman": "Spearman r",
    "mse": "MSE",
    "ece": "Calib. error",
}
"""Labels for narrow columns."""


CHANCE = {"auroc": 0.5, "pearson": 0.0, "spearman": 0.0}
"""What a metric is without any skill; AUPRC's is the prevalence."""


class Row(NamedTuple):
    """One scorer of the leaderboard.

    ``name`` is the run's or the baseline's, ``values`` is group -> metric -> value with interval (macro over
    the group's tasks).
    """

    name: str
    label: str
    kind: Literal["model", "baseline"]
    values: Mapping[str, Mapping[str, Metric]]


class Finding(NamedTuple):
    """One sentence and how it should be taken."""

    text: str
    tone: Tone = "plain"


def label(name: str, *, short: bool = False) -> str:
    """A name as a reader would write it; ``short`` for a narrow column."""
    return (SHORT.get(name) if short else None) or LABELS.get(name, name)


def group_label(group: str) -> str:
    """A group's or a task's name as a reader would write it: ``cell_line`` is "cell line"."""
    return group.replace("_", " ")


def on_group(values: Evaluation, group: str) -> str:
    """``"the cell line tasks"``, or the task's name where the group has one task."""
    tasks = values["groups"][group]["tasks"]
    return f"the {group_label(group)} tasks" if len(tasks) > 1 else group_label(tasks[0])


def number(value: float | None, digits: int = 3) -> str:
    """A metric's digits, with a true minus sign; a dash when there is none."""
    if value is None:
        return "\N{EN DASH}"
    shown = f"{value:.{digits}f}"
    return shown.replace("-", "\N{MINUS SIGN}") if float(shown) else f"{0:.{digits}f}"


def text(metric: Metric, digits: int = 3) -> str:
    """``0.923 (0.918 to 0.928)``, or a dash with the reason when it is undefined."""
    if metric.get("value") is None:
        return f"\N{EN DASH} ({metric.get('reason', 'undefined')})"
    if metric.get("low") is None:
        return number(metric["value"], digits)
    low, high = number(metric["low"], digits), number(metric["high"], digits)
    return f"{number(metric['value'], digits)} ({low} to {high})"


def skill_metrics(values: Evaluation, group: str) -> tuple[str, str]:
    """What a group's tasks are told by: AUROC and AUPRC, or, of regressions, both correlations."""
    return ("pearson", "spearman") if "pearson" in values["groups"][group]["macro"] else ("auroc", "auprc")


def leaderboard(evaluations: Mapping[str, Evaluation]) -> list[Row]:
    """Models as given, then the baselines, each with its macro values of every task group.

    Parameters
    ----------
    evaluations
        Run name -> contents of its ``evaluation.json``, all over one dataset and split.
    """
    names = labels(evaluations)
    rows = [Row(name, names[name], "model", _macros(values)) for name, values in evaluations.items()]
    baselines: dict[str, Evaluation] = {}
    for values in evaluations.values():
        for name, baseline in values.get("baselines", {}).items():
            baselines.setdefault(name, baseline)
    rows += [Row(name, label(name), "baseline", _macros(values)) for name, values in baselines.items()]
    return rows


def labels(evaluations: Mapping[str, Evaluation]) -> dict[str, str]:
    """Run name -> its architecture's label, or the run's name where two runs share an architecture."""
    models = [str(values.get("model", name)) for name, values in evaluations.items()]
    return {
        name: label(model) if models.count(model) == 1 else f"{label(model)} · {name}"
        for name, model in zip(evaluations, models, strict=True)
    }


def _macros(values: Evaluation) -> dict[str, Mapping[str, Metric]]:
    return {group: found["macro"] for group, found in values["groups"].items()}


def best_run(evaluations: Mapping[str, Evaluation], group: str) -> str | None:
    """The run with the highest macro AUROC or Pearson correlation of a group; None where it is undefined for all."""
    metric = skill_metrics(next(iter(evaluations.values())), group)[0]
    scored = {
        name: found["value"]
        for name, values in evaluations.items()
        if (found := values["groups"][group]["macro"].get(metric, {})).get("value") is not None
    }
    return max(scored, key=lambda name: scored[name]) if scored else None


def main_group(evaluation: Evaluation) -> str:
    """The group with the most tasks: what the whole is about."""
    groups = evaluation["groups"]
    return max(groups, key=lambda group: len(groups[group]["tasks"]))


def sentences(evaluations: Mapping[str, Evaluation], *, pairs: Sequence[Mapping[str, Any]] = ()) -> list[str]:
    """The findings of :func:`findings`, as plain sentences."""
    return [finding.text for finding in findings(evaluations, pairs=pairs)]


def findings(evaluations: Mapping[str, Evaluation], *, pairs: Sequence[Mapping[str, Any]] = ()) -> list[Finding]:
    """What was found, in plain words, the main group first; what speaks against the models is said as well.

    Parameters
    ----------
    evaluations
        Run name -> contents of its ``evaluation.json``.
    pairs
        The ``pairs`` of :func:`encre.evaluation.runs.compare_runs`, for a word on which run is better.
    """
    from encre.evaluation.signals import signal_findings  # which is made of what stands here

    if not evaluations:
        return []
    first = next(iter(evaluations.values()))
    main = main_group(first)
    found: list[Finding] = []
    for group in sorted(first["groups"], key=lambda name: name != main):
        best = best_run(evaluations, group)
        if best is None:
            found.append(Finding(_nothing_defined(first, group), "bad"))
            continue
        found.append(_headline(evaluations, best, group))
        found += _against_baselines(evaluations, best, group)
        found += _between_runs(evaluations, best, group, pairs=pairs)
        found += _others_behind(evaluations, best, group)
    return found + signal_findings(evaluations, pairs=pairs) + _weak_tasks(evaluations)


def _nothing_defined(values: Evaluation, group: str) -> str:
    reasons = values["groups"][group].get("undefined", {})
    why = "; ".join(f"{task}: {reason}" for task, reason in reasons.items()) or "no ranking task"
    return f"For {group_label(group)} no {label(skill_metrics(values, group)[0])} is defined ({why})."


def _headline(evaluations: Mapping[str, Evaluation], best: str, group: str) -> Finding:
    values = evaluations[best]
    found, (metric, second) = values["groups"][group], skill_metrics(values, group)
    tasks = [name for name in found["tasks"] if values["tasks"][name]["metrics"][metric]["value"] is not None]
    over = f"over {len(tasks)} {group_label(group)} tasks" if len(tasks) > 1 else f"on {group_label(tasks[0])}"
    macro = f"macro {label(metric)}" if len(tasks) > 1 else label(metric)
    rows = max(values["tasks"][name]["n"] for name in tasks)
    said = (
        f"{labels(evaluations)[best]} reaches a {macro} of {text(found['macro'][metric])} {over}, "
        f"on {rows:,} held-out sequences, and a {label(second)} of {number(found['macro'][second]['value'])}"
    )
    if second == "auprc":
        prevalence = [values["tasks"][name]["prevalence"] for name in tasks]
        said += f" where chance is {number(sum(prevalence) / len(prevalence))}"
    return Finding(f"{said}.".replace("a AU", "an AU"), "plain")


def _against_baselines(evaluations: Mapping[str, Evaluation], best: str, group: str) -> list[Finding]:
    """Whether the best run beats each baseline, by the interval of the paired difference."""
    values = evaluations[best]
    metric = skill_metrics(values, group)[0]
    beaten, unclear, better = {}, {}, {}
    for name in values.get("baselines", {}):
        difference = values["differences"][name]["all"].get(f"{group}/macro", {}).get(metric, {})
        if difference.get("low") is None:
            continue
        place = beaten if difference["low"] > 0 else better if difference["high"] < 0 else unclear
        place[name] = difference
    who, where, found = labels(evaluations)[best], on_group(values, group), []
    if beaten and not unclear and not better:
        strongest = min(beaten, key=lambda name: beaten[name]["value"])
        whom = label(strongest)
        if len(beaten) > 1:
            whom = f"all {len(beaten)} baselines; the strongest, {whom},"
        said = f"On {where}, {who} beats {whom} by {text(beaten[strongest])} in {label(metric)}."
        found += _per_task(values, strongest, group=group, said=said)
    elif beaten:
        names = ", ".join(label(name) for name in beaten)
        found.append(
            Finding(f"On {where}, {who} beats {len(beaten)} of {len(values['baselines'])} baselines: {names}.")
        )
    if unclear:
        names = ", ".join(f"{label(name)} (by {text(difference)})" for name, difference in unclear.items())
        found.append(Finding(f"On {where}, {who} does not clearly beat {names}: zero is in the interval.", "caution"))
    if better:
        names = ", ".join(f"{label(name)} by {text(negated(difference))}" for name, difference in better.items())
        found.append(Finding(f"On {where}, {who} is worse than {names} in {label(metric)}.", "bad"))
    return found


def _per_task(values: Evaluation, baseline: str, *, group: str, said: str) -> list[Finding]:
    """The lead over the strongest baseline, and whether it holds on every task."""
    tasks = values["groups"][group]["tasks"]
    scopes, metric = values["differences"][baseline]["all"], skill_metrics(values, group)[0]
    known = {name: d for name in tasks if (d := scopes[name].get(metric, {})).get("low") is not None}
    behind = [name for name, d in known.items() if d["low"] <= 0]
    if len(tasks) < 2 or not known:
        return [Finding(said, "good")]
    if not behind:
        over = f" The interval of the difference lies above zero on each of the {len(known)} tasks."
        return [Finding(said + over, "good")]
    names = ", ".join(group_label(name) for name in behind)
    but = f"Not on every task, though: over {label(baseline)}, the interval is not above zero for {names}."
    return [Finding(said, "good"), Finding(but, "caution")]


def negated(difference: Metric) -> Metric:
    """The difference the other way round; an undefined one as it is."""
    if difference.get("value") is None:
        return difference
    low, high = difference.get("low"), difference.get("high")
    turned = {"low": None, "high": None} if low is None or high is None else {"low": -high, "high": -low}
    return {"value": -difference["value"], **turned}


def _between_runs(
    evaluations: Mapping[str, Evaluation], best: str, group: str, *, pairs: Sequence[Mapping[str, Any]]
) -> list[Finding]:
    """The best run against every other one."""
    names, ahead, level = labels(evaluations), [], []
    metric = skill_metrics(evaluations[best], group)[0]
    for pair in pairs:
        if best not in (pair["a"], pair["b"]):
            continue
        other = pair["b"] if pair["a"] == best else pair["a"]
        difference = pair["differences"]["all"].get(f"{group}/macro", {}).get(metric, {})
        if other not in names or difference.get("low") is None:
            continue
        difference = difference if pair["a"] == best else negated(difference)
        if difference["low"] > 0:
            ahead.append(f"{names[other]} by {text(difference)}")
        else:
            level.append(
                f"{names[other]} (a difference of {number(difference['value'])}; "
                f"{number(difference['low'])} to {number(difference['high'])} holds zero)"
            )
    where, found = on_group(evaluations[best], group), []
    if ahead:
        found.append(Finding(f"On {where}, {names[best]} is ahead of {' and of '.join(ahead)}."))
    if level:
        said = f"On {where}, {names[best]} cannot be told apart from {' or from '.join(level)}."
        found.append(Finding(said, "caution"))
    return found


def _others_behind(evaluations: Mapping[str, Evaluation], best: str, group: str) -> list[Finding]:
    """The runs beside the best one that do not clearly beat every baseline."""
    found, names = [], labels(evaluations)
    metric = skill_metrics(evaluations[best], group)[0]
    for name, values in evaluations.items():
        scopes = values.get("differences", {})
        found_by = {key: scope["all"].get(f"{group}/macro", {}).get(metric, {}) for key, scope in scopes.items()}
        differences = {key: d for key, d in found_by.items() if d.get("low") is not None and d["low"] <= 0}
        if name == best or not differences:
            continue
        strongest = min(differences, key=lambda baseline: differences[baseline]["value"])
        difference = negated(differences[strongest])
        clear = difference["low"] > 0
        said = f"On {on_group(values, group)}, {names[name]} does not {'' if clear else 'clearly '}beat "
        said += (
            f"{label(strongest)}, which {'leads' if clear else 'differs'} by {text(difference)} in {label(metric)}"
        )
        more = f", nor {len(differences) - 1} more of the baselines" if len(differences) > 1 else ""
        found.append(Finding(f"{said}{more}.", "bad" if clear else "caution"))
    return found


def _weak_tasks(evaluations: Mapping[str, Evaluation]) -> list[Finding]:
    """Tasks without a value, and tasks where even the best run's interval holds chance."""
    undefined: dict[str, str] = {}
    chance: dict[str, list[str]] = {}
    first = next(iter(evaluations.values()))
    for name in first["tasks"]:
        metric = skill_metrics(first, first["tasks"][name]["group"])[0]
        scored = [values["tasks"][name]["metrics"].get(metric, {}) for values in evaluations.values()]
        if (reason := scored[0].get("reason")) and scored[0].get("value") is None:
            undefined[name] = reason
        known = [metric for metric in scored if metric.get("low") is not None]
        if known and all(of_run["low"] <= CHANCE[metric] for of_run in known):
            chance.setdefault(metric, []).append(name)
    found = []
    for metric, names in chance.items():
        reached = f"the interval of {label(metric)} reaches {CHANCE[metric]:g} for every run"
        found.append(Finding(f"At chance ({reached}): {', '.join(map(group_label, names))}.", "bad"))
    if undefined:
        said = "; ".join(f"{group_label(name)} ({reason})" for name, reason in undefined.items())
        found.append(Finding(f"Undefined, and left out of the means: {said}.", "caution"))
    return found
