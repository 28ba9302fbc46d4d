"""Percentiles against measured negatives, and probabilities at another base rate."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from encre.errors import ConfigError, FormatError
from encre.evaluation.background import Background, quantiles_of
from encre.evaluation.calibration import Calibration, fit_calibration
from encre.predict.base_rate import read_base_rate
from encre.tasks import Task, TaskSet

TASKS = TaskSet([Task("heart", "tissue", "multilabel"), Task("signal", "signal", "regression")])


def valid(negatives: int = 1000, positives: int = 250, unmeasured: int = 50) -> pl.DataFrame:
    """Negatives score 0 to 1, evenly; positives 0.5 to 1.5; what was not measured scores 100."""
    heart = np.concatenate([np.zeros(negatives), np.ones(positives), np.full(unmeasured, np.nan)])
    logit = np.concatenate(
        [np.linspace(0, 1, negatives), np.linspace(0.5, 1.5, positives), np.full(unmeasured, 100.0)]
    )
    columns = {"target_heart": heart, "logit_heart": logit, "target_signal": logit, "logit_signal": logit}
    return pl.DataFrame(columns).cast(pl.Float32)


def test_a_percentile_is_the_share_of_measured_negatives_below() -> None:
    background = fit_calibration(valid(), TASKS).background
    assert background is not None
    found = background.percentiles(np.array([[-1.0], [0.25], [0.99], [7.0]]), ["heart"])[:, 0]
    np.testing.assert_allclose(found, [0, 25, 99, 100], atol=0.1)
    assert background.rows == {"heart": 1000, "signal": 1300}


def test_ties_count_half() -> None:
    same = Background({"heart": quantiles_of(np.zeros(50))}, {"heart": 50})
    assert same.percentiles(np.array([[-0.1], [0.0], [0.1]]), ["heart"])[:, 0].tolist() == [0, 50, 100]


def test_a_task_with_too_few_negatives_has_no_percentile() -> None:
    background = fit_calibration(valid(negatives=10), TASKS).background
    assert background is not None
    assert background.rows["heart"] == 10
    assert np.isnan(background.percentiles(np.array([[0.5]]), ["heart"])).all()


def test_a_calibration_file_carries_it_and_an_older_one_is_read_without(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    fitted = fit_calibration(valid(), TASKS)
    fitted.write(path)
    assert Calibration.read(path) == fitted
    assert "negatives" in json.loads(path.read_text())["background"]["made_of"]
    old = {k: v for k, v in json.loads(path.read_text()).items() if k not in ("background", "prevalence")}
    read = Calibration.from_dict(old)
    assert (read.background, read.prevalence) == (None, {})
    for damage in ({"quantiles": {"heart": [1.0, 0.0]}, "rows": {}}, {"quantiles": {}}, {"quantiles": 3, "rows": {}}):
        with pytest.raises(FormatError, match="encre evaluate"):
            Calibration.from_dict({**old, "background": damage})


def test_a_base_rate_gives_what_a_valid_split_of_that_rate_would_have_given() -> None:
    # Bayes by hand: the odds are multiplied by the ratio of the prior odds
    known = Calibration({"heart": 1.0}, {"heart": 0.5}, prevalence={"heart": 0.5})
    logits = np.array([[-2.0], [0.0], [3.0]])
    odds = np.exp(logits) * (0.01 / 0.99) / (0.5 / 0.5)
    for rate in (0.01, {"heart": 0.01}):
        np.testing.assert_allclose(known.probabilities(logits, ["heart"], base_rate=rate), odds / (1 + odds))
    np.testing.assert_allclose(
        known.probabilities(logits, ["heart"], base_rate=0.5), known.probabilities(logits, ["heart"])
    )
    # and on the fitted one the mean probability of valid becomes the rate it is corrected to, by construction at
    # its own prevalence
    frame = valid(unmeasured=0)
    fitted = fit_calibration(frame, TASKS)
    assert fitted.prevalence == {"heart": pytest.approx(0.2)}
    own = fitted.probabilities(frame["logit_heart"].to_numpy()[:, None], ["heart"], base_rate=0.2)
    assert own.mean() == pytest.approx(0.2, abs=1e-4)


@pytest.mark.parametrize(
    ("rate", "said"),
    [
        (0.0, "above 0 and below 1"),
        (1.0, "above 0 and below 1"),
        (float("nan"), "above 0 and below 1"),
        ({"haert": 0.1}, "Did you mean 'heart'"),
        (0.1, "does not say its share of positives"),
    ],
)
def test_a_base_rate_that_cannot_be_used_is_refused(rate, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Calibration({"heart": 1.0}, {"heart": 0.5}).probabilities(np.zeros((1, 1)), ["heart"], base_rate=rate)


@pytest.mark.parametrize(
    ("words", "rate"),
    [
        (None, None),
        ([], None),
        (["0.01"], 0.01),
        (["a=0.1", "b=.2"], {"a": 0.1, "b": 0.2}),
        (["x=y=1e-3"], {"x=y": 0.001}),
    ],
)
def test_base_rates_are_read_from_options(words: list[str] | None, rate) -> None:
    assert read_base_rate(words) == rate


@pytest.mark.parametrize("words", [["few"], ["a=few"], ["0.1", "0.2"], ["0.1", "a=0.2"], ["a=0.1", "a=0.2"]])
def test_base_rates_that_say_two_things_or_none_are_refused(words: list[str]) -> None:
    with pytest.raises(ConfigError, match="one number for all tasks"):
        read_base_rate(words)
