"""A scan as Ray tasks: a worker that is killed in the middle of a shard costs time and nothing else."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from pathlib import Path

import pytest

from encre import Genome, ScanConfig, load, scan
from encre.errors import MissingExtraError, ResourceError
from encre.predict.scan import plan as scan_plan
from toy_models import random_text, save_motif_run
from toy_scans import write_fasta

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster():
    """A cluster of two workers on this machine."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning, module="ray")
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    yield
    ray.shutdown()


def children(parent: int) -> dict[int, str]:
    """Processes below one, with their command lines."""
    rows = {}
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit():
                fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
                rows[int(folder.name)] = (int(fields[1]), (folder / "cmdline").read_text().replace("\0", " "))
        except OSError:  # it has ended meanwhile
            continue
    found, level = {}, [parent]
    while level:
        level = [pid for pid, (above, _) in rows.items() if above in level]
        found |= {pid: rows[pid][1] for pid in level}
    return found


def kill_one_at_work(killed: list[int]) -> None:
    """SIGKILL the first worker of ours that is seen working on a shard."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for pid, command in children(os.getpid()).items():
            if command.startswith("ray::_score"):
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
                return
        time.sleep(0.005)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_lost_workers_shard_is_done_again(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(scan_plan, "SHARD", 10_000)
    fasta = write_fasta(tmp_path / "toy.fa", {"chr1": random_text(80_000, 1)})
    genome = Genome(fasta, assembly="custom:toy")
    predictor = load(save_motif_run(tmp_path / "run"))
    plain = scan(predictor, genome, "genome", out=f"{tmp_path}/plain/", config=ScanConfig(stride=2))
    assert plain.summary["windows"]["scored"] == 39_951
    killed: list[int] = []
    killer = threading.Thread(target=kill_one_at_work, args=(killed,))
    killer.start()
    scan(predictor, genome, "genome", out=f"{tmp_path}/ray/", config=ScanConfig(stride=2, engine="ray"))
    killer.join()
    assert len(killed) == 1
    assert content(tmp_path / "ray") == content(tmp_path / "plain")


def test_a_shard_whose_workers_are_always_lost_is_given_up_in_words(cluster, tmp_path, monkeypatch):
    def die(*_: object) -> None:  # in here, so that it travels to the worker by value
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr("encre.predict.scan.on_ray._RETRIES", 0)
    monkeypatch.setattr("encre.predict.scan.on_ray._score", die)
    genome = Genome(write_fasta(tmp_path / "toy.fa", {"chr1": random_text(1_000, 1)}), assembly="custom:toy")
    predictor = load(save_motif_run(tmp_path / "run"))
    with pytest.raises(ResourceError, match="shard 0 was given up: a worker was lost"):
        scan(predictor, genome, "chr1", out=tmp_path / "x", config=ScanConfig(engine="ray"))


@pytest.mark.parametrize("address", ["no address", "127.0.0.1:9"])
def test_where_no_cluster_is_is_said_at_once(tmp_path, monkeypatch, address):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    genome = Genome(write_fasta(tmp_path / "toy.fa", {"chr1": random_text(1_000, 1)}), assembly="custom:toy")
    config = ScanConfig(engine="ray", address=address)
    with pytest.raises(ResourceError, match="no Ray cluster to join"):
        scan(load(save_motif_run(tmp_path / "run")), genome, "chr1", out=tmp_path / "x", config=config)


def test_without_ray_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    genome = Genome(write_fasta(tmp_path / "toy.fa", {"chr1": random_text(1_000, 1)}), assembly="custom:toy")
    with pytest.raises(MissingExtraError, match=r"pip install 'encre\[ray\]'"):
        scan(
            load(save_motif_run(tmp_path / "run")),
            genome,
            "chr1",
            out=tmp_path / "x",
            config=ScanConfig(engine="ray"),
        )
