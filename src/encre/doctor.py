"""What this machine has, and what would be slow on it: the work behind ``encre doctor``."""

from __future__ import annotations

import math
import os
import platform
import shutil
import time
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = ("torch", "numpy", "polars", "pyarrow", "scikit-learn", "pydantic", "safetensors")
_CGROUP_LIMIT = Path("/sys/fs/cgroup/cpu.max")
#: Training rows of registry V4 (2,348,854 elements, four fifths of them in train).
_REGISTRY_ROWS = 1_900_000
_REGISTRY_EPOCHS = 20


def examine() -> dict[str, Any]:
    """Look at devices, precision, threads, disk and versions.

    Returns
    -------
    dict
        ``versions``, ``processor``, ``devices``, ``speed``, ``disk``, ``model``: plain values; ``advice``: a
        list of sentences about what would be slow or is missing here, empty when all is well.
    """
    advice: list[str] = []
    found = {
        "versions": _versions(),
        "processor": _processor(advice),
        "devices": _devices(advice),
        "speed": _speed(advice),
        "disk": _disk(advice),
        "model": _default_model(),
    }
    return found | {"advice": advice}


def _versions() -> dict[str, str]:
    found = {"encre": metadata.version("encre"), "python": platform.python_version(), "system": platform.platform()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _processor(advice: list[str]) -> dict[str, Any]:
    import torch

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    threads = torch.get_num_threads()
    allowed = min(usable, math.ceil(quota)) if quota else usable
    if threads > allowed:
        advice.append(
            f"torch would start {threads} threads where {allowed} processor{'s are' if allowed > 1 else ' is'} "
            f"allowed; they would wait for each other. Use --threads {allowed}."
        )
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load > 0.75 * allowed:
        advice.append(
            f"Other programs keep this machine busy (load {load:.1f} on {allowed} processors): "
            "the speeds here are lower than it could reach."
        )
    if allowed == 1:
        advice.append("One processor only: training takes about twice as long as on two.")
    return {
        "capability": torch.backends.cpu.get_cpu_capability(),
        "cores": usable,
        "quota": quota,
        "threads": threads,
        "memory_gb": _memory_gb(),
    }


def cpu_quota(path: Path = _CGROUP_LIMIT) -> float | None:
    """Processors that a container may use (Linux control groups), or None when there is no limit."""
    try:
        limit, period = path.read_text().split()
    except (OSError, ValueError):
        return None
    return None if limit == "max" else int(limit) / int(period)


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (ValueError, OSError, AttributeError):
        return None


def _devices(advice: list[str]) -> dict[str, Any]:
    import torch

    from encre.models.device import choose_device, choose_precision

    graphics = []
    for number in range(torch.cuda.device_count()) if torch.cuda.is_available() else ():
        properties = torch.cuda.get_device_properties(number)
        graphics.append({"name": properties.name, "memory_gb": round(properties.total_memory / 1e9, 1)})
    auto = choose_device("auto")
    precision = choose_precision("auto", auto)
    if auto.type == "cpu" and precision == "fp32":
        advice.append("This processor has no bfloat16: training and scoring run in fp32, about half the speed.")
    return {"auto": str(auto), "precision": precision, "gpus": graphics, "mps": torch.backends.mps.is_available()}


def _speed(advice: list[str]) -> dict[str, Any]:
    """Training steps of two models at their full sizes, measured for about a second each."""
    from encre.models.registry import model_config

    rates = {
        "cnn": training_rate(model_config({"name": "cnn"}), batch=64),
        "transformer": training_rate(model_config({"name": "transformer"}), batch=4),
    }
    hours = {name: _REGISTRY_ROWS * _REGISTRY_EPOCHS / rate / 3600 for name, rate in rates.items()}
    for name, needed in hours.items():
        if needed > 24:
            advice.append(
                f"The full {name} on the whole SCREEN registry ({_REGISTRY_EPOCHS} epochs of {_REGISTRY_ROWS:,} "
                f"elements) would take about {needed / 24:,.0f} days here: use a GPU, fewer epochs or fewer elements."
            )
    return {f"{name} training, sequences of 250 bp a second": round(rate) for name, rate in rates.items()}


def training_rate(config: Any, *, batch: int, seconds: float = 0.7) -> float:
    """Sequences of 250 bp that a model trains on in a second, on the device and in the precision of ``auto``.

    Parameters
    ----------
    config
        Settings of a model.
    batch
        Sequences of a step.
    seconds
        How long to measure, after one step of warming up.
    """
    import torch

    from encre.models.device import autocast, choose_device, choose_precision
    from encre.models.model import build_model
    from encre.tasks import screen_tasks

    device = choose_device("auto")
    with torch.random.fork_rng():
        model = build_model(config, tasks=screen_tasks()).to(device).train()
    codes = (torch.arange(batch * 250, dtype=torch.int64) * 7919 % 13 % 4).to(torch.uint8).view(batch, 250).to(device)
    length = torch.full((batch,), 250)
    steps, begun = -1, time.perf_counter()
    while steps < 1 or time.perf_counter() - begun < seconds:
        with autocast(choose_precision("auto", device), device):
            loss = model(codes, length).float().square().mean()
        loss.backward()
        loss.item()  # waits for the device
        steps += 1
        begun = time.perf_counter() if steps == 0 else begun
    return steps * batch / (time.perf_counter() - begun)


def _disk(advice: list[str]) -> dict[str, Any]:
    cache = Path(os.environ.get("ENCRE_CACHE") or Path.home() / ".cache" / "encre")
    place = next((folder for folder in (cache, *cache.parents) if folder.is_dir()), Path("/"))
    free = shutil.disk_usage(place).free / 1e9
    writable = os.access(place, os.W_OK)
    if not writable:
        advice.append(f"The cache folder {cache} cannot be written; set ENCRE_CACHE to one that can.")
    elif free < 5:
        advice.append(
            f"{free:.1f} GB free at {cache}: the cache of a human genome needs 3.1 GB. "
            "Free some space or set ENCRE_CACHE to another disk."
        )
    return {"cache": str(cache), "free_gb": round(free, 1), "writable": writable}


def _default_model() -> dict[str, Any]:
    from encre.predict.predictor import DEFAULT_MODEL

    return {"shipped": (DEFAULT_MODEL / "manifest.json").is_file()}
