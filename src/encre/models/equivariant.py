"""Strand-equivariant CNN: the residual CNN with reverse-complement parameter sharing.

Every filter has a partner that is its reverse complement (Shrikumar et al. 2017; Mallet and Vert 2021), so that the
features of the reverse complement are the sequence's own, turned round along the positions and with partners swapped
(Zhou et al. 2022). The last block joins partners; what is pooled then is the same for both strands, and so are the
logits.

Partners lie half the features apart: feature i of D has partner i + D / 2.
"""

from __future__ import annotations

from math import prod
from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import model_validator
from torch import Tensor

from encre.models.cnn import ConvLayer, Convolutions
from encre.models.layers import ConvBlock, Extent, MaskedBatchNorm, NormName, dropout
from encre.models.residual import StagedConfig
from encre.shapes import N_CODE


class EquivariantConfig(StagedConfig):
    """Settings of the strand-equivariant CNN: those of the residual CNN.

    At the same widths a step costs as much and there are half as many parameters; predicting takes one strand.
    """

    name: Literal["equivariant"] = "equivariant"  # pyright: ignore[reportIncompatibleVariableOverride]
    input: Literal["one_hot"] = "one_hot"  # pyright: ignore[reportIncompatibleVariableOverride]

    @model_validator(mode="after")
    def _features_have_partners(self) -> Self:
        if any(features % 2 for features in (self.stem, *self.widths)):
            raise ValueError("stem and widths must be even: every feature has a partner on the other strand")
        return self

    @property
    def strand_symmetric(self) -> bool:
        """Both strands have the same logits."""
        return True

    def build_trunk(self) -> EquivariantConvolutions:
        """The stack of convolutions."""
        return EquivariantConvolutions(self)


class EquivariantConvolutions(Convolutions):
    """The trunk: features (B, D, T) that are turned round, and nothing else, when the sequence is."""

    def __init__(self, config: EquivariantConfig) -> None:
        super().__init__(config)
        last = self.blocks[-1]
        assert isinstance(last, PairedBlock)
        last.join = True
        self.period = prod(layer.pool for layer in config.layers())

    def block(self, channels: tuple[int, int], layer: ConvLayer, *, norm: NormName) -> PairedBlock:
        """A block whose features have partners; the first one reads bases."""
        return PairedBlock(channels, layer, norm=norm, bases=not self.blocks)


class PairedBlock(ConvBlock):
    """A block (see :class:`encre.models.layers.ConvBlock`) whose features come with their partners.

    It holds the half of the filters, and of the norm, that is learned; a step is one convolution all the same.

    Parameters
    ----------
    channels
        D before and after, partners included.
    layer, norm
        The rest of what it is.
    bases
        It reads bases, whose partners are their complements, in place of features.
    """

    def __init__(self, channels: tuple[int, int], layer: ConvLayer, *, norm: NormName, bases: bool) -> None:
        learned = (channels[0], channels[1] // 2)
        super().__init__(learned, layer.kernel, pool=layer.pool, norm=norm, dropout=layer.dropout)
        self.residual = layer.residual and channels[0] == channels[1]
        self.bases, self.join = bases, False

    def whole(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """All filters (D', D, 1, k) and biases (D',) of the half (D' / 2, D, 1, k) and (D' / 2,) that is learned."""
        swapped = weight.roll(weight.shape[1] // 2, 1)
        if self.bases:  # signal tracks beside the letters are the same on both strands
            swapped = torch.cat([weight[:, :N_CODE].flip(1), weight[:, N_CODE:]], dim=1)
        return torch.cat([weight, swapped.flip(3)]), bias.repeat(2)

    def forward(self, x: Tensor, extent: Extent) -> tuple[Tensor, Extent]:
        """Features and extent after the block."""
        assert self.conv.bias is not None
        weight, bias = self.whole(self.conv.weight, self.conv.bias)
        y = F.conv2d(x, weight, bias, padding=(0, weight.shape[3] // 2))
        if self.norm is not None:
            y = paired_norm(self.norm, y, extent)
        early = not (self.dropout or self.residual)
        if not early:  # otherwise a ReLU after the pooling gives the same and passes over fewer values
            y = dropout(F.relu(y, inplace=True).permute(0, 2, 3, 1), self.dropout, self.training).permute(0, 3, 1, 2)
        y = extent.zero(y + x if self.residual else y)
        if self.pool > 1:
            y, extent = pooled_from_both_ends(y, extent, self.pool), extent.pooled(self.pool)
        if early:
            y = F.relu(y, inplace=True)
        if self.join:
            y = joined(y.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return y, extent


def paired_norm(norm: MaskedBatchNorm, x: Tensor, extent: Extent) -> Tensor:
    """Normalise (B, D, 1, T) channels-last, partners by one mean and variance: two positions of D / 2 features."""
    steps = x.squeeze(2).transpose(1, 2)
    packed = norm.training and not extent.full  # in training, padding is left out and comes back as zeros
    rows = extent.pack(steps) if packed else steps.flatten(0, 1)
    # The strides of axes of size 1 matter: by them alone the kernels see that this is channels-last.
    pairs = rows.reshape(1, 1, -1, rows.shape[1] // 2).permute(0, 3, 1, 2)
    count = torch.tensor([pairs.shape[3]])
    rows = norm(pairs, Extent(count, pairs.shape[3], full=True)).permute(0, 2, 3, 1).reshape(rows.shape)
    return (extent.unpack(rows) if packed else rows.view(steps.shape)).transpose(1, 2).unsqueeze(2)


def pooled_from_both_ends(x: Tensor, extent: Extent, pool: int) -> Tensor:
    """Max-pooling of (B, D, 1, T), before or after a ReLU, zeros beyond the real ones, that both strands agree on.

    Where positions are left over, pooling from the beginning joins other positions than pooling from the end. The
    first half of the features is pooled from the beginning and their partners from the end: the other strand swaps
    both. A rest of fewer than ``pool`` positions counts as one, at the end that is reached last.
    """
    if extent.full and extent.width % pool == 0:
        return F.max_pool2d(x, (1, pool))
    from_start, from_end = x.chunk(2, 1)
    width = -(-x.shape[3] // pool)
    shifts = [-extent.width % pool] if extent.full else range(pool)
    ways = [F.max_pool2d(F.pad(from_end, (shift, 0)), (1, pool), ceil_mode=True)[..., :width] for shift in shifts]
    found = ways[0]
    rest = (-extent.length % pool).view(-1, 1, 1, 1)
    for shift, way in enumerate(ways[1:], 1):
        found = torch.where(rest == shift, way, found)
    return torch.cat([F.max_pool2d(from_start, (1, pool), ceil_mode=True), found], 1)


def joined(x: Tensor) -> Tensor:
    """Mean and maximum of partners, (..., D) both ways: the same whichever strand is read."""
    own, other = x.chunk(2, -1)
    return torch.cat([(own + other) / 2, torch.maximum(own, other)], -1)
