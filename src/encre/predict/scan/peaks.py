"""Called peaks of a scan: windows at or above a threshold, merged where they overlap, as narrowPeak.

narrowPeak (BED6+4, https://genome.ucsc.edu/FAQ/FAQformat.html#format12): ``score`` is 1000 times the probability,
``signalValue`` the value itself at the summit, ``pValue`` and ``qValue`` are -1 (none), ``peak`` is the summit's
distance from the start.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

Measure = Literal["probability", "logit"]


@dataclass(frozen=True)
class Call:
    """What counts as a peak of one task.

    Parameters
    ----------
    measure
        Whether the threshold is one of probability or of logit.
    threshold
        Windows at or above it are merged.
    base_rate
        Share of positives that the probabilities stand for; None where it is not known, or for logits.
    """

    measure: Measure
    threshold: float
    base_rate: float | None

    def __str__(self) -> str:
        text = f"{self.measure} of {self.threshold:g} or more"
        return text if self.base_rate is None else f"{text} at a base rate of {self.base_rate:.4g}"


class _Peak(NamedTuple):
    chrom: str
    start: int
    end: int
    value: float
    summit: int


class PeakWriter:
    """Merges windows as they come along the genome, and writes each peak once nothing can be added to it.

    Windows that overlap or touch are one peak, whatever lies between their begins: they share bases, or nearly.

    Parameters
    ----------
    write
        Takes text, as a file's own.
    task
        Name for the header and the peaks.
    call
        What counts.
    window, stride
        Bases of a window, and between two.
    """

    def __init__(self, write: Callable[[str], object], task: str, call: Call, *, window: int, stride: int) -> None:
        self.write, self.task, self.call, self.window, self.stride = write, task, call, window, stride
        self.count = self.bases = 0
        self._open: _Peak | None = None
        write(
            f"# encre scan, {task}: merged windows of {window} bp, one every {stride} bp, with a {call}; "
            "summit: centre of the best window\n"
            "# chrom\tstart\tend\tname\tscore\tstrand\tsignalValue\tpValue\tqValue\tpeak\n"
        )

    def add(self, chrom: str, start: int, values: np.ndarray) -> None:
        """Values (n,) of neighbouring windows, the first of which begins at ``start``, 0-based; NaN never counts."""
        above = np.flatnonzero(values >= self.call.threshold)
        begin = start + above * self.stride
        for part in np.split(np.arange(len(above)), np.flatnonzero(np.diff(begin) > self.window) + 1):
            if len(part):
                best = part[np.argmax(values[above[part]])]
                end, summit = int(begin[part[-1]]) + self.window, int(begin[best]) + self.window // 2
                self._join(_Peak(chrom, int(begin[part[0]]), end, float(values[above[best]]), summit))

    def _join(self, new: _Peak) -> None:
        old = self._open
        if old is not None and old.chrom == new.chrom and new.start <= old.end:  # it goes on behind a shard's border
            best = max(old, new, key=lambda peak: peak.value)
            self._open = _Peak(old.chrom, old.start, new.end, best.value, best.summit)
        else:
            self.finish()
            self._open = new

    def finish(self) -> None:
        """Write the peak that is still open."""
        if self._open is None:
            return
        chrom, start, end, value, summit = self._open
        self._open = None
        self.count += 1
        self.bases += end - start
        score = round(1000 * value) if self.call.measure == "probability" else 1000
        name = f"{self.task}_{self.count}"
        self.write(f"{chrom}\t{start}\t{end}\t{name}\t{score}\t.\t{value:.6g}\t-1\t-1\t{summit - start}\n")
