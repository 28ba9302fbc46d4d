"""Long inputs: what a step keeps for its gradient grows with the length, not with its square; limits and examples."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from encre.config import read_toml
from encre.data.build import DatasetConfig
from encre.errors import ConfigError, SequenceError
from encre.models.attention import DenseAttention
from encre.models.model import build_model
from encre.models.registry import model_config
from encre.tasks import screen_tasks
from encre.train.settings import RunConfig

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples" / "long_context").glob("*.toml"))
NARROW = {"stem": 8, "widths": [16], "blocks": [1], "pools": [2]}
LINEAR: dict[str, dict[str, Any]] = {
    "longformer": {**NARROW, "window": 32, "attention_layers": 2},
    "performer": {**NARROW, "random_features": 16, "attention_layers": 2},
    "dilated": {**NARROW, "gated": 8},
}


def kept_bytes(name: str, bases: int, *, precision: torch.dtype = torch.float32) -> int:
    """Bytes that a forward pass of one sequence keeps for its backward pass, each storage counted once."""
    torch.manual_seed(0)
    model = build_model(model_config({"name": name, **(LINEAR | {"hybrid": NARROW})[name]}), tasks=screen_tasks())
    held: dict[int, torch.Tensor] = {}

    def keep(x: torch.Tensor) -> torch.Tensor:
        held[x.untyped_storage().data_ptr()] = x
        return x

    codes = torch.randint(0, 4, (1, bases), dtype=torch.uint8)
    bf16 = torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x), bf16:
        model(codes, torch.tensor([bases]))
        return sum(x.untyped_storage().nbytes() for x in held.values())


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", LINEAR)
def test_memory_of_a_step_grows_linearly(name: str, precision: torch.dtype):
    few, many = (kept_bytes(name, bases, precision=precision) for bases in (2_048, 8_192))
    assert math.log(many / few, 4) < 1.05


def test_the_measure_sees_a_square(monkeypatch: pytest.MonkeyPatch):
    """A dense attention that writes its weights out is caught by the same measure."""

    def written_out(self, query, key, value, mask):
        return ((query @ key.transpose(2, 3)).softmax(-1) @ value).transpose(1, 2)

    monkeypatch.setattr(DenseAttention, "mixed", written_out)
    assert math.log(kept_bytes("hybrid", 4_096) / kept_bytes("hybrid", 1_024), 4) > 1.5


@pytest.mark.parametrize("name", ["hybrid", *LINEAR])
def test_a_step_in_bf16_gives_finite_gradients_to_every_weight(name: str):
    torch.manual_seed(0)
    model = build_model(model_config({"name": name, **(LINEAR | {"hybrid": NARROW})[name]}), tasks=screen_tasks())
    codes, length = torch.randint(0, 5, (2, 1_000), dtype=torch.uint8), torch.tensor([1_000, 333])
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(codes, length)
    logits.float().square().sum().backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None or not parameter.requires_grad, f"{key} has no part in the logits"
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), key


def test_a_sequence_beyond_the_positions_is_refused_in_words():
    config = model_config({"name": "longformer", **LINEAR["longformer"], "positions": 100})
    assert config.longest == 400
    model = build_model(config, tasks=screen_tasks())
    model.check_lengths(np.array([400]))
    with pytest.raises(SequenceError, match="longer than the longformer model takes"):
        model.check_lengths(np.array([401]))


@pytest.mark.parametrize("name", ["longformer", "performer"])
def test_the_long_ones_take_32_kb_by_default(name: str):
    assert (model_config({"name": name}).longest or 0) >= 32_768


def test_heads_that_do_not_fit_are_refused_in_words():
    with pytest.raises(ConfigError, match="multiple of twice the heads"):
        model_config({"name": "hybrid", "widths": [160], "heads": 3})


def test_the_hybrid_is_small_by_default():
    assert 400_000 <= build_model(model_config({"name": "hybrid"}), tasks=screen_tasks()).parameters_count <= 800_000


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_an_example_is_a_config_whose_model_runs(file: Path):
    values = read_toml(file)
    if "source" in values:
        DatasetConfig.parse(values, where=str(file))
        return
    config = model_config(RunConfig.parse(values, where=str(file)).model)
    model = build_model(config, tasks=screen_tasks()).eval()
    model.check_lengths(np.array([32_768]))
    with torch.inference_mode():
        codes = torch.randint(0, 4, (1, 3_000), dtype=torch.uint8)
        assert torch.isfinite(model(codes, torch.tensor([3_000]))).all()


def test_there_are_examples():
    assert {"dataset", "longformer", "performer", "dilated"} <= {file.stem for file in EXAMPLES}
