"""What averaging and random edits add to a training step: `python benchmarks/training_extras.py`, half a minute.

One thread, in seconds of the processor; a CNN of 127 k parameters over 128 windows of 512 bases. Each extra
is timed in turn with the step.
"""

from __future__ import annotations

import time
from functools import partial

import numpy as np
import torch
from rows import Rows, arguments, in_turn

import encre
from encre.data.dataset import Batch
from encre.models.device import autocast
from encre.models.model import EnhancerModel, build_model
from encre.models.registry import model_config
from encre.tasks import screen_tasks
from encre.train.augmentation import EDITS, augmented
from encre.train.averaging import Average

MODEL = {"name": "cnn", "input": "one_hot", "channels": [64, 128, 128], "kernel_sizes": [9, 5, 5], "pools": [4, 4, 2]}
MOST = {"shift": 20, "mutate": 0.05, "insert": 20, "delete": 20, "invert": 20, "translocate": 20}


def step(model: EnhancerModel, optimizer: torch.optim.Optimizer, codes: torch.Tensor, length: torch.Tensor) -> None:
    """A training step in bf16, the quickest that this machine has: the strictest to be measured against."""
    optimizer.zero_grad(set_to_none=True)
    with autocast("bf16", torch.device("cpu")):
        logits = model(codes, length)
    logits.float().square().mean().backward()
    optimizer.step()


def main() -> None:
    """Print each extra's time as a share of the step's."""
    asked = arguments(__doc__ or "")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows, times = Rows(asked.json), 5 if asked.quick else 25
    codes = np.random.default_rng(0).integers(0, 4, (128, 512)).astype(np.uint8)
    blank = np.zeros((128, 10), np.float32)
    batch = Batch(codes, np.full(128, 512), blank, blank.astype(bool), np.arange(128))
    model = build_model(model_config(MODEL | {"norm": "batch"}), tasks=screen_tasks()).train()
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    whole = partial(step, model, optimizer, torch.from_numpy(codes), torch.from_numpy(batch.length))
    average = Average(model, encre.TrainConfig(averaging="ema"))
    extras = {"averaging = ema": partial(average.update, model, spent=0.0)}
    for name, edits in {**{edit: {edit: MOST[edit]} for edit in EDITS}, "all six, two a sequence": MOST}.items():
        config = encre.TrainConfig.parse({"augment": edits})
        extras[f"augment: {name}"] = partial(augmented, batch, config, step=0, spent=0.0)
    for name, extra in extras.items():
        shares = [100 / ratio for ratio in in_turn(extra, whole, times=times, clock=time.process_time)]
        rows.add(f"{name}, of a step", shares, "%", target=3, at_most=True)
    rows.close()


if __name__ == "__main__":
    main()
