"""Signal tracks: values of a bigWig over many windows at once, exact (never its zoom levels).

bigWig: Kent et al. (2010), Bioinformatics 26:2204. The file is read by pybigtools; what is here is the order of
reading. Windows are sorted along the chromosome and neighbours are read together, so that a stretch of the file is
unpacked once, however many windows overlap it; a window that stands alone costs one short read.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import polars as pl

from encre.errors import AssemblyMismatchError, ConfigError, FormatError, IntervalError
from encre.files import open_existing
from encre.genome.assembly import Assembly, check_lengths, check_some_known, get_assembly
from encre.genome.store import Names
from encre.tables import categories

Reduce = Literal["mean", "max"]

_MAGIC = (b"\x26\xfc\x8f\x88", b"\x88\x8f\xfc\x26")  # either byte order
_BIGBED = (b"\xeb\xf2\x89\x87", b"\x87\x89\xf2\xeb")
# A scheme, also behind a folder that a config's relative paths were put into; one letter would be a drive.
_ADDRESS = re.compile(r"(?:^|/)[A-Za-z][A-Za-z0-9+.-]+:/")
_BASES = 1 << 22  # bases that a block of windows reads at most: 32 MiB
_GAP = 1 << 11  # bases between two windows that cost less to read over than a read of its own costs


class _Ask(NamedTuple):
    """What is wanted of each window: width and bin in bases, how a bin is reduced, what a base without value is."""

    width: int
    bin: int
    reduce: Reduce
    missing: float


class SignalTrack:
    """One bigWig file.

    Parameters
    ----------
    path
        A local file; its name ends in ``.bw`` or ``.bigWig``. A remote address is refused: a track is read in many
        small pieces.
    assembly
        Name, :class:`Assembly`, or None / ``"custom:NAME"`` to take names as they are. Chromosomes of the file may
        carry any naming style of the assembly.

    Raises
    ------
    ConfigError
        For a remote address.
    MissingFileError
        When there is no such file.
    FormatError
        When it is not a bigWig, or damaged.
    AssemblyMismatchError
        When a chromosome has another length than the assembly's, or no name is known.
    """

    def __init__(self, path: str | Path, assembly: str | Assembly | None = "GRCh38") -> None:
        if _ADDRESS.search(str(path)):
            raise ConfigError(
                "a signal track is read from a local file",
                got=str(path),
                remedy="Download it, and name the file.",
            )
        self.path = Path(path)
        self.assembly = get_assembly(assembly)
        self._reader: Any = _open(self.path)
        with _explained(self.path):
            lengths: dict[str, int] = self._reader.chroms()
        self._check(lengths)
        homes = ((self.assembly.canonical(name), name) for name in lengths)
        self._homes = {home: (name, lengths[name]) for home, name in homes if home is not None}
        self._measured: dict[str, bool] = {}
        self._scratch = np.empty(0)

    def __repr__(self) -> str:
        return f"SignalTrack({self.path.name}, {self.assembly.name}, {len(self._homes)} chromosomes)"

    @property
    def lengths(self) -> dict[str, int]:
        """Chromosome, by the assembly's name -> length in bases; scaffolds that it does not know are left out."""
        return {home: length for home, (_, length) in self._homes.items()}

    def has(self, chrom: str) -> bool:
        """Whether the track has any value on a chromosome, given in any naming style."""
        home = self.assembly.canonical(chrom)
        if home is None or home not in self._homes:
            return False
        if home not in self._measured:
            with _explained(self.path):
                name = self._homes[home][0]
                self._measured[home] = next(iter(self._reader.records(name)), None) is not None
        return self._measured[home]

    def windows(
        self,
        chrom: Names,
        start: np.ndarray,
        end: np.ndarray,
        *,
        bin: int = 1,  # noqa: A002
        reduce: Reduce = "mean",
        width: int | None = None,
        missing: float = float("nan"),
    ) -> np.ndarray:
        """The signal over many windows.

        Parameters
        ----------
        chrom
            Chromosome names (N,), in any naming style.
        start, end
            0-based half-open positions (N,) in bases; they may lie off the chromosome, where nothing is measured.
        bin
            Bases a bin; it divides the width.
        reduce
            A bin's mean or maximum, over the bases that have a value.
        width
            Width of every window in bases; by default that of the first. Shorter windows are filled up with NaN on
            the right, and a bin that they end in is reduced over what it has.
        missing
            What a base without value counts as. Many tracks leave zeros out: give 0 for those. Off the chromosome,
            and on chromosomes without a single value, it is always NaN.

        Returns
        -------
        numpy.ndarray
            ``(N, width / bin)`` float32, NaN where no base of the bin has a value.

        Raises
        ------
        ConfigError
            When the bin does not divide the width.
        IntervalError
            When a window is empty, or wider than ``width``.
        FormatError
            When the file is damaged where it is read.
        """
        start, end = (np.asarray(place, dtype=np.int64) for place in (start, end))
        width = int(end[0] - start[0]) if width is None and len(start) else width or bin
        found = np.empty((len(start), width // max(bin, 1)), dtype=np.float32)
        for rows, values in self.blocks(chrom, start, end, bin=bin, reduce=reduce, width=width, missing=missing):
            found[rows] = values
        return found

    def blocks(
        self,
        chrom: Names,
        start: np.ndarray,
        end: np.ndarray,
        *,
        bin: int,  # noqa: A002
        reduce: Reduce,
        width: int,
        missing: float,
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """As :meth:`windows`, in blocks along the genome: ``(rows (n,), values (n, width / bin))``, each row once.

        For what does not fit into memory: a block reads at most about four million bases.
        """
        ask = _Ask(width, bin, reduce, missing)
        start, end = (np.asarray(place, dtype=np.int64) for place in (start, end))
        _check_windows(start, end, ask)
        numbers, names = categories(chrom if isinstance(chrom, pl.Series) else pl.Series(chrom, dtype=pl.String))
        order = np.lexsort((start, numbers))
        edges = np.searchsorted(numbers[order], np.arange(len(names) + 1))
        step = max(1, _BASES // (width + _GAP))
        for name, first, last in zip(names, edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            known = self.has(name)
            for at in range(first, last, step):
                rows = order[at : min(at + step, last)]
                if known:
                    yield rows, _reduced(self._read(name, start[rows], end[rows], ask), ask)
                else:
                    yield rows, np.full((len(rows), width // bin), np.nan, dtype=np.float32)

    def _read(self, chrom: str, start: np.ndarray, end: np.ndarray, ask: _Ask) -> np.ndarray:
        """Values of every base ``(n, width)`` float64 of windows sorted by start, NaN beyond their ends."""
        apart = np.flatnonzero(np.diff(start) > ask.width + _GAP) + 1
        first, last = np.append(0, apart), np.append(apart, len(start)) - 1
        size = start[last] + ask.width - start[first]
        place = np.cumsum(size) - size  # where each stretch stands in memory, one after the other
        bases = self._room(int(size.sum()))
        with _explained(self.path):
            for begin, at, count in zip(start[first].tolist(), place.tolist(), size.tolist(), strict=True):
                self._fill(bases[at : at + count], chrom, begin, ask.missing)
        stretch = np.repeat(np.arange(len(first)), last - first + 1)
        view = np.lib.stride_tricks.sliding_window_view(bases, ask.width)
        grid = view[start - start[first][stretch] + place[stretch]]
        if (short := end - start < ask.width).any():
            rows = np.flatnonzero(short)
            grid[rows] = np.where(np.arange(ask.width) < (end - start)[rows, None], grid[rows], np.nan)
        return grid

    def _fill(self, out: np.ndarray, chrom: str, begin: int, missing: float) -> None:
        """Write the values of the bases from ``begin`` on into ``out`` (contiguous float64)."""
        name, length = self._homes[str(self.assembly.canonical(chrom))]
        first, last = max(-begin, 0), min(length - begin, len(out))
        if first >= last:
            out[:] = np.nan
            return
        out[:first] = np.nan
        out[last:] = np.nan
        self._reader.values(name, begin + first, begin + last, fillna=missing, arr=out[first:last])

    def _room(self, bases: int) -> np.ndarray:
        """Memory for a block, kept between blocks: fresh pages cost more than reading into them."""
        if len(self._scratch) < bases:
            self._scratch = np.empty(bases)
        return self._scratch[:bases]

    def _check(self, lengths: dict[str, int]) -> None:
        try:
            check_some_known(lengths, self.assembly, where=self.path)
            check_lengths(lengths, self.assembly, where=self.path)
        except AssemblyMismatchError as error:
            remedy = f"It holds values of other DNA. Give the track that was made on {self.assembly.name}."
            raise AssemblyMismatchError(
                error.what, where=self.path, expected=error.expected, got=error.got, remedy=remedy
            ) from None


def transformed(values: np.ndarray, how: str) -> np.ndarray:
    """Values as a model reads them before scaling: ``"log1p"`` is log(1 + x), and -log(1 - x) below 0; ``"none"``."""
    return np.copysign(np.log1p(np.abs(values)), values) if how == "log1p" else values


def scaled(values: np.ndarray, *, center: float, scale: float, clip: float | None) -> np.ndarray:
    """``(x - center) / scale`` float32, what lies beyond ±clip set to it."""
    found = (values - np.float32(center)) / np.float32(scale)
    return found if clip is None else np.clip(found, -clip, clip, out=found)


def _open(path: Path) -> Any:
    with open_existing(path) as handle:
        magic = handle.read(4)
    if magic not in _MAGIC:
        raise FormatError(
            "this is not a bigWig file",
            where=path,
            got="a bigBed" if magic in _BIGBED else "an empty file" if not magic else "other first bytes",
            remedy="Give the signal as bigWig.",
        )
    if not path.name.endswith((".bw", ".bigWig", ".bigwig")):
        raise FormatError("the name of a bigWig file ends in .bw or .bigWig", where=path, remedy="Rename it.")
    import pybigtools

    with _explained(path):
        return pybigtools.open(str(path))


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Say whatever the bigWig reader raises as damage of the file; only its calls stand inside."""
    try:
        yield
    except MemoryError:
        raise
    except BaseException as error:
        # A block that does not unpack is a panic of the Rust library, which is not an Exception.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise FormatError(
            f"the bigWig file is truncated or damaged ({str(error).splitlines()[0] if str(error) else 'unreadable'})",
            where=path,
            remedy="Download or make it again.",
        ) from error


def _check_windows(start: np.ndarray, end: np.ndarray, ask: _Ask) -> None:
    if ask.bin < 1 or ask.width % ask.bin:
        raise ConfigError(
            "the bin does not divide the width of the windows",
            expected=f"a divisor of {ask.width} bases",
            got=f"bins of {ask.bin}",
        )
    size = end - start
    bad = (size < 1) | (size > ask.width)
    if bad.any():
        row = int(np.argmax(bad))
        raise IntervalError(
            "a window is empty or wider than the others",
            where=f"{start[row]:,}-{end[row]:,} (0-based, half-open)",
            expected=f"1 to {ask.width:,} bases",
            got=f"{size[row]:,}",
        )


def _reduced(grid: np.ndarray, ask: _Ask) -> np.ndarray:
    """Values of bases ``(n, width)`` as values of bins ``(n, width / bin)`` float32."""
    if ask.bin == 1:
        return grid.astype(np.float32)
    cells = grid.reshape(len(grid), -1, ask.bin)
    if ask.reduce == "max":
        return np.fmax.reduce(cells, axis=-1).astype(np.float32)
    with np.errstate(invalid="ignore"):  # a file may hold infinite values
        means = cells.sum(axis=-1) / ask.bin
    gaps = np.isnan(means)
    if gaps.any():  # these bins alone need the slow way
        some = cells[gaps]
        there = ~np.isnan(some)
        count = there.sum(axis=-1)
        total = np.where(there, some, 0.0).sum(axis=-1)
        means[gaps] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return means.astype(np.float32)
