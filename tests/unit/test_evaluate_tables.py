"""Judging whole tables: what is undefined says why, and what is paired stays paired."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from encre.errors import DataError
from encre.evaluation.blocks import make_resamples
from encre.evaluation.calibration import Calibration, fit_calibration, fit_temperature, sigmoid
from encre.evaluation.comparison import compare_tables
from encre.evaluation.judgement import evaluate_table
from encre.evaluation.summary import findings, leaderboard, sentences
from encre.evaluation.table import prediction_table, read_scores
from encre.tasks import Task, TaskSet, screen_tasks

TASKS = screen_tasks(["heart", "lung", "brain"])
CHROMOSOMES = ("chr5", "chr10", "chr14", "chr18", "chr20", "chr22")


def table(rows=400, *, skill=2.0, seed=0, noise=1, chromosomes=CHROMOSOMES):
    rng, own = np.random.default_rng(seed), np.random.default_rng(noise)
    enhancer = rng.random(rows) < 0.6
    tissue = (rng.random((rows, 3)) < [0.5, 0.3, 0.2]) & enhancer[:, None]
    targets = np.column_stack([enhancer, tissue]).astype(float)
    logits = skill * targets + own.normal(size=targets.shape)
    others = rng.choice(["PLS", "CA-CTCF", "CA-TF"], rows)
    elements = pl.DataFrame(
        {
            "chrom": rng.choice(chromosomes, rows),
            "start": rng.integers(0, 50_000_000, rows),
            "ccre_class": np.where(enhancer, "dELS", others),
            "kind": ["element"] * rows,
            "group": [f"g{i}" for i in range(rows)],
        }
    ).with_columns(end=pl.col("start") + 200)
    columns = {
        "index": np.arange(rows),
        "length": np.full(rows, 200),
        "targets": targets,
        "mask": np.ones(targets.shape, bool),
        "logits": logits,
    }
    return prediction_table(elements, TASKS, columns=columns)


def blank(frame: pl.DataFrame, name: str, value: float) -> pl.DataFrame:
    return frame.with_columns(pl.lit(value, pl.Float32).alias(f"target_{name}"))


def test_a_skilled_model_is_judged_above_chance_with_intervals_that_hold_the_value():
    found = evaluate_table(table(seed=3), table(), TASKS)
    assert found["blocks"] == {"kind": "chromosomes", "count": 6}
    assert found["enhancer_task"] == "enhancer"
    for values in found["tasks"].values():
        auroc = values["metrics"]["auroc"]
        assert 0.8 < auroc["low"] < auroc["value"] < auroc["high"] < 1
    assert set(found["against"]) == {"PLS", "CA-CTCF", "CA-TF"}
    assert set(found["groups"]["tissue"]) == {"tasks", "macro", "micro", "undefined", "on_enhancers"}
    macro = found["groups"]["tissue"]["macro"]["auroc"]["value"]
    mean = np.mean([found["tasks"][t]["metrics"]["auroc"]["value"] for t in ("heart", "lung", "brain")])
    assert macro == pytest.approx(mean, abs=1e-6)
    json.dumps(found, allow_nan=False)


def test_enhancers_only_leaves_out_the_easy_negatives():
    found = evaluate_table(table(seed=3), table(), TASKS)["tasks"]["heart"]
    assert found["on_enhancers"]["n"] < found["n"]
    assert found["on_enhancers"]["positives"] == found["positives"]


def test_a_task_without_positives_is_undefined_with_the_reason_and_left_out_of_the_mean():
    test = blank(table(), "lung", 0.0)
    found = evaluate_table(table(seed=3), test, TASKS)
    auroc = found["tasks"]["lung"]["metrics"]["auroc"]
    assert auroc == {"value": None, "reason": "no positive among 400 measured rows"}
    assert found["tasks"]["lung"]["metrics"]["mcc"]["value"] is None
    assert found["groups"]["tissue"]["undefined"] == {"lung": "no positive among 400 measured rows"}
    two = [found["tasks"][t]["metrics"]["auroc"]["value"] for t in ("heart", "brain")]
    assert found["groups"]["tissue"]["macro"]["auroc"]["value"] == pytest.approx(np.mean(two), abs=1e-6)
    said = " ".join(sentences({"run": {**found, "model": "cnn", "baselines": {}, "differences": {}}}))
    assert "Undefined, and left out of the means: lung (no positive among 400 measured rows)" in said


def test_an_unmeasured_task_is_undefined_everywhere():
    test = blank(table(), "lung", float("nan"))
    found = evaluate_table(blank(table(seed=3), "lung", float("nan")), test, TASKS)["tasks"]["lung"]
    assert found["n"] == 0
    assert found["prevalence"] is None
    assert all(metric["value"] is None and metric["reason"] for metric in found["metrics"].values())


def test_a_constant_scorer_is_at_chance_and_its_mcc_is_undefined_not_zero():
    constant = table().with_columns(pl.lit(0.4).alias(f"logit_{name}") for name in TASKS.names)
    found = evaluate_table(constant, constant, TASKS)["tasks"]["heart"]
    assert found["metrics"]["auroc"]["value"] == 0.5
    assert found["metrics"]["auprc"]["value"] == pytest.approx(found["prevalence"], abs=1e-6)
    assert found["metrics"]["mcc"] == {"value": None, "reason": "every row is called positive"}
    assert found["metrics"]["recall"]["value"] == 1
    assert found["metrics"]["ece"]["value"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("chromosomes", "kind"), [(CHROMOSOMES, "chromosomes"), (("chr1",), "5 Mb blocks"), ((None,), "sequence groups")]
)
def test_blocks_are_chromosomes_or_five_megabases_or_groups(chromosomes, kind):
    frame = table().with_columns(chrom=pl.Series(np.resize(np.array(chromosomes, object), 400), dtype=pl.String))
    found = make_resamples(frame, resamples=20)
    assert found.kind == kind
    assert found.weights.shape == (20, found.blocks)
    assert (found.weights.sum(axis=1) == found.blocks).all()


def test_five_megabase_blocks_keep_neighbours_together():
    frame = table(rows=200, chromosomes=("chr1",))
    codes = make_resamples(frame).codes
    place = (frame["start"] // 5_000_000).to_numpy()
    assert all(len(set(codes[place == p])) == 1 for p in set(place))
    assert len(set(codes)) == len(set(place))


def test_too_few_blocks_give_a_value_without_an_interval():
    frame = table(rows=4).with_columns(chrom=pl.lit("chr1"), start=pl.lit(5), group=pl.lit("g"))
    frame = frame.with_columns(target_heart=pl.Series([0.0, 1, 0, 1]))
    auroc = evaluate_table(frame, frame, TASKS)["tasks"]["heart"]["metrics"]["auroc"]
    assert auroc["low"] is None
    assert "too few independent blocks" in auroc["reason"]


def test_row_order_moves_nothing():
    valid, test = table(seed=3), table()
    shuffled = test.sample(fraction=1.0, shuffle=True, seed=4)
    assert evaluate_table(valid, test, TASKS) == evaluate_table(valid, shuffled, TASKS)


def test_seed_moves_the_interval_and_never_the_value():
    valid, test = table(seed=3), table()
    a, b = (evaluate_table(valid, test, TASKS, seed=s)["tasks"]["heart"]["metrics"]["auroc"] for s in (0, 1))
    assert a["value"] == b["value"]
    assert a != b


def test_a_table_compared_with_itself_differs_by_nothing():
    found = compare_tables(table(), table(), TASKS)
    assert found["all"]["tissue/macro"]["auroc"] == {"value": 0.0, "low": 0.0, "high": 0.0}


def test_a_paired_difference_is_sharper_than_the_two_intervals():
    a, b = table(skill=2.2), table(skill=2.0)
    difference = compare_tables(a, b, TASKS)["all"]["heart"]["auroc"]
    alone = evaluate_table(a, a, TASKS)["tasks"]["heart"]["metrics"]["auroc"]
    assert difference["low"] > 0
    assert difference["high"] - difference["low"] < alone["high"] - alone["low"]


def test_tables_about_other_rows_are_not_compared():
    with pytest.raises(DataError, match="not about the same rows"):
        compare_tables(table(), table(seed=9), TASKS)


def test_calibration_mends_scale_and_shift_and_never_turns_a_model_upside_down():
    rng = np.random.default_rng(0)
    logit = rng.normal(size=4000)
    targets = (rng.random(4000) < sigmoid(logit - 1)).astype(float)
    temperature, bias = fit_temperature(targets, 5 * logit + 3)
    assert sigmoid((5 * logit + 3) / temperature + bias).mean() == pytest.approx(targets.mean(), abs=1e-6)
    assert temperature == pytest.approx(5, rel=0.15)
    assert fit_temperature(targets, -logit)[0] > 0


def test_calibration_survives_perfect_separation():
    targets = np.array([0.0] * 50 + [1.0] * 50)
    temperature, bias = fit_temperature(targets, targets * 10 - 5)
    assert np.isfinite([temperature, bias]).all()


def test_calibration_reads_back_what_it_wrote(tmp_path):
    valid = blank(table(), "lung", 1.0)
    fitted = fit_calibration(valid, TASKS)
    fitted.write(tmp_path / "calibration.json")
    assert Calibration.read(tmp_path / "calibration.json") == fitted
    assert fitted.reasons == {"lung": "no negative among 400 measured rows"}
    assert (fitted.temperatures["lung"], fitted.thresholds["lung"]) == (1.0, 0.5)


def test_the_threshold_comes_from_valid_alone():
    valid = table(seed=3)
    a = evaluate_table(valid, table(), TASKS)["tasks"]["heart"]["threshold"]
    b = evaluate_table(valid, table(seed=8, skill=0.1), TASKS)["tasks"]["heart"]["threshold"]
    assert a == b


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f.drop("logit_heart"), "'logit_heart' is missing"),
        (lambda f: f.head(0), "no row to judge"),
        (lambda f: f.with_columns(logit_heart=pl.lit(float("nan"))), "'heart' is not a finite number"),
        (lambda f: f.with_columns(target_heart=pl.lit(0.5)), "must be 0, 1 or empty"),
    ],
)
def test_a_wrong_table_is_refused_in_words(change, said):
    with pytest.raises(DataError, match=said):
        read_scores(change(table()), TASKS)


def test_regression_tasks_get_their_own_metrics():
    tasks = TaskSet([Task("signal", "signal", "regression")])
    rng = np.random.default_rng(0)
    frame = table().with_columns(target_signal=pl.Series(rng.normal(size=400)), logit_signal=pl.lit(0.0))
    frame = frame.with_columns(logit_signal=pl.col("target_signal") + 1)
    found = evaluate_table(frame, frame, tasks)["tasks"]["signal"]["metrics"]
    assert found["pearson"]["value"] == pytest.approx(1)
    assert found["mse"]["value"] == pytest.approx(1)


def judged(skill: float, against: float) -> dict:
    valid, model, baseline = table(seed=3, skill=skill), table(skill=skill), table(skill=against, noise=2)
    return {
        **evaluate_table(valid, model, TASKS),
        "model": "cnn",
        "baselines": {"kmer5": evaluate_table(valid, baseline, TASKS)},
        "differences": {"kmer5": compare_tables(model, baseline, TASKS)},
    }


@pytest.mark.parametrize(
    ("skill", "against", "tone", "said"),
    [
        (2.5, 0.5, "good", "CNN beats 5-mer logistic regression by"),
        (1.0, 1.0, "caution", "does not clearly beat 5-mer logistic regression"),
        (0.3, 2.5, "bad", "CNN is worse than 5-mer logistic regression by"),
        (0.0, 0.0, "bad", "At chance"),
    ],
)
def test_the_plain_words_are_honest(skill, against, tone, said):
    matching = [f for f in findings({"run": judged(skill, against)}) if said in f.text]
    assert matching
    assert {f.tone for f in matching} == {tone}


def test_the_leaderboard_lists_models_then_baselines():
    rows = leaderboard({"a": judged(2.0, 1.0), "b": judged(1.0, 1.0)})
    assert [(row.name, row.kind) for row in rows] == [("a", "model"), ("b", "model"), ("kmer5", "baseline")]
    assert rows[0].label == "CNN · a"
    assert rows[0].values["tissue"]["auroc"]["value"] > rows[2].values["tissue"]["auroc"]["value"]


def test_a_run_that_loses_to_a_baseline_is_named_even_beside_a_better_run():
    other = {**judged(0.3, 2.5), "model": "transformer"}
    matching = [f for f in findings({"a": judged(3.0, 2.5), "b": other}) if "Transformer does not beat" in f.text]
    assert {f.tone for f in matching} == {"bad"}
    assert "5-mer logistic regression, which leads by" in matching[0].text
