"""A reference genome as a memory-mapped array of one byte a base, gathered by whole batches of intervals."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import polars as pl

from encre.errors import IntervalError, UnknownChromosomeError, nearest
from encre.genome.assembly import Assembly, get_assembly
from encre.genome.cache import BASES, cache_root, open_cache, source_digest
from encre.genome.fasta import CODE_BITS, SOFT_MASK
from encre.genome.intervals import Interval
from encre.progress import SILENT, Progress
from encre.tables import categories

Pad = Literal["N"] | None
Names = Sequence[str] | pl.Series | np.ndarray

#: Bases of a tile of :meth:`Genome.tiles`: eight words of eight.
TILE = 64
_BLOCK = 1 << 20  # bases gathered at a time: a megabyte stays in the processor's cache
_STRIDE = 1 << 17  # windows of one stride along the genome
_N = 4
#: One bit of each byte of a word: told by a base's code, GC (after folding), N, and the soft mask.
_ONES = 0x0101010101010101
_GC_BIT, _N_BIT, _SOFT_BIT = (np.uint64(_ONES * bit) for bit in (1, _N, SOFT_MASK))


class _Rows(NamedTuple):
    """Intervals, each with the place of its chromosome: arrays (N,) int64."""

    chrom: Names
    start: np.ndarray
    end: np.ndarray
    origin: np.ndarray
    length: np.ndarray


class Composition(NamedTuple):
    """What the bases of many intervals are: counts of bases (N,) int64; what lies off a chromosome counts nowhere."""

    gc: np.ndarray
    """G or C."""
    unknown: np.ndarray
    """N."""
    soft_masked: np.ndarray
    """In lower case in the source (repeats), whatever the letter."""


class Genome:
    """A reference genome.

    Parameters
    ----------
    path
        FASTA (plain, gzip or bgzip) or 2bit. Chromosomes may carry UCSC, plain, RefSeq or GenBank names.
    assembly
        Name (``"GRCh38"``, ``"hg19"``, ``"mm10"`` …), :class:`Assembly`, or None / ``"custom:NAME"`` to take names
        and lengths from the file as they are.
    cache
        Folder for the base cache instead of ``$ENCRE_CACHE`` (by default ``~/.cache/encre``). A source is imported
        once, and again only when its size or time and its SHA-256 have changed.
    keep_scaffolds
        Keep sequences that the assembly does not know (scaffolds, alts, patches, decoys), under their own names.
    progress
        Where the one-time import reports.

    Raises
    ------
    MissingFileError
        When there is no such file.
    FormatError
        When it is neither FASTA nor 2bit, empty, damaged, or a name stands twice.
    AssemblyMismatchError
        When a chromosome has another length than the assembly's, or no name is known.
    ResourceError
        When the cache cannot be written.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        assembly: str | Assembly | None = "GRCh38",
        cache: str | Path | None = None,
        keep_scaffolds: bool = False,
        progress: Progress = SILENT,
    ) -> None:
        self.path = Path(path)
        self.assembly = get_assembly(assembly)
        self.digest: str = source_digest(self.path, cache_root(cache))
        """SHA-256 of the source file."""
        self.cache, self._index = open_cache(
            self.path,
            digest=self.digest,
            root=cache_root(cache),
            assembly=self.assembly,
            keep_scaffolds=keep_scaffolds,
            progress=progress,
        )
        self._bases = np.memmap(self.cache / BASES, dtype=np.uint8, mode="r")
        self._known: tuple[np.ndarray, np.ndarray] | None = None

    def __repr__(self) -> str:
        total = sum(self.lengths.values())
        return f"Genome({self.path.name}, {self.assembly.name}, {len(self.lengths)} sequences, {total:,} bp)"

    @property
    def lengths(self) -> dict[str, int]:
        """Chromosome name -> length in bases, in file order."""
        return {name: length for name, (_, length) in self._index.items()}

    def name_of(self, name: str) -> str | None:
        """The genome's name of a chromosome in any naming style (``1``, ``NC_000001.11``), or None."""
        known = name if name in self._index else self.assembly.canonical(name)
        return known if known in self._index else None

    def fetch(self, interval: Interval, *, pad: Pad = None) -> np.ndarray:
        """The bases of one interval.

        Parameters
        ----------
        interval
            0-based half-open; a strand of ``-`` does not turn the bases round.
        pad
            ``"N"`` fills what lies off the chromosome's end with N; otherwise that is an error.

        Returns
        -------
        np.ndarray
            Codes (W,) uint8, A 0, C 1, G 2, T 3, N 4; the soft mask is left out.

        Raises
        ------
        UnknownChromosomeError, IntervalError
            When the genome lacks the chromosome, or the interval reaches off its end.
        """
        codes, _ = self.gather([interval.chrom], np.array([interval.start]), np.array([interval.end]), pad=pad)
        return codes

    def gather(
        self, chrom: Names, start: np.ndarray, end: np.ndarray, *, pad: Pad = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The bases of many intervals at once.

        Parameters
        ----------
        chrom
            Chromosome names (N,).
        start, end
            0-based half-open positions (N,) in bases; with ``pad="N"`` they may lie off the chromosome.
        pad
            As in :meth:`fetch`.

        Returns
        -------
        tuple of np.ndarray
            Flat codes (sum of widths,) uint8 and offsets (N + 1,) int64.

        Raises
        ------
        UnknownChromosomeError, IntervalError
            As :meth:`fetch`, naming the first such row.
        """
        rows = self._locate(chrom, start, end)
        off = (rows.start < 0) | (rows.end > rows.length)
        _refuse(rows, bad=rows.end <= rows.start, what="the end is not beyond the start")
        if pad is None:
            _refuse(rows, bad=off, what="the interval reaches off the chromosome's end")
        offsets = np.zeros(len(rows.start) + 1, dtype=np.int64)
        np.cumsum(rows.end - rows.start, out=offsets[1:])
        codes = np.empty(int(offsets[-1]), dtype=np.uint8)
        inside = np.flatnonzero(~off)
        begin, out = (rows.origin + rows.start)[inside], offsets[:-1][inside]
        for block, windows in _windows(self._bases, begin, widths=(rows.end - rows.start)[inside]):
            _put(windows & CODE_BITS, codes, out[block])
        for row in np.flatnonzero(off).tolist():
            begin, length = int(rows.origin[row]), int(rows.length[row])
            chromosome = self._bases[begin : begin + length]
            _copy_padded(chromosome, int(rows.start[row]), codes[offsets[row] : offsets[row + 1]])
        return codes, offsets

    def let_go(self) -> None:
        """Let what was read no longer count as memory of this process; it is read again when it is needed."""
        _let_go(self._bases)

    def soft_masked(self, interval: Interval) -> np.ndarray:
        """Which bases of an interval (W,) the source has in lower case (repeats): bool."""
        rows = self._locate([interval.chrom], np.array([interval.start]), np.array([interval.end]))
        _refuse(rows, bad=rows.end > rows.length, what="the interval reaches off the chromosome's end")
        begin = int(rows.origin[0]) + interval.start
        return (self._bases[begin : begin + interval.width] & SOFT_MASK).astype(bool)

    def composition(self, chrom: Names, start: np.ndarray, end: np.ndarray) -> Composition:
        """Count GC, N and soft-masked bases of many intervals, without keeping their sequences.

        Parameters
        ----------
        chrom, start, end
            As in :meth:`gather`; what lies off the chromosome is left out.

        Raises
        ------
        UnknownChromosomeError, IntervalError
            As :meth:`gather`.
        """
        rows = self._locate(chrom, start, end)
        _refuse(rows, bad=rows.end <= rows.start, what="the end is not beyond the start")
        first, last = np.clip(rows.start, 0, rows.length), np.clip(rows.end, 0, rows.length)
        counts = Composition(*(np.zeros(len(first), dtype=np.int64) for _ in Composition._fields))
        for block, windows in _windows(self._bases, rows.origin + first, widths=last - first):
            for total, count in zip(counts, _count(_words(windows)), strict=True):
                total[block] = count.sum(axis=1, dtype=np.int64)
        return counts

    def tiles(self) -> Composition:
        """Composition of the whole genome in tiles of :data:`TILE` bases, three arrays (tiles,) uint8.

        Positions count as in :meth:`known`: tile ``i`` begins at ``TILE * i``.
        """
        pieces = []
        for _, block in self._blocks():
            counts = _count(_words(block[None, :])[0])
            # Eight bytes, each at most 8, are summed by one multiplication into the highest byte.
            pieces.append([(_eights(c) * np.uint64(_ONES) >> np.uint64(56)).astype(np.uint8) for c in counts])
        return Composition(*(np.concatenate(parts) for parts in zip(*pieces, strict=True)))

    def soft_mask_share(self, chrom: Names, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        """Share of soft-masked bases (repeats) in each interval, (N,) float32, 0-1.

        Parameters
        ----------
        chrom, start, end
            As in :meth:`gather`; parts off the chromosome count as not masked.

        Raises
        ------
        UnknownChromosomeError, IntervalError
            As :meth:`gather`.
        """
        width = np.subtract(end, start, dtype=np.int64)
        return (self.composition(chrom, start, end).soft_masked / np.maximum(width, 1)).astype(np.float32)

    def known(self) -> tuple[np.ndarray, np.ndarray]:
        """Every stretch without N: where it begins and ends, two arrays (S,) int64, found once and kept.

        Positions count through all chromosomes one after the other, in the order of :attr:`lengths`; no stretch
        reaches over the end of a chromosome.
        """
        if self._known is None:
            self._known = _known_stretches(self._blocks(), np.array([at for at, _ in self._index.values()]))
        return self._known

    def _blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """The whole cache, a block at a time, with its place; read, so that no page of it stays in our memory."""
        with (self.cache / BASES).open("rb") as handle:
            at = 0
            while len(block := np.frombuffer(handle.read(_BLOCK), dtype=np.uint8)):
                yield at, block
                at += len(block)

    def _locate(self, chrom: Names, start: np.ndarray, end: np.ndarray) -> _Rows:
        numbers, found = categories(chrom if isinstance(chrom, pl.Series) else pl.Series(chrom, dtype=pl.String))
        homes = [self.name_of(name) for name in found]
        if None in homes:
            missing = found[homes.index(None)]
            raise UnknownChromosomeError(
                f"the genome has no chromosome '{missing}'",
                where=self.path,
                remedy=nearest(missing, list(self._index)[:30]),
            )
        place = np.array([self._index[str(home)] for home in homes], dtype=np.int64).reshape(-1, 2)[numbers]
        starts, ends = np.asarray(start, dtype=np.int64), np.asarray(end, dtype=np.int64)
        return _Rows(chrom, starts, ends, place[:, 0], place[:, 1])


def _refuse(rows: _Rows, *, bad: np.ndarray, what: str) -> None:
    if not bad.any():
        return
    row = int(np.argmax(bad))
    raise IntervalError(
        what,
        where=f"{rows.chrom[row]}:{rows.start[row]:,}-{rows.end[row]:,} (0-based, half-open)",
        expected=f"within 0-{rows.length[row]:,}",
        remedy='Correct it, or fill what lies off the end with pad="N".' if rows.end[row] > rows.start[row] else "",
    )


def _windows(bases: np.memmap, begin: np.ndarray, *, widths: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Windows of ``bases``, a block of one width at a time.

    The cache is walked along in strides, and each stride's pages are let go behind it: millions of windows would
    otherwise count the whole genome as memory of this process.

    Parameters
    ----------
    bases
        The cache (G,) uint8.
    begin
        Where each window begins in ``bases`` (N,) int64.
    widths
        Width of each window (N,), in bases; those of width 0 are left out.

    Yields
    ------
    tuple of np.ndarray
        Which rows (B,), and their bases with the soft mask (B, W) uint8, a fresh array.
    """
    along = np.argsort(begin, kind="stable") if len(begin) > _STRIDE else np.arange(len(begin))
    for at in range(0, len(along), _STRIDE):
        stride = along[at : at + _STRIDE]
        for rows in _by_width(widths[stride]):
            yield from _of_one_width(bases, begin, stride[rows], int(widths[stride[rows[0]]]))
        if len(along) > _STRIDE:
            _let_go(bases)


def _by_width(widths: np.ndarray) -> list[np.ndarray]:
    """Rows of each width but 0."""
    order = np.argsort(widths, kind="stable")
    order = order[np.count_nonzero(widths == 0) :]
    return np.split(order, np.flatnonzero(np.diff(widths[order])) + 1) if len(order) else []


def _of_one_width(
    bases: np.ndarray, begin: np.ndarray, rows: np.ndarray, width: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    # One opaque item a window: NumPy copies each at once, 3 to 5 times faster than byte by byte.
    items = np.ndarray((len(bases) - width + 1,), dtype=f"V{width}", buffer=bases, strides=(1,))
    step = max(1, _BLOCK // width)
    for at in range(0, len(rows), step):
        block = rows[at : at + step]
        yield block, items[begin[block]].view(np.uint8).reshape(len(block), width)


def _let_go(bases: np.memmap) -> None:
    """Give the pages of the cache back; they are read again from the system's own cache when they are needed."""
    mapped = getattr(bases, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def _put(windows: np.ndarray, codes: np.ndarray, out: np.ndarray) -> None:
    """Write windows (B, W) into flat ``codes``, each at its place in ``out`` (B,)."""
    width = windows.shape[1]
    if (np.diff(out) == width).all():
        codes[out[0] : out[0] + windows.size] = windows.reshape(-1)
    else:
        items = np.ndarray((len(codes) - width + 1,), dtype=f"V{width}", buffer=codes, strides=(1,))
        items[out] = windows.view(f"V{width}")[:, 0]


def _words(windows: np.ndarray) -> np.ndarray:
    """Windows (B, W) uint8 as words of eight bases (B, ceil(W / 8)) uint64, filled up with A, which no count sees."""
    count, width = windows.shape
    if width % 8 == 0:
        return windows.view(np.uint64)
    padded = np.zeros((count, -(-width // 8) * 8), dtype=np.uint8)
    padded[:, :width] = windows
    return padded.view(np.uint64)


def _count(words: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """GC, N and soft-masked bases in each word of eight: three arrays uint8 of the words' shape."""
    # G 2 and C 1 differ in their two lowest bits; A 0, T 3 and N 4 do not.
    gc = np.bitwise_count((words ^ (words >> np.uint64(1))) & _GC_BIT)
    return gc, np.bitwise_count(words & _N_BIT), np.bitwise_count(words & _SOFT_BIT)


def _eights(counts: np.ndarray) -> np.ndarray:
    """Bytes (N,) in eights, (ceil(N / 8),) uint64, filled up with 0."""
    return np.concatenate([counts, np.zeros(-len(counts) % 8, dtype=np.uint8)]).view(np.uint64)


def _known_stretches(blocks: Iterable[tuple[int, np.ndarray]], origins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Runs of bases without N, cut at the chromosomes' ``origins``: begins and ends (S,) int64."""
    changes, length = [], 0
    before = True  # N before the first base
    for at, block in blocks:
        length = at + len(block)
        words = block[: len(block) // 8 * 8].view(np.uint64)
        rest = block[len(words) * 8 :] & _N
        some = bool(np.bitwise_or.reduce(words) & _N_BIT) or bool(rest.any())
        every = np.bitwise_and.reduce(words) & _N_BIT == _N_BIT and bool(rest.all())
        if (some and not every) or some != before:
            flags = np.empty(len(block) + 1, dtype=bool)
            flags[0], flags[1:] = before, (block & _N) != 0
            changes.append(np.flatnonzero(flags[1:] != flags[:-1]) + at)
            before = bool(flags[-1])
    edges = np.concatenate([*changes, [length][: not before]]).astype(np.int64)
    begin, end = edges[::2], edges[1::2]
    inside = origins[np.searchsorted(begin, origins, side="left") > np.searchsorted(end, origins, side="right")]
    return np.sort(np.concatenate([begin, inside])), np.sort(np.concatenate([end, inside]))


def _copy_padded(chromosome: np.ndarray, start: int, codes: np.ndarray) -> None:
    """Copy one interval that reaches off its chromosome; what lies outside becomes N."""
    codes[:] = _N
    first, last = max(start, 0), min(start + len(codes), len(chromosome))
    if first < last:
        codes[first - start : last - start] = chromosome[first:last] & CODE_BITS
