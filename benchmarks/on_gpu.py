"""The GPU's rows of ``training.py``: sequences a second of whole steps on batches in memory, and what limits them."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scoring_inputs as given
import torch
from rows import Rows

import encre
from encre.data.dataset import Dataset
from encre.models.settings import ModelConfig
from encre.train.loop import Training
from encre.train.team import Team

#: Of one training step of the reference Transformer on 348 tokens, forward and backward.
GFLOP_A_SEQUENCE = 12.1
FAST = "H200"


def rows(rows: Rows, dataset: Callable[..., Dataset], *, quick: bool) -> None:
    """The Transformer at 348 tokens and the CNN at 512 bp, bf16: as it is, compiled, and with CUDA graphs."""
    names = {"Transformer, 348 tokens": 25_000.0, "CNN, 512 bp": 300_000.0}
    if not torch.cuda.is_available():
        for name, target in names.items():
            rows.skip(f"GPU, {name}, bf16, compiled: training", "seq/s", target, "there is no GPU here")
        rows.skip("GPU, Transformer: share of the measured bf16 matrix rate", "", 0.4, "there is no GPU here")
        return
    device = torch.device("cuda")
    card, peak = torch.cuda.get_device_name(device), matrix_rate(device)
    sizes = {"Transformer, 348 tokens": (encre.TransformerConfig(), 350, 1024), "CNN, 512 bp": (given.CNN, 512, 8192)}
    for name, (config, width, batch) in sizes.items():
        data = dataset(2_000 if quick else 20_000, width=width)
        for how in ("as it is", "compiled", "compiled, CUDA graphs"):
            found = rates(data, config, batch, how=how)
            row = f"{card}, {name}, bf16, {how}, batch {batch}: training"
            if FAST in card and how == "compiled":
                rows.add(row, found, "seq/s", target=names[name])
            else:
                rows.add(row, found, "seq/s", target=0)
            if "Transformer" in name:
                shares = [rate * GFLOP_A_SEQUENCE * 1e9 / peak for rate in found]
                rows.add(
                    f"{row}: share of {peak / 1e12:.0f} TFLOP/s, the measured matrix rate", shares, "", target=0.4
                )
        rows.add(f"{card}, {name}: batches drawn / steps' own rate", feeding(data, batch, found), "x", target=1)


def matrix_rate(device: torch.device) -> float:
    """FLOP a second of a large bf16 product, the best of some."""
    a, b = (torch.randn(8192, 8192, device=device, dtype=torch.bfloat16) for _ in range(2))
    best = 0.0
    for _ in range(10):
        torch.cuda.synchronize()
        begun = time.perf_counter()
        for _ in range(10):
            a @ b
        torch.cuda.synchronize()
        best = max(best, 10 * 2 * 8192**3 / (time.perf_counter() - begun))
    return best


def rates(data: Dataset, config: ModelConfig, batch: int, *, how: str) -> list[float]:
    """Sequences a second over three stretches of steps, after a warm-up."""
    settings = encre.TrainConfig(epochs=1000, patience=None, precision="bf16", batch_size=batch, learning_rate=1e-4)
    with tempfile.TemporaryDirectory() as folder:
        training: Any = Training(config, data, settings, out=Path(folder), team=Team(0, 1, torch.device("cuda")))
    if how != "as it is":
        mode = "reduce-overhead" if "graphs" in how else "default"
        training.forward = torch.compile(training.model, mode=mode)
    rng = np.random.default_rng(0)
    ready = [data.train.batch(rng.integers(0, len(data.train), batch)) for _ in range(4)]
    training.model.train()

    def steps(count: int) -> float:
        torch.cuda.synchronize()
        begun = time.perf_counter()
        for step in range(count):
            training.step(ready[step % len(ready)])
        torch.cuda.synchronize()
        return count * batch / (time.perf_counter() - begun)

    steps(8)
    return [steps(20) for _ in range(3)]


def feeding(data: Dataset, batch: int, rates: list[float]) -> list[float]:
    """Sequences that one core draws in the time in which the GPU trains on one."""
    rng = np.random.default_rng(0)
    found = []
    for rate in rates:
        begun = time.perf_counter()
        for _ in range(8):
            data.train.batch(rng.integers(0, len(data.train), batch), reverse=rng.random(batch) < 0.5)
        found.append(8 * batch / (time.perf_counter() - begun) / rate)
    return found
