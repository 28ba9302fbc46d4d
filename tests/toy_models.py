"""Models whose answer is obvious: a CNN wired by hand to find two planted motifs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from encre.models.checkpoint import save_model
from encre.models.cnn import CNNConfig
from encre.models.model import EnhancerModel, build_model
from encre.sequence.alphabet import encode_many
from encre.tasks import Task, TaskSet

#: Task -> the motif that alone drives it; neither is its own reverse complement.
MOTIFS = {"heart": "TGACTCAGC", "brain": "GGAAGTACC"}


def motif_tasks() -> TaskSet:
    """Two binary tissue tasks, ``heart`` and ``brain``."""
    return TaskSet([Task(name, group="tissue", kind="multilabel", target=f"active_{name}") for name in MOTIFS])


def motif_model() -> EnhancerModel:
    """A CNN (one-hot, one convolution, maximum) whose logit of a task rises with the best match to its motif.

    Each base of the best match beyond four is worth 1.5 of the logit, on each strand: random bases lie about -4, a
    planted motif about +2. What lies on either strand counts alike.
    """
    config = CNNConfig(input="one_hot", channels=(4,), kernel_sizes=(9,), pools=(1,), pooling="max")
    model = build_model(config, tasks=motif_tasks()).eval()
    swap = str.maketrans("ACGT", "TGCA")
    with torch.no_grad():
        convolution, head = model.trunk.blocks[0].conv, model.heads["tissue"]
        convolution.weight.zero_()
        head.weight.zero_()
        for task, motif in enumerate(MOTIFS.values()):
            for strand, text in enumerate((motif, motif.translate(swap)[::-1])):
                for place, code in enumerate(encode_many([text])[0].tolist()):
                    convolution.weight[2 * task + strand, code, 0, place] = 1.0
                head.weight[task, 2 * task + strand] = 1.5
        convolution.bias.fill_(-4.0)  # a ReLU follows: matches of 4 bases or fewer count as none
        head.bias.fill_(-7.5)
    return model


def save_motif_run(folder: Path, *, width: int = 100, calibrated: bool = True) -> Path:
    """A run folder of :func:`motif_model` with windows of ``width`` bases, calibrated (temperature 1) unless told."""
    calibration = {
        "temperatures": dict.fromkeys(MOTIFS, 1.0),
        "biases": dict.fromkeys(MOTIFS, 0.0),
        "thresholds": dict.fromkeys(MOTIFS, 0.5),
        "fitted_on": "valid",
        "n": dict.fromkeys(MOTIFS, 100),
        "reasons": {},
    }
    sequence = {"mode": "window", "width": width, "jitter": 0, "min_length": width, "max_length": width}
    return save_model(
        folder,
        motif_model(),
        manifest={"sequence": sequence, "dataset": {"name": "toy", "digest": "0" * 64, "path": ""}},
        calibration=calibration if calibrated else None,
    )


def random_text(length: int, seed: int, *, planted: dict[int, str] | None = None) -> str:
    """Random bases with motifs written over them: ``planted`` is position (0-based) -> text."""
    rng = np.random.default_rng(seed)
    text = "".join(rng.choice(list("ACGT"), length))
    for at, motif in (planted or {}).items():
        text = text[:at] + motif + text[at + len(motif) :]
    return text
