"""The processes of a ``torchrun`` job: joining it once, how many there are, and sums over them."""

from __future__ import annotations

import atexit
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor


def join_job(backend: str, *, patience: timedelta | None = None) -> None:
    """Join the torchrun job that started this process, unless that was done; the process leaves it when it ends.

    To leave the job earlier and join it again while the others are still leaving could wait for ever.

    Parameters
    ----------
    backend
        ``"nccl"`` or ``"gloo"``.
    patience
        How long a process waits for another; None for what PyTorch takes.
    """
    if not dist.is_initialized():
        dist.init_process_group(backend, timeout=patience)
        atexit.register(_leave)


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def world_size() -> int:
    """Processes of the job; 1 in a single process."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


class _SumOverProcesses(torch.autograd.Function):
    """All-reduce whose gradient is the all-reduced gradient (the loss is a sum over processes)."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, *grads: Tensor) -> Tensor:
        total = grads[0].clone()
        dist.all_reduce(total)
        return total


def sum_over_processes(x: Tensor) -> Tensor:
    """The sum of ``x`` over the processes of a torchrun job; ``x`` itself in a single process."""
    return x if world_size() == 1 else _SumOverProcesses.apply(x)  # pyright: ignore[reportReturnType]
