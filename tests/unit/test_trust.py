"""Isotonic steps, the choice between them and a temperature, and conformal sets that hold what they promise."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from encre.errors import ConfigError, FormatError
from encre.evaluation.calibration import Calibration, fit_calibration, log_loss, sigmoid
from encre.evaluation.conformal import LEVELS, Conformal, said_set
from encre.evaluation.isotonic import fit_isotonic
from encre.evaluation.judgement import judge
from encre.evaluation.table import prediction_table
from encre.predict.sets import set_columns
from encre.report.trust_section import coverage_tables, fitted_words
from encre.tasks import Task, TaskSet

TASKS = TaskSet([Task("enhancer", "enhancer"), Task("level", "level", "regression")])


def drawn(n: int, *, seed: int, bent: bool = False) -> pl.DataFrame:
    """Rows on 25 chromosomes; ``bent``: no temperature and bias can mend the logits. 'level' has noise of 1."""
    rng = np.random.default_rng(seed)
    true = rng.normal(0, 2, n)
    logits = np.where(true > 0, true / 8, true * 3) if bent else 2 * true + 1
    level = rng.normal(0, 1, n)
    elements = pl.DataFrame(
        {"chrom": [f"c{i % 25}" for i in range(n)], "start": np.arange(n), "end": np.arange(n) + 9}
    )
    columns = {
        "index": np.arange(n),
        "length": np.full(n, 9),
        "targets": np.column_stack([rng.random(n) < sigmoid(true), level + rng.normal(0, 1, n)]),
        "mask": np.ones((n, 2), bool),
        "logits": np.column_stack([logits, level]),
    }
    return prediction_table(elements, TASKS, columns=columns)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=2, max_size=40))
def test_steps_never_fall_and_are_never_certain(rows: list[tuple[int, bool]]):
    logits, targets = np.array([x for x, _ in rows], float), np.array([y for _, y in rows], float)
    steps = fit_isotonic(targets, logits)
    p = np.array(steps.probabilities)
    assert (np.diff(p) >= 0).all()
    assert ((p > 0) & (p < 1)).all()
    assert (np.diff(sigmoid(steps.log_odds(np.linspace(-5, 5, 50)))) >= -1e-12).all()


def test_between_its_ends_it_is_scikit_learns_isotonic_regression():
    rng = np.random.default_rng(0)
    logits = np.round(rng.normal(0, 2, 3000), 2)
    targets = (rng.random(3000) < sigmoid(logits)).astype(float)
    known = IsotonicRegression(out_of_bounds="clip").fit(logits, targets)
    inside = np.linspace(-2.5, 2.5, 400)
    np.testing.assert_allclose(
        sigmoid(fit_isotonic(targets, logits).log_odds(inside)), known.predict(inside), atol=1e-6
    )


@pytest.mark.parametrize(("bent", "isotonic"), [(True, True), (False, False)])
def test_auto_takes_steps_only_where_they_are_better(bent: bool, isotonic: bool):
    valid, fresh = drawn(4000, seed=1, bent=bent), drawn(4000, seed=2, bent=bent)
    chosen = fit_calibration(valid, TASKS, method="auto")
    assert ("enhancer" in chosen.isotonic) == isotonic
    logits, targets = fresh["logit_enhancer"].to_numpy()[:, None], fresh["target_enhancer"].to_numpy()
    losses = {}
    for method in ("auto", "temperature", "isotonic"):
        p = fit_calibration(valid, TASKS, method=method).probabilities(logits, ["enhancer"])[:, 0]
        losses[method] = log_loss(targets, np.log(p) - np.log1p(-p))
    assert losses["auto"] == min(losses.values())
    with pytest.raises(ConfigError, match="isotonic"):
        fit_calibration(valid, TASKS, method="isotonik")


def test_a_base_rate_moves_isotonic_probabilities_by_the_same_odds(tmp_path: Path):
    fitted = fit_calibration(drawn(2000, seed=1), TASKS, method="isotonic")
    logits = np.linspace(-6, 6, 30)[:, None]
    valid = fitted.prevalence["enhancer"]
    plain, rare = (fitted.probabilities(logits, ["enhancer"], base_rate=rate)[:, 0] for rate in (None, 0.01))
    odds = plain / (1 - plain) * (0.01 / 0.99) / (valid / (1 - valid))
    np.testing.assert_allclose(rare, odds / (1 + odds), rtol=1e-9)
    fitted.write(tmp_path / "calibration.json")
    again = Calibration.read(tmp_path / "calibration.json")
    assert again == fitted
    np.testing.assert_array_equal(again.probabilities(logits, ["enhancer"])[:, 0], plain)


def test_files_of_an_older_encre_are_read_and_damaged_ones_refused(tmp_path: Path):
    values = fit_calibration(drawn(500, seed=1), TASKS, method="isotonic").to_dict()
    old = {key: value for key, value in values.items() if key not in ("method", "isotonic", "conformal")}
    read = Calibration.from_dict(old)
    assert (read.method, read.isotonic, read.conformal) == ("temperature", {}, None)
    broken = json.loads(json.dumps(values))
    broken["isotonic"]["enhancer"]["probabilities"].reverse()
    with pytest.raises(FormatError, match="isotonic"):
        Calibration.from_dict(broken)
    broken = json.loads(json.dumps(values))
    broken["conformal"]["levels"].pop()
    with pytest.raises(FormatError, match="conformal"):
        Calibration.from_dict(broken)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.99])
def test_each_class_is_covered_as_promised(level: float):
    conformal = fit_calibration(drawn(20_000, seed=3), TASKS).conformal
    assert conformal is not None
    fresh = drawn(20_000, seed=4)
    logits, true = fresh["logit_enhancer"].to_numpy(), fresh["target_enhancer"].to_numpy() > 0
    zero, one = conformal.sets(logits, "enhancer", level=level)
    assert one[true].mean() == pytest.approx(level, abs=0.015)
    assert zero[~true].mean() == pytest.approx(level, abs=0.015)
    rare = np.flatnonzero(true)[:50]  # the share of positives does not matter
    assert zero[np.append(np.flatnonzero(~true), rare)].mean() < level
    low, high = conformal.interval(fresh["logit_level"].to_numpy(), "level", level=level)
    level_ = fresh["target_level"].to_numpy()
    assert ((level_ >= low) & (level_ <= high)).mean() == pytest.approx(level, abs=0.015)


def test_few_rows_exclude_nothing_and_the_rank_counts_the_unseen_row():
    conformal = Conformal()
    conformal.fit("few", "binary", targets=np.array([1, 1, 0]), logits=np.array([2.0, 3.0, -1.0]))
    zero, one = conformal.sets(np.array([-9.0, 9.0]), "few", level=0.9)
    assert said_set(zero, one).tolist() == ["01", "01"]
    conformal.fit("ten", "regression", targets=np.arange(1.0, 10), logits=np.zeros(9))
    assert conformal.residual["ten"][LEVELS.index(0.9)] == 9, "the ninth of nine and one unseen"
    assert conformal.residual["ten"][LEVELS.index(0.91)] is None
    with pytest.raises(ConfigError, match=r"0.5 to 0.99"):
        conformal.sets(np.zeros(1), "few", level=0.999)


def test_coverage_stands_in_the_evaluation_with_its_interval():
    values = judge(drawn(4000, seed=5), drawn(4000, seed=6), TASKS, resamples=200, calibration="isotonic").values
    found = values["tasks"]["enhancer"]["conformal"]
    assert values["tasks"]["enhancer"]["isotonic"]
    assert found["level"] == 0.9
    for part in ("coverage", "positives", "negatives"):
        assert found[part]["low"] < found[part]["value"] < found[part]["high"]
        assert found[part]["value"] == pytest.approx(0.9, abs=0.03)
    assert found["both"] + found["empty"] < 1
    assert values["tasks"]["level"]["conformal"]["width"] == pytest.approx(2 * 1.645, abs=0.2)


def test_sets_become_columns_and_unknown_tasks_stay_empty():
    conformal = fit_calibration(drawn(2000, seed=7), TASKS).conformal
    assert conformal is not None
    logits = np.array([[-9.0, 0.0], [9.0, 1.0]], np.float32)
    table = pl.DataFrame(set_columns(conformal, TASKS, logits, level=0.9))
    assert table.columns == ["set_enhancer", "low_level", "high_level"]
    assert table["set_enhancer"].to_list() == ["0", "1"]
    assert (table["high_level"] - table["low_level"]).to_numpy() == pytest.approx(2 * 1.645, abs=0.3)
    other = set_columns(Conformal(), TASKS, logits, level=0.9)
    assert all(column.null_count() == 2 for column in other.values())


def test_the_report_marks_coverage_that_misses_its_promise():
    values = judge(drawn(4000, seed=5), drawn(4000, seed=6), TASKS, resamples=200, calibration="isotonic").values
    elsewhere = drawn(4000, seed=6).with_columns(pl.col("logit_enhancer") + 2)
    far = judge(drawn(4000, seed=5), elsewhere, TASKS, resamples=200).values
    views: list[Any] = [
        SimpleNamespace(label="near", evaluation=values),
        SimpleNamespace(label="far", evaluation=far),
    ]
    near, off = coverage_tables(views)
    assert [row["name"] for row in near["rows"]] == ["enhancer", "level"]
    assert near["rows"][0]["cells"][0] == "90.0 %"
    assert [row["off"] for row in near["rows"] + off["rows"]] == [False, False, True, False]
    assert (
        fitted_words(views) == "Fitted on valid: isotonic steps (near: enhancer), and temperature and bias elsewhere."
    )
    older = SimpleNamespace(label="older", evaluation={"tasks": {"enhancer": {}}})
    assert coverage_tables([older]) == []  # type: ignore[list-item]
    assert fitted_words([older]) == "Temperature and bias were fitted on valid."  # type: ignore[list-item]
