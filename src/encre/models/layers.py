"""The parts that trunks share: what is real in a padded batch, convolutions, norms, pooling.

Features are ``(B, D, 1, T)`` in channels-last memory inside convolutional trunks (a ``(1, k)`` Conv2d in that
layout runs 1.3 times as fast as a Conv1d on a CPU, and takes tensor cores on a GPU) and ``(B, D, T)`` outside.
Every layer leaves zeros beyond the real positions, so that padding never moves a logit.
"""

from __future__ import annotations

from functools import cached_property
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from encre.models import kernels
from encre.models.kernels import dropout
from encre.models.processes import sum_over_processes, world_size

PoolingName = Literal["max", "mean", "attention"]
NormName = Literal["none", "batch"]


class Extent:
    """How much of a padded batch is real.

    Parameters
    ----------
    length
        Real positions of each sequence, (B,) int64, on the features' device.
    width
        Positions of the padded axis.
    full
        True when nothing is padded; every mask is then skipped.
    """

    def __init__(self, length: Tensor, width: int, *, full: bool) -> None:
        self.length, self.width, self.full = length, width, full

    @classmethod
    def of(cls, length: Tensor, width: int, device: torch.device) -> Extent:
        """Of a batch; free of a device synchronisation when ``length`` is still on the CPU."""
        full = bool((length == width).all())
        return cls(length.to(device, non_blocking=True), width, full=full)

    def windows(self, size: int, stride: int = 1) -> Extent:
        """After windows of ``size`` positions, ``stride`` apart, that must fit whole (k-mers)."""
        length = (self.length - size).div(stride, rounding_mode="floor") + 1
        return Extent(length, (self.width - size) // stride + 1, full=self.full)

    def pooled(self, size: int) -> Extent:
        """After pooling ``size`` positions into one, a rest of fewer counting as one."""
        return Extent(-(-self.length // size), -(-self.width // size), full=self.full)

    @cached_property
    def mask(self) -> Tensor:
        """Padding mask (B, T) bool: True where a position is real."""
        return torch.arange(self.width, device=self.length.device) < self.length[:, None]

    @cached_property
    def rows(self) -> Tensor:
        """Positions of the real entries in the flattened (B * T) axis, int64."""
        return self.mask.flatten().nonzero().squeeze(1)

    @cached_property
    def padding(self) -> Tensor | None:
        """Positions of the other entries in the flattened (B * T) axis, int64; None when nothing is padded."""
        return None if self.full else (~self.mask).flatten().nonzero().squeeze(1)

    @cached_property
    def _places(self) -> tuple[Tensor, Tensor, Tensor]:
        """Where each row stands, which row stands (or stood last) at each position, and where none does."""
        at = self.mask.flatten().cumsum(0).sub_(1).clamp_(min=0)
        assert self.padding is not None, "asked for only where something is padded"
        return self.rows, at, self.padding

    def pack(self, x: Tensor) -> Tensor:
        """The real positions of (B, T, D) as rows (R, D), so that no work is done on padding."""
        flat = x.reshape(-1, x.shape[-1])
        return flat if self.full else kernels.pack(flat, *self._places)

    def unpack(self, rows: Tensor) -> Tensor:
        """Rows (R, D) back in their places, (B, T, D), zeros beyond the real positions."""
        batch, features = len(self.length), rows.shape[-1]
        if not self.full:
            rows = kernels.unpack(rows, *self._places)
        return rows.view(batch, self.width, features)

    def zero(self, x: Tensor) -> Tensor:
        """``x`` (B, D, T) or (B, D, 1, T) with zeros beyond the real positions."""
        if self.full:
            return x
        shape = (len(self.mask),) + (1,) * (x.dim() - 2) + (self.width,)
        return x * self.mask.view(shape).to(x.dtype)


class Trunk(nn.Module):
    """What reads sequences: an input, ``.width`` D, and ``encode(tokens (B, T, E), extent)``."""

    def forward(self, codes: Tensor, length: Tensor) -> tuple[Tensor, Extent]:
        """Features (B, D, T) and their extent of codes (B, L) and lengths (B,); zeros beyond what is real."""
        tokens, extent = self.input(codes, Extent.of(length, codes.shape[1], codes.device))  # pyright: ignore
        return self.encode(tokens, extent)  # pyright: ignore[reportCallIssue]


class MaskedBatchNorm(nn.Module):
    """Batch normalisation with statistics over the real positions of the whole (global) batch.

    Real positions are packed into rows, normalised by PyTorch's own kernel, and put back among zeros.
    Under torchrun the sums are all-reduced, so that several processes equal one at the same global batch.

    Parameters
    ----------
    features
        D.
    eps, momentum
        As in Ioffe and Szegedy (2015) and ``torch.nn.BatchNorm1d``.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, features: int, *, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_var", torch.ones(features))

    def forward(self, x: Tensor, extent: Extent, *, scale: float = 1.0) -> Tensor:
        """Normalise (B, D, 1, T) channels-last; in training, padding is left out and comes back as zeros.

        What comes out is ``scale`` times as large.
        """
        spread = world_size() > 1
        if not self.training or (extent.full and not spread):
            return self._native(x, scale)
        rows = extent.pack(x.squeeze(2).transpose(1, 2))
        if spread:
            rows = self._spread(rows, scale)
        else:
            rows = self._native(rows.t()[None, :, None], scale).squeeze((0, 2)).t()
        return extent.unpack(rows).transpose(1, 2).unsqueeze(2)

    def _native(self, x: Tensor, scale: float) -> Tensor:
        weight, bias = (self.weight, self.bias) if scale == 1 else (self.weight * scale, self.bias * scale)
        return F.batch_norm(
            x, self.running_mean, self.running_var, weight, bias, self.training, self.momentum, self.eps
        )

    def _spread(self, rows: Tensor, scale: float) -> Tensor:
        """Normalise this process's rows (R, D) by the statistics over all processes."""
        if kernels.fused(rows):
            image, weight, bias = rows.t()[None, :, None], self.weight * scale, self.bias * scale
            y, mean, variance = kernels.shared_norm(image, weight, bias, eps=self.eps)
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(variance, self.momentum)
            return y.squeeze((0, 2)).t()
        kind, rows = rows.dtype, rows.float()
        sums = sum_over_processes(torch.cat([rows.sum(0), rows.new_tensor([rows.shape[0]])]))
        n = sums[-1].detach()
        mean = sums[:-1] / n
        variance = sum_over_processes((rows - mean).square().sum(0)) / n
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * n / (n - 1), self.momentum)
        rows = (rows - mean) * (variance + self.eps).rsqrt() * (self.weight * scale) + self.bias * scale
        return rows.to(kind)


class ConvBlock(nn.Module):
    """Convolution, norm, ReLU, dropout, an optional residual, and max-pooling; (B, D, 1, T) both ways.

    Parameters
    ----------
    channels
        D before and after.
    kernel
        Odd width in positions; the ends are padded with zeros so that T stays.
    pool
        Positions that the max-pooling after the block joins into one; 1 for none.
    residual
        Add the input where D is the same before and after; the input must be at least 0 then, as another
        block's output is.
    """

    def __init__(
        self,
        channels: tuple[int, int],
        kernel: int,
        *,
        pool: int = 1,
        norm: NormName = "none",
        dropout: float = 0.0,
        residual: bool = False,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(*channels, (1, kernel), padding=(0, kernel // 2))
        self.norm = MaskedBatchNorm(channels[1]) if norm == "batch" else None
        if self.norm is not None and self.conv.bias is not None:
            # The norm takes this bias out again: its gradient is rounding alone, which Adam would scale up
            # into a random walk that the running mean then lags behind.
            self.conv.bias.requires_grad_(False)
        self.pool, self.dropout = pool, dropout
        self.residual = residual and channels[0] == channels[1]

    def forward(self, x: Tensor, extent: Extent) -> tuple[Tensor, Extent]:
        """Features and extent after the block."""
        y = self.conv(x)
        if kernels.fused(y) and (self.training or not torch.is_grad_enabled()):
            return self._finished(y, x, extent)
        if self.norm is not None:
            y = self.norm(y, extent)
        if not (self.dropout or self.residual):
            # A ReLU after the pooling gives the same and passes over fewer values.
            y, extent = self.pooled(extent.zero(y), extent)
            return F.relu(y, inplace=True), extent
        y = dropout(F.relu(y, inplace=True), self.dropout, self.training)
        return self.pooled(extent.zero(y + x if self.residual else y), extent)

    def _finished(self, y: Tensor, x: Tensor, extent: Extent) -> tuple[Tensor, Extent]:
        """The same on a CPU, in fewer passes; the dropout's scale is in the norm's weights."""
        share = self.dropout if self.training else 0.0
        scale = 1 / (1 - share)
        y = y * scale if self.norm is None and share else y
        y = y if self.norm is None else self.norm(y, extent, scale=scale)
        rest = x if self.residual else None
        pool = self.pool if self.pools_from_start(extent) else 1
        y = kernels.finish(y, rest, padding=extent.padding, share=share, pool=pool)
        if pool < self.pool:
            return self.pooled(y, extent)
        return y, extent.pooled(self.pool) if self.pool > 1 else extent

    def pools_from_start(self, extent: Extent) -> bool:
        """Whether every ``pool`` positions from the first on are joined, which a subclass may not want."""
        return True

    def pooled(self, y: Tensor, extent: Extent) -> tuple[Tensor, Extent]:
        """Max-pooling. Zeros beyond the real positions never count: there is a ReLU before or after it."""
        if self.pool == 1:
            return y, extent
        return F.max_pool2d(y, (1, self.pool), ceil_mode=True), extent.pooled(self.pool)


class Pooling(nn.Module):
    """Masked pooling over positions: (B, D, T) -> (B, D).

    Parameters
    ----------
    name
        ``"max"``, ``"mean"``, or ``"attention"`` (one learned query, softmax over the real positions).
    features
        D.
    """

    def __init__(self, name: PoolingName, features: int) -> None:
        super().__init__()
        self.name = name
        self.score = nn.Linear(features, 1) if name == "attention" else None

    def forward(self, x: Tensor, extent: Extent) -> Tensor:
        """Pool over the real positions only."""
        if self.score is not None:
            scores = self.score(x.transpose(1, 2)).squeeze(-1)
            if not extent.full:
                scores = scores.masked_fill(~extent.mask, -torch.inf)
            return torch.einsum("bdt,bt->bd", x, scores.softmax(-1).to(x.dtype))
        if self.name == "mean":
            return extent.zero(x).sum(-1) / extent.length[:, None]
        return (x if extent.full else x.masked_fill(~extent.mask[:, None], -torch.inf)).amax(-1)
