"""What a verb that works for long asks of the C library, and a library must not ask when it is imported."""

from __future__ import annotations

import ctypes
import os

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # mallopt(3)
_MOST = 2**31 - 1


def keep_freed_memory() -> None:
    """Let glibc keep what a training step frees for the next step, instead of giving it back to the system.

    Every step asks for the same tensors again; fetching their pages anew is a twentieth of the time of a small
    model's step on a CPU. Nothing happens under another C library, or where the user has set ``MALLOC_*`` variables.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is None or any(name.startswith("MALLOC_") for name in os.environ):
        return
    mallopt(_MMAP_MAX, 0)
    mallopt(_TRIM_THRESHOLD, _MOST)
