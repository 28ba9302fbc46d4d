"""Windowed attention, random features and dilated convolutions against slow, obvious versions."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from encre.models.attention import DenseAttention, Layer, Rotation
from encre.models.dilated import Dilated, DilatedConfig, GatedBlock
from encre.models.hybrid import HybridConfig
from encre.models.layers import Extent
from encre.models.longformer import LongformerConfig, WindowAttention
from encre.models.model import build_model
from encre.models.performer import FavorAttention, PerformerConfig, orthogonal
from encre.tasks import screen_tasks

SMALL = {"stem": 8, "widths": (8,), "blocks": (1,), "pools": (2,), "attention_layers": 2, "heads": 2}


def heads(tokens: int, *, rows: int = 3, d: int = 6, scale: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value (B, 2, T, d), as views of one projection, as a layer makes them."""
    made = torch.randn(rows, tokens, 3, 2, d, generator=torch.Generator().manual_seed(tokens)) * scale
    query, key, value = (x.transpose(1, 2) for x in made.unbind(2))
    return query, key, value


def extent_of(lengths: list[int], tokens: int) -> Extent:
    return Extent.of(torch.tensor(lengths), tokens, torch.device("cpu"))


def slow(query: Tensor, key: Tensor, value: Tensor, seen: Tensor) -> Tensor:
    """Attention with all weights at once; ``seen`` (B, T, T) bool. Result (B, T, H, d)."""
    scores = query @ key.transpose(2, 3) / math.sqrt(query.shape[-1])
    return (scores.masked_fill(~seen[:, None], -torch.inf).softmax(-1) @ value).transpose(1, 2)


def _band(tokens: int, window: int) -> Tensor:
    place = torch.arange(tokens)
    return (place[:, None] - place).abs() <= window


@pytest.mark.parametrize(("window", "first"), [(1, 0), (3, 0), (4, 2), (7, 1), (16, 3), (100, 0), (100, 2)])
@pytest.mark.parametrize("lengths", [[30, 30, 30], [30, 9, 1], [17, 30, 5]])
def test_windowed_attention_equals_a_dense_one_with_a_mask(window: int, first: int, lengths: list[int]):
    tokens = 30 + first
    given, extent = heads(tokens), extent_of([n + first for n in lengths], tokens)
    near, place = _band(tokens, window), torch.arange(tokens)
    near |= (place < first) | (place < first)[:, None]
    expected = slow(*given, near & extent.mask[:, None, :])
    found = WindowAttention(window, first)(*given, extent)
    for row, length in enumerate(extent.length.tolist()):
        torch.testing.assert_close(found[row, :length], expected[row, :length], atol=1e-5, rtol=1e-5)
    assert torch.isfinite(found).all(), "what is not read must not be a NaN either: its gradient would spread"


@pytest.mark.parametrize("lengths", [[30, 30, 30], [30, 9, 1]])
def test_windowed_attention_has_the_gradients_of_the_dense_one(lengths: list[int]):
    given, extent = [x.clone().requires_grad_() for x in heads(30)], extent_of(lengths, 30)
    seen = _band(30, 4) & (extent.mask[:, None, :] | torch.eye(30, dtype=torch.bool))  # no row without any weight
    real = extent.mask[..., None, None]
    gradients = [
        torch.autograd.grad((torch.where(real, mixed, 0) ** 2).sum(), given)
        for mixed in (WindowAttention(4, 0)(*given, extent), slow(*given, seen))
    ]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("tokens", [40, 200, 550])
@pytest.mark.parametrize("training", [True, False])
def test_bf16_attention_on_a_cpu_goes_other_ways_to_the_same_values(tokens: int, training: bool):
    given, extent = heads(tokens, d=16), extent_of([tokens, tokens // 2, 1], tokens)
    expected = slow(*given, extent.mask[:, None, :].expand(-1, tokens, -1))
    for attention in (DenseAttention(), WindowAttention(tokens, 0), WindowAttention(tokens - 5, 0)):
        with torch.set_grad_enabled(training):
            found = attention.train(training)(*(x.bfloat16().requires_grad_(training) for x in given), extent)
        near = slow(*given, _band(tokens, getattr(attention, "window", tokens)) & extent.mask[:, None, :])
        wanted = near if isinstance(attention, WindowAttention) else expected
        for row, length in enumerate(extent.length.tolist()):
            torch.testing.assert_close(found[row, :length].float(), wanted[row, :length], atol=3e-2, rtol=3e-2)


def test_a_longformer_whose_window_holds_all_is_the_dense_hybrid():
    torch.manual_seed(0)
    dense = build_model(HybridConfig(**SMALL), tasks=screen_tasks()).eval()
    wide = build_model(LongformerConfig(**SMALL, feed_forward=320, global_tokens=0, window=60), tasks=screen_tasks())
    wide.load_state_dict(dense.state_dict())
    codes = torch.randint(0, 4, (2, 240), dtype=torch.uint8)
    length = torch.tensor([240, 150])
    torch.testing.assert_close(wide.eval()(codes, length), dense(codes, length), atol=1e-5, rtol=1e-5)


def test_rotary_positions_see_distances_alone():
    torch.manual_seed(0)
    layer = Layer(HybridConfig(**SMALL)).eval()
    x, extent = torch.randn(20, 8), extent_of([20], 20)
    at_zero, far = (layer(x, extent, Rotation.of(torch.arange(20) + start, 4)) for start in (0, 500))
    torch.testing.assert_close(at_zero, far, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(at_zero, layer(x, extent), atol=1e-3), "without them, the order is not seen at all"
    turned = Rotation.of(torch.arange(5), 6)
    pair = torch.randn(1, 5, 2, 1, 6)
    as_complex = torch.complex(pair[..., :3], pair[..., 3:])
    angle = torch.arange(5)[:, None] * 10_000.0 ** -(torch.arange(3) / 3)
    expected = as_complex * torch.polar(torch.ones_like(angle), angle)[:, None, None]
    torch.testing.assert_close(turned.turn(pair), torch.cat([expected.real, expected.imag], -1))


def favor_error(features: int, *, scale: float) -> float:
    """Mean absolute error to dense attention, over ten draws of the features."""
    given, extent = heads(50, d=8, scale=scale), extent_of([50, 31, 8], 50)
    expected = slow(*given, extent.mask[:, None, :].expand(-1, 50, -1))
    real = extent.mask[..., None, None].expand_as(expected)
    errors = []
    for seed in range(10):
        torch.manual_seed(seed)
        found = FavorAttention(8, features)(*given, extent)
        errors.append((found - expected)[real].abs().mean())
    return float(torch.stack(errors).mean())


def test_random_features_come_nearer_to_dense_attention_the_more_there_are():
    errors = [favor_error(features, scale=0.5) for features in (16, 64, 256, 1024)]
    assert all(after < 0.75 * before for before, after in pairwise(errors)), errors
    assert errors[-1] < 0.01


def test_random_features_of_a_square_block_are_orthogonal_with_normal_lengths():
    torch.manual_seed(0)
    vectors = orthogonal(600, 20)
    products = vectors[:20] @ vectors[:20].t()
    torch.testing.assert_close(products, torch.diag(products.diag()), atol=1e-4, rtol=0)
    assert float(vectors.square().sum(1).mean()) == pytest.approx(20, rel=0.1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
def test_random_features_never_overflow_and_never_see_padding(dtype: torch.dtype, scale: float):
    attention = FavorAttention(8, 64)
    given = [x.to(dtype).requires_grad_() for x in heads(50, d=8, scale=scale)]
    found = attention(*given, extent_of([50, 31, 8], 50))
    assert found.dtype == dtype
    alone = attention(*(x[1:2, :, :31] for x in given), extent_of([31], 31))
    torch.testing.assert_close(
        found[1:2, :31], alone, atol=2e-2 * scale if dtype != torch.float32 else 1e-5, rtol=1e-2
    )
    gradients = torch.autograd.grad(found[1, :31].float().square().sum(), given)
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    assert not any(gradient[1, :, 31:].any() for gradient in gradients[1:])


def test_the_random_features_belong_to_the_weights():
    """Drawn anew on loading, the same folder would give other logits each time."""
    config = PerformerConfig(**SMALL, random_features=8)
    made = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        made.append(build_model(config, tasks=screen_tasks()).state_dict())
    name = "trunk.layers.1.mixing.projection"
    assert torch.equal(made[0][name], made[1][name])
    assert not torch.equal(made[0][name], made[2][name])
    assert not torch.equal(made[0][name], made[0]["trunk.layers.0.mixing.projection"])


def slow_block(block: GatedBlock, x: Tensor) -> Tensor:
    """A gated block over one sequence (D, T), position by position."""
    dilation, tokens = block.conv.dilation[1], x.shape[1]
    weight, norm = block.conv.weight[:, :, 0], block.norm
    rows = []
    for t in range(tokens):
        total = sum(
            weight[:, :, tap] @ x[:, t + (tap - 1) * dilation]
            for tap in range(3)
            if 0 <= t + (tap - 1) * dilation < tokens
        )
        normed = (total - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias
        a, b = normed.chunk(2)
        rows.append(x[:, t] + block.mix.weight[:, :, 0, 0] @ (a * b.sigmoid()) + block.mix.bias)
    return torch.stack(rows, 1)


def test_dilated_convolutions_equal_a_loop_and_leave_zeros_beyond_the_real_positions():
    torch.manual_seed(0)
    trunk = Dilated(DilatedConfig(stem=6, widths=(6,), blocks=(1,), pools=(2,), dilated_layers=4, gated=5)).eval()
    for module in trunk.modules():
        if hasattr(module, "running_mean"):
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 1.5)
    seen: list[Tensor] = []
    for block in trunk.blocks:
        block.register_forward_hook(lambda _, __, y: seen.append(y))
    length = torch.tensor([100, 37])
    codes = torch.randint(0, 4, (2, 100), dtype=torch.uint8)
    features, extent = trunk(codes, length)
    stem = trunk.convolutions(codes, length)[0]
    for row, tokens in enumerate(extent.length.tolist()):
        x = stem[row, :, :tokens]
        for block, after in zip(trunk.blocks, seen, strict=True):
            x = slow_block(block, x)
            torch.testing.assert_close(after[row, :, 0, :tokens], x, atol=1e-5, rtol=1e-4)
            assert not after[row, :, 0, tokens:].any()
        assert not features[row, :, tokens:].any()
    assert len(seen) == 4


def test_dilated_convolutions_reach_as_far_as_they_say():
    config = DilatedConfig(stem=4, widths=(4,), blocks=(1,), pools=(2,), dilated_layers=4, gated=4, dropout=0.0)
    trunk = Dilated(config).eval()
    assert config.reach < 400
    tokens = torch.rand(1, 400, 4, requires_grad=True)
    features, _ = trunk.encode(tokens, extent_of([400], 400))
    # Max-pooling passes a gradient to one of its positions only, so all of what may be seen is what any feature sees.
    F.elu(features[0, :, 50]).sum().backward()
    reached = tokens.grad[0].abs().sum(1).nonzero().flatten()
    assert config.reach - 4 * config.stem_pool <= int(reached[-1] - reached[0]) + 1 <= config.reach
    assert DilatedConfig().reach >= 32_768
