"""The masked, weighted multi-task loss."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mean_poisson_deviance

from encre.errors import ConfigError
from encre.models.cnn import CNNConfig
from encre.models.model import build_model
from encre.tasks import Task, TaskSet, screen_tasks
from encre.train.losses import BALANCES, MultiTaskLoss, make_loss, ranking
from encre.train.losses.base import GroupFacts, group_facts
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


def rows(kind: str, targets: list[list[float]], **values: object) -> tuple[MultiTaskLoss, torch.Tensor, torch.Tensor]:
    """The loss of one group with these targets, NaN = not measured; and targets and mask."""
    names = [f"task{k}" for k in range(len(targets[0]))]
    table = np.array(targets, np.float32)
    mask = ~np.isnan(table)
    config = TrainConfig(**{"class_weights": "none", **values})
    loss = make_loss(TaskSet([Task(name, "g", kind) for name in names]), config, targets=table, mask=mask)
    return loss, torch.from_numpy(table), torch.from_numpy(mask)


LABELS = [[1.0], [0.0], [0.0], [0.0], [1.0]]
LOGITS = torch.tensor([[2.0], [-1.0], [-6.0], [0.5], [-0.3]])


@pytest.mark.parametrize(
    "plain",
    [
        {"loss": "focal", "focal_gamma": 0.0},
        {"loss": "asymmetric", "asymmetric_negative": 0.0, "asymmetric_margin": 0.0},
        {"loss": "logit_adjusted", "adjustment": 0.0},
        {"loss": "softmax"},
    ],
)
def test_losses_of_classes_come_down_to_cross_entropy(plain: dict[str, object]):
    loss, targets, mask = rows("binary", LABELS, **plain)
    torch.testing.assert_close(loss(LOGITS, targets, mask), F.binary_cross_entropy_with_logits(LOGITS, targets))


def test_focal_and_asymmetric_losses_are_those_of_their_papers():
    p = LOGITS.sigmoid()
    focal, targets, mask = rows("binary", LABELS, loss="focal", focal_gamma=2.0)
    of_true = torch.where(targets > 0, p, 1 - p)
    torch.testing.assert_close(focal(LOGITS, targets, mask), (-((1 - of_true) ** 2) * of_true.log()).mean())
    asymmetric, _, _ = rows("binary", LABELS, loss="asymmetric", asymmetric_positive=1.0)
    q = (p - 0.05).clamp(min=0)
    expected = torch.where(targets > 0, (1 - p) * p.log(), q**4 * (1 - q).log())
    torch.testing.assert_close(asymmetric(LOGITS, targets, mask), -expected.mean())


def test_with_logit_adjustment_a_model_without_evidence_answers_zero_not_the_prior():
    """The logit of the best constant is 0 however rare the positives; with cross-entropy it is their log odds."""
    share = [[1.0]] * 20 + [[0.0]] * 380
    for name, best in (("logit_adjusted", 0.0), ("cross_entropy", np.log(2 / 38))):
        loss, targets, mask = rows("binary", share, loss=name)
        x = torch.tensor(best, requires_grad=True)
        loss(x.expand(400, 1), targets, mask).backward()
        assert abs(float(x.grad)) < 0.01
    with pytest.raises(ConfigError, match='class_weights = "none"'):
        rows("binary", share, loss="logit_adjusted", class_weights="balanced")


def test_softmax_is_the_cross_entropy_of_rows_and_needs_exclusive_classes():
    labels = torch.tensor([0, 2, 1, 1])
    loss, targets, mask = rows("multilabel", F.one_hot(labels, 3).float().tolist(), loss="softmax")
    outputs = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    log_p = outputs.log_softmax(1)
    logits = log_p - (-log_p.exp()).log1p()  # what the exclusive head hands on: the log odds
    torch.testing.assert_close(loss(logits, targets, mask), F.cross_entropy(outputs, labels))
    smooth, _, _ = rows("multilabel", F.one_hot(labels, 3).float().tolist(), loss="softmax", label_smoothing=0.1)
    torch.testing.assert_close(smooth(logits, targets, mask), F.cross_entropy(outputs, labels, label_smoothing=0.1))
    with pytest.raises(ConfigError, match="not exclusive"):
        rows("multilabel", [[1.0, 1.0], [1.0, 0.0]], loss="softmax")
    model = build_model(CNNConfig(channels=(4,), kernel_sizes=(3,), pools=(1,)), tasks=loss_tasks(loss))
    with pytest.raises(ConfigError, match=r'expected: \[model\] head = "exclusive"|head = "exclusive"'):
        loss.prepare(model)


def loss_tasks(loss: MultiTaskLoss) -> TaskSet:
    facts = loss.groups[0].facts
    return TaskSet([Task(f"task{k}", "g", facts.kind) for k in facts.columns])


def test_effective_numbers_lie_between_no_weights_and_balanced_ones():
    found = {}
    for how, beta in (("none", 0.9), ("effective_number", 0.0), ("effective_number", 0.99), ("balanced", 0.9)):
        group = rows("binary", [[1.0]] * 20 + [[0.0]] * 180, class_weights=how, effective_beta=beta)[0].groups[0]
        found[how, beta] = float(group.positive / group.negative)
    assert found["none", 0.9] == found["effective_number", 0.0] == 1
    assert found["balanced", 0.9] == pytest.approx(9)
    assert found["effective_number", 0.99] == pytest.approx((1 - 0.99**180) / (1 - 0.99**20))


def test_label_smoothing_moves_targets_towards_a_half():
    loss, targets, mask = rows("binary", LABELS, label_smoothing=0.2)
    expected = F.binary_cross_entropy_with_logits(LOGITS, 0.8 * targets + 0.1)
    torch.testing.assert_close(loss(LOGITS, targets, mask), expected)


MEASURED = [[3.0, 100.0], [5.0, np.nan], [4.0, 300.0], [8.0, 200.0]]


@pytest.mark.parametrize("name", ["huber", "mse", "ranking"])
def test_losses_of_measurements_do_not_depend_on_the_unit(name: str):
    loss, targets, mask = rows("regression", MEASURED, regression_loss=name)
    other, _, _ = rows("regression", (1000 * np.array(MEASURED) - 7).tolist(), regression_loss=name)
    x = torch.tensor([[4.0, 150.0], [4.5, 3.0], [3.0, 310.0], [9.0, 260.0]])
    torch.testing.assert_close(other(1000 * x - 7, 1000 * targets - 7, mask), loss(x, targets, mask))


def test_the_poisson_loss_is_half_the_deviance_over_the_mean():
    loss, targets, mask = rows("regression", [[0.0], [2.0], [7.0]], regression_loss="poisson")
    z = torch.tensor([[0.1], [0.2], [0.3]], requires_grad=True)
    value = loss(3 * z.exp(), targets, mask)
    rate = (3 * z.exp()).detach().numpy()
    assert value.item() == pytest.approx(mean_poisson_deviance(targets.numpy(), rate) / 2 / 3, rel=1e-5)
    value.backward()
    np.testing.assert_allclose(z.grad, (rate - targets.numpy()) / 3 / 3, rtol=1e-5)
    below, _, _ = rows("regression", [[-1.0], [2.0]], regression_loss="poisson")
    for link, said in (("identity", 'link = "log"'), ("log", "negative targets")):
        model = build_model(
            CNNConfig(channels=(4,), kernel_sizes=(3,), pools=(1,), link=link), tasks=loss_tasks(below)
        )
        with pytest.raises(ConfigError, match=said):
            below.prepare(model)


@pytest.mark.parametrize("neighbours", [512, 2])
def test_ranking_is_the_mean_over_pairs_and_has_their_gradient(neighbours: int, monkeypatch: pytest.MonkeyPatch):
    """The written-out double loop; with two neighbours on either side, only pairs that are near in the batch."""
    monkeypatch.setattr(ranking, "NEIGHBOURS", neighbours)
    rng = np.random.default_rng(0)
    loss, targets, mask = rows(
        "regression", rng.integers(0, 5, (9, 1)).astype(float).tolist(), regression_loss="ranking"
    )
    huber, _, _ = rows("regression", targets.tolist())
    mask[3] = False
    targets[3] = np.nan
    x = torch.from_numpy(rng.normal(size=(9, 1)).astype(np.float32)).requires_grad_()
    y, spread = targets[mask], loss.groups[0].entries.deviation
    z = (x / spread)[mask]
    pairs = []
    for i in range(8):
        for j in range(8):
            apart = min((i - j) % 8, (j - i) % 8)
            if i != j and apart <= neighbours:
                above = (y[i] > y[j]).float() - (y[i] < y[j]).float()
                pairs.append(above.abs() * F.softplus(-above * (z[i] - z[j])))
    expected = (torch.stack(pairs).mean() + huber(x, targets, mask)) / 2
    value = loss(x, targets, mask)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(*(torch.autograd.grad(v, x, retain_graph=True)[0] for v in (value, expected)))


def groups_of(*names: str) -> list[GroupFacts]:
    tasks = TaskSet([Task(name, name, "regression" if name == "y" else "binary") for name in names])
    targets = np.tile(np.array([[0.0], [1.0]], np.float32), (4, len(names)))
    return group_facts(tasks, targets=targets, mask=np.ones_like(targets, bool))


def test_uncertainty_settles_where_the_paper_says():
    balance = BALANCES["uncertainty"](groups_of("x", "y"), TrainConfig(balance="uncertainty"))
    losses, counts = torch.tensor([0.2, 3.0]), torch.ones(2)
    optimizer = torch.optim.SGD(balance.parameters(), lr=0.5)
    for _ in range(200):
        optimizer.zero_grad()
        balance(losses, counts, None).backward()
        optimizer.step()
    torch.testing.assert_close(balance.log_variance.detach(), torch.tensor([np.log(0.4), np.log(3.0)]).float())
    assert balance.learned()["x"] == pytest.approx(1 / 0.4, rel=1e-4)


def test_gradnorm_learns_by_the_gradient_of_its_own_loss():
    """The paper's loss, differentiated by autograd, against the weights' gradient as it is written down."""
    config = TrainConfig(balance="gradnorm", gradnorm_alpha=0.7, group_weights={"x": 2.0})
    balance = BALANCES["gradnorm"](groups_of("x", "y"), config)
    shared = torch.randn(6, 3, generator=torch.Generator().manual_seed(1)).requires_grad_()
    directions = torch.tensor([[1.0, 0.2, -1.0], [0.1, 0.1, 0.3]])
    for scale in (1.0, torch.tensor([0.9, 0.4])):
        losses = scale * ((shared @ directions.T) ** 2).mean(0)
        if not isinstance(scale, float):
            balance.zero_grad()
        total = balance(losses, torch.ones(2), shared)
        torch.testing.assert_close(total.detach(), (torch.tensor([2.0, 1.0]) * losses).sum().detach())
        total.backward(retain_graph=True)
    weights = torch.ones(2, requires_grad=True)
    fixed = torch.tensor([2.0, 1.0])
    slopes = [torch.autograd.grad(fixed[g] * losses[g], shared, retain_graph=True)[0].norm() for g in range(2)]
    pulls = weights * torch.stack(slopes)
    left = scale / scale.mean()
    (pulls - (pulls.mean() * left**0.7).detach()).abs().sum().backward()
    torch.testing.assert_close(balance.weights.grad, weights.grad)
    with pytest.raises(ConfigError, match="compile = false"):
        make_loss(TASKS, TrainConfig(balance="gradnorm", compile=True), targets=tables()[0], mask=tables()[1])
