"""Signal tracks over the rows of a dataset: read from bigWig, transformed, scaled on training rows, kept in bins.

Where bins lie. Bin 0 begins at the first base that a model sees; with jitter, ``margin`` more bins lie on each side,
so that the grid of a window that is not shifted is exact. A batch moves a shifted window's bins by the nearest whole
number of bins (half a bin off at most; exact with ``bin = 1``). A row whose length the bin does not divide ends in a
part of a bin, reduced over what it has; what lies beyond a row is NaN, as its codes are padding there.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import polars as pl
from pydantic import Field, field_validator

from encre.config import Config
from encre.data.rows import Rows
from encre.errors import ConfigError, DataError
from encre.files import explain_full_disk
from encre.genome.assembly import Assembly
from encre.genome.signal import SignalTrack, scaled, transformed
from encre.ledger import Ledger
from encre.progress import SILENT, Progress
from encre.reproducibility import sha256_file

#: Kinds of rows whose letters stand nowhere in the genome: they have no signal, whatever their coordinates say.
MADE_UP = ("dinucleotide_shuffle",)
_FIT_VALUES = 10_000_000  # values that a scaling is fitted on at most: every k-th training row then
_IN_MEMORY = 1 << 28  # bytes of signals that are kept in memory; more goes through a file
_HALF_MAX = float(np.finfo(np.float16).max)


class TrackSettings(Config):
    """One track of [signals.tracks]: a bigWig file, and what it was measured in and by."""

    path: str = Field(min_length=1)
    tissue: str = ""
    assay: str = ""


class SignalSettings(Config):
    """[signals]: tracks beside the sequences, and how they are kept.

    Parameters
    ----------
    bin
        Bases a bin; 1 for a value a base. With jitter it must divide the window's width.
    reduce
        A bin's mean or maximum over the bases that have a value.
    transform
        ``"log1p"`` is log(1 + x), and -log(1 - x) for negative values.
    scale
        After the transform, each track by itself, fitted on training rows only: ``"standard"`` (x - mean) / standard
        deviation, ``"robust"`` (x - median) / interquartile range, ``"quantile99"`` x / 99th percentile.
    clip
        After scaling, what lies beyond ±clip is set to it.
    missing
        A base without a value stays missing (``"nan"``), or counts as 0 (``"zero"``: for tracks that leave zeros out,
        as coverage files do). Off a chromosome, and on one without any value, a track is missing either way.
    tracks
        Name -> path of a bigWig, or ``{path = …, tissue = …, assay = …}``; the order is that of the S axis.
    """

    bin: int = Field(default=16, ge=1)
    reduce: Literal["mean", "max"] = "mean"
    transform: Literal["none", "log1p"] = "log1p"
    scale: Literal["none", "standard", "robust", "quantile99"] = "standard"
    clip: float | None = Field(default=None, gt=0)
    missing: Literal["nan", "zero"] = "nan"
    tracks: dict[str, TrackSettings] = Field(min_length=1)

    @field_validator("tracks", mode="before")
    @classmethod
    def _paths(cls, tracks: Any) -> Any:
        if not isinstance(tracks, Mapping):
            return tracks
        return {name: {"path": track} if isinstance(track, str) else track for name, track in tracks.items()}


@dataclass(frozen=True)
class Signals:
    """Signals of N rows in S tracks.

    Parameters
    ----------
    values
        ``(N, S, bins)``, NaN = missing. float16 (3 digits, absolute error as ``layout["rounding"]`` says) once
        transformed or scaled, float32 for values as they are in the file.
    tracks
        One entry a track, in the order of S: ``name``, ``tissue``, ``assay``, ``file``, ``sha256``, ``size`` (bytes),
        ``scaling`` (``center``, ``scale``, ``fitted_on`` values), ``rows_without_value``, ``missing_share`` of bins.
    layout
        ``bin`` (bases), ``bins``, ``margin`` (bins before the first base that a model sees without shift),
        ``reduce``, ``transform``, ``scale``, ``clip``, ``missing``, ``dtype``, ``rounding``.
    """

    values: np.ndarray
    tracks: list[dict[str, Any]]
    layout: dict[str, Any]

    @property
    def scaling(self) -> dict[str, dict[str, float]]:
        """Track -> the ``center`` that was taken off and the ``scale`` that was divided by."""
        return {track["name"]: track["scaling"] for track in self.tracks}

    def to_json(self) -> dict[str, Any]:
        """The manifest's entry, plain values."""
        return {**self.layout, "tracks": self.tracks}


class _Places(NamedTuple):
    """Where the rows that have signals lie: all arrays (M,); widths in bins."""

    rows: np.ndarray
    chrom: pl.Series
    start: np.ndarray
    end: np.ndarray
    seen: int
    margin: int

    @property
    def bins(self) -> int:
        return self.seen + 2 * self.margin


class _Scaling(NamedTuple):
    center: float = 0.0
    scale: float = 1.0
    fitted_on: int = 0


def open_tracks(settings: SignalSettings, assembly: str | Assembly | None) -> dict[str, SignalTrack]:
    """Open every track; for a build, before its long work: a wrong file is said at once.

    Raises
    ------
    EncreError
        As :class:`encre.genome.signal.SignalTrack`.
    """
    return {name: SignalTrack(track.path, assembly or None) for name, track in settings.tracks.items()}


def read_signals(
    rows: Rows,
    settings: SignalSettings,
    *,
    train_mask: np.ndarray,
    assembly: str | Assembly | None = "GRCh38",
    ledger: Ledger | None = None,
    scratch: str | Path | None = None,
    progress: Progress = SILENT,
) -> Signals:
    """Read all tracks over all rows.

    Rows without coordinates and made-up rows (shuffles) have no signal; neither have rows on chromosomes that a track
    lacks. What is larger than 256 MiB is held in a nameless file, so that memory does not grow with the rows.

    Parameters
    ----------
    rows
        The finished rows.
    settings
        [signals].
    train_mask
        ``(N,)`` bool: the rows that the scaling is fitted on. Beyond ten million values it is fitted on every k-th.
    assembly
        What the coordinates stand on; None or ``""`` takes chromosome names as they are.
    ledger
        Told how many rows have no place, and how many windows each track lacks.
    scratch
        Folder for that file; the system's by default.
    progress
        Follows each track.

    Raises
    ------
    EncreError
        As :class:`encre.genome.signal.SignalTrack`; when rows have jitter and the bin does not divide their width
        (ConfigError); when a track has no value in any row, or nothing to fit a scaling on (DataError).
    """
    tracks = open_tracks(settings, assembly)
    places = _places(rows, settings.bin)
    half = settings.transform != "none" or settings.scale != "none"
    values = _room((len(rows), len(tracks), places.bins), np.dtype(np.float16 if half else np.float32), scratch)
    raw = _room((len(places.rows), places.bins), np.dtype(np.float32), scratch)
    train = np.flatnonzero(train_mask[places.rows])
    found = []
    rounding = 0.0
    for number, named in enumerate(tracks.items()):
        _read(named, places, settings, raw=raw, progress=progress)
        seen = raw[:, places.margin : places.margin + places.seen]
        scaling = _fit(named, seen, train, scale=settings.scale)
        missing, error = _fill(values[:, number], raw, places.rows, settings, scaling=scaling, named=named)
        rounding = max(rounding, error)
        found.append(_entry(*named, settings) | {"scaling": scaling._asdict()} | missing)
    if ledger is not None:
        ledger.add("read signals", len(rows), len(rows), notes=_notes(len(rows) - len(places.rows), found))
    layout = settings.model_dump(mode="json", exclude={"tracks"})
    layout |= {"bins": places.bins, "margin": places.margin, "dtype": values.dtype.name, "rounding": rounding}
    return Signals(values, found, layout)


def _places(rows: Rows, size: int) -> _Places:
    """What to read for each row that has a place in the genome: the whole grid of bins, margins included."""
    begin, stop = rows.spans()
    longest = int(rows.lengths.max(initial=0))
    if rows.jitter and longest % size:
        raise ConfigError(
            "the bin of [signals] does not divide the width of the windows, which jitter needs",
            expected=f"a divisor of {longest}",
            got=f"bin = {size}",
        )
    margin = -(-rows.jitter // size)
    real = (stop > begin) & ~rows.table["kind"].is_in(MADE_UP).to_numpy()
    found = np.flatnonzero(real)
    begin, stop = begin[found] - margin * size, stop[found] + margin * size
    return _Places(found, rows.table["chrom"].gather(found), begin, stop, -(-longest // size), margin)


def _read(
    named: tuple[str, SignalTrack], places: _Places, settings: SignalSettings, *, raw: np.ndarray, progress: Progress
) -> None:
    """Read one track's transformed values into ``raw (M, bins)`` float32."""
    name, track = named
    found = False
    with progress.track(f"signal {name}", total=len(places.rows), unit="window") as advance:
        for at, values in track.blocks(
            places.chrom,
            places.start,
            places.end,
            bin=settings.bin,
            reduce=settings.reduce,
            width=places.bins * settings.bin,
            missing=0.0 if settings.missing == "zero" else float("nan"),
        ):
            raw[at] = transformed(values, settings.transform)
            found = found or not np.isnan(values).all()
            advance(len(at), "")
    if not found:
        raise DataError(
            f"track '{name}' has no value in any row",
            where=track.path,
            expected=", ".join(places.chrom.unique(maintain_order=True)[:3]) or "rows with coordinates",
            got="values on "
            + (", ".join([name for name in track.lengths if track.has(name)][:3]) or "no chromosome"),
            remedy="Check the assembly and the names of chromosomes.",
        )


def _fit(named: tuple[str, SignalTrack], raw: np.ndarray, chosen: np.ndarray, *, scale: str) -> _Scaling:
    """A track's scaling on the ``chosen`` rows of ``raw``, which holds the bins that a model sees."""
    if scale == "none":
        return _Scaling()
    values = raw[chosen[:: max(1, -(-len(chosen) * raw.shape[1] // _FIT_VALUES))]]
    values = values[~np.isnan(values)]
    center, spread = 0.0, 0.0
    if len(values) and scale == "standard":
        center, spread = float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64))
    elif len(values) and scale == "robust":
        low, center, high = (float(q) for q in np.quantile(values, [0.25, 0.5, 0.75]))
        spread = high - low
    elif len(values):
        spread = float(np.quantile(values, 0.99))
    if not np.isfinite(spread) or spread <= 0:
        said = "the same value in too many of them" if len(values) else "no value in any of them"
        raise DataError(
            f"track '{named[0]}' cannot be scaled on the training rows: it has {said}",
            where=named[1].path,
            remedy='Check that the track covers the chromosomes that train; or set scale = "none" or "standard".',
        )
    return _Scaling(center, spread, len(values))


def _fill(
    out: np.ndarray,
    raw: np.ndarray,
    rows: np.ndarray,
    settings: SignalSettings,
    *,
    scaling: _Scaling,
    named: tuple[str, SignalTrack],
) -> tuple[dict[str, Any], float]:
    """Write one track's scaled bins ``(N, bins)``; returns what is missing, and the largest error of rounding."""
    step = max(1, (1 << 20) // out.shape[1])
    absent = np.ones(len(out), dtype=bool)
    absent[rows] = False
    for part in _cut(np.flatnonzero(absent), step):
        out[part] = np.nan
    empty, gaps, rounding = 0, 0, 0.0
    for part in _cut(np.arange(len(rows)), step):
        values = scaled(raw[part], center=scaling.center, scale=scaling.scale, clip=settings.clip)
        missing = np.isnan(values)
        values[missing] = np.nan  # one pattern of bits, so that digests agree
        if out.dtype == np.float16:
            rounding = max(rounding, _half_error(values, *named))
        out[rows[part]] = values
        empty += int(missing.all(axis=1).sum())
        gaps += int(missing.sum())
    return {"rows_without_value": empty, "missing_share": gaps / raw.size}, rounding


def _cut(rows: np.ndarray, step: int) -> list[np.ndarray]:
    return [rows[first : first + step] for first in range(0, len(rows), step)]


def _half_error(values: np.ndarray, name: str, track: SignalTrack) -> float:
    """The largest error of keeping these values in half precision; too large ones are refused."""
    largest = float(np.nanmax(np.abs(values), initial=0.0))
    if largest > _HALF_MAX:
        raise DataError(
            f"a scaled value of track '{name}' is too large to be stored",
            where=track.path,
            expected=f"at most {_HALF_MAX:,.0f}",
            got=f"{largest:,.0f}",
            remedy='Set clip, or transform = "log1p".',
        )
    return float(np.nanmax(np.abs(values.astype(np.float16) - values), initial=0.0))


def _notes(without: int, tracks: list[dict[str, Any]]) -> dict[str, int]:
    """What the ledger is told."""
    notes = {"rows without a place in the genome (no signal)": without}
    return notes | {f"windows without any value of {entry['name']}": entry["rows_without_value"] for entry in tracks}


def _entry(name: str, track: SignalTrack, settings: SignalSettings) -> dict[str, Any]:
    """What the manifest says of a track's file."""
    about = settings.tracks[name]
    return {
        "name": name,
        "tissue": about.tissue,
        "assay": about.assay,
        "file": track.path.name,
        "sha256": sha256_file(track.path),
        "size": track.path.stat().st_size,
    }


def _room(shape: tuple[int, ...], dtype: np.dtype, scratch: str | Path | None) -> np.ndarray:
    """An array to fill: in memory when small, otherwise mapped to a nameless file that goes when the array goes."""
    size = int(np.prod(shape)) * dtype.itemsize
    if size <= _IN_MEMORY:
        return np.empty(shape, dtype=dtype)
    with explain_full_disk(scratch or tempfile.gettempdir()), tempfile.TemporaryFile(dir=scratch) as handle:
        # Written out first: a disk that is full must be an error here, not a bus error on a later page.
        zeros = memoryview(bytes(1 << 24))
        for first in range(0, size, len(zeros)):
            handle.write(zeros[: min(len(zeros), size - first)])
        handle.flush()
        return np.memmap(handle, dtype=dtype, mode="r+", shape=shape)
