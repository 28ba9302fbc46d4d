"""What a few changed bases change in the convolutions of a reference, level by level."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from encre.models.local import NOWHERE, Level, Levels, Padded
from encre.models.readout import Readout
from encre.shapes import N_CODE

#: Changes that are computed together: their features stay in the processor's cache.
_TOGETHER = {"cpu": 192, "cuda": 4096}


class Held(NamedTuple):
    """Activations of references, one strand: codes, each level's outputs and pre-activations, the readout's state."""

    codes: Padded
    outputs: list[Padded]
    before: list[Padded]
    state: Any
    logits: Tensor


class Group(NamedTuple):
    """Changes that lie alike to the pooling, so that one set of offsets serves all: (B,) each, ``bases`` (B, w)."""

    which: np.ndarray
    row: Tensor
    start: Tensor
    bases: Tensor

    @classmethod
    def cut(
        cls, row: np.ndarray, start: np.ndarray, bases: np.ndarray, *, period: int, segment: int, device: torch.device
    ) -> Iterator[Group]:
        """Groups of changes whose starts agree modulo ``period`` and lie in one segment of the sequence.

        Parameters
        ----------
        row, start, bases
            As in :class:`encre.models.substitution.Substitutions`.
        period
            Tokens that one position of the last level stands for.
        segment
            Bases of a segment.
        """
        phase, home = start % period, start // segment
        order = np.lexsort((start, row, home, phase))
        at = np.stack([phase, home])[:, order]
        edges = np.flatnonzero((np.diff(at, axis=1) != 0).any(axis=0)) + 1
        size = _TOGETHER.get(device.type, 1024)
        for run in np.split(order, edges):
            for first in range(0, len(run), size):
                part = run[first : first + size]
                yield cls(part, *(torch.from_numpy(x[part]).to(device) for x in (row, start, bases)))


class Reach(NamedTuple):
    """A change at one level: the first input that differs, the first output that may, and how many of them."""

    first: int
    begin: int
    size: int


class LocalChanges:
    """Changes in the convolutions of one model.

    Parameters
    ----------
    readout
        What makes logits of the convolutions' features.
    """

    def __init__(self, readout: Readout) -> None:
        self.readout = readout
        self.levels = Levels(readout.convolutions)
        self.k = self.levels.input.k
        self.period = self.levels.steps[-1]
        #: Bases within which the readout wants changes to lie together.
        self.segment = readout.segment * self.period

    def reach(self, first: int, count: int) -> list[Reach]:
        """What a change of ``count`` tokens from ``first`` on reaches, level by level."""
        found = []
        for level in self.levels.levels:
            begin = (first - level.half) // level.pool
            end = -(-(first + count + level.half) // level.pool)
            found.append(Reach(first, begin, end - begin))
            first, count = begin, end - begin
        return found

    def reference(self, codes: Tensor, *, between: tuple[int, int], width: int) -> Held:
        """The activations of references (R, L) uint8 of one strand.

        Parameters
        ----------
        codes
            References.
        between
            The first and the last start of the changes that will be asked for.
        width
            Their bases.
        """
        outputs, before = self.levels.forward(self.levels.tokens(codes))
        last = outputs[-1].float()
        state, logits = self.readout.hold(last)
        inner, outer = self._margins(between, width, [x.shape[1] for x in outputs])
        return Held(
            Padded.of(codes[..., None], self.k - 1, fill=N_CODE),
            [Padded.of(x.float(), margin) for x, margin in zip(outputs[:-1], inner, strict=True)],
            [Padded.of(y.float(), margin, fill=NOWHERE) for y, margin in zip(before, outer, strict=True)],
            state,
            logits,
        )

    def _margins(self, between: tuple[int, int], width: int, sizes: list[int]) -> tuple[list[int], list[int]]:
        """Positions over the ends that changes reach: of every level's inputs, and before its ReLU."""
        count = width + self.k - 1
        reaches = [self.reach(start - self.k + 1, count) for start in between]
        inner, outer = [], []
        over = max(self.k - 1 - between[0], between[1] + width - sizes[0], 0)
        for number, level in enumerate(self.levels.levels):
            low, high = reaches[0][number], reaches[1][number]
            # a last position that pools fewer than the others is one of them all the same
            pooling = max(-low.begin, high.begin + high.size - sizes[number] // level.pool, 0) * level.pool
            inner.append(max(over, pooling) if level.residual else over)
            outer.append(pooling)
            over = max(-low.begin, high.begin + high.size - sizes[number + 1], 0)
        return inner, outer

    def changed(self, held: Held, group: Group) -> Tensor:
        """Logits (B, K) of the references with the group's changes."""
        first = group.start - (self.k - 1)
        phase = int(first[0]) % self.period
        period = (first - phase) // self.period
        delta = new = self._tokens(held, group)
        steps, reaches = self.levels.steps, self.reach(phase, delta.shape[1])
        for number, reach in enumerate(reaches):
            level = self.levels.levels[number]
            if number:
                at = period * (self.period // steps[number]) + reach.first
                delta = new - held.outputs[number].runs(group.row, at, new.shape[1])
            begin = reach.begin * level.pool
            at = period * (self.period // steps[number]) + begin
            y = held.before[number].runs(group.row, at, reach.size * level.pool)
            spread(y, delta, level, offset=reach.first - level.half - begin)
            x = None
            if level.residual:
                x = held.outputs[number].runs(group.row, at, reach.size * level.pool)
                x[:, reach.first - begin : reach.first - begin + delta.shape[1]] += delta
            new = level.finished(y, x)
        return self.readout.changed(held.state, group.row, period + reaches[-1].begin, new)

    def _tokens(self, held: Held, group: Group) -> Tensor:
        """By how much the tokens that hold a changed base change: (B, w + k - 1, E)."""
        width, first = group.bases.shape[1], group.start - (self.k - 1)
        codes = held.codes.runs(group.row, first, width + 2 * (self.k - 1)).squeeze(2)
        codes[:, self.k - 1 : self.k - 1 + width] = group.bases
        tokens = self.levels.tokens(codes)
        count = tokens.shape[1]
        delta = tokens - held.outputs[0].runs(group.row, first, count)
        if self.k > 1:  # near the ends, some of these tokens are none
            place = first[:, None] + torch.arange(count, device=first.device)
            total = held.outputs[0].values.shape[1] - 2 * held.outputs[0].margin
            delta *= ((place >= 0) & (place < total))[..., None]
        return delta


def spread(y: Tensor, delta: Tensor, level: Level, *, offset: int) -> None:
    """Add to ``y`` (B, n, D') what a convolution makes of input differences ``delta`` (B, c, D), in place.

    The difference at position i reaches the outputs from ``offset + i`` on, a kernel's width of them.
    """
    rows, count, features = delta.shape
    width = 2 * level.half + 1
    if count == 1:
        y[:, offset : offset + width] += (delta[:, 0] @ level.taps).view(rows, width, -1)
        return
    flat, kernel = delta.flatten(1).to(y.dtype), level.kernel.to(y.dtype)
    for place in range(count + width - 1):  # what each output reads of the differences
        first, last = max(place - width + 1, 0), min(place + 1, count)
        tap = first - (place - width + 1)
        part = flat[:, first * features : last * features]
        y[:, offset + place].addmm_(part, kernel[tap * features : (tap + last - first) * features])
