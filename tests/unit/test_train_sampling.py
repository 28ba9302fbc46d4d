"""Order, buckets, shares and augmentation; the schedule; a state on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from encre.errors import ConfigError, FolderError
from encre.models.cnn import CNNConfig
from encre.models.model import build_model
from encre.tasks import screen_tasks
from encre.train import sampling
from encre.train.optimizer import make_optimizer, rate_at
from encre.train.score import overall, task_scores
from encre.train.settings import RunConfig, TrainConfig
from encre.train.state import State, load_state, save_state


@given(st.integers(1, 300), st.integers(1, 40), st.booleans(), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_batches_partition_the_epoch_and_are_nearly_equal(n: int, size: int, bucketing: bool, epoch: int):
    config = TrainConfig(batch_size=size, bucketing=bucketing)
    length = np.random.default_rng(0).integers(150, 350, n)
    rows = sampling.epoch_rows(np.zeros(n, bool), config, epoch)
    cut = sampling.batches(rows, length, config, epoch=epoch)
    np.testing.assert_array_equal(np.sort(np.concatenate(cut)), np.arange(n))
    sizes = [len(batch) for batch in cut]
    assert max(sizes) <= size
    assert max(sizes) - min(sizes) <= 1


def test_the_order_does_not_depend_on_the_batches():
    synthetic = np.arange(100) % 3 == 0
    orders = [sampling.epoch_rows(synthetic, TrainConfig(batch_size=size), 2) for size in (1, 7, 64)]
    assert all((order == orders[0]).all() for order in orders)
    flips = [sampling.augmentation(100, TrainConfig(batch_size=s), epoch=1, jitter=4) for s in (1, 64)]
    for one, other in zip(*flips, strict=True):
        np.testing.assert_array_equal(one, other)
    assert not (orders[0] == sampling.epoch_rows(synthetic, TrainConfig(), 3)).all()
    assert not (orders[0] == sampling.epoch_rows(synthetic, TrainConfig(seed=1), 2)).all()


def test_buckets_leave_little_padding():
    config = TrainConfig(batch_size=32)
    length = np.random.default_rng(0).integers(150, 351, 5000)
    cut = sampling.batches(sampling.epoch_rows(np.zeros(5000, bool), config, 0), length, config, epoch=0)
    padded = sum(length[batch].max() * len(batch) for batch in cut)
    assert padded / length.sum() < 1.08


def test_tissue_balanced_rows_show_each_tissue_about_equally_often():
    """Positives of 200, 40 and 10 rows among 1,000; shuffles and rows without a tissue stay as they are."""
    n = 1000
    targets = np.zeros((n, 4), np.float32)
    targets[:500, 0] = 1
    for k, (first, last) in enumerate([(0, 200), (200, 240), (240, 250)], start=1):
        targets[first:last, k] = 1
    targets[250:300, 1:] = np.nan
    positive = sampling.tissue_positives(targets, screen_tasks(["brain", "heart", "skin"]))
    synthetic = np.arange(n) >= 900
    config = TrainConfig(sampling="tissue_balanced")
    drawn = sampling.epoch_rows(synthetic, config, 0, positive=positive)
    assert len(drawn) == n, "an epoch is as long as before"
    seen = np.bincount(drawn, minlength=n)
    assert [int(seen[positive[:, t]].sum()) for t in range(3)] == [83, 84, 83]
    assert (seen[240:250] >= 8).all(), "no positive of a rare tissue is left out"
    assert np.ptp(seen[240:250]) <= 1
    assert (seen[250:900] == 1).all()
    for other in (TrainConfig(sampling="tissue_balanced", batch_size=3), config):
        np.testing.assert_array_equal(sampling.epoch_rows(synthetic, other, 0, positive=positive), drawn)
    assert not np.array_equal(sampling.epoch_rows(synthetic, config, 1, positive=positive), drawn)
    none = sampling.epoch_rows(synthetic, config, 0, positive=positive[:, :0])
    np.testing.assert_array_equal(np.sort(none), np.arange(n))


def test_synthetic_rows_are_drawn_afresh_in_their_share():
    synthetic = np.arange(300) >= 100
    config = TrainConfig(synthetic_per_element=0.5)
    first, second = (set(sampling.epoch_rows(synthetic, config, epoch)) for epoch in (0, 1))
    for drawn in (first, second):
        assert set(range(100)) <= drawn
        assert len(drawn) == 150
    assert first != second
    assert len(sampling.epoch_rows(synthetic, TrainConfig(synthetic_per_element=9.0), 0)) == 300
    assert len(sampling.epoch_rows(np.ones(5, bool), config, 0)) == 5, "a dataset of synthetic rows alone is kept"


def test_shares_of_processes_partition_the_batch():
    batch = np.arange(13)
    parts = [sampling.share(batch, rank, 3) for rank in range(3)]
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), batch)


def test_augmentation_does_what_it_was_asked_for():
    off = TrainConfig(reverse_complement=False, jitter=False)
    assert sampling.augmentation(5, off, epoch=0, jitter=9) == (None, None)
    reverse, shift = sampling.augmentation(4000, TrainConfig(), epoch=0, jitter=3)
    assert abs(reverse.mean() - 0.5) < 0.05
    assert set(shift) == set(range(-3, 4))
    assert sampling.augmentation(5, TrainConfig(), epoch=0, jitter=0)[1] is None


def test_the_rate_rises_then_falls_to_nothing():
    config = TrainConfig(learning_rate=2.0, warmup=0.1)
    rates = [rate_at(x, config) for x in (0, 0.05, 0.1, 0.55, 1.0, 1.5)]
    np.testing.assert_allclose(rates, [0, 1, 2, 1, 0, 0], atol=1e-12)
    assert rate_at(0, TrainConfig(learning_rate=2.0, warmup=0.0)) == 2.0


def test_norms_biases_and_embeddings_do_not_decay():
    model = build_model(CNNConfig(norm="batch"), tasks=screen_tasks())
    decays, stays = make_optimizer(model, TrainConfig(weight_decay=0.1)).param_groups
    assert {p.dim() for p in decays["params"]} == {2, 4}
    assert (decays["weight_decay"], stays["weight_decay"]) == (0.1, 0)
    assert any(p is model.trunk.input.embedding.weight for p in stays["params"])


def steps(model: nn.Module, optimizer: torch.optim.Optimizer, n: int, *, first: int = 0) -> None:
    for step in range(first, first + n):
        codes = torch.from_numpy(np.random.default_rng(step).integers(0, 4, (4, 30)).astype(np.uint8))
        optimizer.zero_grad()
        model(codes, torch.full((4,), 30)).square().mean().backward()
        optimizer.step()


def fresh() -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = build_model(CNNConfig(channels=(8, 8)), tasks=screen_tasks())
    return model, make_optimizer(model, TrainConfig())


def test_a_restored_optimizer_goes_on_bit_for_bit(tmp_path: Path):
    """States once came back contiguous beside channels-last weights, and the fused kernel mixed them up."""
    model, optimizer = fresh()
    steps(model, optimizer, 3)
    file = tmp_path / "last.safetensors"
    save_state(
        file, State(epoch=2, best=0.1 + 0.2, best_epoch=1), {"model": model}, optimizer=optimizer, identity={"a": 1}
    )
    steps(model, optimizer, 3, first=3)
    other, its_optimizer = fresh()
    state = load_state(file, {"model": other}, optimizer=its_optimizer, identity={"a": 1})
    assert (state.epoch, state.best) == (2, 0.1 + 0.2)
    steps(other, its_optimizer, 3, first=3)
    for one, two in zip(model.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(one, two)


def test_fused_adamw_agrees_with_the_plain_one_on_channels_last_weights():
    model, optimizer = fresh()
    other, _ = fresh()
    plain = torch.optim.AdamW(
        [{k: g[k] for k in ("params", "weight_decay")} for g in make_optimizer(other, TrainConfig()).param_groups],
        lr=1e-3,
    )
    steps(model, optimizer, 4)
    steps(other, plain, 4)
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-4)


def test_a_state_of_another_training_or_a_damaged_one_is_refused(tmp_path: Path):
    model, optimizer = fresh()
    file = tmp_path / "last.safetensors"
    save_state(file, State(), {"model": model}, optimizer=optimizer, identity={"train": {"seed": 0}, "dataset": "x"})
    with pytest.raises(ConfigError, match="another 'train.seed'.*expected 0; got 1"):
        load_state(file, {"model": model}, optimizer=optimizer, identity={"train": {"seed": 1}, "dataset": "x"})
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(FolderError, match="last.safetensors"):
        load_state(file, {"model": model}, optimizer=optimizer, identity={})


def test_scores_are_undefined_where_there_is_one_class_only():
    tasks = screen_tasks(["brain", "heart"])
    targets = np.array([[1, 1, 0], [0, 1, 0], [1, 1, np.nan]], np.float32)
    logits = np.array([[2, 0, 0], [1, 0, 0], [3, 0, 0]], np.float32)
    scores = task_scores(logits, targets, ~np.isnan(targets), tasks=tasks)
    assert scores == {"enhancer": 1.0, "brain": None, "heart": None}
    assert overall({"valid_auprc": None, "valid_loss": 0.7}) == -0.7


def test_a_training_file_is_read_and_its_mistakes_are_named(tmp_path: Path):
    file = tmp_path / "cnn.toml"
    file.write_text('[model]\nname = "cnn"\n[train]\nlearning_rates = 1\n')
    with pytest.raises(ConfigError, match=r"cnn.toml: unknown key 'learning_rates' in \[train\].*'learning_rate'"):
        RunConfig.from_toml(file)
    file.write_text('[model]\nname = "cnn"\n[train]\nepochs = 0\n')
    with pytest.raises(ConfigError, match="'epochs'"):
        RunConfig.from_toml(file)
