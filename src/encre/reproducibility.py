"""Named random streams, digests, and the provenance that every artefact carries."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import zlib
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from encre.files import open_existing

_REPORTED = ("torch", "numpy", "polars", "scikit-learn", "pysam", "pydantic")


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """A random stream of its own for each purpose: ``stream(0, "train", "order", epoch)``.

    The numbers depend only on the seed and the names, never on what other streams drew, on the batch
    size, or on the number of workers.

    Parameters
    ----------
    seed
        The run's seed, 0 or more.
    names
        What the numbers are for.
    """
    return np.random.default_rng(stream_seed(seed, *names))


def stream_seed(seed: int, *names: str | int) -> int:
    """A 63-bit seed for the same purpose, for generators that are not NumPy's (torch, scikit-learn)."""
    words = [seed, *(n if isinstance(n, int) else zlib.crc32(n.encode()) for n in names)]
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> np.uint64(1))


def sha256_file(path: str | Path) -> str:
    """Hex SHA-256 of a file's bytes, read in 1 MiB blocks."""
    with open_existing(path) as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def sha256_arrays(*arrays: np.ndarray) -> str:
    """Hex SHA-256 over shape, dtype and bytes of arrays, in order."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def version() -> str:
    """The installed version of encre."""
    return metadata.version("encre")


def provenance() -> dict[str, Any]:
    """When, with which versions and on what an artefact was made (no user names, no paths).

    ``SOURCE_DATE_EPOCH`` (seconds, as reproducible-builds.org has it) stands in for the clock, so that whole
    folders can be compared byte by byte.
    """
    stated = os.environ.get("SOURCE_DATE_EPOCH", "")
    made = datetime.fromtimestamp(int(stated), UTC) if stated.isdecimal() else datetime.now(UTC)
    return {
        "encre": version(),
        "python": platform.python_version(),
        "versions": {name: v for name in _REPORTED if (v := _version_of(name))},
        "git": _git_revision(),
        "machine": f"{platform.system()} {platform.machine()}",
        "created": made.isoformat(timespec="seconds"),
    }


def _version_of(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git_revision() -> str | None:
    """The commit of the checkout that encre runs from, or None when it is installed from a wheel."""
    here = Path(__file__).resolve().parent
    command = ["git", "-C", str(here), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
