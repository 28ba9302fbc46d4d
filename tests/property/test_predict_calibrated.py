"""Laws of percentiles and base rates, whatever the logits."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from encre.evaluation.background import Background, quantiles_of
from encre.evaluation.calibration import Calibration

logits = st.lists(st.floats(-15, 15, width=32), min_size=1, max_size=40).map(lambda v: np.array(v)[:, None])
rates = st.floats(0.001, 0.999)


@given(logits, logits)
def test_percentiles_lie_between_0_and_100_and_rise_with_the_logit(negatives: np.ndarray, scored: np.ndarray) -> None:
    background = Background({"a": quantiles_of(negatives[:, 0])}, {"a": len(negatives)})
    order = np.sort(scored, axis=0)
    found = background.percentiles(order, ["a"])[:, 0]
    assert ((found >= 0) & (found <= 100)).all()
    assert (np.diff(found) >= 0).all()
    far = background.percentiles(np.array([[-100.0], [100.0]]), ["a"])[:, 0]
    assert far.tolist() == [0, 100]


@given(logits, rates, rates, rates)
def test_a_base_rate_keeps_the_order_and_forgets_the_way(
    scored: np.ndarray, valid: float, way: float, rate: float
) -> None:
    def at(prior: float, to: float | None) -> np.ndarray:
        return Calibration({"a": 1.5}, {"a": 0.5}, biases={"a": 0.3}, prevalence={"a": prior}).probabilities(
            np.sort(scored, axis=0), ["a"], base_rate=to
        )[:, 0]

    direct = at(valid, rate)
    assert (np.diff(direct) >= 0).all()
    odds = at(valid, way) / (1 - at(valid, way)) * (rate / (1 - rate)) / (way / (1 - way))
    np.testing.assert_allclose(direct, odds / (1 + odds), rtol=1e-5, atol=1e-14)
