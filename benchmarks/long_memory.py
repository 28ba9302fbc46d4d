"""Memory and time of a training step over one long sequence, from 1 kb to 32 kb: what grows with the length, what faster.

    python benchmarks/long_memory.py [--quick] [--json]

A step is forward and backward of a batch of 1 in bf16 on one thread. Each point is a process of its own: the peak of its
resident memory in the step, less what it held before; seconds are the processor's, so that a busy machine counts little. All trunks have the same convolutions (8 bases a token, 128
features) and, but for the dilated one, four layers of four heads. Dense attention is measured twice: as PyTorch's fused
kernel computes it, which keeps no weights, so that only its time grows with the square; and with the weights written
out, whose memory does too (the check that this benchmark would see it).
"""  # noqa: E501

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from rows import Rows, arguments

LENGTHS = [1_024, 2_048, 4_096, 8_192, 16_384, 32_768]
#: What grows with the length, by name; the settings are the defaults.
LINEAR = ("longformer", "performer", "dilated")
#: The hybrid in the Longformer's shape.
DENSE = {
    "stem": 64,
    "widths": [96, 128],
    "blocks": [1, 1],
    "pools": [2, 2],
    "attention_layers": 4,
    "feed_forward": 256,
}
TRUNKS: dict[str, dict[str, Any]] = {name: {"name": name} for name in LINEAR} | {
    "dense": {"name": "hybrid", **DENSE},
    "dense, weights written out": {"name": "hybrid", **DENSE},
}
MIB = 2**20


class Point(NamedTuple):
    """A trunk at one length: MiB that the step took, and processor seconds of each repetition."""

    memory: float
    seconds: list[float]


def measure(name: str, length: int, *, repeats: int) -> Point:
    """One point, in a fresh process."""
    alone = os.environ | {"OMP_NUM_THREADS": "1"}
    words = [sys.executable, str(Path(__file__).resolve()), "--worker", name, str(length), str(repeats)]
    said = subprocess.run(words, stdout=subprocess.PIPE, text=True, env=alone, check=True).stdout
    memory, seconds = json.loads(said.splitlines()[-1])
    return Point(memory, seconds)


def slope(lengths: list[int], memory: list[float]) -> float:
    """Exponent of the growth between the first and the last of some points: 1 is linear, 2 a square."""
    return math.log(memory[-1] / memory[0]) / math.log(lengths[-1] / lengths[0])


def rows(rows: Rows, *, quick: bool) -> None:
    """Exponent over the upper half of the lengths, and memory and time at 32 kb, of each trunk."""
    names = LINEAR if quick else tuple(TRUNKS)
    lengths = [LENGTHS[3], LENGTHS[-1]] if quick else LENGTHS
    for name in names:
        points = {length: measure(name, length, repeats=1 if quick else 2) for length in lengths}
        if not rows.json_only:
            for length, point in points.items():
                seen = f"{point.memory:8.1f} MiB {min(point.seconds):8.3f} s"
                print(f"  {name:<28} {length:>7,} bases {seen}", file=sys.stderr, flush=True)
        upper = [length for length in lengths if length >= LENGTHS[3]]
        found = slope(upper, [points[length].memory for length in upper])
        label = f"growth of a step's memory from {upper[0] // 1024} to {upper[-1] // 1024} kb, {name}"
        if name in LINEAR:
            rows.add(label, [found], "exponent", target=1.1, at_most=True)
        elif name != "dense":
            rows.add(label, [found], "exponent", target=1.6)
        if name in (*LINEAR, "dense"):
            last = points[lengths[-1]]
            rows.add(f"memory of a step over 32 kb, {name}", [last.memory], "MiB", target=512, at_most=True)
            rows.add(f"time of a step over 32 kb, one core, {name}", last.seconds, "s", target=5, at_most=True)


# ------------------------------------------------------------------------------------------------------ a worker


def worker(name: str, length: int, repeats: int) -> None:
    """Steps over one sequence; prints what they took as JSON."""
    import contextlib
    import time

    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    from encre.models.model import build_model
    from encre.models.registry import model_config
    from encre.tasks import screen_tasks

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = build_model(model_config(TRUNKS[name]), tasks=screen_tasks()).train()
    way = sdpa_kernel(SDPBackend.MATH) if name.endswith("written out") else contextlib.nullcontext()

    def step(bases: int) -> float:
        codes = torch.randint(0, 4, (1, bases), dtype=torch.uint8)
        begun = time.process_time()
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(codes, torch.tensor([bases]))
        logits.float().sum().backward()
        return time.process_time() - begun

    with way:
        step(512)  # libraries load what they need, gradients get their memory
        before = resident("VmRSS")
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
        first = step(length)
        memory = (resident("VmHWM") - before) / MIB
        seconds = [step(length) for _ in range(repeats)] if repeats > 1 else [first]
    print(json.dumps([memory, seconds]))


def resident(which: str) -> int:
    """Bytes of resident memory of this process: ``"VmRSS"`` now, ``"VmHWM"`` at its peak."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(which))


def main() -> None:
    options = arguments(__doc__ or "")
    found = Rows(json_only=options.json)
    rows(found, quick=options.quick)
    found.close()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        worker(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        main()
