"""A peer as the benchmark sees it: a worker in the peer's own environment that runs one repetition when told."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent


class NotInstalledError(Exception):
    """The peer is not installed; the message says how the benchmark would find it."""


class Peer:
    """A worker process.

    Parameters
    ----------
    name
        A folder of ``$ENCRE_PEERS`` and a script ``with_<name>.py`` here.
    network
        The .npz of weights that every side computes with.
    work
        Folder for what goes to and fro.
    """

    def __init__(self, name: str, network: Path, work: Path) -> None:
        python = Path(os.environ.get("ENCRE_PEERS", ""), name, "bin", "python")
        if not os.environ.get("ENCRE_PEERS") or not python.exists():
            raise NotInstalledError(
                f"{name} is not installed ($ENCRE_PEERS names a folder with an environment a peer)"
            )
        self.name, self.work = name, work / name
        self.work.mkdir(parents=True, exist_ok=True)
        self.log = (self.work / "log").open("w")
        single = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self.log, "text": True}
        script = HERE / f"with_{name}.py"
        self.process = subprocess.Popen([python, script], env=os.environ | single, cwd=self.work, **pipes)
        self._say({"network": str(network)})

    def close(self) -> None:
        """Let the worker go."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.log.close()

    def give(self, **arrays: np.ndarray) -> dict[str, str]:
        """Write arrays where the worker finds them; to be passed on to :meth:`seconds`."""
        for name, array in arrays.items():
            np.save(self.work / f"{name}.npy", array)
        return {name: str(self.work / f"{name}.npy") for name in arrays}

    def seconds(self, verb: str, **given: Any) -> float:
        """Run once; how long it took."""
        return self._say({"verb": verb, "given": given, "out": None})["seconds"]

    def result(self, verb: str, **given: Any) -> np.ndarray:
        """Run once; what it gave."""
        out = self.work / "result.npy"
        self._say({"verb": verb, "given": given, "out": str(out)})
        return np.load(out)

    def _say(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else {"error": (self.work / "log").read_text()[-2000:]}
        if "error" in answer:
            raise RuntimeError(f"{self.name}: {answer['error']}")
        return answer


class Peers:
    """The peers by name, each started when it is first asked for; use as a context manager.

    Parameters
    ----------
    work
        Folder for what goes to and fro; the weights that all sides compute with are ``network.npz`` there.
    quick
        Whether little time is to be spent on them.
    """

    def __init__(self, work: Path, *, quick: bool) -> None:
        self.network, self.work, self.quick = work / "network.npz", work, quick
        self.started: dict[str, Peer] = {}

    def __enter__(self) -> Peers:
        return self

    def __exit__(self, *_: object) -> None:
        for peer in self.started.values():
            peer.close()

    def __getitem__(self, name: str) -> Peer:
        if name not in self.started:
            self.started[name] = Peer(name, self.network, self.work)
        return self.started[name]
