"""The quickstart in its fast form: every part is there; skill is not to be expected of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from encre import quickstart as room
from encre.quickstart import MODELS


@pytest.mark.slow
def test_fast_quickstart_from_data_to_report(encre, tmp_path: Path) -> None:
    out = tmp_path / "demo"
    outcome = encre("quickstart", "--fast", "--out", out, "--json", "--seed", 3)
    assert outcome.code == 0, outcome.err
    value = json.loads(outcome.out)
    assert sorted(value["runs"]) == sorted(MODELS)
    assert sorted(path.name for path in out.iterdir()) == ["data", "report.html", "runs"]
    for step in ("1 of 4", "2 of 4", "3 of 4", "4 of 4"):
        assert step in outcome.err
    for name in MODELS:
        evaluation = value["evaluations"][name]
        assert list(evaluation["groups"]) == ["element", "cell_line"]
        assert evaluation["groups"]["cell_line"]["macro"]["auroc"]["value"] is not None
        assert "kmer5" in evaluation["differences"]
        manifest = json.loads((out / "runs" / name / "manifest.json").read_text())
        assert manifest["training"]["seed"] == 3
        assert (out / "runs" / name / "README.md").is_file()
        assert any(name in sentence for sentence in value["sentences"])
    page = (out / "report.html").read_text()
    assert "small budgets" in page
    assert "http-equiv" not in page or "refresh" not in page


def test_a_failure_on_the_way_leaves_nothing(encre, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(room, "_train", fails)
    outcome = encre("quickstart", "--fast", "--out", tmp_path / "demo", "-q")
    assert outcome.code == 130
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", MODELS)
def test_shipped_configs_are_valid_and_fit_the_shipped_data(name: str) -> None:
    from encre.models.registry import model_config
    from encre.train.settings import RunConfig

    config = RunConfig.from_toml(room.CONFIGS / f"{name}.toml")
    model = model_config(config.model)
    assert model.name == name
    assert model.longest is None or model.longest >= 200
    fast = RunConfig.from_toml(room.CONFIGS / f"{name}.toml", overrides=room.FAST_TRAIN + room.FAST_MODELS[name])
    assert model_config(fast.model).longest in (None, model.longest, model.longest and model.longest - 2)
