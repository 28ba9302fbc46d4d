"""The processes of a ``torchrun`` job that share a scan: who scores which shard, and when all are done."""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Iterator
from typing import NamedTuple

from encre.errors import ResourceError

#: A fast process may wait for a slow one as long as a scan takes; one that died is noticed at once.
_PATIENCE = datetime.timedelta(days=7)


class Team(NamedTuple):
    """This process's place: its number and how many there are, 0 and 1 without torchrun."""

    rank: int
    world: int

    def mine(self, shards: int) -> range:
        """The shards of this process."""
        return range(self.rank, shards, self.world)

    def wait(self) -> None:
        """Until every process is here; a :class:`ResourceError` when one of them has ended."""
        if self.world > 1:
            import torch.distributed as dist

            try:
                dist.barrier()
            except RuntimeError as error:
                raise ResourceError(
                    "another process of this torchrun job ended before the scan was done",
                    remedy="What it said tells why. Start the job again: finished shards are kept.",
                ) from error


@contextlib.contextmanager
def join_team() -> Iterator[Team]:
    """Join the torchrun job that started this process, or be alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Team(0, 1)
        return
    import torch.distributed as dist

    from encre.models.processes import join_job

    join_job("gloo", patience=_PATIENCE)
    yield Team(dist.get_rank(), dist.get_world_size())


def own_device(name: str) -> str:
    """A device by name; ``"auto"`` and ``"cuda"`` become the process's own GPU under torchrun."""
    from torch.cuda import device_count

    if "LOCAL_RANK" in os.environ and name in ("auto", "cuda") and (count := device_count()):
        return f"cuda:{int(os.environ['LOCAL_RANK']) % count}"
    return name
