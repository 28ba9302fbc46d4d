"""Which device and which precision: chosen by name, or by what the machine has."""

from __future__ import annotations

import contextlib
from typing import Literal

import torch

from encre.errors import ResourceError

Precision = Literal["auto", "fp32", "bf16"]


def choose_device(name: str = "auto") -> torch.device:
    """``"auto"`` (a GPU when there is one), ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.

    Raises
    ------
    ResourceError
        When the device that was named is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ResourceError(f"there is no kind of device '{name}'", expected="auto, cpu, cuda, cuda:0, mps") from None
    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not there.get(device.type, False):
        raise ResourceError(
            f"the device '{name}' is not on this machine", remedy="Use 'auto' or 'cpu'; `encre doctor` lists devices."
        )
    return device


def has_bf16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 in hardware (CPU: AVX512-BF16 or AMX)."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    if hasattr(torch.cpu, "get_capabilities"):
        capabilities = torch.cpu.get_capabilities()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    # torch before 2.10 has these two tests only
    known = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(test() for test in known if test is not None)


def choose_precision(name: Precision, device: torch.device) -> Literal["fp32", "bf16"]:
    """``"auto"`` becomes bf16 where the device has it, else fp32; a name is taken as it is."""
    if name == "auto":
        return "bf16" if has_bf16(device) else "fp32"
    return name


def autocast(precision: Literal["fp32", "bf16"], device: torch.device) -> contextlib.AbstractContextManager[object]:
    """The context in which a forward pass of that precision runs."""
    if precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)
