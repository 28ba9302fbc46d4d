"""Shards of a scan as Ray tasks, on this machine or a cluster (the extra ``ray``).

A task gets the model and the shard's bases, and returns logits: workers need encre, and neither the genome nor a
shared disk. When a worker is lost, Ray does its shard again elsewhere.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import socket
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from encre.errors import MissingExtraError, ResourceError
from encre.predict.scan.plan import Plan
from encre.predict.scan.score import Scored, Way, read_codes, score_shard

if TYPE_CHECKING:
    from encre.genome.store import Genome
    from encre.models.model import EnhancerModel

_RETRIES = 5  # losses of a worker that one shard may meet
_AHEAD = 2  # shards sent ahead for each that can be worked on, so that no worker waits for the next


def score_on_cluster(
    model: EnhancerModel, genome: Genome, plan: Plan, *, todo: Sequence[int], way: Way, address: str | None
) -> Iterator[tuple[int, Scored]]:
    """Score shards, each yielded with its number as soon as it is done.

    Parameters
    ----------
    todo
        Numbers of the shards.
    address
        Of a running cluster (``"auto"`` finds this machine's); None starts one here for the time of the scan.

    Raises
    ------
    MissingExtraError
        When Ray is not installed.
    ResourceError
        When there is no cluster at the address, or a shard's workers were lost too often.
    """
    with _joined(address) as ray:
        gpus, resources = _gpus(model, ray), ray.cluster_resources()
        slots = int(resources.get("GPU" if gpus else "CPU", 1))
        score = ray.remote(max_retries=_RETRIES, num_cpus=1, num_gpus=gpus)(_score)
        shared = ray.put(copy.deepcopy(model).cpu())
        waiting, running = iter(todo), {}
        while True:
            for number in waiting:
                shard = plan.shards[number]
                running[score.remote(shared, read_codes(genome, shard, way), shard.runs, way)] = number
                if len(running) >= _AHEAD * slots:
                    break
            if not running:
                return
            done, _ = ray.wait(list(running))
            for task in done:
                number = running.pop(task)
                yield number, _result(ray, task, number)


def _score(model: EnhancerModel, codes: np.ndarray, runs: np.ndarray, way: Way) -> Scored:
    """What a worker does."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"  # Ray hides the GPUs that a task did not ask for
    return score_shard(model.to(device), codes, runs, way)


def _gpus(model: EnhancerModel, ray: Any) -> int:
    """GPUs of a task: one where the cluster has any, unless a CPU was asked for on a machine with GPUs."""
    import torch

    on_gpu = next(model.parameters()).device.type == "cuda"
    return int((on_gpu or not torch.cuda.is_available()) and ray.cluster_resources().get("GPU", 0) >= 1)


def _result(ray: Any, task: Any, number: int) -> Scored:
    try:
        return Scored(*ray.get(task))
    except ray.exceptions.RayTaskError:
        raise
    except ray.exceptions.RayError as error:
        raise ResourceError(
            f"shard {number} was given up: a worker was lost in each of {_RETRIES + 1} tries "
            f"({str(error).splitlines()[0]})",
            remedy="Most often workers run out of memory. Scan again: what is finished is kept.",
        ) from error


@contextlib.contextmanager
def _joined(address: str | None) -> Iterator[Any]:
    """Ray, connected; a cluster that was started here is ended, one that was joined is left."""
    try:
        import ray
    except ImportError:
        raise MissingExtraError(
            "--engine ray needs Ray, which is not installed", remedy="Install it: pip install 'encre[ray]'."
        ) from None
    if ray.is_initialized():
        yield ray
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning, module="ray")  # about its own next defaults
        try:
            _refuse_deaf(address or "")
            quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
            ray.init(**quiet, address=address) if address else ray.init(**quiet, include_dashboard=False)
        except (OSError, RuntimeError, ValueError) as error:  # nobody there, another version, no address
            if address is None and not isinstance(error, ConnectionError):
                raise
            why = str(error).partition("\n")[0]
            raise ResourceError(
                f"there is no Ray cluster to join ({why})",
                where=address,
                remedy="Start one with `ray start --head`, or leave --address out.",
            ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _refuse_deaf(address: str) -> None:
    """An ``OSError`` when nobody listens at ``host:port``: Ray itself would try again for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdigit() and "/" not in host:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
