"""What signal tracks add beyond sequence, in plain words; see :mod:`encre.train.beyond` for where it comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from encre.evaluation.summary import (
    Evaluation,
    Finding,
    Metric,
    label,
    labels,
    main_group,
    negated,
    number,
    on_group,
    skill_metrics,
    text,
)


class Addition(NamedTuple):
    """A run with tracks against a run of sequence alone: names, and the differences (first minus second)."""

    fused: str
    alone: str
    differences: Mapping[str, Mapping[str, Mapping[str, Metric]]]


def additions(evaluations: Mapping[str, Evaluation], pairs: Sequence[Mapping[str, Any]]) -> list[Addition]:
    """The pairs of :func:`encre.evaluation.runs.compare_runs` in which one run reads tracks and one does not."""
    found = []
    for pair in pairs:
        a, b, scopes = pair["a"], pair["b"], pair["differences"]
        if a not in evaluations or b not in evaluations:
            continue
        reads = [bool(evaluations[name].get("signals")) for name in (a, b)]
        if reads == [True, False]:
            found.append(Addition(a, b, scopes))
        elif reads == [False, True]:
            found.append(Addition(b, a, _turned(scopes)))
    return found


def signal_findings(
    evaluations: Mapping[str, Evaluation], *, pairs: Sequence[Mapping[str, Any]] = ()
) -> list[Finding]:
    """What the tracks add to each run that reads them, on the main group.

    Parameters
    ----------
    evaluations
        Run name -> contents of its ``evaluation.json``.
    pairs
        Of :func:`encre.evaluation.runs.compare_runs`: where a run of sequence alone is among them, it is what the
        tracks are measured against.
    """
    names, paired = labels(evaluations), additions(evaluations, pairs)
    found = []
    for run, values in evaluations.items():
        if not values.get("signals"):
            continue
        against = [pair for pair in paired if pair.fused == run]
        for pair in against:
            difference = _main(values, pair.differences)
            found.append(_added(values, difference, f"{names[run]} against {names[pair.alone]}"))
        found += _hidden(values, names[run], alone=any(not other.get("signals") for other in evaluations.values()))
        found.append(_signal_only(values, names[run]))
    return found


def _added(values: Evaluation, difference: Metric, who: str) -> Finding:
    """One sentence on a run with tracks against a run without."""
    where, metric = on_group(values, main_group(values)), _metric_name(values)
    if difference.get("value") is None:
        return Finding(f"On {where}, what the signal adds cannot be said: {difference.get('reason', 'undefined')}.")
    if _clear(difference):
        said = f"The signal adds {_signed(difference)} in {metric} beyond sequence on {where} ({who})."
        return Finding(said, "good")
    if difference.get("high") is not None and difference["high"] < 0:
        said = f"The signal costs {text(negated(difference))} in {metric} against sequence alone on {where} ({who})."
        return Finding(said, "bad")
    said = (
        f"The signal adds nothing that can be told from zero on {where}: {_signed(difference)} in {metric} ({who})."
    )
    return Finding(said, "caution")


def _hidden(values: Evaluation, who: str, *, alone: bool) -> Iterator[Finding]:
    """What the same model loses when its tracks are hidden."""
    signals = values["signals"]
    difference = _main(values, signals["differences"]["hidden"])
    if difference.get("value") is None:
        return
    change = f"loses {text(difference)}" if difference["value"] >= 0 else f"gains {text(negated(difference))}"
    where = on_group(values, main_group(values))
    said = f"With its tracks hidden, {who} {change} in {_metric_name(values)} on {where}"
    if not signals["track_dropout"]:
        said += "; it was never trained without them, so that this says what it leans on, not what sequence could do"
    if not alone:
        said += '. What the signal adds beyond sequence is the difference to a run with fusion = "none"'
    yield Finding(f"{said}.", "plain")


def _signal_only(values: Evaluation, who: str) -> Finding:
    """Whether the bases add anything to the tracks."""
    signals = values["signals"]
    group = main_group(values)
    metric = skill_metrics(values, group)[1]
    reached = signals["signal_only"]["groups"][group]["macro"].get(metric, {})
    difference = _main(values, signals["differences"]["signal_only"])
    said = f"The tracks alone, without a base, reach {number(reached.get('value'))} in {_metric_name(values)}"
    if difference.get("value") is None:
        return Finding(f"{said}.")
    if _clear(difference):
        return Finding(
            f"{said}; {who}, which reads the sequence too, is ahead of them by {text(difference)}.", "good"
        )
    if difference.get("high") is not None and difference["high"] < 0:
        return Finding(f"{said}; {who} is behind them by {text(negated(difference))}.", "bad")
    shown = f"{_signed(difference)} against them"
    return Finding(f"{said}; what {who} adds by the sequence cannot be told from zero: {shown}.", "caution")


def _main(values: Evaluation, scopes: Mapping[str, Any]) -> Metric:
    """The difference that the main group is told by."""
    group = main_group(values)
    return scopes["all"].get(f"{group}/macro", {}).get(skill_metrics(values, group)[1], {})


def _metric_name(values: Evaluation) -> str:
    group = main_group(values)
    macro = "macro " if len(values["groups"][group]["tasks"]) > 1 else ""
    return macro + label(skill_metrics(values, group)[1])


def _clear(difference: Metric) -> bool:
    return difference.get("low") is not None and difference["low"] > 0


def _signed(difference: Metric) -> str:
    """``+0.041 (0.030 to 0.052)``."""
    return f"{'+' if difference['value'] > 0 else ''}{text(difference)}"


def _turned(scopes: Mapping[str, Any]) -> dict[str, Any]:
    """Differences the other way round."""
    return {
        scope: {name: {m: negated(d) for m, d in metrics.items()} for name, metrics in names.items()}
        for scope, names in scopes.items()
    }
