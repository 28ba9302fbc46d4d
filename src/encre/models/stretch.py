"""Logits of overlapping windows along a stretch of bases: what a scan of a genome computes.

Neighbouring windows share most of their convolutions. They are computed once along the stretch; only what lies so
near a window's ends that it feels the zeros beyond them is computed again for each window, exactly as the network
would. What cannot be shared (an LSTM, attention over a window) runs on features that are.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from encre.models.cnn import Convolutions
from encre.models.cnn_lstm import CNNLSTM
from encre.models.device import Precision, autocast, choose_precision
from encre.models.ends import End, Span, Starts, window_ends
from encre.models.ensemble import Ensemble
from encre.models.inference import predict_logits
from encre.models.inputs import reads_in_place
from encre.models.layers import Extent, Pooling
from encre.models.local import Levels
from encre.models.model import EnhancerModel
from encre.sequence.alphabet import complement
from encre.sequence.flat import windows

#: Bases that are computed at a time: their features stay in the processor's cache.
_BASES = {"cpu": 1 << 15, "cuda": 1 << 20}
#: Sharing must save at least this share of the multiplications, to pay for its book-keeping.
_WORTH = 0.8


def stretch_logits(
    model: EnhancerModel,
    codes: np.ndarray,
    *,
    window: int,
    stride: int,
    both_strands: bool = True,
    precision: Precision = "fp32",
) -> np.ndarray:
    """Logits of every window of a stretch, at a stride.

    Parameters
    ----------
    model
        In evaluation mode, on its device.
    codes
        (G,) uint8, G at least ``window``.
    window, stride
        Bases; window i begins at ``i * stride``, and those that fit whole are computed.
    both_strands
        Average the logits of both strands.
    precision
        ``"fp32"`` (equal to computing each window by itself, to 1e-5), ``"bf16"`` or ``"auto"``.

    Returns
    -------
    numpy.ndarray
        ``((G - window) // stride + 1, K)`` float32.

    Raises
    ------
    SequenceError
        When windows are shorter or longer than the model takes.
    """
    if isinstance(model, Ensemble):
        how = {"window": window, "stride": stride, "both_strands": both_strands, "precision": precision}
        return np.mean([stretch_logits(member, codes, **how) for member in model.members], axis=0)
    plan = Plan.of(model, window=window, stride=stride)
    if plan is None:
        return naive_stretch_logits(
            model, codes, window=window, stride=stride, both_strands=both_strands, precision=precision
        )
    model.check_lengths(np.array([window]))
    count = (len(codes) - window) // stride + 1
    found = np.empty((count, len(model.tasks)), np.float32)
    device = next(model.parameters()).device
    context = autocast(choose_precision(precision, device), device)
    together = max(1, (_BASES.get(device.type, 1 << 16) - window) // plan.stride + 1)
    with torch.inference_mode(), context:
        for phase in range(min(plan.phases, count)):
            for first in range(phase, count, together * plan.phases):
                rows = np.arange(first, count, plan.phases)[:together]
                piece = codes[first * stride : rows[-1] * stride + window]
                logits = plan.logits(model, piece, device)
                if both_strands and not model.config.strand_symmetric:
                    other = complement(piece)[::-1].copy()
                    logits = (logits + plan.logits(model, other, device).flip(0)) / 2
                found[rows] = logits.cpu().numpy()
    return found


class Plan(NamedTuple):
    """How windows of one width share their convolutions.

    Parameters
    ----------
    levels
        The trunk's input and convolutions.
    window, stride
        Bases; the stride is a whole number of the last level's positions.
    phases
        Interleaved series of windows that are ``stride`` apart, each computed by itself.
    spans
        For every level from the tokens on, the window's positions that are the stretch's own.
    """

    levels: Levels
    window: int
    stride: int
    phases: int
    spans: list[Span]

    @classmethod
    def of(cls, model: EnhancerModel, *, window: int, stride: int) -> Plan | None:
        """The plan, or None where windows are as well computed one by one."""
        trunk = model.trunk.convolutions if isinstance(model.trunk, CNNLSTM) else model.trunk
        if not isinstance(trunk, Convolutions) or window % trunk.period or not reads_in_place(trunk.input):
            return None
        levels = Levels(trunk)
        step = levels.steps[-1]
        phases = step // math.gcd(step, stride)
        spans = [Span(0, window - levels.input.k + 1, window - levels.input.k + 1)]
        for level in levels.levels:
            spans.append(spans[-1].above(level))
        plan = cls(levels, window, stride * phases, phases, spans)
        if any(span.first >= span.last for span in spans):
            return None
        return plan if plan.shared_work() < _WORTH * levels.work(spans[0].length) else None

    def shared_work(self) -> float:
        """Multiplications a window: its stride's part of the stretch, and both its ends."""
        total = 0.0
        for number, level in enumerate(self.levels.levels):
            pair = self.spans[number], self.spans[number + 1]
            total += self.stride / self.levels.steps[number] * level.weight.numel()
            total += End.left(*pair, level).work(level) + End.right(*pair, level).work(level)
        return total

    def logits(self, model: EnhancerModel, codes: np.ndarray, device: torch.device) -> Tensor:
        """Logits (n, K) float32 of the windows of one piece, on one strand."""
        starts = Starts((len(codes) - self.window) // self.stride + 1, self.stride)
        tokens = self.levels.tokens(torch.from_numpy(codes).to(device)[None])
        outputs, before = ([x[0].contiguous() for x in kept] for kept in self.levels.forward(tokens))
        left, right = window_ends(self.levels, self.spans, outputs, before, starts)
        span, step = self.spans[-1], self.stride // self.levels.steps[-1]
        if isinstance(model.trunk, CNNLSTM):
            here = starts.above(self.levels, len(self.levels.levels))
            middle = here.view(outputs[-1], span.first, span.last - span.first)
            features = torch.cat([left, middle, right], dim=1).transpose(1, 2)
            length = torch.full((starts.windows,), span.length, device=device)
            x, extent = model.trunk.run(features, Extent(length, span.length, full=True))
            return model.read(model.pooling(x, extent)).float()
        inside = outputs[-1][span.first :]
        return model.read(_pool(model.pooling, left, inside, right, step=step, width=span.last - span.first)).float()


def _pool(pooling: Pooling, left: Tensor, inside: Tensor, right: Tensor, *, step: int, width: int) -> Tensor:
    """Pooled windows (n, D) of their ends (n, ., D) and the stretch's features (T, D) between.

    Window i's part of the stretch is the ``width`` positions from ``i * step`` on.
    """
    count = len(left)
    if pooling.name == "max":
        found = _slide(inside, torch.maximum, count=count, step=step, width=width)
        for end in (left, right):
            if end.shape[1]:
                found = torch.maximum(found, end.amax(1))
        return found
    if pooling.score is None:
        left, inside, right = left.float(), inside.float(), right.float()  # bfloat16 would round at every addition
        total = _slide(inside, torch.add, count=count, step=step, width=width) + left.sum(1) + right.sum(1)
        return total / (left.shape[1] + width + right.shape[1])
    # Softmax sums, about one top of the whole piece; in float64, so that no window's weights vanish below another's.
    scores = [pooling.score(x).double() for x in (left, inside, right)]
    top = max(float(x.max()) for x in scores if x.numel())
    weights = [(x - top).exp() for x in scores]
    parts = [
        torch.cat([x * weight, weight], dim=-1) for x, weight in zip((left, inside, right), weights, strict=True)
    ]
    total = _slide(parts[1], torch.add, count=count, step=step, width=width) + parts[0].sum(1) + parts[2].sum(1)
    return (total[:, :-1] / total[:, -1:]).float()


def _slide(x: Tensor, join, *, count: int, step: int, width: int) -> Tensor:
    """``join`` over windows of ``x`` (T, D): the ``width`` positions from ``i * step`` on, (count, D).

    Blocks of ``step`` positions are joined first, then runs of blocks by doubling, then what is left over.
    """
    whole, rest = divmod(width, step)
    blocks = x[: (count + whole - 1) * step].unflatten(0, (-1, step)) if whole else x[:0].unflatten(0, (0, step))
    found: Tensor | None = None
    run, at, size = _fold(blocks, join), 0, 1  # run[i]: blocks i to i + size
    while whole:
        if whole & size:
            part = run[at : at + count]
            found = part if found is None else join(found, part)
            at, whole = at + size, whole - size
        if whole:
            run, size = join(run[:-size], run[size:]), 2 * size
    if rest:
        begin = (width - rest) // step * step
        need = begin + (count - 1) * step + rest
        tail = F.pad(x[begin:need], (0, 0, 0, step - rest)).unflatten(0, (-1, step))[:, :rest]
        found = _fold(tail, join) if found is None else join(found, _fold(tail, join))
    assert found is not None, "a window has an inside"
    return found


def _fold(blocks: Tensor, join) -> Tensor:
    """``join`` over the middle axis of (n, step, D)."""
    return blocks.amax(1) if join is torch.maximum else blocks.sum(1)


def naive_stretch_logits(
    model: EnhancerModel,
    codes: np.ndarray,
    *,
    window: int,
    stride: int,
    both_strands: bool = True,
    precision: Precision = "fp32",
) -> np.ndarray:
    """As :func:`stretch_logits`, every window computed by itself: what the fast way must equal."""
    starts = np.arange(0, len(codes) - window + 1, stride, dtype=np.int64)
    flat = windows(np.ascontiguousarray(codes), starts, window).reshape(-1)
    offsets = np.arange(len(starts) + 1, dtype=np.int64) * window
    return predict_logits(model, flat, offsets, both_strands=both_strands, precision=precision)
