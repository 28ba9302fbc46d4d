"""From the convolutions' features to logits, when only a run of positions has changed.

What lies before and behind the run is held ready for every place that it may begin or end at: running maxima, sums,
softmax sums, or the states of an LSTM.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from encre.models.cnn import Convolutions
from encre.models.cnn_lstm import CNNLSTM
from encre.models.inputs import reads_in_place
from encre.models.layers import Extent, Pooling
from encre.models.model import EnhancerModel

#: Positions between two kept states of an LSTM.
_SEGMENT = 16


class Readout(Protocol):
    """What makes logits of a trunk's convolutional features."""

    convolutions: Convolutions
    segment: int
    """Positions within which changes are best computed together."""

    def hold(self, features: Tensor) -> tuple[Any, Tensor]:
        """The state that :meth:`changed` needs, and the logits (R, K), of features (R, T, D)."""
        ...

    def changed(self, state: Any, row: Tensor, low: Tensor, new: Tensor) -> Tensor:
        """Logits (B, K) of rows whose features from ``low`` (B,) on are ``new`` (B, c, D), 0 where no position is."""
        ...


def readout_of(model: EnhancerModel) -> Readout | None:
    """The readout of a model whose trunk begins with convolutions on tokens in place; None for any other."""
    if not isinstance(model.trunk, Convolutions | CNNLSTM) or not reads_in_place(model.trunk.input):
        return None
    return PooledReadout(model) if isinstance(model.trunk, Convolutions) else LSTMReadout(model)


class PooledReadout:
    """Pooling and heads right behind the convolutions."""

    segment = 1 << 40

    def __init__(self, model: EnhancerModel) -> None:
        assert isinstance(model.trunk, Convolutions)
        self.model, self.convolutions = model, model.trunk

    def hold(self, features: Tensor) -> tuple[Sides, Tensor]:
        """What stands before and behind every position, and the logits."""
        sides = Sides(features, self.model.pooling)
        return sides, self.model.read(sides.whole())

    def changed(self, state: Sides, row: Tensor, low: Tensor, new: Tensor) -> Tensor:
        """Logits with the new run in its place."""
        return self.model.read(state.with_run(row, low, new))


class Sides:
    """Pooling, taken apart: what the positions before a place, and from a place on, come to.

    Parameters
    ----------
    x
        Features (R, T, D) of the references; 0 or more where the pooling is a maximum.
    pooling
        The layer.
    """

    def __init__(self, x: Tensor, pooling: Pooling) -> None:
        self.pooling, self.length = pooling, x.shape[1]
        self.values, self.top = x, x.new_zeros(len(x))
        if pooling.score is not None:  # features by their weights, and the weights behind them
            scores = pooling.score(x).float()
            self.top = scores.amax((1, 2))
            weight = (scores - self.top[:, None, None]).exp()
            self.values = torch.cat([x * weight, weight], dim=-1)

    def whole(self) -> Tensor:
        """The pooled references (R, D)."""
        return self._pooled(self._fold(self.values))

    def with_run(self, row: Tensor, low: Tensor, new: Tensor) -> Tensor:
        """Pooled rows (B, D) whose positions from ``low`` (B,) on are ``new`` (B, c, D)."""
        first = low.clamp(0, self.length)
        last = (low + new.shape[1]).clamp(0, self.length)
        before, behind = self._sides(row, first, last)
        if self.pooling.score is None:
            return self._pooled(self._join(self._join(before, behind), self._fold(new)))
        place = low[:, None] + torch.arange(new.shape[1], device=low.device)
        real = ((place >= 0) & (place < self.length))[..., None]
        scores = self.pooling.score(new).float().masked_fill(~real, -torch.inf)
        top = torch.maximum(scores.amax((1, 2)), self.top[row])
        weight = (scores - top[:, None, None]).exp()
        run = torch.cat([new * weight, weight], dim=-1).sum(1)
        return self._pooled((before + behind) * (self.top[row] - top).exp()[:, None] + run)

    def _sides(self, row: Tensor, first: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        """What the positions before ``first`` (B,) and from ``last`` (B,) on come to, (B, .) each."""
        if (first == first[0]).all() and (
            last == last[0]
        ).all():  # alike in all rows, as variants in their windows are
            sides = self.values[:, : int(first[0])], self.values[:, int(last[0]) :]
            before, behind = (self._fold(side).index_select(0, row) for side in sides)
            return before, behind
        before, behind = self._running
        at = row * (self.length + 1)
        return before.index_select(0, at + first), behind.index_select(0, at + last)

    @cached_property
    def _running(self) -> tuple[Tensor, Tensor]:
        """For every place 0 to T of every reference, what stands before it and from it on: (R * (T + 1), .) each."""
        sides = (
            F.pad(self._run(self.values), (0, 0, 1, 0)),
            F.pad(self._run(self.values.flip(1)).flip(1), (0, 0, 0, 1)),
        )
        return sides[0].flatten(0, 1), sides[1].flatten(0, 1)

    def _run(self, x: Tensor) -> Tensor:
        """Running maxima or sums along the positions of (R, T, .)."""
        if self.pooling.name != "max":
            return x.cumsum(1)
        step = 1
        while step < x.shape[1]:  # by doubling: cummax would find the places too, and take 5 times as long
            x = torch.cat([x[:, :step], torch.maximum(x[:, step:], x[:, :-step])], dim=1)
            step *= 2
        return x

    def _fold(self, x: Tensor) -> Tensor:
        """Maximum (0 of nothing) or sum over the positions of (R, T, .)."""
        if self.pooling.name != "max":
            return x.sum(1)
        return x.amax(1) if x.shape[1] else x.new_zeros(len(x), x.shape[2])

    def _join(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.maximum(a, b) if self.pooling.name == "max" else a + b

    def _pooled(self, total: Tensor) -> Tensor:
        """The vector (R, D) of a maximum, a sum, or a weighted sum and its weight."""
        if self.pooling.name == "max":
            return total
        return total / self.length if self.pooling.score is None else total[:, :-1] / total[:, -1:]


class _Way(NamedTuple):
    """One direction's LSTM over the references: inputs (R, T, D), outputs (R, T, H), states every few positions."""

    inputs: Tensor
    outputs: Tensor
    hidden: Tensor
    cell: Tensor


class LSTMReadout:
    """Two LSTMs, pooling and heads behind the convolutions."""

    segment = _SEGMENT

    def __init__(self, model: EnhancerModel) -> None:
        assert isinstance(model.trunk, CNNLSTM)
        self.model, self.trunk, self.convolutions = model, model.trunk, model.trunk.convolutions

    def hold(self, features: Tensor) -> tuple[tuple[_Way, _Way], Tensor]:
        """Both directions with their states, and the logits."""
        ways = _run(self.trunk.rightward, features), _run(self.trunk.leftward, features.flip(1).contiguous())
        return ways, self._read(ways[0].outputs, ways[1].outputs)

    def changed(self, state: tuple[_Way, _Way], row: Tensor, low: Tensor, new: Tensor) -> Tensor:
        """Each direction starts from the state before the first change that it meets."""
        length, count = state[0].inputs.shape[1], new.shape[1]
        right = self._again(self.trunk.rightward, state[0], row, low=low, new=new)
        left = self._again(self.trunk.leftward, state[1], row, low=length - low - count, new=new.flip(1))
        return self._read(right, left)

    def _again(self, lstm: torch.nn.LSTM, way: _Way, row: Tensor, *, low: Tensor, new: Tensor) -> Tensor:
        """Outputs (B, T, H) of one direction, run again from the segment of the first change on."""
        length, count = way.inputs.shape[1], new.shape[1]
        first = min(max(int(low.min()), 0) // _SEGMENT, way.hidden.shape[0] - 1)
        begin = first * _SEGMENT
        steps = way.inputs[:, begin:].index_select(0, row)
        place = low[:, None] - begin + torch.arange(count, device=low.device)
        inside, at = ((place >= 0) & (place < length - begin)).nonzero(as_tuple=True)
        steps[inside, place[inside, at]] = new[inside, at].to(steps.dtype)
        start = tuple(x[first].index_select(0, row)[None] for x in (way.hidden, way.cell))
        outputs = lstm(steps, start)[0]
        return torch.cat([way.outputs[:, :begin].index_select(0, row).to(outputs.dtype), outputs], dim=1)

    def _read(self, right: Tensor, left: Tensor) -> Tensor:
        """Logits of both directions' outputs, the leftward one in its own order."""
        features = torch.cat([right, left.flip(1)], dim=-1).transpose(1, 2)
        length = torch.full((len(features),), features.shape[2], device=features.device)
        return self.model.read(self.model.pooling(features, Extent(length, features.shape[2], full=True)))


def _run(lstm: torch.nn.LSTM, x: Tensor) -> _Way:
    """An LSTM over (R, T, D) from zero, its state kept at the start of every segment."""
    hidden = x.new_zeros(1, len(x), lstm.hidden_size)
    state = (hidden, torch.zeros_like(hidden))
    outputs, kept = [], []
    for begin in range(0, x.shape[1], _SEGMENT):
        kept.append(state)
        y, state = lstm(x[:, begin : begin + _SEGMENT], state)
        outputs.append(y)
    return _Way(x, torch.cat(outputs, 1), *(torch.cat([pair[i] for pair in kept]) for i in (0, 1)))
