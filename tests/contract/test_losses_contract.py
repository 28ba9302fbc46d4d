"""What every loss, every balance and every head of the registries keeps."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from encre.models.heads import HEADS
from encre.models.model import EnhancerModel, build_model
from encre.models.registry import model_config
from encre.tasks import Task, TaskSet
from encre.train.losses import BALANCES, LOSSES, REGRESSION_LOSSES, MultiTaskLoss, make_loss
from encre.train.settings import TrainConfig

#: What a loss needs beside its name.
NEEDS = {"logit_adjusted": {"class_weights": "none"}}
HEAD = {"softmax": {"head": "exclusive"}, "poisson": {"link": "log"}}
WHICH = [("loss", name) for name in LOSSES] + [("regression_loss", name) for name in REGRESSION_LOSSES]


def tasks() -> TaskSet:
    """A binary task, three exclusive classes, two measurements."""
    lines = [Task(name, "line", "multilabel") for name in ("a", "b", "c")]
    return TaskSet([Task("x", "x"), *lines, *(Task(name, "m", "regression") for name in ("y", "z"))])


def table(n: int = 30, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Targets and mask; whole groups are masked, so that the exclusive one stays exclusive."""
    rng = np.random.default_rng(seed)
    line = np.eye(3)[rng.integers(0, 3, n)]
    targets = np.hstack([rng.random((n, 1)) < 0.4, line, 5 + 2 * rng.random((n, 1)), 900 * rng.random((n, 1))])
    mask = (rng.random((n, 3)) < 0.7).repeat([1, 3, 2], axis=1)
    return targets.astype(np.float32), mask


def small(**values: object) -> EnhancerModel:
    torch.manual_seed(0)
    config = model_config({"name": "cnn", "channels": [6], "kernel_sizes": [3], "pools": [1], **values})
    return build_model(config, tasks=tasks())


def made(key: str, name: str, **values: object) -> tuple[MultiTaskLoss, EnhancerModel]:
    targets, mask = table()
    config = TrainConfig(**{key: name, **NEEDS.get(name, {}), **values})
    loss, model = make_loss(tasks(), config, targets=targets, mask=mask), small(**HEAD.get(name, {}))
    loss.prepare(model)
    return loss, model


def codes(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(1)
    return torch.from_numpy(rng.integers(0, 4, (n, 20)).astype(np.uint8)), torch.full((n,), 20)


@pytest.mark.parametrize(("key", "name"), WHICH)
def test_a_loss_is_least_at_the_truth_and_finite_far_from_it(key: str, name: str):
    loss, _ = made(key, name, class_weights="none")
    entries = next(g.entries for g in loss.groups if g.facts.name == ("m" if key == "regression_loss" else "x"))
    target = torch.tensor([[5.0, 100.0], [6.0, 200.0]]) if key == "regression_loss" else torch.tensor([[0.0], [1.0]])
    right, wrong = (target, target.flip(0)) if key == "regression_loss" else (6 * target - 3, 3 - 6 * target)
    real = torch.ones_like(target, dtype=torch.bool)
    assert (entries(right, target, real) < entries(wrong, target, real)).all()
    for far in (-1e4, 1e4):
        x = torch.full_like(target, far).requires_grad_()
        value = entries(x, target, real).sum()
        value.backward()
        assert torch.isfinite(value)
        assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize(("key", "name"), WHICH)
@pytest.mark.parametrize("balance", BALANCES)
def test_what_is_not_measured_moves_neither_the_loss_nor_a_gradient(key: str, name: str, balance: str):
    targets, mask = table(16)
    found = []
    for hidden in (0.0, 1.0, np.nan):
        loss, model = made(key, name, balance=balance, label_smoothing=0.1)
        shown = torch.from_numpy(np.where(mask, targets, np.float32(hidden)))
        value = loss(model(*codes(16)), shown, torch.from_numpy(mask))
        value.backward()
        slopes = [p.grad for p in (*model.parameters(), *loss.parameters()) if p.grad is not None]
        found.append(torch.cat([value.detach()[None], *(slope.flatten() for slope in slopes)]))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
    assert torch.isfinite(found[0]).all()


@pytest.mark.parametrize("balance", BALANCES)
def test_a_group_that_is_not_measured_in_a_batch_is_left_alone(balance: str):
    """Neither its head nor, in the loss, what its balance has learned."""
    targets, mask = table(16)
    mask[:, 1:4] = False
    loss, model = made("loss", "cross_entropy", balance=balance)
    loss(model(*codes(16)), torch.from_numpy(targets), torch.from_numpy(mask)).backward()
    assert not model.heads["line"].weight.grad.any()
    assert all(parameter.grad[1] == 0 for parameter in loss.parameters())
    assert all(parameter.grad[0] != 0 for parameter in loss.parameters())


@pytest.mark.parametrize(("head", "link"), list(product(HEADS, ["identity", "log"])))
def test_heads_give_a_logit_a_task_and_come_back(head: str, link: str):
    model = small(head=head, link=link, tree={"pair": ["a", "b"]} if head == "tree" else {})
    model.heads.set_units(np.full(6, 5.0), np.full(6, 2.0))
    vector = torch.randn(7, model.trunk.width)
    logits = model.heads(vector)
    assert (logits.shape, logits.dtype) == ((7, 6), torch.float32)
    other = small(head=head, link=link, tree={"pair": ["a", "b"]} if head == "tree" else {})
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.heads(vector), logits), "units and nodes are saved"
    assert torch.isfinite(model.heads(1e4 * vector)).all()
    if model.heads.is_linear:
        weight, bias = model.heads.matrix()
        torch.testing.assert_close(vector @ weight.T + bias, logits, rtol=1e-4, atol=1e-4)
    else:
        assert (head, link) not in {("linear", "identity"), ("tree", "identity")}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(model.heads(vector).float(), logits, rtol=0.05, atol=0.2)
