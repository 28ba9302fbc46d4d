"""Write bigWig (Kent et al. 2010, Bioinformatics 26:2204): bins of one width, streamed, the same bytes every time.

Of the libraries that write it, one ends the process or leaves a cut file unsaid when the disk is full, the other
takes a Python tuple a value. Here NumPy lays out blocks of 1,024 values, zlib packs them, and whatever the disk
says comes out as an ``OSError``. Memory holds an index entry a block; the zoom levels wait in temporary files.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
import struct
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Self

import numpy as np

from encre.errors import IntervalError

_MAGIC, _TREE_MAGIC, _INDEX_MAGIC = 0x888FFC26, 0x78CA8C91, 0x2468ACE0
_ITEMS = 1024  # values or zoom records a block, as the tools of UCSC have it
_FANOUT = 256  # children of a node of the index
_FIRST_ZOOM, _NEXT_ZOOM, _MOST_ZOOMS = 16, 4, 10  # 16 bins a record first, then 4 times as many, as UCSC's
_FIXED_STEP = 3
_MOST_NAMES = 65_535  # entries of a node of the chromosome tree, which is one node here
_HEADER = 64 + 24 * _MOST_ZOOMS

_RECORD = np.dtype(
    [("chrom", "<u4"), ("start", "<u4"), ("end", "<u4"), ("bases", "<u4")]
    + [(name, "<f4") for name in ("min", "max", "sum", "squares")]
)
_LEAF = np.dtype([(n, "<u4") for n in ("chrom", "start", "last_chrom", "end")] + [("at", "<u8"), ("size", "<u8")])
_NODE = np.dtype([(n, "<u4") for n in ("chrom", "start", "last_chrom", "end")] + [("at", "<u8")])


class BigWigWriter:
    """A bigWig file in the making; a context manager, complete when it is left without an error.

    Parameters
    ----------
    path
        Where to write: a path of :func:`encre.files.staged_file`, so that the file appears whole or not at all.
    lengths
        Chromosome -> length in bases.
    bin
        Bases that each value stands for.
    """

    def __init__(self, path: str | Path, lengths: Mapping[str, int], *, bin: int = 1) -> None:  # noqa: A002
        self.path, self.lengths, self.bin = Path(path), dict(lengths), bin
        self._numbers = {name: number for number, name in enumerate(self.lengths)}
        self._last = (-1, 0)
        self._summary = [0, np.inf, -np.inf, 0.0, 0.0]
        self._index, self._zooms = _Index(), list[_Zoom]()
        self._files = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._handle = self._files.enter_context(self.path.open("wb"))
        self._handle.write(bytes(_HEADER + 40))
        self._handle.write(_chromosome_tree(self.lengths))
        self._data_at = self._handle.tell()
        self._handle.write(bytes(8))  # the number of blocks, known at the end
        longest, reduction = max(self.lengths.values(), default=0), _FIRST_ZOOM * self.bin
        while reduction < longest and len(self._zooms) < _MOST_ZOOMS:
            waiting = self._files.enter_context(tempfile.TemporaryFile(dir=self.path.parent))
            self._zooms.append(_Zoom(reduction, waiting))
            reduction *= _NEXT_ZOOM
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        with self._files:
            if kind is None:
                self._finish()

    def add(self, chrom: str, start: int, values: np.ndarray) -> None:
        """Append neighbouring bins.

        Parameters
        ----------
        chrom
            One of the chromosomes.
        start
            Where the first bin begins, 0-based; bins that reach off the chromosome are cut at its end.
        values
            (n,) one a bin; NaN leaves the bin without a value.

        Raises
        ------
        IntervalError
            When the bins do not lie behind those added before, or not on the chromosome at all.
        """
        number, length = self._numbers[chrom], self.lengths[chrom]
        values = np.asarray(values, np.float32)
        begins = start + self.bin * np.arange(len(values), dtype=np.int64)
        there = np.isfinite(values)
        begins, values = begins[there], values[there]
        if not len(values):
            return
        ends = np.minimum(begins + self.bin, length)
        begins = np.maximum(begins, 0)
        if (number, int(begins[0])) < self._last or (begins >= ends).any():
            raise IntervalError(
                "values of a bigWig lie on their chromosome and come in order",
                where=self.path,
                got=f"{chrom} {begins[0]}-{ends[-1]}",
            )
        self._last = (number, int(ends[-1]))
        uneven = (ends - begins) != self.bin
        breaks = (begins[1:] != ends[:-1]) | uneven[1:] | uneven[:-1]
        edges = [0, *(np.flatnonzero(breaks) + 1).tolist(), len(values)]
        for first, last in itertools.pairwise(edges):
            for at in range(first, last, _ITEMS):
                to = min(at + _ITEMS, last)
                self._block(number, int(begins[at]), int(ends[to - 1]), values[at:to])
        self._count(number, begins, ends, values)

    def _block(self, number: int, start: int, end: int, values: np.ndarray) -> None:
        width = (end - start) // len(values)
        head = struct.pack("<5IBBH", number, start, end, width, width, _FIXED_STEP, 0, len(values))
        packed = zlib.compress(head + values.tobytes(), 1)
        self._index.add(number, start, end, at=self._handle.tell(), size=len(packed))
        self._handle.write(packed)

    def _count(self, number: int, begins: np.ndarray, ends: np.ndarray, values: np.ndarray) -> None:
        """Bring values to the summary of the whole file and to the zoom levels."""
        width, wide = ends - begins, values.astype(np.float64)
        bases, low, high, total, squares = self._summary
        self._summary = [
            bases + int(width.sum()),
            min(low, float(wide.min())),
            max(high, float(wide.max())),
            total + float((wide * width).sum()),
            squares + float((wide * wide * width).sum()),
        ]
        rows = np.empty(len(values), _RECORD)
        columns = (number, begins, ends, width, values, values, wide * width, wide * wide * width)
        for name, column in zip(_RECORD.names or (), columns, strict=True):
            rows[name] = column
        for zoom in self._zooms:
            rows = zoom.add(rows)
            if not len(rows):
                return

    def _finish(self) -> None:
        rows = np.empty(0, _RECORD)
        for zoom in self._zooms:
            rows = zoom.finish(rows)
        index_at = self._index.write(self._handle)
        heads = b""
        for zoom in self._zooms:
            zoom_at = self._handle.tell()
            self._handle.write(struct.pack("<I", zoom.count))
            zoom.handle.seek(0)
            shutil.copyfileobj(zoom.handle, self._handle, 1 << 20)
            heads += struct.pack("<IIQQ", zoom.reduction, 0, zoom_at, zoom.index.write(self._handle, zoom_at + 4))
        self._handle.write(struct.pack("<I", _MAGIC))
        buffer = max(24 + 4 * _ITEMS, _RECORD.itemsize * _ITEMS)
        at = (_HEADER + 40, self._data_at, index_at, 0, 0, 0, _HEADER, buffer, 0)
        self._handle.seek(0)
        self._handle.write(struct.pack("<IHHQQQHHQQIQ", _MAGIC, 4, len(self._zooms), *at) + heads)
        self._handle.seek(_HEADER)
        summary = self._summary if self._summary[0] else [0, 0.0, 0.0, 0.0, 0.0]
        self._handle.write(struct.pack("<Qdddd", *summary))
        self._handle.seek(self._data_at)
        self._handle.write(struct.pack("<Q", self._index.count))
        self._handle.flush()


class _Index:
    """Where each block lies in the file, and the tree over them."""

    def __init__(self) -> None:
        self._parts: list[np.ndarray] = []
        self._rows: list[tuple[int, int, int, int, int, int]] = []
        self.count = 0

    def add(self, chrom: int, start: int, end: int, *, at: int, size: int) -> None:
        self.count += 1
        self._rows.append((chrom, start, chrom, end, at, size))
        if len(self._rows) == 1 << 14:  # an array takes a tenth of the memory of tuples
            self._parts.append(np.array(self._rows, _LEAF))
            self._rows = []

    def write(self, handle: IO[bytes], shift: int = 0) -> int:
        """Append the tree to the file; ``shift`` is added to every block's place. Returns where the tree begins."""
        rows = np.concatenate([*self._parts, np.array(self._rows, _LEAF)])
        rows["at"] += shift
        levels = [rows]
        while len(levels[0]) > _FANOUT:
            levels.insert(0, _parents(levels[0]))
        begin, place = handle.tell(), handle.tell() + 48
        bounds = _parents(rows, fanout=max(len(rows), 1)).tolist()[0][:4] if len(rows) else (0, 0, 0, 0)
        handle.write(struct.pack("<IIQIIIIQII", _INDEX_MAGIC, _FANOUT, len(rows), *bounds, begin, _ITEMS, 0))
        for depth, level in enumerate(levels):
            place += _size(level)
            if depth + 1 < len(levels):
                below = levels[depth + 1]
                firsts = np.arange(len(level), dtype=np.uint64) * np.uint64(4 + _FANOUT * below.dtype.itemsize)
                level["at"] = place + firsts
            for at in range(0, max(len(level), 1), _FANOUT):
                node = level[at : at + _FANOUT]
                handle.write(struct.pack("<BBH", level.dtype == _LEAF, 0, len(node)) + node.tobytes())
        return begin


class _Zoom:
    """One zoom level: its closed records packed in a temporary file, the open one kept."""

    def __init__(self, reduction: int, handle: IO[bytes]) -> None:
        self.reduction, self.handle = reduction, handle
        self.count, self.index = 0, _Index()
        self._open = self._waiting = np.empty(0, _RECORD)

    def add(self, rows: np.ndarray) -> np.ndarray:
        """Sum finer records up; returns those of this level that nothing can be added to any more."""
        found = self._summed(np.concatenate([self._open, rows]))
        self._open = found[-1:]
        self._store(found[:-1])
        return found[:-1]

    def finish(self, rows: np.ndarray) -> np.ndarray:
        """The last finer records have come; returns the last of this level."""
        found = self._summed(np.concatenate([self._open, rows]))
        self._store(found)
        self._pack(self._waiting)
        return found

    def _summed(self, rows: np.ndarray) -> np.ndarray:
        if not len(rows):
            return rows
        cell = rows["start"] // self.reduction
        first = np.flatnonzero(np.append(True, (cell[1:] != cell[:-1]) | (rows["chrom"][1:] != rows["chrom"][:-1])))
        found = rows[first]
        found["end"] = rows["end"][np.append(first[1:], len(rows)) - 1]
        found["bases"] = np.add.reduceat(rows["bases"], first)
        found["min"] = np.minimum.reduceat(rows["min"], first)
        found["max"] = np.maximum.reduceat(rows["max"], first)
        for name in ("sum", "squares"):
            found[name] = np.add.reduceat(rows[name].astype(np.float64), first)
        return found

    def _store(self, rows: np.ndarray) -> None:
        waiting = np.concatenate([self._waiting, rows])
        change = np.flatnonzero(waiting["chrom"][1:] != waiting["chrom"][:-1]) + 1
        parts = np.split(waiting, change)
        for part in parts[:-1]:
            self._pack(part)
        last = parts[-1]
        whole = len(last) // _ITEMS * _ITEMS
        self._pack(last[:whole])
        self._waiting = last[whole:]

    def _pack(self, rows: np.ndarray) -> None:
        """Write records of one chromosome in blocks."""
        self.count += len(rows)
        for at in range(0, len(rows), _ITEMS):
            block = rows[at : at + _ITEMS]
            packed = zlib.compress(block.tobytes(), 1)
            first, last = block[0], block[-1]
            place = self.handle.tell()
            self.index.add(int(first["chrom"]), int(first["start"]), int(last["end"]), at=place, size=len(packed))
            self.handle.write(packed)


def _chromosome_tree(lengths: Mapping[str, int]) -> bytes:
    """The B+ tree from name to number and length; one leaf, sorted by name."""
    if len(lengths) > _MOST_NAMES:
        raise IntervalError(f"encre writes bigWigs of up to {_MOST_NAMES:,} chromosomes", got=f"{len(lengths):,}")
    names = {name.encode(): number for number, name in enumerate(lengths)}
    width = max((len(name) for name in names), default=1)
    head = struct.pack("<IIIIQQ", _TREE_MAGIC, max(len(names), 1), width, 8, len(names), 0)
    leaf = struct.pack("<BBH", 1, 0, len(names))
    sizes = list(lengths.values())
    items = (name.ljust(width, b"\0") + struct.pack("<II", at, sizes[at]) for name, at in sorted(names.items()))
    return head + leaf + b"".join(items)


def _parents(level: np.ndarray, *, fanout: int = _FANOUT) -> np.ndarray:
    """An entry for every ``fanout`` sorted entries of a level; where its node lies is still open."""
    first = np.arange(0, len(level), fanout)
    last = np.append(first[1:], len(level)) - 1
    found = np.zeros(len(first), _NODE)
    for name, at in (("chrom", first), ("start", first), ("last_chrom", last), ("end", last)):
        found[name] = level[name][at]
    return found


def _size(level: np.ndarray) -> int:
    """Bytes that a level of the tree takes."""
    return 4 * max(-(-len(level) // _FANOUT), 1) + level.nbytes
