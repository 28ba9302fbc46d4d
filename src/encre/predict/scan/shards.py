"""The work folder of a scan: each finished shard is a file in it, so that a killed scan goes on where it stood.

``<out>.shards/``: ``manifest.json`` says which scan it belongs to, ``00000.safetensors`` … hold the logits of the
shards. What is not of the same scan (another model, genome, stride …) is refused, never mixed in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from encre.errors import FolderError
from encre.files import read_manifest, staged_file, write_json
from encre.predict.scan.plan import SHARD, Plan
from encre.predict.scan.score import Scored, Way

_KIND, _VERSION = "scan shards", 1
_MANIFEST = "manifest.json"


class ShardFolder:
    """The finished shards of one scan.

    Parameters
    ----------
    path
        The work folder; made when it is not there.
    facts
        What the logits depend on; see :func:`facts_of`.

    Raises
    ------
    FolderError
        When the folder belongs to another scan, or is no work folder.
    """

    def __init__(self, path: str | Path, facts: Mapping[str, Any]) -> None:
        self.path = Path(path)
        manifest = {"format": {"kind": _KIND, "version": _VERSION}, **facts}
        self.path.mkdir(parents=True, exist_ok=True)
        if any(self._foreign()):
            self._check(read_manifest(self.path, kind=_KIND, version=_VERSION), manifest)
        else:
            write_json(self.path / _MANIFEST, manifest)

    def _foreign(self) -> list[Path]:
        """What is in the folder, half-written files of killed processes left out."""
        return [path for path in self.path.iterdir() if not path.name.endswith(".partial")]

    def _check(self, found: dict[str, Any], wanted: dict[str, Any]) -> None:
        for key, value in wanted.items():
            if found.get(key) != value:
                brief = len(str(value)) < 40
                raise FolderError(
                    f"the shards here belong to another scan: the {key.replace('_', ' ')} differs",
                    where=self.path,
                    expected=str(value) if brief else "",
                    got=str(found.get(key)) if brief else "",
                    remedy="Remove the folder, name another --out, or scan as it was begun.",
                )

    def file(self, number: int) -> Path:
        """Where a shard's logits lie, or will."""
        return self.path / f"{number:05}.safetensors"

    def has(self, number: int) -> bool:
        """Whether a shard is finished."""
        return self.file(number).is_file()

    def write(self, number: int, scored: Scored) -> None:
        """Keep a finished shard."""
        from safetensors.numpy import save

        with staged_file(self.file(number)) as staged:
            staged.write_bytes(save(scored._asdict()))  # its own save_file has no OSError for a full disk

    def read(self, number: int) -> Scored:
        """A finished shard; a damaged one is a :class:`FolderError`."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            return Scored(**load_file(self.file(number)))
        except (SafetensorError, TypeError) as error:
            raise FolderError(
                f"a shard is damaged ({error})", where=self.file(number), remedy="Remove it and scan again."
            ) from error

    def remove(self) -> None:
        """The scan is complete, or came to nothing; killed in between, the folder can still be read or removed."""
        for path in sorted(self.path.iterdir(), key=lambda path: path.name == _MANIFEST):  # the manifest goes last
            path.unlink()
        self.path.rmdir()


def facts_of(plan: Plan, way: Way, *, model: Mapping[str, Any], genome: str, tasks: list[str]) -> dict[str, Any]:
    """What the logits of a scan depend on.

    Parameters
    ----------
    model
        Digests of the run's files.
    genome
        The genome's digest.
    """
    digest = hashlib.sha256()
    for shard in plan.shards:
        digest.update(shard.chrom.encode() + b"\0" + np.ascontiguousarray(shard.runs, "<i8").tobytes())
    return {
        "model": dict(model),
        "genome": genome,
        **way._asdict(),
        "tasks": tasks,
        "shard_size": SHARD,
        "shards": len(plan.shards),
        "regions": digest.hexdigest(),
    }
