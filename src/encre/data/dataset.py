"""Dataset folders, read: ``Dataset.open(path).train.batch(rows) -> Batch``; a whole batch at once, in NumPy.

The folder (format version 1) holds ``manifest.json``, ``elements.parquet`` (NaN = not measured),
``sequences.npy`` (codes of all sequences one after the other, two a byte), ``offsets.npy`` (N + 1,),
``tasks.json``, ``config.toml``, the dataset card ``README.md`` and, where tracks were asked for, ``signals.npy``
((N, S, bins), NaN = missing; ``encre.data.signals`` says where the bins lie).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import polars as pl

from encre.errors import DataError, FolderError, nearest
from encre.files import read_manifest
from encre.ledger import Ledger
from encre.reproducibility import sha256_file
from encre.sequence.alphabet import complement
from encre.sequence.flat import blank_beyond, join, offsets_of, unpack, windows
from encre.shapes import N_CODE
from encre.tasks import TaskSet

FORMAT_VERSION = 1
SPLITS = ("train", "valid", "test")
_T = TypeVar("_T")


class Batch(NamedTuple):
    """What a model is given: B sequences padded to the longest of them, L bases, and their K targets.

    Parameters
    ----------
    codes
        ``(B, L)`` uint8; A 0, C 1, G 2, T 3, N and padding 4.
    length
        ``(B,)`` int64, real bases of each row.
    targets
        ``(B, K)`` float32, 0 where not measured.
    target_mask
        ``(B, K)`` bool, True where measured.
    index
        ``(B,)`` int64, rows of the dataset.
    signals
        ``(B, S, ceil(L / bin))`` float32 signals in bins, NaN = missing; None when the dataset has none. Bin ``j``
        lies over bases ``j * bin`` to ``(j + 1) * bin`` of the row: exactly with ``bin = 1``, otherwise to within
        half a bin where the window was shifted, and to within a bin where a row was turned round whose length the bin
        does not divide. A row with fewer bins than the longest ends in NaN.
    """

    codes: np.ndarray
    length: np.ndarray
    targets: np.ndarray
    target_mask: np.ndarray
    index: np.ndarray  # pyright: ignore[reportIncompatibleMethodOverride]
    signals: np.ndarray | None = None

    @property
    def signal_mask(self) -> np.ndarray | None:
        """Where a signal was measured, as :attr:`signals`: bool, or None."""
        return None if self.signals is None else ~np.isnan(self.signals)


class Dataset:
    """An opened dataset folder; its parts are read when they are first asked for.

    Use :meth:`open`. ``manifest`` is the folder's ``manifest.json`` as plain values, ``tasks`` the
    order of the K axis.
    """

    def __init__(self, path: Path, manifest: dict[str, Any], tasks: TaskSet) -> None:
        self.path, self.manifest, self.tasks = path, manifest, tasks

    @classmethod
    def open(cls, path: str | Path, *, verify: bool = False) -> Dataset:
        """Open a dataset folder.

        Parameters
        ----------
        path
            The folder that ``encre data build`` wrote.
        verify
            Also read every file and compare its SHA-256 with the manifest's.

        Raises
        ------
        MissingFileError, FolderError
            When it is not a dataset folder, is of another format version, or a file of it is missing
            or damaged.
        """
        path = Path(path)
        manifest = read_manifest(path, kind="dataset", version=FORMAT_VERSION)
        _check_files(path, manifest, verify=verify)
        text = (path / "tasks.json").read_text(encoding="utf-8")
        dataset = cls(path, manifest, TaskSet.from_json(text, where=path / "tasks.json"))
        bases = manifest["sequence"].get("bases")
        if dataset.offsets[-1] != bases:
            raise _damaged(path / "offsets.npy", f"it ends at {dataset.offsets[-1]:,}, the manifest says {bases:,}")
        return dataset

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} {len(self.subset(name)):,}" for name in SPLITS)
        return f"Dataset({self.manifest['name']!r}: {sizes}; {self.tasks!r})"

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def digest(self) -> str:
        """Hex SHA-256 over sequences and elements: the same content gives the same digest."""
        return self.manifest["digest"]

    @cached_property
    def ledger(self) -> Ledger:
        """Rows in, rows out and why, at every step of the build."""
        return Ledger.from_list(self.manifest["ledger"])

    @property
    def audit(self) -> dict[str, Any]:
        """Leakage between splits, and what length, GC and N share alone would score."""
        return self.manifest["audit"]

    @cached_property
    def elements(self) -> pl.DataFrame:
        """One row a sequence: ``chrom, start, end`` (0-based, half-open), names, ``kind, group, split``, targets."""
        path = self.path / "elements.parquet"
        frame = _read(path, lambda: pl.read_parquet(path, memory_map=False))
        lacking = {"split", "kind", "group", *(t.target for t in self.tasks)} - set(frame.columns)
        if frame.height != len(self) or lacking:
            raise _damaged(path, f"{frame.height:,} rows, columns missing: {sorted(lacking) or 'none'}")
        return frame

    @cached_property
    def offsets(self) -> np.ndarray:
        """Where each sequence begins in :attr:`codes`, ``(N + 1,)`` int64."""
        path = self.path / "offsets.npy"
        return _read(path, lambda: np.load(path, allow_pickle=False).astype(np.int64, copy=False))

    @property
    def codes(self) -> np.ndarray:
        """Codes of all sequences as stored (jitter's flanks included), one after the other, uint8."""
        return self._roomy[self._margin : self._margin + int(self.offsets[-1])]

    @property
    def jitter(self) -> int:
        """Bases kept on each side of a window beyond its width, for shifting it."""
        return int(self.manifest["sequence"]["jitter"])

    @property
    def tracks(self) -> list[dict[str, Any]]:
        """The S signal tracks in order, as the manifest tells of them (name, tissue, assay, scaling …), or none."""
        return self.manifest["signals"]["tracks"] if "signals" in self.manifest else []

    @cached_property
    def signals(self) -> np.ndarray | None:
        """Signals of all rows as stored (jitter's margins included) ``(N, S, bins)``, mapped from disk, or None."""
        if "signals" not in self.manifest:
            return None
        about, path = self.manifest["signals"], self.path / "signals.npy"
        stored = _read(path, lambda: np.load(path, mmap_mode="r", allow_pickle=False))
        if stored.shape != (len(self), len(about["tracks"]), about["bins"]) or stored.dtype.name != about["dtype"]:
            raise _damaged(path, f"{stored.shape} of {stored.dtype}")
        return np.asarray(stored)  # the same map, without the slow ways of its class

    @cached_property
    def train(self) -> Subset:
        """The rows to learn from."""
        return self.subset("train")

    @cached_property
    def valid(self) -> Subset:
        """The rows for stopping, thresholds and calibration."""
        return self.subset("valid")

    @cached_property
    def test(self) -> Subset:
        """The rows for the last word."""
        return self.subset("test")

    def subset(self, split: str) -> Subset:
        """The rows of one split, in dataset order; an unknown split is a :class:`DataError`."""
        if split not in SPLITS:
            raise DataError(f"there is no split '{split}'", where=self.path, remedy=nearest(split, SPLITS))
        return Subset(self, np.flatnonzero((self.elements["split"] == split).to_numpy()))

    @cached_property
    def targets(self) -> np.ndarray:
        """Targets of all rows ``(N, K)`` float32, NaN where not measured."""
        columns = [self.elements[t.target].cast(pl.Float32).fill_null(float("nan")).to_numpy() for t in self.tasks]
        return np.ascontiguousarray(np.stack(columns, axis=1))

    @property
    def _margin(self) -> int:
        """Spare bases on either side of the unpacked codes, so that no window of a batch leaves the array."""
        return int(self.manifest["sequence"]["max_length"]) + 2 * self.jitter

    @cached_property
    def _roomy(self) -> np.ndarray:
        path = self.path / "sequences.npy"
        packed = _read(path, lambda: np.load(path, mmap_mode="r", allow_pickle=False))
        count, margin = int(self.offsets[-1]), self._margin
        if packed.dtype != np.uint8 or len(packed) != (count + 1) // 2:
            raise _damaged(path, f"{len(packed):,} bytes of {packed.dtype} for {count:,} bases")
        roomy = np.empty(count + 2 * margin, dtype=np.uint8)
        roomy[:margin] = roomy[margin + count :] = N_CODE
        unpack(packed, count, out=roomy[margin : margin + count])
        return roomy


class Subset:
    """Some rows of a dataset, answered a batch at a time.

    Parameters
    ----------
    dataset
        Where the rows stand.
    index
        Rows of the dataset, ``(N,)``.

    Attributes
    ----------
    index : numpy.ndarray
        Rows of the dataset, ``(N,)`` int64.
    length : numpy.ndarray
        Bases that a model sees of each, ``(N,)`` int64 (in window mode the window's width).
    """

    def __init__(self, dataset: Dataset, index: np.ndarray) -> None:
        self.dataset = dataset
        self.index = np.asarray(index, dtype=np.int64)
        self._begin = dataset.offsets[self.index] + dataset.jitter
        self.length = dataset.offsets[self.index + 1] - dataset.jitter - self._begin

    def __len__(self) -> int:
        return len(self.index)

    def __getitems__(self, rows: Sequence[int]) -> Batch:
        return self.batch(np.asarray(rows, dtype=np.int64))

    @cached_property
    def elements(self) -> pl.DataFrame:
        """The rows of ``elements.parquet``, in this subset's order."""
        return self.dataset.elements[self.index]

    @cached_property
    def targets(self) -> np.ndarray:
        """Targets ``(N, K)`` float32, NaN where not measured."""
        return self.dataset.targets[self.index]

    @cached_property
    def target_mask(self) -> np.ndarray:
        """Where a target was measured, ``(N, K)`` bool."""
        return ~np.isnan(self.targets)

    @cached_property
    def _filled(self) -> np.ndarray:
        return np.nan_to_num(self.targets, nan=0.0)

    @property
    def codes(self) -> np.ndarray:
        """Flat codes of this subset's sequences (windows without jitter's flanks), a copy, uint8."""
        return join(self.dataset.codes, self._begin, self._begin + self.length)

    @cached_property
    def offsets(self) -> np.ndarray:
        """Where each sequence begins in :attr:`codes`, ``(N + 1,)`` int64."""
        return offsets_of(self.length)

    def batch(
        self,
        rows: np.ndarray,
        *,
        reverse: np.ndarray | None = None,
        shift: np.ndarray | None = None,
        signals: bool | Sequence[int] = True,
    ) -> Batch:
        """The given rows as one batch.

        Parameters
        ----------
        rows
            Rows of this subset ``(B,)``, in any order, repeats allowed.
        reverse
            ``(B,)`` bool: take the reverse complement of these.
        shift
            ``(B,)`` int: move the window by so many bases (window mode with jitter only).
        signals
            Which of the dataset's tracks to give, by number; False or none for models that take none.

        Raises
        ------
        DataError
            When a shift is larger than the jitter that the dataset was built with.
        """
        rows = np.asarray(rows)
        length = self.length[rows]
        width = int(length.max(initial=0))
        begin = self._begin[rows] + self.dataset._margin
        if shift is not None:
            self._check_shift(shift)
            begin = begin + shift
        if reverse is not None:  # the same window, but ending where the sequence ends, so that it can be turned
            begin = np.where(reverse, begin + length - width, begin)
        codes = windows(self.dataset._roomy, begin, width)
        if reverse is not None and width:
            turned = np.flatnonzero(reverse)
            codes[turned] = complement(codes.take(turned, axis=0))[:, ::-1]
        blank_beyond(codes, length)
        targets, mask = self._filled.take(rows, axis=0), self.target_mask.take(rows, axis=0)
        found = self._signals(rows, reverse, shift) if signals else None
        if found is not None and signals is not True:
            found = found[:, list(signals)]  # pyright: ignore[reportArgumentType]
        return Batch(codes, length, targets, mask, self.index[rows], found)

    def signals(self, tracks: Sequence[int]) -> np.ndarray | None:
        """Bins of some tracks ``(N, S, ceil(longest / bin))`` as stored, NaN = missing, a copy; None of no track."""
        stored = self.dataset.signals
        if stored is None or not len(tracks):
            return None
        about = self.dataset.manifest["signals"]
        seen = -(-int(self.length.max(initial=0)) // about["bin"])
        return stored[self.index[:, None], list(tracks), about["margin"] : about["margin"] + seen]

    def _signals(self, rows: np.ndarray, reverse: np.ndarray | None, shift: np.ndarray | None) -> np.ndarray | None:
        """The rows' bins ``(B, S, bins)`` as the batch shows their sequences: moved, turned, cut to the longest."""
        stored = self.dataset.signals
        if stored is None:
            return None
        about = self.dataset.manifest["signals"]
        size, margin = about["bin"], about["margin"]
        real = -(-self.length[rows] // size)
        bins = np.arange(real.max(initial=0))
        found = stored[self.index[rows]]
        if reverse is None and shift is None:
            return found[:, :, margin : margin + len(bins)].astype(np.float32)
        taken = np.broadcast_to(margin + bins, (len(rows), len(bins)))
        if reverse is not None:  # a row's own bins from its last to its first; the NaN behind them stays there
            taken = np.where(reverse[:, None] & (bins < real[:, None]), margin + real[:, None] - 1 - bins, taken)
        if shift is not None:
            taken = taken + np.rint(np.asarray(shift)[:, None] / size).astype(np.int64)
        return np.take_along_axis(found, taken[:, None, :], axis=2).astype(np.float32)

    def _check_shift(self, shift: np.ndarray) -> None:
        furthest = int(np.abs(shift).max(initial=0))
        if furthest > self.dataset.jitter:
            raise DataError(
                "a window cannot be shifted that far",
                where=self.dataset.path,
                expected=f"at most {self.dataset.jitter} bases",
                got=str(furthest),
                remedy="Build the dataset with a larger [sequence] jitter.",
            )


def _check_files(path: Path, manifest: dict[str, Any], *, verify: bool) -> None:
    """Every file that the manifest names is there, of the stated size, and (``verify``) the stated digest."""
    keys = ("name", "sequence", "files", "sizes", "digest", "ledger", "audit")
    if lacking := [key for key in keys if key not in manifest]:
        raise _damaged(path / "manifest.json", f"it lacks {', '.join(lacking)}")
    for name, digest in manifest["files"].items():
        file = path / name
        if not file.is_file():
            raise FolderError(
                f"'{name}' is missing from the dataset folder", where=path, remedy="Build it again, or copy it whole."
            )
        if file.stat().st_size != manifest["sizes"].get(name):
            raise _damaged(file, f"{file.stat().st_size:,} bytes, the manifest says {manifest['sizes'].get(name):,}")
        if verify and sha256_file(file) != digest:
            raise _damaged(file, "its SHA-256 is not the manifest's")


def _damaged(path: Path, detail: str) -> FolderError:
    return FolderError(
        f"the file is damaged: {detail}", where=path, remedy="Build the dataset again, or copy the folder whole."
    )


def _read(path: Path, read: Callable[[], _T]) -> _T:
    """Read a part of the folder; whatever goes wrong is said as damage of that file."""
    try:
        return read()
    except (OSError, ValueError, EOFError, pl.exceptions.PolarsError) as error:
        raise _damaged(path, str(error).splitlines()[0] if str(error) else type(error).__name__) from error
