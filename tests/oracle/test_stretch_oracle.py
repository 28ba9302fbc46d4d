"""Windows that share their convolutions equal windows computed one by one, on every trunk, pooling and stride."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_substitution_oracle import CONFIGS, trained_like

from encre.models.stretch import Plan, naive_stretch_logits, stretch_logits

WINDOW = 150


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("stride", [1, 7, 16, 24, 60])
def test_every_window_of_a_stretch(name: str, stride: int):
    model = trained_like(CONFIGS[name])
    rng = np.random.default_rng(stride)
    codes = rng.integers(0, 4, WINDOW + 40 * stride + stride // 2, dtype=np.uint8)
    codes[60:64] = 4
    codes[-3:] = 4
    found = stretch_logits(model, codes, window=WINDOW, stride=stride)
    assert len(found) == 41  # what does not fit whole is left out
    np.testing.assert_allclose(found, naive_stretch_logits(model, codes, window=WINDOW, stride=stride), atol=1e-5)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("window", [9, 31, 64, 127])
def test_windows_hardly_wider_than_what_their_ends_reach(name: str, window: int):
    model = trained_like(CONFIGS[name])
    codes = np.random.default_rng(window).integers(0, 4, window + 200, dtype=np.uint8)
    for stride, both in ((8, True), (5, False)):
        found = stretch_logits(model, codes, window=window, stride=stride, both_strands=both)
        expected = naive_stretch_logits(model, codes, window=window, stride=stride, both_strands=both)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_stretch_longer_than_a_piece_and_one_window_alone():
    model = trained_like(CONFIGS["shipped shape"])
    codes = np.random.default_rng(0).integers(0, 4, 60_000, dtype=np.uint8)
    for stride in (48, 50):
        found = stretch_logits(model, codes, window=400, stride=stride)
        expected = naive_stretch_logits(model, codes, window=400, stride=stride)
        np.testing.assert_allclose(found, expected, atol=1e-5)
    alone = stretch_logits(model, codes[:400], window=400, stride=50)
    np.testing.assert_allclose(alone, expected[:1], atol=1e-5)


def test_bf16_is_as_near_as_in_windows_by_themselves():
    model = trained_like(CONFIGS["mean, pools of 3 and 2"])
    codes = np.random.default_rng(5).integers(0, 4, 3_000, dtype=np.uint8)
    exact = naive_stretch_logits(model, codes, window=600, stride=30)
    ways = (stretch_logits, naive_stretch_logits)
    shared, alone = (np.abs(way(model, codes, window=600, stride=30, precision="bf16") - exact) for way in ways)
    assert 0 < shared.mean() < alone.mean()


def test_sharing_is_used_where_it_pays():
    shipped = trained_like(CONFIGS["shipped shape"])
    assert Plan.of(shipped, window=512, stride=32) is not None
    assert Plan.of(shipped, window=512, stride=512) is None  # nothing overlaps
    assert Plan.of(trained_like(CONFIGS["Transformer"]), window=150, stride=10) is None


def test_the_random_state_is_left_alone():
    model = trained_like(CONFIGS["shipped shape"])
    before = torch.get_rng_state()
    stretch_logits(model, np.zeros(1000, np.uint8), window=400, stride=16)
    assert torch.equal(torch.get_rng_state(), before)
