"""The masked, weighted multi-task loss."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from encre.errors import ConfigError
from encre.tasks import Task, TaskSet, screen_tasks
from encre.train.losses import make_loss
from encre.train.settings import TrainConfig

TASKS = screen_tasks(["brain", "heart"])


def tables(n: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray, torch.Tensor]:
    rng = np.random.default_rng(seed)
    targets = (rng.random((n, 3)) < [0.7, 0.3, 0.1]).astype(np.float32)
    return targets, rng.random((n, 3)) < 0.8, torch.from_numpy(rng.normal(size=(n, 3)).astype(np.float32))


@given(st.integers(0, 1000), st.sampled_from(["balanced", "none"]), st.sampled_from(["all", "enhancers"]))
@settings(max_examples=30, deadline=None)
def test_a_masked_target_never_moves_the_loss_or_a_gradient(seed: int, weights: str, on: str):
    targets, mask, logits = tables(12, seed)
    config = TrainConfig(class_weights=weights, tissue_loss_on=on)
    found = []
    for hidden in (0.0, 1.0, np.nan):
        shown = np.where(mask, targets, np.float32(hidden))
        x = logits.clone().requires_grad_()
        loss = make_loss(TASKS, config, targets=shown, mask=mask)
        value = loss(x, torch.from_numpy(shown), torch.from_numpy(mask))
        value.backward()
        found.append((value.item(), x.grad))
    assert found[0][0] == found[1][0] == found[2][0]
    assert torch.equal(found[0][1], found[1][1])
    assert torch.equal(found[0][1], found[2][1])
    assert not found[0][1][torch.from_numpy(~mask)].any()


def test_unweighted_it_is_the_sum_of_the_groups_mean_cross_entropies():
    targets, _, logits = tables()
    mask = np.ones_like(targets, bool)
    config = TrainConfig(class_weights="none", group_weights={"tissue": 0.5})
    loss = make_loss(TASKS, config, targets=targets, mask=mask)
    truth = torch.from_numpy(targets)
    value = loss(logits, truth, torch.from_numpy(mask))
    each = F.binary_cross_entropy_with_logits
    torch.testing.assert_close(value, each(logits[:, 0], truth[:, 0]) + 0.5 * each(logits[:, 1:], truth[:, 1:]))


def test_balanced_weights_are_those_of_the_reference():
    """Class weights n / (2 n_c) for the binary task, pos_weight negatives / positives for the multi-label ones."""
    targets, _, _ = tables(1000)
    mask = np.ones_like(targets, bool)
    loss = make_loss(TASKS, TrainConfig(), targets=targets, mask=mask)
    enhancer, tissue = loss.groups
    share = targets.mean(0)
    np.testing.assert_allclose(enhancer.positive, [0.5 / share[0]], rtol=1e-5)
    np.testing.assert_allclose(enhancer.negative, [0.5 / (1 - share[0])], rtol=1e-5)
    np.testing.assert_allclose(tissue.positive, (1 - share[1:]) / share[1:], rtol=1e-4)
    np.testing.assert_allclose(tissue.negative, [1, 1])


def test_on_enhancers_only_the_tissues_of_other_rows_are_left_out():
    targets, _, logits = tables()
    mask = np.ones_like(targets, bool)
    config = TrainConfig(class_weights="none", tissue_loss_on="enhancers")
    loss = make_loss(TASKS, config, targets=targets, mask=mask)
    x = logits.clone().requires_grad_()
    loss(x, torch.from_numpy(targets), torch.from_numpy(mask)).backward()
    others = targets[:, 0] == 0
    assert not x.grad[others][:, 1:].any()
    assert x.grad[others][:, 0].all()
    assert x.grad[~others].all()


def test_a_task_of_one_class_alone_keeps_weight_one():
    targets = np.ones((5, 3), np.float32)
    loss = make_loss(TASKS, TrainConfig(), targets=targets, mask=np.ones_like(targets, bool))
    assert all((group.positive == 1).all() and (group.negative == 1).all() for group in loss.groups)


def test_wrong_groups_are_said_in_words():
    targets, mask, _ = tables()
    with pytest.raises(ConfigError, match="Did you mean 'tissue'"):
        make_loss(TASKS, TrainConfig(group_weights={"tisue": 1.0}), targets=targets, mask=mask)
    tasks = TaskSet([Task("a", "g", "multilabel")])
    config = TrainConfig(tissue_loss_on="enhancers")
    with pytest.raises(ConfigError, match="needs a binary task"):
        make_loss(tasks, config, targets=targets[:, :1], mask=mask[:, :1])
