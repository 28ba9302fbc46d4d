"""Relaxed sequences: the model itself at one-hot corners, a true gradient between them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from encre.errors import ConfigError
from encre.models.cnn import CNNConfig
from encre.models.cnn_lstm import CNNLSTMConfig
from encre.models.model import EnhancerModel, build_model
from encre.models.relaxed import relaxed_both_strands, relaxed_logits
from encre.models.transformer import TransformerConfig
from encre.sequence.alphabet import reverse_complement
from encre.tasks import Task, TaskSet

TASKS = TaskSet([Task("a", "one"), Task("b", "two")])
SMALL = {"channels": (6, 8), "kernel_sizes": (5, 3), "pools": (2, 1)}
CONFIGS = {
    "cnn one-hot": CNNConfig(input="one_hot", **SMALL),
    "cnn k=3": CNNConfig(k=3, embedding=5, **SMALL),
    "cnn k=4 norm": CNNConfig(k=4, embedding=5, norm="batch", dropout=0.1, pooling="attention", **SMALL),
    "cnn canonical k=4": CNNConfig(input="canonical_kmer", k=4, embedding=5, **SMALL),
    "cnn k=3 stride 2": CNNConfig(k=3, stride=2, embedding=5, **SMALL),
    "cnn_lstm one-hot": CNNLSTMConfig(input="one_hot", lstm=4, **SMALL),
    "transformer k=3": TransformerConfig(width=8, heads=2, layers=1, feed_forward=8, positions=40),
    "transformer k=2 stride 2": TransformerConfig(width=8, heads=2, layers=1, feed_forward=8, k=2, stride=2),
}


def random_model(name: str) -> EnhancerModel:
    torch.manual_seed(3)
    model = build_model(CONFIGS[name], tasks=TASKS).eval()
    for module in model.modules():
        if hasattr(module, "running_mean"):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return model


def one_hot(codes: torch.Tensor) -> torch.Tensor:
    return torch.eye(5)[:, :4][codes.long()].transpose(1, 2).contiguous()


@pytest.fixture(params=CONFIGS)
def model(request: pytest.FixtureRequest) -> EnhancerModel:
    return random_model(request.param)


@pytest.fixture
def codes() -> torch.Tensor:
    found = torch.from_numpy(np.random.default_rng(0).integers(0, 4, (3, 24)).astype(np.uint8))
    found[0, 7] = 4  # N
    return found


def test_a_one_hot_corner_is_the_model(model: EnhancerModel, codes: torch.Tensor):
    with torch.inference_mode():
        expected = model(codes, torch.full((3,), 24))
        assert torch.allclose(relaxed_logits(model, one_hot(codes), codes), expected, atol=1e-5)
        other = torch.from_numpy(reverse_complement(codes.numpy()).copy())
        both = (expected + model(other, torch.full((3,), 24))) / 2
        assert torch.allclose(relaxed_both_strands(model, one_hot(codes), codes), both, atol=1e-5)


def test_gradients_are_finite_differences(model: EnhancerModel, codes: torch.Tensor):
    model = model.double()
    x = (0.7 * one_hot(codes) + 0.1 * torch.rand(3, 4, 24)).double().requires_grad_()
    gradient = torch.autograd.grad(relaxed_logits(model, x, codes).sum(), x)[0]
    step = 1e-6
    with torch.no_grad():
        for row, base, at in [(0, 1, 0), (0, 2, 8), (1, 3, 12), (2, 0, 23)]:
            moved = torch.zeros_like(x)
            moved[row, base, at] = step
            up, down = (relaxed_logits(model, x + sign * moved, codes).sum() for sign in (1, -1))
            assert gradient[row, base, at].item() == pytest.approx(((up - down) / (2 * step)).item(), abs=1e-6)


def test_a_kmer_embedding_is_linear_in_every_position(codes: torch.Tensor):
    layer = random_model("cnn k=3").trunk.input
    from encre.models.layers import Extent

    extent = Extent.of(torch.full((3,), 24), 24, torch.device("cpu"))
    x, y = one_hot(codes), one_hot(codes)
    x[:, :, 10] = torch.tensor([1.0, 0, 0, 0])
    y[:, :, 10] = torch.tensor([0.0, 0, 1, 0])
    codes[:, 10] = 0
    mean = layer.relaxed((x + y) / 2, codes, extent)[0]
    ends = (layer.relaxed(x, codes, extent)[0] + layer.relaxed(y, codes, extent)[0]) / 2
    assert torch.allclose(mean, ends, atol=1e-6)


def test_wide_kmers_are_refused_with_what_is_possible(codes: torch.Tensor):
    model = build_model(CNNConfig(k=5, **SMALL), tasks=TASKS).eval()
    with pytest.raises(ConfigError, match=r"5-mers.*Possible with this model: ism"):
        relaxed_logits(model, one_hot(codes), codes)
