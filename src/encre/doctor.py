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

_PACKAGES = ("torch", "numpy", "polars", "pyarrow", "scikit-learn", "pydantic", "safetensors", "py2bit")
_CGROUP_LIMIT = Path("/sys/fs/cgroup/cpu.max")
#: Training speed of the quickstart's CNN on a fp32 matrix product of 1 GFLOP/s, sequences of 200 bp a second;
#: measured on two AVX2 cores (1,450 sequences/s at 160 GFLOP/s).
_CNN_RATE_PER_GFLOPS = 9.0
_QUICKSTART_SEQUENCES = 250_000


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
    if auto.type == "cpu":
        advice.append(
            "No GPU: the small CNN trains in minutes, but the full Transformer on the SCREEN registry "
            "(1.9 million elements) would take days here."
        )
        if precision == "fp32":
            advice.append("This processor has no bfloat16: training and scoring run in fp32, about half the speed.")
    return {"auto": str(auto), "precision": precision, "gpus": graphics, "mps": torch.backends.mps.is_available()}


def _speed(advice: list[str]) -> dict[str, Any]:
    fp32 = _gflops()
    minutes = _QUICKSTART_SEQUENCES / (fp32 * _CNN_RATE_PER_GFLOPS) / 60
    if minutes > 8:
        advice.append(f"Matrix products are slow here ({fp32:,.0f} GFLOP/s): the quickstart may take {minutes:,.0f} min.")
    return {"fp32_gflops": round(fp32, 1)}


def _gflops(size: int = 768, seconds: float = 0.25) -> float:
    """Speed of fp32 matrix products on the CPU with the present threads, GFLOP/s."""
    import torch

    a = torch.ones(size, size)
    with torch.inference_mode():
        a @ a
        begun, done = time.perf_counter(), 0
        while time.perf_counter() - begun < seconds:
            a @ a
            done += 1
    return done * 2 * size**3 / (time.perf_counter() - begun) / 1e9


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
