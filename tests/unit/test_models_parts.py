"""Layers, settings and sizes of the models."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from encre.errors import ConfigError, ResourceError, SequenceError
from encre.models.cnn import CNNConfig
from encre.models.cnn_lstm import CNNLSTMConfig
from encre.models.device import choose_device, choose_precision
from encre.models.inference import predict_logits
from encre.models.layers import Extent, MaskedBatchNorm, Pooling, dropout
from encre.models.model import build_model
from encre.models.registry import model_config
from encre.models.transformer import TransformerConfig
from encre.tasks import Task, TaskSet, screen_tasks


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_the_cnn_has_the_reference_tensors():
    model = build_model(CNNConfig(), tasks=screen_tasks())
    trunk = model.trunk
    assert trunk.input.embedding.weight.shape == (65, 16)
    assert count(trunk.blocks[0]) == 16 * 128 * 5 + 128
    assert count(trunk.blocks[1]) == 128 * 256 * 5 + 256
    assert {name: count(head) for name, head in model.heads.items()} == {"enhancer": 257, "tissue": 9 * 257}
    assert model.parameters_count == 65 * 16 + 10_368 + 164_096 + 10 * 257


def test_the_cnn_lstm_has_the_reference_tensors():
    model = build_model(CNNLSTMConfig(), tasks=screen_tasks())
    blocks = model.trunk.convolutions.blocks
    assert [count(block.conv) for block in blocks] == [10_368, 164_096, 256 * 256 * 5 + 256]
    assert [count(block.norm) for block in blocks] == [2 * 128, 2 * 256, 2 * 256]
    assert [block.residual for block in blocks] == [False, False, True]
    assert count(model.trunk.rightward) == count(model.trunk.leftward) == 4 * 128 * (256 + 128 + 2)
    assert count(model.heads) == 10 * 257


def test_the_transformer_has_berts_tensors():
    model = build_model(TransformerConfig(), tasks=screen_tasks())
    trunk = model.trunk
    assert trunk.input.embedding.weight.shape == (65, 256)
    assert trunk.positions.weight.shape == (348, 256)
    layer = 4 * (256 * 256 + 256) + (256 * 1024 + 1024) + (1024 * 256 + 256) + 2 * 2 * 256
    assert [count(one) for one in trunk.layers] == [layer] * 6
    assert count(trunk) == (65 + 348) * 256 + 2 * 256 + 6 * layer


def test_heads_follow_the_order_of_the_tasks_when_groups_are_mixed():
    tasks = TaskSet([Task("a", "x"), Task("b", "y"), Task("c", "x")])
    model = build_model(CNNConfig(channels=(4,), kernel_sizes=(3,), pools=(1,)), tasks=tasks).eval()
    codes = torch.randint(0, 4, (2, 12), dtype=torch.uint8)
    vector = model.embed(codes, torch.tensor([12, 12]))
    x, y = model.heads["x"](vector), model.heads["y"](vector)
    logits = model(codes, torch.tensor([12, 12]))
    torch.testing.assert_close(logits, torch.stack([x[:, 0], y[:, 0], x[:, 1]], 1))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"name": "cnnn"}, "Did you mean 'cnn'"),
        ({}, "missing"),
        ({"name": "cnn", "chanels": [1]}, "Did you mean 'channels'"),
        ({"name": "cnn", "channels": [8, 8, 8]}, "one entry a layer"),
        ({"name": "cnn", "kernel_sizes": [4, 5]}, "odd"),
        ({"name": "cnn", "k": 9}, "'k'"),
        ({"name": "transformer", "heads": 3}, "multiple of heads"),
    ],
)
def test_wrong_model_settings_are_said_in_words(values: dict, said: str):
    with pytest.raises(ConfigError, match=said):
        model_config(values)


def test_sequences_that_do_not_fit_are_refused():
    model = build_model(TransformerConfig(width=8, layers=1, heads=1, feed_forward=8), tasks=screen_tasks())
    model.check_lengths(np.array([3, 350]))
    with pytest.raises(SequenceError, match="sequence 1 is shorter .* at least 3 bases; got 2"):
        model.check_lengths(np.array([5, 2]))
    with pytest.raises(SequenceError, match="at most 350 bases; got 351"):
        model.check_lengths(np.array([351]))


def test_batch_norm_ignores_padding():
    torch.manual_seed(0)
    x, length = torch.randn(3, 5, 1, 9), torch.tensor([9, 4, 1])
    extent = Extent.of(length, 9, x.device)
    ours, native = MaskedBatchNorm(5), nn.BatchNorm1d(5)
    rows = torch.cat([x[i, :, 0, :n].T for i, n in enumerate(length)])
    torch.testing.assert_close(extent.pack(ours(x, extent).squeeze(2).transpose(1, 2)), native(rows))
    torch.testing.assert_close(ours.running_mean, native.running_mean)
    torch.testing.assert_close(ours.running_var, native.running_var)


@pytest.mark.parametrize("name", ["max", "mean", "attention"])
def test_pooling_sees_real_positions_only(name: str):
    torch.manual_seed(0)
    pooling = Pooling(name, 4)
    x = torch.randn(2, 4, 6) - 3  # all negative: a zero of the padding would win a max
    extent = Extent.of(torch.tensor([6, 2]), 6, x.device)
    alone = pooling(x[1:, :, :2], Extent.of(torch.tensor([2]), 2, x.device))
    torch.testing.assert_close(pooling(x, extent)[1:], alone)


def test_dropout_drops_its_share_and_keeps_the_mean():
    torch.manual_seed(0)
    x = torch.ones(401, 501)
    y = dropout(x, 0.3, True)
    assert abs((y == 0).float().mean() - 0.3) < 0.01
    assert abs(y.mean() - 1) < 0.01
    assert dropout(x, 0.3, False) is x


def test_devices_and_precisions():
    cpu = choose_device("cpu")
    assert choose_precision("bf16", cpu) == "bf16"
    assert choose_precision("auto", cpu) in ("fp32", "bf16")
    for name in ("gpu", "cuda:99"):
        with pytest.raises(ResourceError):
            choose_device(name)


@pytest.mark.parametrize(
    "config",
    [
        TransformerConfig(width=2, heads=1, feed_forward=4, stride=12),
        CNNConfig(channels=(2, 2), pools=(4, 1)),
        CNNLSTMConfig(channels=(2,), kernel_sizes=(5,), pools=(16,), lstm=1),
    ],
)
def test_a_model_narrower_than_its_stride_predicts(config):
    assert config.widest >= 1
    model = build_model(config, tasks=screen_tasks()).eval()
    offsets = np.array([0, 60, 120])
    assert predict_logits(model, np.zeros(120, np.uint8), offsets).shape == (2, len(model.tasks))
