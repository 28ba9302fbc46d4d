"""A small genome with N runs, and runs over it, for the tests of scans."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from encre.models.checkpoint import save_model
from encre.models.model import build_model
from encre.models.registry import model_config
from toy_models import MOTIFS, motif_tasks, random_text

CNN = {"name": "cnn", "channels": [6, 8], "kernel_sizes": [5, 3], "pools": [2, 2]}
TRUNKS = {
    "cnn": CNN,
    "cnn one-hot": CNN | {"input": "one_hot", "pooling": "mean"},
    "cnn_lstm": {"name": "cnn_lstm", "channels": [6], "kernel_sizes": [5], "pools": [2], "lstm": 4, "k": 2},
    "transformer": {"name": "transformer", "width": 8, "layers": 1, "heads": 2, "feed_forward": 8, "stride": 2},
}


def write_fasta(path: Path, texts: dict[str, str]) -> Path:
    """A FASTA of sequences, 60 letters a line."""
    with path.open("w") as handle:
        for name, text in texts.items():
            handle.write(f">{name}\n" + "\n".join(text[i : i + 60] for i in range(0, len(text), 60)) + "\n")
    return path


def spotted_text(length: int, seed: int) -> str:
    """Random bases with N runs of many lengths, at both ends as well."""
    text, rng = list(random_text(length, seed)), np.random.default_rng(seed)
    for at, width in ((0, 30), (length - 45, 45), *((int(rng.integers(length)), w) for w in (1, 7, 60, 130, 400))):
        text[at : at + width] = "N" * len(text[at : at + width])
    return "".join(text)


def calibration_of(tasks: list[str]) -> dict[str, object]:
    """A calibration that is no identity, with a prevalence."""
    return {
        "temperatures": dict.fromkeys(tasks, 1.5),
        "biases": dict.fromkeys(tasks, 0.25),
        "thresholds": dict.fromkeys(tasks, 0.5),
        "n": dict.fromkeys(tasks, 100),
        "prevalence": dict.fromkeys(tasks, 0.4),
    }


def save_random_run(folder: Path, model: dict[str, object], *, mode: str, width: int) -> Path:
    """A run of an untrained network with wide random weights, that takes windows or elements of up to ``width``."""
    torch.manual_seed(0)
    built = build_model(model_config(model), tasks=motif_tasks()).eval()
    with torch.no_grad():
        for head in built.heads.values():
            torch.nn.init.normal_(head.weight, std=2.0)
    sequence = {"mode": mode, "width": width if mode == "window" else None, "min_length": width, "max_length": width}
    return save_model(folder, built, manifest={"sequence": sequence}, calibration=calibration_of(list(MOTIFS)))
