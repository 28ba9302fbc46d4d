"""What is said of signal tracks: good, bad and undecided."""

from __future__ import annotations

from typing import Any

import pytest

from encre.evaluation.signals import additions, signal_findings

Metric = dict[str, Any]


def metric(value: float, low: float, high: float) -> Metric:
    return {"value": value, "low": low, "high": high}


def scopes(found: Metric) -> dict[str, Any]:
    return {"all": {"cell/macro": {"auprc": found}}}


def evaluation(*, hidden: Metric | None = None, alone: Metric | None = None, dropout: float = 0.1) -> dict[str, Any]:
    """Of a run with tracks where differences are given; otherwise of sequence alone."""
    groups = {"cell": {"tasks": ["a", "b"], "macro": {"auroc": metric(0.9, 0.8, 1), "auprc": metric(0.7, 0.6, 0.8)}}}
    values: dict[str, Any] = {"model": "cnn", "groups": groups}
    if hidden and alone:
        differences = {"hidden": scopes(hidden), "signal_only": scopes(alone)}
        values["signals"] = {"track_dropout": dropout, "signal_only": {"groups": groups}, "differences": differences}
    return values


MORE, NOTHING, LESS = metric(0.04, 0.03, 0.05), metric(0.01, -0.02, 0.03), metric(-0.04, -0.05, -0.03)


@pytest.mark.parametrize(
    ("difference", "said", "tone"),
    [
        (MORE, "The signal adds +0.040 (0.030 to 0.050) in macro AUPRC beyond sequence on the cell tasks", "good"),
        (NOTHING, "The signal adds nothing that can be told from zero", "caution"),
        (LESS, "The signal costs 0.040 (0.030 to 0.050)", "bad"),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_the_addition_is_the_paired_difference_whichever_run_stands_first(
    difference: Metric, said: str, tone: str, turned: bool
):
    runs = {"fused": evaluation(hidden=MORE, alone=MORE), "plain": evaluation()}
    other = {"value": -difference["value"], "low": -difference["high"], "high": -difference["low"]}
    pair = {"a": "fused", "b": "plain", "differences": scopes(difference)}
    if turned:
        pair = {"a": "plain", "b": "fused", "differences": scopes(other)}
    found = signal_findings(runs, pairs=[pair])
    assert found[0].text.startswith(said)
    assert found[0].tone == tone
    assert "CNN · fused against CNN · plain" in found[0].text
    assert [(add.fused, add.alone) for add in additions(runs, [pair])] == [("fused", "plain")]


def test_without_a_run_of_sequence_alone_it_says_which_is_missing():
    said = [finding.text for finding in signal_findings({"fused": evaluation(hidden=MORE, alone=MORE)})]
    assert 'the difference to a run with fusion = "none"' in said[0]
    assert "never trained without" not in said[0]
    leans = signal_findings({"fused": evaluation(hidden=MORE, alone=MORE, dropout=0.0)})[0].text
    assert "it was never trained without them" in leans
    assert signal_findings({"plain": evaluation()}) == []


@pytest.mark.parametrize(
    ("alone", "said"),
    [
        (MORE, "is ahead of them by 0.040"),
        (NOTHING, "cannot be told from zero: +0.010"),
        (LESS, "is behind them by 0.040"),
    ],
)
def test_tracks_that_say_it_all_are_named(alone: Metric, said: str):
    found = signal_findings({"fused": evaluation(hidden=MORE, alone=alone)})[-1].text
    assert found.startswith("The tracks alone, without a base, reach 0.700 in macro AUPRC")
    assert said in found
