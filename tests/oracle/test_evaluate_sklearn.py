"""Every metric against scikit-learn, and the bootstrap against resampling the rows one by one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import rankdata
from sklearn import metrics as sk

from encre.evaluation import bootstrap, metrics
from encre.evaluation.calibration import fit_temperature, sigmoid
from encre.evaluation.thresholds import best_threshold


def scored(seed: int, rows: int = 600, levels: int | None = None):
    rng = np.random.default_rng(seed)
    targets = (rng.random(rows) < 0.3).astype(float)
    scores = rng.normal(size=rows) + targets
    return targets, np.round(scores * levels) / levels if levels else scores


@pytest.mark.parametrize("levels", [None, 3, 1])
@pytest.mark.parametrize("seed", range(3))
def test_ranking_metrics_are_scikit_learns_with_and_without_ties(seed, levels):
    targets, scores = scored(seed, levels=levels)
    assert metrics.auroc(targets, scores) == pytest.approx(sk.roc_auc_score(targets, scores), abs=1e-12)
    expected = sk.average_precision_score(targets, scores)
    assert metrics.average_precision(targets, scores) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_threshold_metrics_are_scikit_learns(seed):
    targets, scores = scored(seed)
    called = scores > 0.7
    c = metrics.confusion(targets, called)
    assert float(metrics.matthews(c)) == pytest.approx(sk.matthews_corrcoef(targets, called))
    assert float(metrics.balanced_accuracy(c)) == pytest.approx(sk.balanced_accuracy_score(targets, called))
    assert float(metrics.precision(c)) == pytest.approx(sk.precision_score(targets, called))
    assert float(metrics.recall(c)) == pytest.approx(sk.recall_score(targets, called))
    assert float(metrics.f1(c)) == pytest.approx(sk.f1_score(targets, called))


def test_brier_score_is_scikit_learns():
    targets, scores = scored(0)
    p = sigmoid(scores)
    zeros = np.zeros(len(targets), int)
    found = bootstrap.calibrated(targets, p, codes=zeros, weights=np.ones((2, 1)))
    assert found["brier"].value == pytest.approx(sk.brier_score_loss(targets, p))
    assert found["brier"].draws == pytest.approx(found["brier"].value)
    assert found["ece"].draws == pytest.approx(found["ece"].value)


@pytest.mark.parametrize("levels", [None, 4])
def test_every_draw_is_the_metric_of_the_resampled_rows(levels):
    """The bilinear and cumulative forms against the obvious way: repeat the rows, call scikit-learn."""
    targets, scores = scored(7, levels=levels)
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 8, len(targets))
    weights = rng.multinomial(8, np.full(8, 1 / 8), size=6).astype(float)
    p, called = sigmoid(scores), scores > 0.5
    found = {
        **bootstrap.ranking(targets, scores, codes=codes, weights=weights),
        **bootstrap.at_threshold(targets, called, codes=codes, weights=weights),
        "brier": bootstrap.calibrated(targets, p, codes=codes, weights=weights)["brier"],
        **bootstrap.regression(targets, scores, codes=codes, weights=weights),
    }
    for r, weight in enumerate(weights):
        rows = np.repeat(np.arange(len(targets)), weight[codes].astype(int))
        t, s, c = targets[rows], scores[rows], called[rows]
        expected = {
            "auroc": sk.roc_auc_score(t, s),
            "auprc": sk.average_precision_score(t, s),
            "mcc": sk.matthews_corrcoef(t, c),
            "balanced_accuracy": sk.balanced_accuracy_score(t, c),
            "precision": sk.precision_score(t, c),
            "recall": sk.recall_score(t, c),
            "f1": sk.f1_score(t, c),
            "brier": sk.brier_score_loss(t, p[rows]),
            "pearson": np.corrcoef(t, s)[0, 1],
            "spearman": np.corrcoef(rankdata(targets)[rows], rankdata(scores)[rows])[0, 1],
            "r2": sk.r2_score(t, s),
            "mse": sk.mean_squared_error(t, s),
        }
        drawn = {name: estimate.draws[r] for name, estimate in found.items()}
        assert drawn == pytest.approx(expected, abs=2e-6)


def test_draws_of_the_calibration_error_are_those_of_the_resampled_rows_centred_on_the_value():
    targets, scores = scored(7)
    codes = np.random.default_rng(1).integers(0, 8, len(targets))
    weights = np.random.default_rng(2).multinomial(8, np.full(8, 1 / 8), size=20).astype(float)
    p = sigmoid(3 * scores)
    found = bootstrap.calibrated(targets, p, codes=codes, weights=weights)["ece"]
    rows = [np.repeat(np.arange(len(targets)), w[codes].astype(int)) for w in weights]
    slow = np.array([metrics.expected_calibration_error(targets[r], p[r]) for r in rows])
    assert found.draws == pytest.approx(slow - slow.mean() + found.value)


def test_draws_beyond_the_rank_bins_stay_far_inside_the_interval(monkeypatch):
    targets, scores = scored(3, rows=3000)
    codes = np.arange(3000) % 10
    weights = np.random.default_rng(0).multinomial(10, np.full(10, 0.1), size=50).astype(float)
    exact = bootstrap.ranking(targets, scores, codes=codes, weights=weights)
    monkeypatch.setattr(bootstrap, "RANK_BINS", 300)
    binned = bootstrap.ranking(targets, scores, codes=codes, weights=weights)
    for name in exact:
        assert binned[name].value == exact[name].value
        assert np.abs(binned[name].draws - exact[name].draws).max() < exact[name].draws.std() / 5


def test_temperature_and_bias_are_those_of_logistic_regression():
    from sklearn.linear_model import LogisticRegression

    targets, scores = scored(5, rows=2000)
    temperature, bias = fit_temperature(targets, 3 * scores - 2)
    fitted = LogisticRegression(C=1e6, tol=1e-8).fit((3 * scores - 2)[:, None], targets)
    assert 1 / temperature == pytest.approx(fitted.coef_[0, 0], rel=1e-3)
    assert bias == pytest.approx(fitted.intercept_[0], rel=1e-3)


@pytest.mark.parametrize("levels", [None, 2])
def test_the_threshold_is_the_best_of_all(levels):
    targets, scores = scored(11, rows=200, levels=levels)
    p = sigmoid(scores)
    best = max(sk.matthews_corrcoef(targets, p >= cut) for cut in np.unique(p))
    assert sk.matthews_corrcoef(targets, p >= best_threshold(targets, p)) == pytest.approx(best)
