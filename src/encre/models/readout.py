"""From the convolutions' features to logits, when only a run of positions has changed.

What lies before and behind the run is held ready for every place that it may begin or end at: running maxima, sums,
softmax sums, or the states of an LSTM.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from encre.models.cnn import Convolutions
from encre.models.cnn_lstm import CNNLSTM
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
    """The readout of a model whose trunk begins with convolutions; None for any other."""
    if isinstance(model.trunk, Convolutions):
        return PooledReadout(model)
    if isinstance(model.trunk, CNNLSTM):
        return LSTMReadout(model)
    return None


class PooledReadout:
    """Pooling and heads right behind the convolutions."""

    segment = 1 << 40

    def __init__(self, model: EnhancerModel) -> None:
        assert isinstance(model.trunk, Convolutions)
        self.model, self.convolutions = model, model.trunk

    def hold(self, features: Tensor) -> tuple[Sides, Tensor]:
        """What stands before and behind every position, and the logits."""
        sides = Sides.of(features, self.model.pooling)
        return sides, self.model.read(sides.whole())

    def changed(self, state: Sides, row: Tensor, low: Tensor, new: Tensor) -> Tensor:
        """Logits with the new run in its place."""
        return self.model.read(state.with_run(row, low, new))


class Sides(NamedTuple):
    """Pooling, taken apart: of features (R, T, D), what the positions before and from each place on come to.

    Parameters
    ----------
    pooling
        The layer.
    before, behind
        ``(R, T + 1, D)``: maxima, sums, or sums weighted by ``exp(score - top)``, of the positions before a place,
        and from it on.
    weight_before, weight_behind, top
        For attention: ``(R, T + 1)`` sums of the weights, and ``(R,)`` the highest score.
    """

    pooling: Pooling
    before: Tensor
    behind: Tensor
    weight_before: Tensor | None = None
    weight_behind: Tensor | None = None
    top: Tensor | None = None

    @classmethod
    def of(cls, x: Tensor, pooling: Pooling) -> Sides:
        """Of features (R, T, D), 0 or more where the pooling is a maximum."""
        if pooling.name == "max":
            return cls(pooling, *_both_sides(x, lambda y: y.cummax(1).values))
        if pooling.name == "mean":
            return cls(pooling, *_both_sides(x, lambda y: y.cumsum(1)))
        assert pooling.score is not None
        scores = pooling.score(x).squeeze(-1).float()
        top = scores.amax(1)
        weight = (scores - top[:, None]).exp()
        sums = _both_sides(x * weight[..., None], lambda y: y.cumsum(1))
        before, behind = (y.squeeze(-1) for y in _both_sides(weight[..., None], lambda y: y.cumsum(1)))
        return cls(pooling, *sums, before, behind, top)

    @property
    def length(self) -> int:
        """Positions, T."""
        return self.before.shape[1] - 1

    def whole(self) -> Tensor:
        """The pooled references (R, D)."""
        whole = self.before[:, -1]
        if self.pooling.name == "max":
            return whole
        if self.weight_before is None:
            return whole / self.length
        return whole / self.weight_before[:, -1:]

    def with_run(self, row: Tensor, low: Tensor, new: Tensor) -> Tensor:
        """Pooled rows (B, D) whose positions from ``low`` (B,) on are ``new`` (B, c, D)."""
        first = low.clamp(0, self.length)
        last = (low + new.shape[1]).clamp(0, self.length)
        at, to = row * (self.length + 1) + first, row * (self.length + 1) + last
        before = self.before.flatten(0, 1).index_select(0, at)
        behind = self.behind.flatten(0, 1).index_select(0, to)
        if self.pooling.name == "max":
            return torch.maximum(torch.maximum(before, behind), new.amax(1))
        if self.pooling.score is None:
            return (before + behind + new.sum(1)) / self.length
        assert self.top is not None
        assert self.weight_before is not None
        assert self.weight_behind is not None
        place = low[:, None] + torch.arange(new.shape[1], device=low.device)
        real = (place >= 0) & (place < self.length)
        scores = self.pooling.score(new).squeeze(-1).float().masked_fill(~real, -torch.inf)
        top = torch.maximum(scores.amax(1), self.top[row])
        old, weight = (self.top[row] - top).exp(), (scores - top[:, None]).exp()
        total = (self.weight_before.flatten()[at] + self.weight_behind.flatten()[to]) * old + weight.sum(1)
        mixed = (before + behind) * old[:, None] + torch.einsum("bc,bcd->bd", weight, new.float())
        return mixed / total[:, None]


def _both_sides(x: Tensor, along: Any) -> tuple[Tensor, Tensor]:
    """``along`` accumulated from the left, of what lies before each place, and from the right, from it on."""
    return F.pad(along(x), (0, 0, 1, 0)), F.pad(along(x.flip(1)).flip(1), (0, 0, 0, 1))


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
