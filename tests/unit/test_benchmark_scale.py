"""The estimate of a training at the size of the registry says where each figure is from."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def scale(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    before = set(sys.modules)
    import scale  # pyright: ignore[reportMissingImports]

    yield scale
    for name in set(sys.modules) - before:
        if (BENCHMARKS / f"{name}.py").exists():
            del sys.modules[name]


def test_a_rate_that_nobody_measured_is_called_assumed(scale):
    table = scale.table_of(scale.gpu_rates(None), elements=2_348_854, epochs=20, price=4.0)
    transformer = next(line for line in table.splitlines() if "Transformer | one H200" in line)
    # 2,348,854 x (0.8 + 0.1 / 3) / 25,000 = 78.3 s an epoch; 20 of them are 0.435 h of 4 USD
    assert transformer.split(" | ")[1:] == [
        "one H200",
        "25,000",
        "assumed, not measured",
        "78 s",
        "26.1 min",
        "1.74 USD |",
    ]


def test_a_measured_rate_takes_its_place(scale, tmp_path):
    rows = {
        "NVIDIA X, Transformer, 348 tokens, bf16, compiled, batch 9: training": 50_000,
        "NVIDIA X, Transformer, 348 tokens, bf16, compiled, CUDA graphs, batch 9: training": 1,
        "GPU, CNN, 512 bp, bf16, compiled: training": None,
    }
    lines = (json.dumps({"row": row, "value": value, "unit": "seq/s"}) for row, value in rows.items())
    (tmp_path / "rows").write_text("\n".join(lines))
    found = {(rate.model, rate.gpus): rate for rate in scale.gpu_rates(tmp_path / "rows")}
    assert found["Transformer", 1][1:] == ("one NVIDIA X", 50_000, "measured", 1)
    assert found["CNN", 1].basis == "assumed, not measured"
    assert found["Transformer", 16].rate == pytest.approx(16 * 0.9 * 50_000)
