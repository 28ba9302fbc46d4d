"""A scan that is killed, shared or sent to a cluster gives the bytes of an unbroken one of one process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from encre.cli.main import run
from toy_models import random_text, save_motif_run
from toy_scans import write_fasta

TASKS = ("heart", "brain")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A genome of 6 shards, most of it N, a run, and the unbroken scan in ``whole/``."""
    folder = tmp_path_factory.mktemp("killed")
    islands = [random_text(25_000, seed) + "N" * 975_000 for seed in range(5)]
    write_fasta(folder / "toy.fa", {"chr1": "".join(islands), "chr2": random_text(25_000, 9)})
    save_motif_run(folder / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENCRE_CACHE", str(folder / "cache"))
        assert run([*words(folder, folder / "whole")[3:], "-q"]) == 0
    return folder


def words(folder: Path, out: Path, *more: str) -> list[str]:
    """The command of a scan."""
    places = ["--genome", f"{folder}/toy.fa", "--assembly", "custom:toy", "--model", f"{folder}/run"]
    return [sys.executable, "-m", "encre", "scan", "genome", *places, "--out", f"{out}/", "--stride", "5", *more]


def surroundings(folder: Path) -> dict[str, str]:
    return os.environ | {"ENCRE_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}


def start(folder: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(words(folder, out, *more), env=surroundings(folder), stderr=subprocess.PIPE, text=True)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def wait_for(pattern: str, folder: Path) -> list[Path]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if found := sorted(folder.glob(pattern)):
            return found
    raise AssertionError(f"no {pattern} came in {folder}")


def test_an_unbroken_scan_leaves_its_results_alone(folder):
    names = {f"{task}.{ending}" for task in TASKS for ending in ("bw", "narrowPeak")}
    assert set(content(folder / "whole")) == names | {"scan.json"}


@pytest.mark.parametrize(("moment", "more"), [("scan.shards/00002.safetensors", ["--keep-shards"]), (".*.bw.*", [])])
def test_a_killed_scan_goes_on_to_the_same_bytes(folder, tmp_path, moment, more):
    out = tmp_path / "out"
    with start(folder, out, *more) as killed:
        wait_for(moment, out)
        killed.send_signal(signal.SIGKILL)
    assert killed.returncode == -signal.SIGKILL
    assert not (out / "scan.json").exists()
    finished = {path: path.stat().st_mtime_ns for path in (out / "scan.shards").glob("*.safetensors")}
    assert finished
    with start(folder, out, *more) as again:
        _, said = again.communicate()
    assert again.returncode == 0, said
    assert f"{len(finished)} of them are finished already" in said
    if more:  # the finished shards are as the killed scan wrote them
        assert {path: path.stat().st_mtime_ns for path in finished} == finished
        for path in (out / "scan.shards").iterdir():
            path.unlink()
        (out / "scan.shards").rmdir()
    assert content(out) == content(folder / "whole")


@pytest.mark.slow
def test_processes_of_torchrun_share_the_shards(folder, tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    out = tmp_path / "out"
    done = subprocess.run(
        [*command, *words(folder, out)[2:]], env=surroundings(folder), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("heart.bw") == 1  # one process speaks
    assert content(out) == content(folder / "whole")


MEASURED = """
import pathlib, re, sys
from encre.cli.main import run
assert run(sys.argv[1:]) == 0
print(int(re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1]) // 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_chromosome(folder, tmp_path):
    """MiB at the peak for 4 Mb and for 60 Mb, the import of the genome (which is streamed as well) included."""
    peaks = {}
    piece = random_text(1_000_000, 1)
    for millions in (4, 60):
        write_fasta(tmp_path / "long.fa", {"chr1": piece * millions})
        given = [*words(folder, tmp_path / f"{millions}")[3:-1], "1000", "-q"]
        given[given.index("--genome") + 1] = str(tmp_path / "long.fa")
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, *given],
            env=surroundings(folder),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        peaks[millions] = int(done.stdout.split()[-1])
    assert peaks[60] - peaks[4] < 20, peaks
