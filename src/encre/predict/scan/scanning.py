"""Score a region, chromosomes or a genome at a stride: a bigWig and called peaks a task, and a summary.

regions -> windows on a grid -> shards of 1 Mb -> logits of each shard in a file -> tracks, peaks, summary

The shards make it resume, share its work, and keep its memory small; see :mod:`encre.predict.scan.shards`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from encre.config import Config
from encre.errors import ConfigError, SequenceError
from encre.files import read_json, write_json
from encre.predict.inputs import open_genome
from encre.predict.scan.files import Places, TaskOutput, assemble, places_of
from encre.predict.scan.peaks import Call, Measure
from encre.predict.scan.plan import Plan, bin_shift, plan_scan, read_scan_regions
from encre.predict.scan.score import Scored, Way, read_codes, score_shard
from encre.predict.scan.shards import ShardFolder, facts_of
from encre.predict.scan.team import Team, join_team
from encre.progress import SILENT, Progress
from encre.reproducibility import provenance

if TYPE_CHECKING:
    from encre.genome.store import Genome
    from encre.predict.predictor import Predictor

#: Windows begin this share of a window apart where no stride is given.
_STRIDES = 8


class ScanConfig(Config):
    """How a scan is done.

    Parameters
    ----------
    window
        Bases that the model sees at a time; None for the window (or longest element) that it was trained on.
    stride
        Bases between two windows, and the width of a bin of the track; None for an eighth of the window.
    value
        What the tracks show: calibrated ``"probability"`` (logits for tasks that have none) or ``"logit"``.
    base_rate
        Share of positives that probabilities stand for, one for all tasks or by name; None leaves that of the
        model's valid split.
    threshold
        Windows at or above it make peaks, in what the track shows; None for a probability of .5 at the base rate.
        A task without a probability has peaks only where a threshold is given with ``value="logit"``.
    max_n
        Largest share of N of a window that is scored; windows of N alone never are.
    precision
        ``"fp32"`` (the same everywhere), ``"bf16"`` (faster where the hardware has it) or ``"auto"``.
    engine
        ``"local"`` (this process, or those of torchrun) or ``"ray"`` (Ray tasks).
    address
        Of a running Ray cluster, such as ``"auto"``; None starts one on this machine.
    keep_shards
        Leave the work folder, so that another base rate or threshold costs no new scoring.
    """

    window: int | None = Field(default=None, ge=1)
    stride: int | None = Field(default=None, ge=1)
    value: Measure = "probability"
    base_rate: float | dict[str, float] | None = None
    threshold: float | None = None
    max_n: float = Field(default=0.5, ge=0, le=1)
    precision: Literal["fp32", "bf16", "auto"] = "fp32"
    engine: Literal["local", "ray"] = "local"
    address: str | None = None
    keep_shards: bool = False


@dataclass(frozen=True)
class ScanResult:
    """What a scan wrote.

    Parameters
    ----------
    tracks
        Task -> bigWig.
    peaks
        Task -> narrowPeak, for tasks with a threshold.
    summary
        What ``summary_file`` holds: windows scored and left out, thresholds, base rates, peaks, digests, settings.
    """

    tracks: dict[str, Path]
    peaks: dict[str, Path]
    summary: dict[str, Any]
    summary_file: Path


@dataclass(frozen=True)
class _Job:
    """What is scanned, how, and where it goes."""

    model: Predictor
    genome: Genome
    config: ScanConfig
    way: Way
    plan: Plan
    places: Places
    outputs: list[TaskOutput]
    progress: Progress


def scan(
    model: Predictor,
    genome: Genome | str | Path,
    regions: str | Path | Sequence[str | Path],
    *,
    out: str | Path,
    config: ScanConfig | None = None,
    progress: Progress = SILENT,
) -> ScanResult:
    """Score overlapping windows along regions of a genome, both strands averaged.

    Interrupted at any moment and called again, it goes on with what is finished and gives the same bytes. In the
    processes of a ``torchrun`` job (with ``out`` on a disk that all see), each scores its part.

    Parameters
    ----------
    model
        From :func:`encre.load`.
    genome
        An open genome, or the FASTA or 2bit file of GRCh38.
    regions
        ``"genome"``, a chromosome, a 1-based inclusive region (``"chr22:20,000,000-21,000,000"``), a file of
        intervals, or a list of these. Every base of a region gets the value of the window centred nearest to it.
    out
        A folder, or the beginning of the file names; see :func:`encre.predict.scan.files.places_of`.
    config
        How; by default ``ScanConfig()``.

    Raises
    ------
    ConfigError
        When the settings do not fit the model.
    IntervalError, UnknownChromosomeError, MissingFileError, FormatError
        When the regions cannot be read, or no window fits into any.
    SequenceError
        When every window is left out for its N.
    FolderError
        When the work folder ``<out>.shards`` belongs to another scan.
    ResourceError
        When the disk is full; what is finished stays for the next call.
    """
    opened = open_genome(genome, assembly="GRCh38", why="the regions of a scan", progress=progress)
    job = _prepared(model, opened, regions, out=out, config=config or ScanConfig(), progress=progress)
    with join_team() as team:
        shards = _score(job, team)
        if team.rank == 0:
            _write(job, shards)
        team.wait()
    tracks = {output.name: output.track for output in job.outputs}
    peaks = {output.name: output.peak_file for output in job.outputs if output.call}
    return ScanResult(tracks, peaks, read_json(job.places.summary), job.places.summary)


def _prepared(
    model: Predictor,
    genome: Genome,
    regions: str | Path | Sequence[str | Path],
    *,
    out: str | Path,
    config: ScanConfig,
    progress: Progress,
) -> _Job:
    """Everything that can be refused is, before any work."""
    if config.address is not None and config.engine != "ray":
        raise ConfigError(
            "an address is that of a Ray cluster", got=config.address, remedy="Give --engine ray as well."
        )
    way = _way(model, config)
    places = places_of(out, model.tasks.names)
    outputs = _outputs(model, config, places, progress=progress)
    plan = plan_scan(read_scan_regions(regions, genome), genome, window=way.window, stride=way.stride)
    return _Job(model, genome, config, way, plan, places, outputs, progress)


def _score(job: _Job, team: Team) -> ShardFolder:
    """This process's shards; returns when all processes have done theirs."""
    if job.config.engine == "ray" and team.world > 1:
        raise ConfigError(
            "torchrun and Ray both share a scan out", remedy="Leave out one: torchrun, or --engine ray."
        )
    model, plan = job.model, job.plan
    digests, tasks = model.manifest.get("files", {}), list(model.tasks.names)
    facts = facts_of(plan, job.way, model=digests, genome=job.genome.digest, tasks=tasks)
    shards = ShardFolder(job.places.shards, facts)
    team.wait()  # nobody has finished, and removed the folder, before all have opened it
    todo = [number for number in team.mine(len(plan.shards)) if not shards.has(number)]
    _say_plan(job, len(plan.shards) - len(todo) if team.world == 1 else 0)
    with job.progress.track("scan", sum(plan.shards[number].windows for number in todo), "windows") as advance:
        for number, scored in _scored(job, todo):
            shards.write(number, scored)
            advance(plan.shards[number].windows, "")
    team.wait()
    return shards


def _scored(job: _Job, todo: Sequence[int]) -> Iterator[tuple[int, Scored]]:
    """The shards that are to do, as they are done."""
    model, genome, plan, way = job.model.model, job.genome, job.plan, job.way
    if job.config.engine == "ray":
        from encre.predict.scan.on_ray import score_on_cluster

        yield from score_on_cluster(model, genome, plan, todo=todo, way=way, address=job.config.address)
        return
    for number in todo:
        shard = plan.shards[number]
        yield number, score_shard(model, read_codes(genome, shard, way), shard.runs, way)


def _write(job: _Job, shards: ShardFolder) -> None:
    """Tracks, peaks and summary from the finished shards, which then go."""
    base = {"predictor": job.model, "base_rate": job.config.base_rate, "lengths": job.genome.lengths}
    try:
        counts = assemble(job.plan, shards, job.outputs, progress=job.progress, **base)
    except SequenceError:  # every window was left out: there is nothing to go on with
        shards.remove()
        raise
    for output in job.outputs:
        if output.call is None:  # peaks that an earlier scan left would be taken for this one's
            output.peak_file.unlink(missing_ok=True)
    write_json(job.places.summary, _summary(job, counts))
    if not job.config.keep_shards:
        shards.remove()


def _way(model: Predictor, config: ScanConfig) -> Way:
    """Window, stride and precision, checked against the model."""
    from encre.models.device import choose_precision

    window = config.window or model.window
    longest = model.model.config.longest
    if window < model.shortest or window > (longest or window):
        raise ConfigError(
            "the model cannot read windows of this width",
            where="--window",
            expected=f"{model.shortest:,} bases or more{f', {longest:,} at most' if longest else ''}",
            got=f"{window:,}",
        )
    precision = choose_precision(config.precision, next(model.model.parameters()).device)
    return Way(window, config.stride or max(window // _STRIDES, 1), config.max_n, precision)


def _outputs(model: Predictor, config: ScanConfig, places: Places, *, progress: Progress) -> list[TaskOutput]:
    """Each task's value and call; what has none is said."""
    # Refuses a rate that is out of range, or for a task that has none, before any work.
    model.probabilities(np.zeros((1, len(model.tasks))), base_rate=config.base_rate)
    found = []
    for column, name in enumerate(model.tasks.names):
        known = name in model.calibrated
        value: Measure = "probability" if known and config.value == "probability" else "logit"
        call = _call(model, config, name)
        found.append(TaskOutput(name, column, value, call, places.tracks[column], places.peaks[column]))
    if bare := [output.name for output in found if output.value != config.value]:
        progress.say(f"No calibrated probability for {', '.join(bare)}: the tracks hold logits.")
    if bare := [output.name for output in found if output.call is None]:
        progress.say(f"No peaks for {', '.join(bare)}: give --value logit and a --threshold to call them on logits.")
    return found


def _call(model: Predictor, config: ScanConfig, name: str) -> Call | None:
    """What makes a peak of a task, or None where there is no threshold for it."""
    if config.threshold is not None and not np.isfinite(config.threshold):
        raise ConfigError("a threshold is a finite number", got=f"{config.threshold:g}")
    if config.threshold is not None and config.value == "logit":
        return Call("logit", config.threshold, None)
    threshold = 0.5 if config.threshold is None else config.threshold
    if not 0 < threshold < 1:
        raise ConfigError(
            "the threshold of a probability lies above 0 and below 1",
            got=f"{threshold:g}",
            remedy="For a threshold of logits give --value logit as well.",
        )
    if name not in model.calibrated or model.calibration is None:
        return None
    rate = config.base_rate.get(name) if isinstance(config.base_rate, dict) else config.base_rate
    return Call("probability", threshold, model.calibration.prevalence.get(name) if rate is None else rate)


def _say_plan(job: _Job, done: int) -> None:
    plan, progress, trained = job.plan, job.progress, job.model.window
    if plan.window != trained:
        progress.say(
            f"The model was trained on {trained:,} bp; calibration may not hold for windows of {plan.window:,}."
        )
    progress.say(
        f"{plan.windows:,} windows of {plan.window:,} bp, one every {plan.stride:,} bp, {len(plan.shards):,} shards"
        + (f"; {done:,} of them are finished already." if done else ".")
    )
    if plan.without:
        progress.say(
            f"{len(plan.without):,} of {plan.regions:,} regions have no room for a window (at a chromosome's end, or "
            "on one shorter than a window); the summary lists them."
        )


def _summary(job: _Job, counts: np.ndarray) -> dict[str, Any]:
    """Plain values for the summary file."""
    plan, genome = job.plan, job.genome
    only_n, too_many_n, some_n = counts.tolist()
    # Neither time nor commit: a scan that was interrupted gives the same bytes as one that was not.
    made = {key: value for key, value in provenance().items() if key not in ("created", "git")}
    return {
        "format": {"kind": "scan", "version": 1},
        "model": {"name": job.model.name, "files": job.model.manifest.get("files", {})},
        "genome": {"name": genome.path.name, "assembly": genome.assembly.name, "digest": genome.digest},
        "regions": {"given": plan.regions, "without_window": plan.without},
        "windows": {
            "width": plan.window,
            "stride": plan.stride,
            "total": plan.windows,
            "scored": plan.windows - only_n - too_many_n,
            "left_out_only_n": only_n,
            "left_out_above_max_n": too_many_n,
            "scored_with_some_n": some_n,
        },
        "bins": {"width": plan.stride, "from_window_start": bin_shift(plan.window, plan.stride)},
        "tasks": {output.name: output.describe() for output in job.outputs},
        "config": job.config.model_dump(mode="json", exclude={"engine", "address", "keep_shards"}),
        "provenance": made,
    }
