"""Score a region, chromosomes or a genome at a stride: a bigWig and called peaks a task, and a summary.

regions -> windows on a grid -> shards of 1 Mb -> logits of each shard in a file -> tracks, peaks, summary

The shards make it resume, share its work, and keep its memory small; see :mod:`encre.predict.shards`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from encre.config import Config
from encre.errors import ConfigError, SequenceError
from encre.files import read_json, write_json
from encre.predict.inputs import open_genome
from encre.predict.peaks import Call, Measure
from encre.predict.scan_files import Places, TaskOutput, assemble, places_of
from encre.predict.scan_plan import Plan, bin_shift, plan_scan, read_scan_regions
from encre.predict.scan_score import Scored, Way, read_codes, score_shard
from encre.predict.scan_team import join_team
from encre.predict.shards import ShardFolder, facts_of
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
        ``"genome"``, a chromosome, a 1-based inclusive region (``"chr22:20,000,000-21,000,000"``), a BED file, or a
        list of these. Every base of a region gets the value of the window centred nearest to it.
    out
        A folder, or the beginning of the file names; see :func:`encre.predict.scan_files.places_of`.
    config
        How; by default ``ScanConfig()``.

    Returns
    -------
    ScanResult
        The same in all processes of a team.

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
    config = config or ScanConfig()
    opened = open_genome(genome, assembly="GRCh38", why="the regions of a scan", progress=progress)
    way = _way(model, config)
    places = places_of(out, model.tasks.names)
    outputs = _outputs(model, config, places, progress=progress)
    plan = plan_scan(read_scan_regions(regions, opened), opened, window=way.window, stride=way.stride)
    facts = facts_of(
        plan, way, model=model.manifest.get("files", {}), genome=opened.digest, tasks=list(model.tasks.names)
    )
    with join_team() as team:
        if config.engine == "ray" and team.world > 1:
            raise ConfigError(
                "torchrun and Ray both share a scan out", remedy="Leave out one: torchrun, or --engine ray."
            )
        shards = ShardFolder(places.shards, facts)
        team.wait()  # nobody has finished, and removed the folder, before all have opened it
        todo = [number for number in team.mine(len(plan.shards)) if not shards.has(number)]
        _say_plan(plan, len(plan.shards) - len(todo) if team.world == 1 else 0, progress)
        work = _scored(model, opened, plan, todo=todo, way=way, config=config)
        _keep(work, plan, shards, todo, progress)
        team.wait()
        if team.rank == 0:
            base = {"predictor": model, "base_rate": config.base_rate, "lengths": opened.lengths}
            try:
                counts = assemble(plan, shards, outputs, progress=progress, **base)
            except SequenceError:  # every window was left out: there is nothing to go on with
                shards.remove()
                raise
            write_json(places.summary, _summary(model, opened, plan, counts=counts, outputs=outputs, config=config))
            if not config.keep_shards:
                shards.remove()
        team.wait()
    tracks = {output.name: output.track for output in outputs}
    peaks = {output.name: output.peak_file for output in outputs if output.call}
    return ScanResult(tracks, peaks, read_json(places.summary), places.summary)


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


def _scored(
    model: Predictor, genome: Genome, plan: Plan, *, todo: Sequence[int], way: Way, config: ScanConfig
) -> Iterator[tuple[int, Scored]]:
    """The shards that are to do, as they are done."""
    if config.engine == "ray":
        from encre.predict.scan_ray import score_on_cluster

        yield from score_on_cluster(model.model, genome, plan, todo=todo, way=way, address=config.address)
        return
    for number in todo:
        shard = plan.shards[number]
        yield number, score_shard(model.model, read_codes(genome, shard, way), shard.runs, way)


def _keep(
    work: Iterable[tuple[int, Scored]], plan: Plan, shards: ShardFolder, todo: Sequence[int], progress: Progress
) -> None:
    with progress.track("scan", sum(plan.shards[number].windows for number in todo), "windows") as advance:
        for number, scored in work:
            shards.write(number, scored)
            advance(plan.shards[number].windows, "")


def _say_plan(plan: Plan, done: int, progress: Progress) -> None:
    progress.say(
        f"{plan.windows:,} windows of {plan.window:,} bp, one every {plan.stride:,} bp, {len(plan.shards):,} shards"
        + (f"; {done:,} of them are finished already." if done else ".")
    )
    if plan.without:
        progress.say(
            f"{len(plan.without):,} of {plan.regions:,} regions have no room for a window (at a chromosome's end, or "
            "on one shorter than a window); the summary lists them."
        )


def _summary(
    model: Predictor,
    genome: Genome,
    plan: Plan,
    *,
    counts: np.ndarray,
    outputs: Sequence[TaskOutput],
    config: ScanConfig,
) -> dict[str, Any]:
    """Plain values for the summary file."""
    only_n, too_many_n, some_n = counts.tolist()
    made = provenance()
    del made["created"]  # a scan that was interrupted gives the same bytes as one that was not
    return {
        "format": {"kind": "scan", "version": 1},
        "model": {"name": model.name, "files": model.manifest.get("files", {})},
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
        "tasks": {output.name: output.describe() for output in outputs},
        "config": config.model_dump(mode="json", exclude={"engine", "address", "keep_shards"}),
        "provenance": made,
    }
