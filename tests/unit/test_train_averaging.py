"""Averages of weights, against their definition."""

from __future__ import annotations

import pytest
import torch

from encre.models.model import EnhancerModel, build_model
from encre.models.registry import model_config
from encre.tasks import screen_tasks
from encre.train.averaging import Average
from encre.train.optimizer import rate_at
from encre.train.settings import TrainConfig


def model() -> EnhancerModel:
    torch.manual_seed(0)
    config = model_config({"name": "cnn", "channels": [6, 8], "embedding": 4, "norm": "batch"})
    return build_model(config, tasks=screen_tasks(["heart"]))


def walk(model: EnhancerModel, steps: int) -> list[dict[str, torch.Tensor]]:
    """The state after each of some random steps of everything in the model, running statistics included."""
    states = []
    for _ in range(steps):
        state = {k: v + torch.randn_like(v) if v.is_floating_point() else v for k, v in model.state_dict().items()}
        states.append({k: v.clone() for k, v in state.items()})
        model.load_state_dict(state)
    return states


def followed(config: TrainConfig, steps: int) -> tuple[Average, list[dict[str, torch.Tensor]]]:
    """An average, and the states that it was shown over a whole training."""
    one = model()
    average = Average(one, config)
    states = [{k: v.clone() for k, v in one.state_dict().items()}]
    for step in range(steps):
        states += walk(one, 1)
        average.update(one, spent=step / steps)
    return average, states


def test_the_moving_average_follows_its_formula_for_weights_and_running_statistics():
    average, states = followed(TrainConfig(averaging="ema", ema_decay=0.6), 20)
    for key, found in average.model.state_dict().items():
        expected = states[0][key]
        for step, state in enumerate(states[1:]):
            decay = min(0.6, (1 + step) / (10 + step))
            expected = decay * expected + (1 - decay) * state[key]
        torch.testing.assert_close(found, expected)
    assert any("running_var" in key for key in states[0])


def test_stochastic_weight_averaging_is_the_mean_of_its_share_and_before_it_the_weights_themselves():
    average, states = followed(TrainConfig(averaging="swa", swa_share=0.25), 20)
    for key, found in average.model.state_dict().items():
        torch.testing.assert_close(found, torch.stack([state[key] for state in states[-5:]]).mean(0))
    early, states = followed(TrainConfig(averaging="swa", swa_share=0.01), 4)
    assert all(torch.equal(found, states[-1][key]) for key, found in early.model.state_dict().items())


def test_an_average_is_judged_and_never_trained():
    average, _ = followed(TrainConfig(averaging="ema"), 2)
    assert not average.model.training
    assert not any(parameter.requires_grad for parameter in average.model.parameters())


@pytest.mark.parametrize("averaging", ["ema", "swa"])
def test_an_average_goes_on_from_its_state_to_the_same_bits(averaging: str):
    config = TrainConfig.parse({"averaging": averaging, "swa_share": 0.5})
    one = model()
    whole = Average(one, config)
    for step in range(6):
        walk(one, 1)
        whole.update(one, spent=step / 8)
    again = Average(model(), config)
    again.load_state_dict(whole.state_dict())
    for step in range(6, 8):
        walk(one, 1)
        whole.update(one, spent=step / 8)
        again.update(one, spent=step / 8)
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in whole.state_dict().items())


def test_the_rate_stays_where_the_average_begins():
    plain, swa = TrainConfig(), TrainConfig(averaging="swa", swa_share=0.3)
    assert rate_at(0.5, swa) == rate_at(0.5, plain)
    assert rate_at(0.9, swa) == rate_at(0.7, swa) == rate_at(0.7, plain) > 0.1 * plain.learning_rate
    assert rate_at(1.0, plain) == pytest.approx(0)
    assert rate_at(0.0, TrainConfig(averaging="swa", swa_share=1.0)) == 0, "the warm-up comes first"
