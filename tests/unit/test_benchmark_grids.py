"""The ablation's grids: every option is a training that starts, before hours are spent on the ones ahead of it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from encre.models.registry import model_config
from encre.train.settings import PretrainConfig, RunConfig

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def ablation(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import ablation

    yield ablation
    for name in ("ablation", "accuracy_data", "page"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("name", ["ablation", "recipe"])
def test_every_option_is_a_training_that_differs_from_the_base(name: str, ablation, tmp_path: Path):
    grid = ablation.read_grid(name)
    base = RunConfig.parse(ablation.settings_of(grid, {}, work=tmp_path))
    for option in grid["option"]:
        config = RunConfig.parse(ablation.settings_of(grid, option, work=tmp_path), where=option["name"])
        model_config(config.model, where=option["name"])
        if "pretrain" in option:
            PretrainConfig.parse(option["pretrain"], where=option["name"])
        else:
            assert option.get("ensemble") or config != base, f"{option['name']} changes nothing"
