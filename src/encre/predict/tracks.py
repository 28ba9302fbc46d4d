"""The signal tracks that a model reads, from bigWig files, for records that have a place in the genome."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from encre.errors import ConfigError, DataError, nearest
from encre.genome.signal import SignalTrack, scaled, transformed
from encre.predict.inputs import Records
from encre.predict.tiling import Tiles

Paths = Mapping[str, str | Path]


class TrackReader(NamedTuple):
    """Opened tracks, with how they were made in training.

    Parameters
    ----------
    about
        The run manifest's ``signals``: ``bin``, ``reduce``, ``transform``, ``clip``, ``missing``, ``dtype`` and, a
        track, its ``scaling``.
    files
        The files in the order of the tracks; None where a track is not given, and missing.
    """

    about: dict[str, Any]
    files: list[SignalTrack | None]

    def windows(self, records: Records, tiles: Tiles, rows: slice) -> np.ndarray:
        """Bins (M, S, J) of the tiles of some records, NaN = missing.

        Raises
        ------
        DataError
            When the records have no place in the genome.
        """
        first = records.first
        if first is None or records.chrom is None:
            raise DataError(
                "signal tracks can be read for regions only: these sequences have no place in the genome",
                where=records.source,
                remedy="Give regions (BED, GFF, a region) and --genome.",
            )
        size, width = int(self.about["bin"]), np.diff(tiles.offsets)
        owner = np.repeat(np.arange(rows.start, rows.stop), tiles.per_sequence)
        start = first[owner] + tiles.first
        chrom = pl.Series(records.chrom, dtype=pl.String).gather(owner)
        bins = -(-int(width.max(initial=1)) // size)
        found = np.full((len(owner), len(self.files), bins), np.nan, np.float32)
        missing = 0.0 if self.about["missing"] == "zero" else float("nan")
        for number, (track, entry) in enumerate(zip(self.files, self.about["tracks"], strict=True)):
            if track is None:
                continue
            how = {"bin": size, "reduce": self.about["reduce"], "width": bins * size, "missing": missing}
            values = transformed(track.windows(chrom, start, start + width, **how), self.about["transform"])
            scaling = entry["scaling"]
            values = scaled(values, center=scaling["center"], scale=scaling["scale"], clip=self.about["clip"])
            found[:, number] = values.astype(self.about["dtype"])  # rounded as the dataset's are
        return found


def open_tracks(
    manifest: Mapping[str, Any], paths: Paths, *, track_dropout: float, assembly: str | None = "GRCh38"
) -> TrackReader | None:
    """Open the files of a model's tracks; None where none is given and the model can do without.

    Parameters
    ----------
    manifest
        Of the run.
    paths
        Track name -> bigWig.
    track_dropout
        With which the model was trained: above 0, it knows how to answer without a track.
    assembly
        What the tracks were made on; None takes names of chromosomes as they are.

    Raises
    ------
    ConfigError
        When a name is not one of the model's tracks, or one is missing that it needs.
    EncreError
        As :class:`encre.genome.signal.SignalTrack`.
    """
    about = manifest.get("signals")
    names = [entry["name"] for entry in about["tracks"]] if about else []
    for name in paths:
        if not names:
            raise ConfigError("this model reads sequence alone, no signal tracks", got=f"--signal {name}=…")
        if name not in names:
            raise ConfigError(f"the model reads no signal track '{name}'", remedy=nearest(name, names))
    lacking = [name for name in names if name not in paths]
    if about is None or (len(lacking) == len(names) and track_dropout):
        return None
    if lacking and not track_dropout:
        raise ConfigError(
            f"the model reads {_counted(names)} and was never trained without",
            got=f"no {', '.join(lacking)}",
            remedy="Give each: encre predict regions.bed --genome FA --signal NAME=FILE.bw (in Python: load(run, "
            "signals={…})). Only a model trained with [model.signals] track_dropout above 0 answers without.",
        )
    return TrackReader(about, [SignalTrack(paths[name], assembly) if name in paths else None for name in names])


def track_news(manifest: Mapping[str, Any], reader: TrackReader | None) -> list[str]:
    """What the user should know of tracks that are missing."""
    names = [entry["name"] for entry in (manifest.get("signals") or {"tracks": []})["tracks"]]
    files = [None] * len(names) if reader is None else reader.files
    lacking = [name for name, file in zip(names, files, strict=True) if file is None]
    if not lacking:
        return []
    which = "its signal tracks" if len(lacking) == len(names) else "some of its signal tracks"
    return [
        f"WITHOUT {which} ({', '.join(lacking)}): the model answers from the rest, as it was trained to, but less "
        "well, and calibration and percentiles are those of answers with every track."
    ]


def _counted(names: list[str]) -> str:
    return f"the signal track{'s' if len(names) > 1 else ''} {', '.join(names)}"


def read_signals(given: list[str] | None) -> dict[str, str]:
    """``NAME=FILE`` of the command line, by name.

    Raises
    ------
    ConfigError
        When one is written otherwise, or a name stands twice.
    """
    found: dict[str, str] = {}
    for text in given or []:
        name, equals, path = text.partition("=")
        if not equals or not name or not path:
            raise ConfigError("a signal track is written NAME=FILE", got=f"--signal {text}")
        if name in found:
            raise ConfigError(f"the signal track '{name}' is given twice", got=f"{found[name]} and {path}")
        found[name] = path
    return found
