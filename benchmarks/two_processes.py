"""One process of ``training.py``'s comparison of two processes with one; started by torchrun, on the CPU.

torchrun --nproc-per-node 2 benchmarks/two_processes.py DATASET EPOCHS OUT.json
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import torch
from scoring_inputs import CNN

import encre
from encre.progress import SILENT
from encre.train.loop import Training
from encre.train.team import join_team


def main() -> None:
    """Train; the leader writes the mean loss and the seconds of each epoch."""
    dataset, epochs, out = sys.argv[1:]
    torch.set_num_threads(1)
    data = encre.Dataset.open(dataset)
    config = encre.TrainConfig(
        epochs=1000, patience=None, precision="fp32", batch_size=128, learning_rate=1e-3, device="cpu"
    )
    with join_team("cpu") as team, tempfile.TemporaryDirectory() as folder:
        training = Training(CNN, data, config, out=Path(folder), team=team)
        found = []
        for _ in range(int(epochs)):
            team.wait()
            begun = time.perf_counter()
            training._epoch(SILENT)
            team.wait()
            state = training.state
            found.append({"seconds": time.perf_counter() - begun, "loss": state.loss / state.step})
            state.epoch, state.step, state.loss = state.epoch + 1, 0, 0.0
        if team.leads:
            Path(out).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
