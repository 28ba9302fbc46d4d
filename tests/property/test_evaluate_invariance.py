"""What must hold of the metrics whatever the scores are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encre.evaluation import bootstrap, metrics
from encre.evaluation.calibration import fit_temperature, sigmoid
from encre.evaluation.thresholds import best_threshold

ROWS = st.lists(st.tuples(st.booleans(), st.integers(-50, 50)), min_size=2, max_size=60)


def arrays(rows):
    targets, scores = np.array(rows, float).T
    return targets, scores / 10


@given(ROWS)
@settings(max_examples=60, deadline=None)
def test_only_the_order_of_scores_matters(rows):
    targets, scores = arrays(rows)
    for metric in (metrics.auroc, metrics.average_precision):
        assert metric(targets, np.exp(scores)) == pytest.approx(metric(targets, scores), nan_ok=True)


@given(ROWS)
@settings(max_examples=60, deadline=None)
def test_turning_scores_or_labels_round_turns_auroc_round(rows):
    targets, scores = arrays(rows)
    once = metrics.auroc(targets, scores)
    assert metrics.auroc(targets, -scores) == pytest.approx(1 - once, nan_ok=True)
    assert metrics.auroc(1 - targets, scores) == pytest.approx(1 - once, nan_ok=True)


@given(ROWS)
@settings(max_examples=60, deadline=None)
def test_auroc_is_undefined_exactly_when_a_class_is_absent(rows):
    targets, scores = arrays(rows)
    assert np.isnan(metrics.auroc(targets, scores)) == (len(set(targets)) < 2)
    assert bool(bootstrap.one_sided(targets)) == (len(set(targets)) < 2)


@given(ROWS, st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_draws_with_every_block_once_are_the_value(rows, seed):
    targets, scores = arrays(rows)
    codes = np.random.default_rng(seed).integers(0, 5, len(targets))
    found = bootstrap.ranking(targets, scores, codes=codes, weights=np.ones((3, 5)))
    for estimate in found.values():
        assert estimate.draws == pytest.approx(np.full(3, estimate.value), nan_ok=True, abs=1e-6)


@given(ROWS)
@settings(max_examples=60, deadline=None)
def test_calibration_keeps_the_order_and_the_threshold_lies_between_scores(rows):
    targets, scores = arrays(rows)
    if bootstrap.one_sided(targets):
        return
    temperature, bias = fit_temperature(targets, scores)
    p = sigmoid(scores / temperature + bias)
    assert temperature > 0
    assert (np.diff(p[np.argsort(scores, kind="stable")]) >= 0).all()
    threshold = best_threshold(targets, p)
    assert threshold == 0 or threshold not in set(p)
