"""UCSC's 2bit form as a stream of base codes (https://genome.ucsc.edu/FAQ/FAQformat.html#format7).

Read with NumPy: four bases come out of each byte through one table, stretches of N and of lower case are laid over
them, so that a whole genome streams in bounded memory. The same codes as :mod:`encre.genome.fasta`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from encre.errors import FormatError
from encre.files import open_existing
from encre.genome.fasta import SOFT_MASK

_MAGIC = 0x1A412743
_CHUNK = 1 << 24  # bases a piece; a multiple of 4, so that pieces begin at a byte


def _make_table() -> np.ndarray:
    """Byte -> its four codes, the first base in the highest bits; 2bit counts T 0, C 1, A 2, G 3."""
    ours = np.array([3, 1, 0, 2], dtype=np.uint8)
    byte = np.arange(256)
    return np.stack([ours[(byte >> shift) & 3] for shift in (6, 4, 2, 0)], axis=1)


_TABLE = _make_table()


class Record(NamedTuple):
    """One sequence of the file, without its bases."""

    name: str
    length: int
    n_blocks: np.ndarray
    """Stretches of N, (2, blocks) int64: starts and ends."""
    masked: np.ndarray
    """Soft-masked stretches, (2, blocks) int64."""
    begin: int
    """Byte offset of the packed bases."""


def is_twobit(path: str | Path) -> bool:
    """Whether the file begins with the 2bit signature, in either byte order."""
    with open_existing(path) as handle:
        magic = handle.read(4)
    return _MAGIC in (int.from_bytes(magic, "little"), int.from_bytes(magic, "big"))


def read_records(path: str | Path) -> list[Record]:
    """The sequences of a 2bit file, in file order.

    Raises
    ------
    FormatError
        When the file is cut off or of a version that is not 0.
    """
    with open_existing(path) as handle:
        order = "<" if int.from_bytes(handle.read(4), "little") == _MAGIC else ">"
        number = np.dtype(f"{order}u4")
        version, count, _ = _read(handle, number, 3, path)
        if version:
            raise FormatError("this 2bit version is not known", where=path, expected="0", got=str(version))
        index = []
        for _ in range(int(count)):
            name = _read(handle, np.dtype("u1"), int(_read(handle, np.dtype("u1"), 1, path)[0]), path)
            index.append((name.tobytes().decode("latin-1"), int(_read(handle, number, 1, path)[0])))
        return [_read_record(handle, name, offset, number=number, path=path) for name, offset in index]


def stream_record(path: str | Path, record: Record) -> Iterator[np.ndarray]:
    """The bases of one sequence, (up to 2^24,) uint8 a piece: codes with the soft-mask bit."""
    with open_existing(path) as handle:
        handle.seek(record.begin)
        for start in range(0, record.length, _CHUNK):
            stop = min(start + _CHUNK, record.length)
            packed = _read(handle, np.dtype("u1"), (stop - start + 3) // 4, path)
            bases = _TABLE[packed].reshape(-1)[: stop - start]
            unknown = _covered(record.n_blocks, start, stop)
            if unknown is not None:
                bases[unknown] = 4
            masked = _covered(record.masked, start, stop)
            if masked is not None:
                bases |= masked.view(np.uint8) << np.uint8(SOFT_MASK.bit_length() - 1)
            yield bases


def _read_record(handle: IO[bytes], name: str, offset: int, *, number: np.dtype, path: str | Path) -> Record:
    handle.seek(offset)
    length = int(_read(handle, number, 1, path)[0])
    blocks = []
    for _ in range(2):
        count = int(_read(handle, number, 1, path)[0])
        starts = _read(handle, number, count, path).astype(np.int64)
        blocks.append(np.stack([starts, starts + _read(handle, number, count, path)]))
    return Record(name, length, blocks[0], blocks[1], handle.tell() + 4)  # 4 reserved bytes


def _covered(blocks: np.ndarray, start: int, stop: int) -> np.ndarray | None:
    """Which bases of ``start`` to ``stop`` lie in the sorted, disjoint blocks; None for none of them."""
    first = int(np.searchsorted(blocks[1], start, side="right"))
    last = int(np.searchsorted(blocks[0], stop, side="left"))
    if first >= last:
        return None
    steps = np.zeros(stop - start + 1, dtype=np.int8)
    # Blocks may touch: the end of one and the start of the next fall on one base, so they are added, not set.
    np.add.at(steps, np.maximum(blocks[0, first:last], start) - start, 1)
    np.add.at(steps, np.minimum(blocks[1, first:last], stop) - start, -1)
    return np.cumsum(steps[:-1], dtype=np.int8).astype(bool)


def _read(handle: IO[bytes], dtype: np.dtype, count: int, path: str | Path) -> np.ndarray:
    content = handle.read(dtype.itemsize * count)
    if len(content) != dtype.itemsize * count:
        raise FormatError(
            "the 2bit file is cut off or damaged",
            where=path,
            expected=f"{dtype.itemsize * count:,} more bytes at byte {handle.tell() - len(content):,}",
            got=f"{len(content):,}",
            remedy="Download it again.",
        )
    return np.frombuffer(content, dtype=dtype)
