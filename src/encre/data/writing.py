"""A dataset folder, written: arrays, table, manifest and card into a staged folder.

Everything goes through plain file handles: ``numpy.save`` reports a full disk as an OSError without its
number, so that it could not be told from other failures.
"""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from encre.data.card import card
from encre.data.dataset import FORMAT_VERSION
from encre.data.rows import Rows
from encre.data.signals import Signals
from encre.reproducibility import provenance, sha256_arrays
from encre.sequence.flat import pack
from encre.tasks import TaskSet

#: Columns of elements.parquet before the targets, in this order.
LEADING = ("chrom", "start", "end", "accession", "ccre_class", "kind", "group", "split")


def write_dataset(
    folder: Path,
    rows: Rows,
    tasks: TaskSet,
    *,
    config_toml: str,
    about: dict[str, Any],
    signals: Signals | None = None,
) -> None:
    """Write all files of a dataset folder; the manifest comes last.

    Parameters
    ----------
    folder
        An empty folder.
    rows
        The finished rows.
    tasks
        The order of the K axis.
    config_toml
        The resolved config.
    about
        The manifest's entries that the build knows: name, sources, assembly, config, sequence, ledger,
        audit, splits.
    signals
        Signal tracks over the rows, ``signals.npy``; they count in the content digest.
    """
    table = ordered(rows.table, tasks)
    writer = _Writer(folder)
    writer.array("sequences.npy", pack(rows.codes))
    writer.array("offsets.npy", rows.offsets.astype(np.int64, copy=False))
    writer.bytes("elements.parquet", _parquet(table))
    writer.bytes("tasks.json", tasks.to_json().encode())
    writer.bytes("config.toml", config_toml.encode())
    digest = content_digest(table, rows.codes, rows.offsets)
    if signals is not None:
        writer.array("signals.npy", signals.values)
        meaning = [signals.layout, *(track["name"] for track in signals.tracks), writer.digests["signals.npy"]]
        digest = hashlib.sha256(json.dumps([digest, *meaning]).encode()).hexdigest()
    manifest: dict[str, Any] = {
        "format": {"kind": "dataset", "version": FORMAT_VERSION},
        **about,
        **({} if signals is None else {"signals": signals.to_json()}),
        "digest": digest,
    }
    writer.bytes("README.md", card(manifest, tasks).encode())
    manifest |= {"files": writer.digests, "sizes": writer.sizes, "provenance": provenance()}
    text = json.dumps(manifest, indent=2, allow_nan=False) + "\n"
    (folder / "manifest.json").write_text(text, encoding="utf-8")


def ordered(table: pl.DataFrame, tasks: TaskSet) -> pl.DataFrame:
    """The table with its fixed columns first, then the targets as Float32, then what else the source gave."""
    targets = [task.target for task in tasks]
    more = [name for name in table.columns if name not in {*LEADING, *targets, "flipped"}]
    return table.select(*LEADING, *(pl.col(t).cast(pl.Float32) for t in targets), *more)


def content_digest(table: pl.DataFrame, codes: np.ndarray, offsets: np.ndarray) -> str:
    """Hex SHA-256 over sequences and elements; independent of how the files are packed."""
    digest = hashlib.sha256(sha256_arrays(codes, offsets.astype(np.int64, copy=False)).encode())
    for column in table.get_columns():
        digest.update(f"{column.name}:{column.dtype}".encode())
        values = column.to_numpy() if column.dtype != pl.String else None
        if values is None or values.dtype == object:  # text, or booleans with nulls, whose objects have no bytes
            digest.update("\n".join(column.cast(pl.String).fill_null("\0").to_list()).encode())
        else:
            digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def _parquet(table: pl.DataFrame) -> bytes:
    handle = io.BytesIO()
    table.write_parquet(handle, compression="zstd", compression_level=3)
    return handle.getvalue()


class _Writer:
    """Writes files of one folder and keeps their digests and sizes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.digests: dict[str, str] = {}
        self.sizes: dict[str, int] = {}

    def array(self, name: str, values: np.ndarray) -> None:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(values))
        self._write(name, [memoryview(header.getvalue()), values.reshape(-1).view(np.uint8).data])

    def bytes(self, name: str, content: bytes) -> None:
        self._write(name, [memoryview(content)])

    def _write(self, name: str, parts: list[memoryview]) -> None:
        digest = hashlib.sha256()
        with (self.folder / name).open("wb") as handle:
            for part in parts:
                digest.update(part)
                handle.write(part)
        self.digests[name] = digest.hexdigest()
        self.sizes[name] = sum(map(len, parts))
