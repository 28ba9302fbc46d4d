"""What windows of a stretch do not share: the features that feel the zeros beyond a window's ends.

Beyond its ends a window sees nothing where the stretch has its neighbours. By how much that changes what stands
before each ReLU is worked out from the inputs that differ alone, and only for the outputs that are needed.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from encre.models.local import Level, Levels


class Span(NamedTuple):
    """Positions of a window at one level: those from ``first`` to ``last`` do not feel the window's ends."""

    first: int
    last: int
    length: int

    def above(self, level: Level) -> Span:
        """At the output of a level."""
        first = -(-(self.first + level.half) // level.pool)
        last = (self.last - level.half) // level.pool  # one that pools fewer than the others is the window's own
        return Span(first, last, -(-self.length // level.pool))


class End(NamedTuple):
    """One end of the windows at one level, in positions of the window.

    Parameters
    ----------
    differ, width
        The first input that differs from the stretch's, and how many do.
    begin, size
        The first output that is wanted, and how many are.
    """

    differ: int
    width: int
    begin: int
    size: int

    @classmethod
    def left(cls, below: Span, above: Span, level: Level) -> End:
        """The end where the window begins."""
        return cls(-level.half, level.half + below.first, 0, above.first * level.pool)

    @classmethod
    def right(cls, below: Span, above: Span, level: Level) -> End:
        """The end where the window ends."""
        begin = above.last * level.pool
        return cls(below.last, below.length - below.last + level.half, begin, below.length - begin)

    def reached(self, level: Level) -> list[tuple[int, int, int]]:
        """For each output, which of the inputs that differ it reads, from and to, and the tap of the first."""
        found = []
        for place in range(self.begin, self.begin + self.size):
            first = max(place - level.half, self.differ)
            last = min(place + level.half + 1, self.differ + self.width)
            found.append((first - self.differ, last - self.differ, first - (place - level.half)))
        return found

    def work(self, level: Level) -> float:
        """Multiplications a window."""
        pairs = sum(max(last - first, 0) for first, last, _ in self.reached(level))
        return pairs * level.weight.numel() / level.weight.shape[-1]


class Starts(NamedTuple):
    """So many windows that begin ``step`` positions apart, the first at 0."""

    windows: int
    step: int

    def above(self, levels: Levels, number: int) -> Starts:
        """In positions of one level; ``step`` is in tokens here."""
        return Starts(self.windows, self.step // levels.steps[number])

    def view(self, x: Tensor, first: int, width: int) -> Tensor:
        """The ``width`` positions of ``x`` (T, D) from ``first`` on, of every window, as a view (n, width, D)."""
        features = x.shape[1]
        place = x.storage_offset() + first * features
        return x.as_strided((self.windows, width, features), (self.step * features, features, 1), place)


def window_ends(
    levels: Levels, spans: list[Span], outputs: list[Tensor], before: list[Tensor], starts: Starts
) -> tuple[Tensor, Tensor]:
    """The last level's features at both ends of every window, ``(n, first, D)`` and ``(n, length - last, D)``.

    Parameters
    ----------
    levels, spans
        The network, and what of a window is the stretch's own.
    outputs, before
        Of the stretch: every level's outputs and what stood before its ReLU, ``(T, D)`` each, contiguous.
    starts
        The windows, in tokens.
    """
    left = right = outputs[0].new_empty(starts.windows, 0, outputs[0].shape[1])
    for number, level in enumerate(levels.levels):
        below, above = spans[number], spans[number + 1]
        around = F.pad(outputs[number], (0, 0, level.half, level.half))
        nothing = outputs[number].new_zeros(starts.windows, level.half, outputs[number].shape[1])
        ends = End.left(below, above, level), End.right(below, above, level)
        values = torch.cat([nothing, left], dim=1), torch.cat([right, nothing], dim=1)
        here = starts.above(levels, number)
        left, right = (
            _end(level, end, around, before[number], here, values=value)
            for end, value in zip(ends, values, strict=True)
        )
    return left, right


def _end(level: Level, end: End, around: Tensor, before: Tensor, starts: Starts, *, values: Tensor) -> Tensor:
    """Features (n, ., D') of one end, whose inputs from ``end.differ`` on are ``values`` (n, width, D).

    ``around`` are the stretch's inputs with ``level.half`` zeros at both ends.
    """
    y = starts.view(before, end.begin, end.size).clone(memory_format=torch.contiguous_format)
    own = starts.view(around, level.half + end.differ, end.width)
    delta = (values - own).to(y.dtype).flatten(1)
    kernel, features = level.kernel.to(y.dtype), values.shape[2]
    for place, (first, last, tap) in enumerate(end.reached(level)):
        if first < last:
            part = delta[:, first * features : last * features]
            y[:, place].addmm_(part, kernel[tap * features : (tap + last - first) * features])
    x = None
    if level.residual:
        x = starts.view(around, level.half + end.begin, end.size).clone(memory_format=torch.contiguous_format)
        first, last = max(end.differ, end.begin), min(end.differ + end.width, end.begin + end.size)
        x[:, first - end.begin : last - end.begin] = values[:, first - end.differ : last - end.differ]
    return level.finished(y, x)
