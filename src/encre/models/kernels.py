"""What follows a convolution or projection in training, in few passes over memory: ReLU, dropout, residual, pooling.

On a CPU these take a third of a training step when each is PyTorch's own operation: its ReLU, its max-pooling and
their gradients are 3 to 9 times as slow in bfloat16 as integers of that width, and a dropout draws a float an entry.
Numbers above 0 are ordered as their bits are, read as integers of the same width; so all of these are integer
comparisons here, whose kernels are vectorised for every width. Other devices and fp64 take PyTorch's operations.

Arrays are ``(B, T, D)`` contiguous inside, which ``(B, D, 1, T)`` in channels-last memory is already.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

#: The integers that have a number's width, and minus infinity read as one (what is above it and below 0 is a NaN).
INTEGERS = {torch.bfloat16: (torch.int16, -128), torch.float32: (torch.int32, -8388608)}


def fused(x: Tensor) -> bool:
    """Whether the kernels here are for such a tensor."""
    return x.device.type == "cpu" and x.dtype in INTEGERS and not torch.compiler.is_compiling()


def bits(x: Tensor) -> Tensor:
    """The same memory as integers."""
    return x.view(INTEGERS[x.dtype][0])


def keep_where(x: Tensor, above: Tensor, limit: int) -> Tensor:
    """``x`` where ``above > limit``, otherwise 0; integers of the same type and shape."""
    return torch.ops.aten.threshold_backward(x, above, limit)


def random_bits(like: Tensor) -> Tensor:
    """Random integers of the type and shape of ``like``, from PyTorch's stream.

    Two entries share one draw: the second is an odd multiple of the first, in which every bit of the second's upper
    half depends on another one of the draw. Both are uniform; dropping 10 % drops 1.03 % of such pairs in bfloat16.
    """
    count = like.numel()
    half = -(-count // 2)
    width = like.element_size()
    drawn = torch.empty(-(-half * width // 8), dtype=torch.int64).random_(-(2**63), None)
    first = drawn.view(like.dtype)[:half]
    return torch.cat([first, first[: count - half] * (1 + 2 ** (4 * width))]).view(like.shape)


def dropped(x: Tensor, share: float, drawn: Tensor) -> Tensor:
    """Integers ``x`` with a share of the entries 0: those whose random integer is among the lowest."""
    span = 8 * x.element_size()
    return keep_where(x, drawn, round(share * 2**span) - 2 ** (span - 1) - 1)


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, share: float) -> Tensor:
        ctx.share, ctx.drawn = share, random_bits(bits(x))
        return dropped(bits(x), share, ctx.drawn).view(x.dtype).mul_(1 / (1 - share))

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        kept = dropped(bits(grad), ctx.share, ctx.drawn).view(grad.dtype)
        return kept.mul_(1 / (1 - ctx.share)), None


def dropout(x: Tensor, share: float, training: bool) -> Tensor:
    """Set a share of the entries to zero in training and scale the rest up, as ``F.dropout`` does."""
    if not training or share == 0:
        return x
    return _Dropout.apply(x.contiguous(), share) if fused(x) else F.dropout(x, share)  # pyright: ignore[reportReturnType]


class Pooled(NamedTuple):
    """The maximum of every ``pool`` positions, and what its gradient needs."""

    top: Tensor
    lead: list[Tensor]
    """For every place but the first, by how much it is above the places before it."""


def pooled(x: Tensor, pool: int) -> Pooled:
    """Of integers (B, T, D), none below 0; a rest of fewer positions counts as one. The first of equals wins."""
    if rest := -x.shape[1] % pool:
        x = F.pad(x, (0, 0, 0, rest))
    top, lead = x[:, 0::pool], []
    for place in range(1, pool):
        lead.append(x[:, place::pool] - top)
        top = torch.maximum(top, x[:, place::pool])
    return Pooled(top, lead)


def unpooled(grad: Tensor, lead: list[Tensor], width: int) -> Tensor:
    """Each gradient at the place that won, zeros elsewhere: integers (B, T', D) -> (B, ``width``, D)."""
    batch, count, features = grad.shape
    spread = grad.new_empty(batch, count, len(lead) + 1, features)
    for place in range(len(lead), 0, -1):  # a later place beats all before it
        won = spread[:, :, place]
        torch.ops.aten.threshold_backward.grad_input(grad, lead[place - 1], 0, grad_input=won)
        grad = grad ^ won
    spread[:, :, 0] = grad
    return spread.flatten(1, 2)[:, :width]


class _Finish(torch.autograd.Function):
    """ReLU, zeros on padding, dropout (unscaled), residual, max-pooling; (B, T, D) both ways."""

    @staticmethod
    def forward(ctx, y: Tensor, x: Tensor | None, padding: Tensor | None, how: tuple[float, int]) -> Tensor:
        share, pool = how
        active = F.threshold(bits(y), INTEGERS[y.dtype][1], 0)  # a NaN stays one
        if padding is not None:
            active.view(-1, y.shape[2]).index_fill_(0, padding, 0)
        if share:
            active = dropped(active, share, random_bits(active))
        out = active if x is None else bits(active.view(y.dtype) + x)
        lead: list[Tensor] = []
        if pool > 1:
            out, lead = pooled(out, pool)
        ctx.width = y.shape[1]
        ctx.residual, ctx.lead = x is not None, lead
        ctx.active = out if x is None else active
        return out.view(y.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        grad, kind = grad.contiguous(), grad.dtype
        whole = bits(grad)
        if not ctx.residual:  # what is 0 after the pooling had no entry above 0
            whole = keep_where(whole, ctx.active, 0)
            whole = unpooled(whole, ctx.lead, ctx.width) if ctx.lead else whole
            return whole.view(kind), None, None, None
        whole = unpooled(whole, ctx.lead, ctx.width) if ctx.lead else whole
        return keep_where(whole, ctx.active, 0).view(kind), whole.view(kind), None, None


def finish(y: Tensor, x: Tensor | None, *, padding: Tensor | None, share: float, pool: int) -> Tensor:
    """ReLU, zeros on padding, dropout, residual and max-pooling of what a convolution gave, with their gradient.

    Parameters
    ----------
    y
        (B, D, 1, T) in channels-last memory.
    x
        What is added after the dropout, of the same shape and at least 0; None for nothing.
    padding
        Positions in the flattened (B * T) axis that are not real, int64; None for none.
    share
        Of entries that are set to zero. The others are not scaled up: ``y`` must come 1 / (1 - share) times as large.
    pool
        Positions that are joined; a rest of fewer counts as one.

    Returns
    -------
    Tensor
        (B, D, 1, T / pool) in channels-last memory.
    """
    inside = [None if part is None else part.squeeze(2).transpose(1, 2).contiguous() for part in (y, x)]
    out: Tensor = _Finish.apply(*inside, padding, (share, pool))  # pyright: ignore[reportAssignmentType]
    return out.transpose(1, 2).unsqueeze(2)


class _SharedNorm(torch.autograd.Function):
    """Batch normalisation by the statistics over all processes of a torchrun job; (1, D, 1, R) both ways."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        features, own = x.shape[1], x.new_zeros(2 * x.shape[1] + 1, dtype=torch.float32)
        if x.numel():
            own[:features], own[features:-1] = torch.ops.aten.batch_norm_update_stats(x, None, None, 0.0)
            own[-1] = x.shape[3]
        table = own.new_zeros(dist.get_world_size(), len(own))
        table[dist.get_rank()] = own
        dist.all_reduce(table)
        means, variances, share = table[:, :features], table[:, features:-1], table[:, -1:] / table[:, -1].sum()
        mean = (means * share).sum(0)
        variance = ((variances + (means - mean).square()) * share).sum(0)
        ctx.save_for_backward(x, weight, mean, variance)
        ctx.eps, ctx.count = eps, table[:, -1].sum()
        ctx.mark_non_differentiable(mean, variance)
        y = torch.native_batch_norm(x, weight, bias, mean, variance, False, 0.0, eps)[0]
        return y, mean, variance * ctx.count / (ctx.count - 1)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor, *_: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        x, weight, mean, variance = ctx.saved_tensors
        inverse = (variance + ctx.eps).rsqrt()
        state = (None, None, mean, inverse, True, ctx.eps, (False, True, True))
        own = torch.cat(torch.ops.aten.native_batch_norm_backward(grad, x, weight, *state)[1:])
        total = own / ctx.count
        dist.all_reduce(total)
        along, level = total.chunk(2)  # of the gradient: with the normalised input, and its mean
        scale = weight * inverse
        slope = -scale * inverse * along
        plain = (torch.zeros_like(mean), torch.ones_like(mean), False, 0.0, 0.0)
        rest = torch.native_batch_norm(x, slope, -slope * mean - scale * level, *plain)[0]
        found = torch.addcmul(rest, grad, scale.to(grad.dtype)[:, None, None])
        return found, *own.chunk(2), None


def shared_norm(x: Tensor, weight: Tensor, bias: Tensor, *, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Normalise this process's rows (1, D, 1, R) by the mean and variance (D,) over all processes, which come back.

    The variance that comes back is the unbiased one; gradients flow through the normalised rows alone.
    """
    return _SharedNorm.apply(x, weight, bias, eps)  # pyright: ignore[reportReturnType]


class _Pack(torch.autograd.Function):
    """Some rows of ``x`` (N, D). The gradient gathers as well: PyTorch's own adds row by row into zeros."""

    @staticmethod
    def forward(ctx, x: Tensor, rows: Tensor, places: Tensor, padding: Tensor) -> Tensor:
        ctx.save_for_backward(places, padding)
        return x.index_select(0, rows)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        places, padding = ctx.saved_tensors
        return grad.index_select(0, places).index_fill_(0, padding, 0), None, None, None


class _Unpack(torch.autograd.Function):
    """Back from :class:`_Pack`: zeros where there is no row."""

    @staticmethod
    def forward(ctx, x: Tensor, rows: Tensor, places: Tensor, padding: Tensor) -> Tensor:
        ctx.save_for_backward(rows)
        return x.index_select(0, places).index_fill_(0, padding, 0)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        return grad.index_select(0, ctx.saved_tensors[0]), None, None, None


def pack(x: Tensor, rows: Tensor, places: Tensor, padding: Tensor) -> Tensor:
    """Rows ``rows`` (R,) of ``x`` (N, D); ``places`` (N,) is where each went, ``padding`` which did not."""
    return _Pack.apply(x, rows, places, padding)  # pyright: ignore[reportReturnType]


def unpack(x: Tensor, rows: Tensor, places: Tensor, padding: Tensor) -> Tensor:
    """Rows (R, D) back in their places (N, D), zeros at ``padding``; the arguments of :func:`pack`."""
    return _Unpack.apply(x, rows, places, padding)  # pyright: ignore[reportReturnType]
