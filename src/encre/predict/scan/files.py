"""What a scan leaves: a bigWig and a narrowPeak a task, put together from the finished shards in genome order."""

from __future__ import annotations

import contextlib
import re
import resource
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from encre.errors import SequenceError
from encre.files import staged_file
from encre.genome.bigwig import BigWigWriter
from encre.predict.scan.peaks import Call, Measure, PeakWriter
from encre.predict.scan.plan import Plan, Shard, bin_shift, window_numbers

if TYPE_CHECKING:
    from encre.evaluation.calibration import BaseRate
    from encre.predict.predictor import Predictor
    from encre.predict.scan.shards import ShardFolder
    from encre.progress import Progress

_TRACK_ENDINGS = (".bw", ".bigwig")
#: Open files of a task at most: track and peaks, what holds each for this process, and the track's zoom levels.
_OPEN_FILES = 14


class Places(NamedTuple):
    """Where a scan writes: tracks and peaks in the tasks' order, the summary, and the work folder."""

    tracks: list[Path]
    peaks: list[Path]
    summary: Path
    shards: Path


def places_of(out: str | Path, names: Sequence[str]) -> Places:
    """File names of a scan.

    Parameters
    ----------
    out
        A folder (it exists, or ends in ``/``): ``<task>.bw``, ``<task>.narrowPeak``, ``scan.json`` in it. Otherwise a
        prefix: ``<out>.<task>.bw`` …, ``<out>.json``; an ending ``.bw`` or ``.bigWig`` is left out of it, and kept as
        it is for the track of a model with one task.
    names
        The tasks.
    """
    path, safe = Path(out), list[str]()
    for name in names:
        plain = re.sub(r"[^\w.+-]", "_", name)
        while plain in safe:  # two names may differ in such a letter alone
            plain += "_"
        safe.append(plain)
    if str(out).endswith("/") or path.is_dir():
        tracks = [path / f"{name}.bw" for name in safe]
        peaks = [path / f"{name}.narrowPeak" for name in safe]
        return Places(tracks, peaks, path / "scan.json", path / "scan.shards")
    named = path.suffix.lower() in _TRACK_ENDINGS
    stem = path.with_suffix("") if named else path

    def beside(ending: str) -> Path:
        return stem.with_name(f"{stem.name}.{ending}")

    tracks = [path] if named and len(safe) == 1 else [beside(f"{name}.bw") for name in safe]
    peaks = [beside(f"{name}.narrowPeak") for name in safe]
    return Places(tracks, peaks, beside("json"), beside("shards"))


@dataclass
class TaskOutput:
    """One task's value, call and files, and what was found on the way.

    Parameters
    ----------
    name
        The task; ``column`` is its place on the K axis.
    value
        What the track shows.
    call
        What makes a peak, or None for no peaks.
    """

    name: str
    column: int
    value: Measure
    call: Call | None
    track: Path
    peak_file: Path
    bins: int = 0
    total: float = 0.0
    highest: float = float("-inf")
    peaks: int = 0
    peak_bases: int = 0

    def describe(self) -> dict[str, Any]:
        """Plain values for the summary; file names are beside it."""
        call = self.call
        return {
            "track": self.track.name,
            "value": self.value,
            "mean": self.total / max(self.bins, 1),
            "max": self.highest,
            "peak_file": self.peak_file.name if call else None,
            "threshold": call.threshold if call else None,
            "threshold_of": call.measure if call else None,
            "base_rate": call.base_rate if call else None,
            "peaks": self.peaks if call else None,
            "peak_bases": self.peak_bases if call else None,
        }


class _Open(NamedTuple):
    """A task's files while they are written."""

    output: TaskOutput
    track: BigWigWriter
    peaks: PeakWriter | None


def assemble(
    plan: Plan,
    shards: ShardFolder,
    outputs: Sequence[TaskOutput],
    *,
    predictor: Predictor,
    base_rate: BaseRate | None,
    lengths: Mapping[str, int],
    progress: Progress,
) -> np.ndarray:
    """Write the tracks and peaks of all tasks; returns the counts (3,) of :class:`~encre.predict.scan.score.Scored`.

    The numbers of each output are filled in.
    """
    from torch import get_num_threads

    counts = np.zeros(3, np.int64)
    _allow_open_files(_OPEN_FILES * len(outputs))
    with (
        contextlib.ExitStack() as staged,
        contextlib.ExitStack() as files,  # all are complete and closed before the first is renamed into its place
        ThreadPoolExecutor(min(get_num_threads(), len(outputs))) as pool,  # zlib and NumPy work side by side
        progress.track("write", plan.windows, "windows") as advance,
    ):
        tasks = [_open(output, staged, files, lengths=lengths, plan=plan) for output in outputs]
        for number, shard in enumerate(plan.shards):
            scored = shards.read(number)
            counts += scored.counts
            logits = _along(scored.logits, shard)
            values: dict[Measure, np.ndarray] = {"logit": logits}
            if predictor.calibrated:
                values["probability"] = predictor.probabilities(logits, base_rate=base_rate)
            adding = [pool.submit(_add, task, shard, plan, values) for task in tasks]
            for done in adding:
                done.result()
            advance(shard.windows, "")
        if counts[:2].sum() == plan.windows:
            raise SequenceError(
                "every window is left out: they hold N alone, or a larger share of it than --max-n allows",
                got=f"{plan.windows:,} windows, {counts[0]:,} of N alone",
                remedy="Scan a region whose sequence is known.",
            )
        for task in tasks:
            if task.peaks is not None:
                task.peaks.finish()
                task.output.peaks, task.output.peak_bases = task.peaks.count, task.peaks.bases
    return counts


def _allow_open_files(count: int) -> None:
    """Raise this process's limit of open files, as far as the system lets it: many stop at 1,024, or 256."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 256 if hard == resource.RLIM_INFINITY else min(count + 256, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _open(
    output: TaskOutput,
    staged: contextlib.ExitStack,
    files: contextlib.ExitStack,
    *,
    lengths: Mapping[str, int],
    plan: Plan,
) -> _Open:
    place = staged.enter_context(staged_file(output.track))
    track = files.enter_context(BigWigWriter(place, lengths, bin=plan.stride))
    if output.call is None:
        return _Open(output, track, None)
    place = staged.enter_context(staged_file(output.peak_file))
    handle = files.enter_context(place.open("w", encoding="utf-8"))
    peaks = PeakWriter(handle.write, output.name, output.call, window=plan.window, stride=plan.stride)
    return _Open(output, track, peaks)


def _along(logits: np.ndarray, shard: Shard) -> np.ndarray:
    """Logits (n, K) of a shard's runs as those of all windows from its first to its last, NaN between the runs."""
    if len(shard.runs) == 1:
        return logits
    found = np.full((int(shard.runs[-1, 1] - shard.runs[0, 0]), logits.shape[1]), np.nan, np.float32)
    found[window_numbers(shard.runs)] = logits
    return found


def _add(task: _Open, shard: Shard, plan: Plan, values: Mapping[Measure, np.ndarray]) -> None:
    output, begin = task.output, int(shard.runs[0, 0]) * plan.stride
    shown = values[output.value][:, output.column]
    task.track.add(shard.chrom, begin + bin_shift(plan.window, plan.stride), shown)
    if task.peaks is not None and output.call is not None:
        task.peaks.add(shard.chrom, begin, values[output.call.measure][:, output.column])
    known = shown[np.isfinite(shown)].astype(np.float64)
    output.bins += len(known)
    output.total += float(known.sum())
    output.highest = max(output.highest, float(known.max(initial=-np.inf)))
