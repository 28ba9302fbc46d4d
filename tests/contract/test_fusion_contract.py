"""What every way of reading signal tracks keeps, under every trunk that shows its tokens."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from encre.errors import ConfigError
from encre.interpret.twin import has_twin
from encre.models.checkpoint import load_model, save_model
from encre.models.fusion.registry import FUSIONS
from encre.models.fusion.tracks import Tracks
from encre.models.inference import predict_logits
from encre.models.model import EnhancerModel, build_model
from encre.models.registry import model_config
from encre.models.relaxed import relaxed_both_strands
from encre.models.settings import SignalConfig
from encre.models.stretch import stretch_logits
from encre.tasks import screen_tasks

TASKS = screen_tasks(["brain", "heart"])
SIGNALS = {"tracks": ["k562", "heart"], "bin": 8, "width": 8, "heads": 2, "track_dropout": 0.3}
TRUNKS = {
    "cnn": {"name": "cnn", "channels": [8, 8], "pools": [3, 1], "embedding": 6},
    "one_hot": {"name": "cnn", "channels": [8, 8], "input": "one_hot", "norm": "batch"},
    "cnn_lstm": {"name": "cnn_lstm", "channels": [8, 8, 8], "lstm": 8, "dropout": 0.0},
    "strided": {"name": "transformer", "width": 16, "layers": 1, "feed_forward": 16, "stride": 3, "dropout": 0.0},
    "equivariant": {"name": "equivariant", "stem": 8, "widths": [8], "blocks": [1], "pools": [2], "dropout": 0.0},
}
LENGTH = [50, 41, 24]  # bases: 7 bins, the last of 2; 6, of 1; 3 whole ones
CASES = pytest.mark.parametrize(("trunk", "fusion"), [(t, f) for t in TRUNKS for f in FUSIONS])


def model(trunk: str, fusion: str, **settings: object) -> EnhancerModel:
    torch.manual_seed(0)
    signals = {**SIGNALS, "fusion": fusion, **settings}
    return build_model(model_config({**TRUNKS[trunk], "signals": signals}), tasks=TASKS).eval()


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Codes, lengths and signals of three sequences; what lies beyond one is N and NaN, as a dataset gives it."""
    rng = torch.Generator().manual_seed(seed)
    length = torch.tensor(LENGTH)
    codes = torch.randint(0, 4, (3, max(LENGTH)), dtype=torch.uint8, generator=rng)
    signals = torch.randn(3, 2, -(-max(LENGTH) // 8), generator=rng)
    for row, bases in enumerate(LENGTH):
        codes[row, bases:] = 4
        signals[row, :, -(-bases // 8) :] = torch.nan
    return codes, length, signals


@CASES
def test_signals_move_the_logits_and_their_absence_is_the_sequence_alone(trunk: str, fusion: str):
    made, (codes, length, signals) = model(trunk, fusion), batch()
    alone = made(codes, length)
    assert (made(codes, length, signals) - alone).abs().max() > 1e-4
    assert torch.equal(made(codes, length, torch.full_like(signals, torch.nan)), alone)
    one = signals.clone()
    one[1] = torch.nan
    assert torch.equal(made(codes, length, one)[1], alone[1]), "a row with nothing measured is that of the sequence"


@CASES
def test_a_missing_track_is_missing_whatever_stands_there(trunk: str, fusion: str):
    made, (codes, length, signals) = model(trunk, fusion), batch()
    signals[:, 1], other = torch.nan, signals.clone()
    other[:, 1] = torch.inf
    found = made(codes, length, signals)
    assert torch.isfinite(found).all()
    assert torch.equal(made(codes, length, other), found)
    assert (made(codes, length, signals) - made(codes, length)).abs().max() > 1e-5, "the other track is still read"


@CASES
def test_gradients_are_finite_where_nothing_was_measured(trunk: str, fusion: str):
    made, (codes, length, signals) = model(trunk, fusion).train(), batch()
    signals[0], signals[1, 0] = torch.nan, torch.nan
    made(codes, length, signals).square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in made.parameters() if p.requires_grad)


@CASES
def test_padding_and_company_never_move_a_logit(trunk: str, fusion: str):
    made, (codes, length, signals) = model(trunk, fusion), batch()
    together = made(codes, length, signals)
    alone = [
        made(codes[row : row + 1, :bases], length[row : row + 1], signals[row : row + 1, :, : -(-bases // 8)])
        for row, bases in enumerate(LENGTH)
    ]
    torch.testing.assert_close(together, torch.cat(alone), atol=2e-5, rtol=1e-4)


@CASES
def test_it_comes_back_from_its_folder_and_predicts_both_strands(trunk: str, fusion: str, tmp_path: Path):
    made = model(trunk, fusion)
    save_model(tmp_path, made, manifest={})
    loaded = load_model(tmp_path).model
    assert loaded.config == made.config
    codes, _, signals = batch()
    offsets = np.append(0, np.cumsum(LENGTH))
    flat = np.concatenate([codes[row, :bases].numpy() for row, bases in enumerate(LENGTH)])
    found = predict_logits(loaded, flat, offsets, signals=signals.numpy())
    np.testing.assert_array_equal(
        predict_logits(made, flat, offsets, signals=signals.numpy().astype(np.float32)), found
    )
    other, turned = flat.copy(), signals.numpy().copy()
    for row, (a, b) in enumerate(pairwise(offsets)):
        other[a:b] = 3 - flat[a:b][::-1]
        own = -(-(b - a) // 8)
        turned[row, :, :own] = signals[row, :, :own].flip(1)
    np.testing.assert_allclose(predict_logits(loaded, other, offsets, signals=turned), found, atol=2e-5)


@pytest.mark.parametrize(("k", "stride"), [(1, 1), (3, 1), (6, 1), (4, 3)])
@pytest.mark.parametrize("size", [1, 4, 7])
def test_bins_are_resampled_to_tokens_exactly(k: int, stride: int, size: int):
    """Against the slow way: a token's channel is the mean over its own bases."""
    bases = 23
    signals = torch.randn(1, 2, -(-bases // size))
    signals[0, 1, 1] = torch.nan
    tracks = Tracks.of(signals, torch.tensor([bases]), SignalConfig(tracks=("a", "b"), bin=size), training=False)
    count = (bases - k) // stride + 1
    found = tracks.at_tokens(count, k=k, stride=stride)
    for token in range(count):
        inside = [base // size for base in range(token * stride, token * stride + k)]
        values, known = tracks.values[0][:, inside], tracks.measured[0][:, inside]
        expected = torch.cat([values.mean(1), known.mean(1)])
        torch.testing.assert_close(found[0, token], expected, atol=1e-6, rtol=1e-5)


def test_track_dropout_hides_all_tracks_of_a_row_and_single_ones_in_training_alone():
    torch.manual_seed(0)
    signals, length = torch.ones(4000, 2, 3), torch.full((4000,), 24)
    config = SignalConfig(tracks=("a", "b"), bin=8, track_dropout=0.2)
    assert (Tracks.of(signals, length, config, training=False).measured == 1).all()
    measured = Tracks.of(signals, length, config, training=True).measured
    assert (measured.amin(-1) == measured.amax(-1)).all(), "a track is hidden whole"
    shown = measured[:, :, 0]
    assert float(shown[:, 0].mean()) == pytest.approx(0.8 * 0.8, abs=0.03)
    assert float((shown.sum(1) == 0).float().mean()) == pytest.approx(0.2 + 0.8 * 0.04, abs=0.03)


def test_a_one_hot_input_is_widened_for_early_fusion_alone():
    assert model("one_hot", "early").trunk.input.width == 4 + 2 * 2
    assert model("one_hot", "late").trunk.input.width == 4


def test_early_fusion_needs_room_and_tokens_that_lie_somewhere():
    narrow = {**TRUNKS["cnn"], "embedding": 4, "signals": {**SIGNALS, "fusion": "early"}}
    with pytest.raises(ConfigError, match="no room for signal tracks.*late"):
        build_model(model_config(narrow), tasks=TASKS)


def test_no_fusion_is_no_signals():
    config = model_config({**TRUNKS["cnn"], "signals": {"fusion": "none"}})
    assert config == model_config(TRUNKS["cnn"])
    with pytest.raises(ConfigError, match="names no tracks"):
        build_model(model_config({**TRUNKS["cnn"], "signals": {"fusion": "late"}}), tasks=TASKS)
    with pytest.raises(ConfigError, match=r"signals.*multiple of heads"):
        model_config({**TRUNKS["cnn"], "signals": {"fusion": "cross_attention", "width": 6}})


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("trunk", ["one_hot", "cnn_lstm"])
def test_fast_ways_of_scoring_are_those_of_the_sequence_alone(trunk: str, fusion: str):
    """A scan, mutagenesis and gradients go without tracks, through widened inputs and wider heads."""
    made = model(trunk, fusion)
    codes = np.random.default_rng(0).integers(0, 4, 90).astype(np.uint8)
    windows = np.concatenate([codes[at : at + 60] for at in (0, 10, 20, 30)])
    expected = predict_logits(made, windows, np.arange(5) * 60)
    np.testing.assert_allclose(stretch_logits(made, codes, window=60, stride=10), expected, atol=2e-5)
    one_hot = torch.eye(4)[torch.from_numpy(codes[:60]).long()].T[None]
    relaxed = relaxed_both_strands(made, one_hot, torch.from_numpy(codes[None, :60]))
    np.testing.assert_allclose(relaxed.detach().numpy(), expected[:1], atol=2e-5)
    assert not has_twin(made)
