"""The strand-equivariant CNN, and the shape of the residual CNN that it is made from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from encre.errors import ConfigError
from encre.models import inference, local
from encre.models.equivariant import EquivariantConfig
from encre.models.inference import padded, predict_logits
from encre.models.layers import MaskedBatchNorm
from encre.models.model import EnhancerModel, build_model
from encre.models.registry import model_config
from encre.models.residual import ResidualConfig
from encre.models.stretch import stretch_logits
from encre.models.substitution import every_substitution, substituted_logits
from encre.tasks import screen_tasks

SMALL = {"stem": 8, "widths": (8, 12, 16), "blocks": (2, 1, 0), "pools": (2, 3, 1), "dropout": 0.0}
CONFIGS = {
    "attention": EquivariantConfig(**SMALL),
    "maximum, no norm": EquivariantConfig(**SMALL | {"pools": (2, 3, 4)}, norm="none", pooling="max"),
    "mean, dropout": EquivariantConfig(**SMALL | {"dropout": 0.2}, pooling="mean"),
    "default": EquivariantConfig(),
}


def model(config: EquivariantConfig) -> EnhancerModel:
    torch.manual_seed(3)
    made = build_model(config, tasks=screen_tasks())
    with torch.no_grad():  # as training leaves it
        for module in made.modules():
            if isinstance(module, MaskedBatchNorm):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
                module.weight.uniform_(-1.5, 1.5)
                module.bias.normal_()
    return made.eval()


def both_strands(lengths: list[int], seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    codes = np.random.default_rng(seed).integers(0, 5, offsets[-1]).astype(np.uint8)
    rows = np.arange(len(lengths))
    strands = (torch.from_numpy(padded(codes, offsets, rows, reverse=reverse)) for reverse in (False, True))
    return *strands, torch.tensor(lengths)  # pyright: ignore[reportReturnType]


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("lengths", [[200] * 3, [61] * 3, [13, 77, 200, 59, 22, 101]], ids=["even", "odd", "padded"])
def test_both_strands_have_the_same_logits(name: str, lengths: list[int]):
    made = model(CONFIGS[name])
    one, other, length = both_strands(lengths)
    with torch.no_grad():
        found = made(one, length)
        assert (found - made(other, length)).abs().max() < 1e-5
        assert (found[0] - found[1]).abs().max() > 1e-4, "other sequences have other logits"


@pytest.mark.parametrize("name", ["attention", "maximum, no norm"])
@pytest.mark.parametrize("lengths", [[96] * 4, [61] * 4, [13, 77, 200, 59]], ids=["even", "odd", "padded"])
def test_both_strands_have_the_same_gradient_in_training(name: str, lengths: list[int]):
    made = model(CONFIGS[name]).train()
    one, other, length = both_strands(lengths)
    gradients = []
    for codes in (one, other):
        made.zero_grad()
        logits = made(codes, length)
        logits.square().sum().backward()
        gradients.append([p.grad.clone() for p in made.parameters() if p.grad is not None])
    for own, its in zip(*gradients, strict=True):
        torch.testing.assert_close(own, its, atol=2e-4, rtol=1e-3)


def test_half_the_parameters_of_the_residual_cnn():
    whole, half = (build_model(kind(), tasks=screen_tasks()) for kind in (ResidualConfig, EquivariantConfig))
    counts = [sum(p.numel() for p in made.trunk.parameters()) for made in (whole, half)]
    assert counts[1] * 2 == counts[0]
    assert [half.trunk.width, half.embed(*both_strands([40])[::2]).shape[1]] == [256, 256]


def test_one_strand_is_predicted(monkeypatch: pytest.MonkeyPatch):
    made = model(CONFIGS["attention"])
    offsets = np.array([0, 40, 75])
    codes = np.random.default_rng(1).integers(0, 4, 75).astype(np.uint8)
    expected = predict_logits(made, codes, offsets)
    reversals = []
    monkeypatch.setattr(
        inference, "padded", lambda *args, reverse=False: reversals.append(reverse) or padded(*args, reverse=reverse)
    )
    np.testing.assert_array_equal(predict_logits(made, codes, offsets), expected)
    assert reversals == [False]


@pytest.mark.parametrize(("length", "fast"), [(96, True), (97, False)])
def test_parts_are_shared_where_pools_divide_the_length(length: int, fast: bool, monkeypatch: pytest.MonkeyPatch):
    made = model(CONFIGS["attention"])
    used: list[int] = []
    forward = local.Levels.forward
    monkeypatch.setattr(local.Levels, "forward", lambda self, x: used.append(1) or forward(self, x))
    codes = np.random.default_rng(2).integers(0, 4, (1, length)).astype(np.uint8)
    reference, changed = substituted_logits(made, codes, every_substitution(codes).take(np.arange(60)))
    stretch = stretch_logits(made, np.tile(codes[0], 3), window=length, stride=length)
    assert bool(used) == fast
    np.testing.assert_allclose(stretch[0], reference[0], atol=1e-5)
    assert np.isfinite(changed).all()


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ConfigError, match="even"):
        model_config({"name": "equivariant", "stem": 7})
    with pytest.raises(ConfigError, match="needs at least one block"):
        model_config({"name": "residual", "widths": [160, 160], "blocks": [1, 0], "pools": [1, 1]})
    with pytest.raises(ConfigError, match="one entry a stage"):
        model_config({"name": "residual", "widths": [160, 160]})
    with pytest.raises(ConfigError, match="odd"):
        model_config({"name": "residual", "kernel": 4})


def test_a_stage_is_a_convolution_then_blocks_then_its_pooling():
    layers = ResidualConfig(stem=8, widths=(8, 12), blocks=(2, 0), pools=(2, 4), dropout=0.3).layers()
    assert [tuple(layer) for layer in layers] == [
        (8, 11, 2, False, 0.0),
        (8, 5, 1, True, 0.3),
        (8, 5, 2, True, 0.3),
        (12, 5, 4, False, 0.3),
    ]
