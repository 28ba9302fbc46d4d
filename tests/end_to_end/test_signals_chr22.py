"""Real accessibility of chr22: K562's track tells K562's open sites from others; a shuffled track does not."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from encre.evaluation.comparison import compare_judged


def _script():
    folder = Path(__file__).resolve().parents[2] / "benchmarks"
    spec = importlib.util.spec_from_file_location("signals_benchmark", folder / "signals.py")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(folder))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
    return module


@pytest.mark.data
def test_real_accessibility_improves_held_out_sites_and_shuffled_accessibility_does_not(data: Path, tmp_path: Path):
    signals = _script()
    dataset = signals.build(data, tmp_path)
    how = {"seeds": 1, "epochs": 6}
    plain = signals.judged(dataset, "none", out=tmp_path, **how).judged
    real = signals.judged(dataset, "late", out=tmp_path, **how).judged
    mixed = signals.shuffled(dataset, tmp_path / "shuffled")
    shuffled = signals.judged(mixed, "late", out=tmp_path / "control", **how).judged
    gain = compare_judged(real, plain)["all"]
    assert gain["K562"]["auroc"]["low"] > 0.1
    assert gain["cell_line/macro"]["auprc"]["low"] > 0
    nothing = compare_judged(shuffled, plain)["all"]
    assert nothing["K562"]["auroc"]["value"] < gain["K562"]["auroc"]["low"]
    assert nothing["cell_line/macro"]["auprc"]["value"] < 0.1
