"""What is recomputed locally equals computing every changed sequence whole, on every trunk, pooling and input."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from encre.models.cnn import CNNConfig
from encre.models.cnn_lstm import CNNLSTMConfig
from encre.models.equivariant import EquivariantConfig
from encre.models.layers import MaskedBatchNorm
from encre.models.model import EnhancerModel, build_model
from encre.models.residual import ResidualConfig
from encre.models.settings import ModelConfig
from encre.models.substitution import (
    Substitutions,
    every_substitution,
    naive_substituted_logits,
    substituted_logits,
)
from encre.models.transformer import TransformerConfig
from encre.tasks import screen_tasks

CONFIGS: dict[str, ModelConfig] = {
    "reference CNN": CNNConfig(channels=(16, 24)),
    "shipped shape": CNNConfig(
        input="one_hot", channels=(8, 10, 12, 16), kernel_sizes=(13, 5, 5, 5), pools=(4, 2, 2, 1), norm="batch"
    ),
    "mean, pools of 3 and 2": CNNConfig(
        k=4, channels=(8, 12), kernel_sizes=(7, 3), pools=(3, 2), norm="batch", pooling="mean"
    ),
    "attention, width 1": CNNConfig(k=1, channels=(8,), kernel_sizes=(1,), pools=(5,), pooling="attention"),
    "attention, batch norm": CNNConfig(
        input="one_hot",
        channels=(8, 12, 12),
        kernel_sizes=(9, 5, 5),
        pools=(2, 3, 2),
        norm="batch",
        pooling="attention",
    ),
    "reference CNN+LSTM": CNNLSTMConfig(channels=(12, 16, 16), lstm=8),
    "CNN+LSTM, maximum": CNNLSTMConfig(
        input="one_hot", channels=(8, 8, 8), pools=(2, 1, 2), pooling="max", lstm=8, residual=True
    ),
    "CNN+LSTM, attention": CNNLSTMConfig(
        channels=(8, 8), kernel_sizes=(5, 5), pools=(1, 3), pooling="attention", lstm=8
    ),
    "equivariant": EquivariantConfig(stem=8, widths=(8, 12, 16), blocks=(2, 1, 1), pools=(2, 3, 1)),
    "residual": ResidualConfig(stem=8, widths=(8, 12, 16), blocks=(2, 1, 0), pools=(2, 3, 1)),
    "canonical k-mers": CNNConfig(input="canonical_kmer", k=4, channels=(8, 12), pools=(2, 1)),
    "strided k-mers": CNNConfig(k=4, stride=3, channels=(8, 12), pools=(2, 1)),
    "CNN+LSTM on strided k-mers": CNNLSTMConfig(stride=2, channels=(8, 8), kernel_sizes=(5, 5), pools=(1, 2), lstm=8),
    "Transformer": TransformerConfig(width=16, layers=2, heads=2, feed_forward=32),
}


def trained_like(config: ModelConfig) -> EnhancerModel:
    """A model with norms as training leaves them, not at their start."""
    torch.manual_seed(1)
    model = build_model(config, tasks=screen_tasks())
    for module in model.modules():
        if isinstance(module, MaskedBatchNorm):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(-1.5, 1.5)
            module.bias.data.normal_()
    return model.eval()


@pytest.fixture(params=CONFIGS, scope="module")
def model(request: pytest.FixtureRequest) -> EnhancerModel:
    return trained_like(CONFIGS[request.param])


def some_codes(rng: np.random.Generator, length: int) -> np.ndarray:
    codes = rng.integers(0, 4, (3, length), dtype=np.uint8)
    codes[1, 20:25] = 4  # N inside, and at an end
    codes[2, :4] = 4
    return codes


def assert_equal(model: EnhancerModel, codes: np.ndarray, changes: Substitutions, *, both_strands: bool) -> None:
    found = substituted_logits(model, codes, changes, both_strands=both_strands)
    expected = naive_substituted_logits(model, codes, changes, both_strands=both_strands)
    for name, fast, slow in zip(("reference", "changed"), found, expected, strict=True):
        np.testing.assert_allclose(fast, slow, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("length", [31, 118])
@pytest.mark.parametrize("both_strands", [True, False])
def test_single_bases(model: EnhancerModel, length: int, both_strands: bool):
    codes = some_codes(np.random.default_rng(length), length)
    changes = every_substitution(codes)
    assert len(changes.row) == 3 * int((codes < 4).sum())  # N is left alone
    if length > 100:  # the ends and a sample
        changes = changes.take(np.r_[0:30, np.random.default_rng(0).integers(0, len(changes.row), 100)])
    assert_equal(model, codes, changes, both_strands=both_strands)


@pytest.mark.parametrize("width", [2, 9, 40])
def test_longer_runs_also_of_n_and_up_to_both_ends(model: EnhancerModel, width: int):
    rng = np.random.default_rng(width)
    codes = some_codes(rng, 80)
    start = np.r_[0, 80 - width, rng.integers(0, 80 - width + 1, 20)]
    bases = rng.integers(0, 5, (len(start), width)).astype(np.uint8)
    changes = Substitutions(rng.integers(0, 3, len(start)), start, bases)
    assert_equal(model, codes, changes, both_strands=True)


def test_more_references_than_are_held_at_once():
    model = trained_like(CONFIGS["shipped shape"])
    rng = np.random.default_rng(3)
    codes = rng.integers(0, 4, (260, 130), dtype=np.uint8)
    row = rng.permutation(260)  # in no order, and every reference once
    changes = Substitutions(row, rng.integers(0, 130, 260), rng.integers(0, 4, (260, 1)).astype(np.uint8))
    assert_equal(model, codes, changes, both_strands=True)


def test_bf16_is_near():
    model = trained_like(CONFIGS["shipped shape"])
    codes = some_codes(np.random.default_rng(4), 100)
    changes = every_substitution(codes)
    exact, near = (substituted_logits(model, codes, changes, precision=p)[1] for p in ("fp32", "bf16"))
    assert 0 < np.abs(exact - near).max() < 0.05 * np.abs(exact).max()


def test_a_sequence_of_one_base():
    """Its reverse complement once kept a negative stride, which torch refuses."""
    model = trained_like(CNNConfig(input="one_hot", channels=(4,), kernel_sizes=(3,), pools=(1,)))
    codes = np.array([[2]], dtype=np.uint8)
    assert_equal(model, codes, every_substitution(codes), both_strands=True)
