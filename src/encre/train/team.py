"""One process, or the processes of a ``torchrun`` job: who does what, and how they agree."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from encre.models.device import choose_device
from encre.models.processes import join_job


@dataclass(frozen=True)
class Team:
    """This process's place in the job.

    Parameters
    ----------
    rank, world
        Number of this process and how many there are; 0 and 1 without torchrun.
    device
        The device of this process.
    """

    rank: int
    world: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """True in the one process that writes files and shows progress."""
        return self.rank == 0

    def sum(self, x: Tensor) -> Tensor:
        """The sum over processes (no gradient); on the caller's device."""
        if self.world == 1:
            return x
        total = x.detach().to(self.device).clone()
        dist.all_reduce(total)
        return total.to(x.device)

    def from_leader(self, value: float) -> float:
        """The leader's value of something that must be the same everywhere, such as the time."""
        if self.world == 1:
            return value
        shared = torch.tensor(value, dtype=torch.float64, device=self.device)
        dist.broadcast(shared, 0)
        return float(shared)

    def share(self, model: nn.Module) -> nn.Module:
        """The model, its gradients averaged over the processes (buffers agree without help)."""
        if self.world == 1:
            return model
        ids = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(model, device_ids=ids, broadcast_buffers=False)

    def wait(self) -> None:
        """Until every process is here."""
        if self.world > 1:
            dist.barrier()

    def part(self, n: int) -> slice:
        """This process's run of ``n`` rows, all parts nearly equal."""
        bounds = np.linspace(0, n, self.world + 1).round().astype(int)
        return slice(int(bounds[self.rank]), int(bounds[self.rank + 1]))


@contextlib.contextmanager
def join_team(device: str = "auto") -> Iterator[Team]:
    """Join the torchrun job that started this process, or be alone.

    A process stays in the job until it ends, for the next training.

    Parameters
    ----------
    device
        As in :func:`encre.models.device.choose_device`; under torchrun ``cuda`` becomes the process's own GPU.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    chosen = choose_device(device)
    if world == 1:
        yield Team(0, 1, chosen)
        return
    if chosen.type == "cuda" and chosen.index is None:
        chosen = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(chosen)
    join_job("nccl" if chosen.type == "cuda" else "gloo")
    yield Team(dist.get_rank(), dist.get_world_size(), chosen)
