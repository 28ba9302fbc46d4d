"""The logits of one shard: windows of N left out and counted, the others in long stretches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from encre.predict.scan.plan import window_numbers
from encre.sequence.flat import offsets_of, windows
from encre.shapes import N_CODE

if TYPE_CHECKING:
    from encre.genome.store import Genome
    from encre.models.model import EnhancerModel
    from encre.predict.scan.plan import Shard

#: Bases of all windows of one call of the model together, which bounds memory where nothing can be shared.
_BASES = 1 << 26
#: Windows of a run up to which sharing gains nothing: the short runs of a BED of peaks are scored as one batch.
_FEW = 16


class Way(NamedTuple):
    """How windows are scored: bases of a window and of the stride, the largest share of N, the precision."""

    window: int
    stride: int
    max_n: float
    precision: Literal["fp32", "bf16"]


class Scored(NamedTuple):
    """A shard with its logits.

    Parameters
    ----------
    logits
        (n, K) float32, the windows of all runs one after the other; NaN for those left out.
    counts
        (3,) int64: windows of N alone and windows with more N than allowed, which were left out, and windows with
        some N that were scored as they are.
    """

    logits: np.ndarray
    counts: np.ndarray


def read_codes(genome: Genome, shard: Shard, way: Way) -> np.ndarray:
    """Every base (G,) uint8 from the shard's first window to its last."""
    from encre.genome.intervals import Interval

    start, end = int(shard.runs[0, 0]) * way.stride, (int(shard.runs[-1, 1]) - 1) * way.stride + way.window
    codes = genome.fetch(Interval(shard.chrom, start, end))
    genome.let_go()  # a scan walks along the genome and does not come back
    return codes


def score_shard(model: EnhancerModel, codes: np.ndarray, runs: np.ndarray, way: Way) -> Scored:
    """Score the windows of a shard, both strands averaged.

    Parameters
    ----------
    model
        In evaluation mode, on its device.
    codes
        From :func:`read_codes`.
    runs
        (R, 2) first and last window of each run, as in the shard.
    way
        How.
    """
    from encre.models.inference import predict_logits
    from encre.models.stretch import stretch_logits

    number = window_numbers(runs)
    before = np.concatenate([[0], np.cumsum(codes == N_CODE, dtype=np.int32)])
    unknown = before[number * way.stride + way.window] - before[number * way.stride]
    hidden = unknown == way.window
    crowded = ~hidden & (unknown > way.max_n * way.window)
    kept = np.flatnonzero(~hidden & ~crowded)
    logits = np.full((len(number), len(model.tasks)), np.nan, np.float32)
    long, few = _stretches(kept, number[kept], max(_BASES // way.window, 1))
    for rows in long:
        begin, end = int(number[rows[0]]) * way.stride, int(number[rows[-1]]) * way.stride + way.window
        stretch = codes[begin:end]
        logits[rows] = stretch_logits(model, stretch, window=way.window, stride=way.stride, precision=way.precision)
    if len(few):
        flat = windows(codes, number[few] * way.stride, way.window).reshape(-1)
        offsets = offsets_of(np.full(len(few), way.window))
        logits[few] = predict_logits(model, flat, offsets, precision=way.precision)
    return Scored(logits, np.array([hidden.sum(), crowded.sum(), (unknown[kept] > 0).sum()], np.int64))


def _stretches(rows: np.ndarray, number: np.ndarray, most: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Rows (n,) whose windows follow one another, at most ``most`` together; and those of short runs, all in one."""
    together = np.split(rows, np.flatnonzero(np.diff(number) != 1) + 1)
    long = [run[at : at + most] for run in together if len(run) > _FEW for at in range(0, len(run), most)]
    return long, np.concatenate([rows[:0], *(run for run in together if len(run) <= _FEW)])
