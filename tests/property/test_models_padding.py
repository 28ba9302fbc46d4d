"""Neither padding nor the company of other sequences moves a logit or a gradient."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from encre.models import inference
from encre.models.inference import padded, predict_logits
from encre.models.model import EnhancerModel, build_model
from encre.models.registry import model_config
from encre.tasks import screen_tasks

ENCODER = {
    "stem": 8,
    "widths": [8],
    "blocks": [1],
    "pools": [2],
    "attention_layers": 2,
    "heads": 2,
    "feed_forward": 12,
    "dropout": 0.0,
}
SMALL = {
    "cnn": {"name": "cnn", "channels": [8, 8], "embedding": 4},
    "cnn_pools": {
        "name": "cnn",
        "input": "one_hot",
        "channels": [8, 8],
        "pools": [4, 2],
        "norm": "batch",
        "pooling": "attention",
    },
    "cnn_lstm": {
        "name": "cnn_lstm",
        "channels": [8, 8, 8],
        "embedding": 4,
        "pools": [2, 1, 1],
        "lstm": 6,
        "dropout": 0.0,
    },
    "residual": {"name": "residual", "stem": 8, "widths": [8, 12], "blocks": [2, 0], "pools": [2, 3], "dropout": 0.0},
    "equivariant": {
        "name": "equivariant",
        "stem": 8,
        "widths": [8, 12],
        "blocks": [2, 0],
        "pools": [2, 3],
        "dropout": 0.0,
    },
    "transformer": {"name": "transformer", "width": 16, "layers": 2, "heads": 2, "feed_forward": 24, "dropout": 0.0},
    "transformer_stride": {"name": "transformer", "width": 8, "layers": 1, "heads": 2, "stride": 2, "pooling": "max"},
    "hybrid": {"name": "hybrid", **ENCODER, "global_tokens": 2},
    "longformer": {"name": "longformer", **ENCODER, "window": 2, "global_tokens": 1},
    "longformer_alone": {"name": "longformer", **ENCODER, "window": 3, "global_tokens": 0, "pooling": "max"},
    "performer": {"name": "performer", **ENCODER, "random_features": 8},
    "dilated": {
        "name": "dilated",
        "stem": 8,
        "widths": [8],
        "blocks": [1],
        "pools": [2],
        "dropout": 0.0,
        "dilated_layers": 3,
        "gated": 6,
    },
}


def model(name: str) -> EnhancerModel:
    torch.manual_seed(1)
    made = build_model(model_config(SMALL[name]), tasks=screen_tasks(["brain", "heart"]))
    with torch.no_grad():  # running statistics that are not 0 and 1
        for key, value in made.state_dict().items():
            if "running" in key:
                value.uniform_(0.5, 1.5)
    return made.eval()


def flat(lengths: list[int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return np.random.default_rng(seed).integers(0, 5, offsets[-1]).astype(np.uint8), offsets


@pytest.mark.parametrize("name", SMALL)
@given(st.lists(st.integers(3, 60), min_size=1, max_size=6), st.integers(0, 40), st.integers(0, 9))
@settings(max_examples=15, deadline=None)
def test_padding_and_company_never_move_a_logit(name: str, lengths: list[int], more: int, seed: int):
    made = model(name)
    codes, offsets = flat(lengths, seed)
    batch = padded(codes, offsets, np.arange(len(lengths)))
    wide = np.pad(batch, ((0, 0), (0, more)), constant_values=4)
    with torch.no_grad():
        together = made(torch.from_numpy(wide), torch.tensor(lengths))
        alone = [made(torch.from_numpy(batch[i : i + 1, :n]), torch.tensor([n])) for i, n in enumerate(lengths)]
    torch.testing.assert_close(together, torch.cat(alone), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("name", SMALL)
def test_what_stands_in_the_padding_does_not_matter(name: str):
    """Codes beyond the length are N by contract; even other letters there must stay unseen."""
    made, length = model(name), torch.tensor([20, 31])
    codes = torch.randint(0, 4, (2, 31), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        one = made(codes, length)
        codes[0, 20:] = 4
        torch.testing.assert_close(made(codes, length), one, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "name",
    [
        "cnn",
        "cnn_pools",
        "cnn_lstm",
        "residual",
        "equivariant",
        "transformer",
        "hybrid",
        "longformer",
        "longformer_alone",
        "performer",
        "dilated",
    ],
)
def test_padding_never_moves_a_gradient(name: str):
    codes, offsets = flat([30, 12, 21], 3)
    batch = padded(codes, offsets, np.arange(3))
    gradients = []
    for more in (0, 9):
        made = model(name).train()
        wide = np.pad(batch, ((0, 0), (0, more)), constant_values=4)
        made(torch.from_numpy(wide), torch.tensor([30, 12, 21])).square().sum().backward()
        gradients.append({key: value.grad for key, value in made.named_parameters()})
    for key in gradients[0]:
        torch.testing.assert_close(gradients[0][key], gradients[1][key], atol=5e-5, rtol=1e-3, msg=key)


@given(st.lists(st.integers(3, 60), min_size=1, max_size=20), st.integers(30, 400), st.booleans())
@settings(max_examples=10, deadline=None)
def test_micro_batches_never_move_a_logit(lengths: list[int], bases: int, both: bool):
    made = model("cnn_pools")
    codes, offsets = flat(lengths, 0)
    whole = predict_logits(made, codes, offsets, both_strands=both, precision="fp32")
    with patch.dict(inference._NUMBERS, cpu=bases * made.config.widest):
        cut = predict_logits(made, codes, offsets, both_strands=both, precision="fp32")
    np.testing.assert_allclose(cut, whole, atol=2e-5, rtol=1e-4)
