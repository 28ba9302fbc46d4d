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
from torch import Tensor, nn

from encre.models.cnn import ConvLayer, Convolutions
from encre.models.layers import ConvBlock, Extent, MaskedBatchNorm, NormName
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


class PairedConvolution(nn.Conv2d):
    """A convolution that learns half of its filters: (B, D, 1, T) -> (B, D', 1, T), at the cost of any other.

    Parameters
    ----------
    channels
        D and D', partners included.
    kernel
        Odd width in positions.
    bases
        It reads bases, whose partners are their complements, in place of features.
    """

    def __init__(self, channels: tuple[int, int], kernel: int, *, bases: bool) -> None:
        super().__init__(channels[0], channels[1] // 2, (1, kernel), padding=(0, kernel // 2))
        self.bases = bases

    def whole(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """All filters (D', D, 1, k) and biases (D',) of the half (D' / 2, D, 1, k) and (D' / 2,) that is learned."""
        swapped = weight.roll(weight.shape[1] // 2, 1)
        if self.bases:  # signal tracks beside the letters are the same on both strands
            swapped = torch.cat([weight[:, :N_CODE].flip(1), weight[:, N_CODE:]], dim=1)
        return torch.cat([weight, swapped.flip(3)]), bias.repeat(2)

    def forward(self, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One convolution with all filters."""
        assert self.bias is not None
        return F.conv2d(x, *self.whole(self.weight, self.bias), padding=(0, self.kernel_size[1] // 2))


class PairedNorm(MaskedBatchNorm):
    """Batch normalisation that takes partners for two positions of one feature: they share mean, variance, scale."""

    def forward(self, x: Tensor, extent: Extent, *, scale: float = 1.0) -> Tensor:
        """Normalise (B, D, 1, T) channels-last; in training, padding is left out and comes back as zeros."""
        steps = x.squeeze(2).transpose(1, 2)
        packed = self.training and not extent.full
        rows = extent.pack(steps) if packed else steps.flatten(0, 1)
        pairs = rows.reshape(1, 1, -1, rows.shape[1] // 2).permute(0, 3, 1, 2)
        count = torch.tensor([pairs.shape[3]])
        pairs = super().forward(pairs, Extent(count, pairs.shape[3], full=True), scale=scale)
        rows = pairs.permute(0, 2, 3, 1).reshape(rows.shape)
        return (extent.unpack(rows) if packed else rows.view(steps.shape)).transpose(1, 2).unsqueeze(2)


class PairedBlock(ConvBlock):
    """A block (see :class:`encre.models.layers.ConvBlock`) whose features come with their partners.

    Parameters
    ----------
    channels
        D before and after, partners included.
    layer, norm
        The rest of what it is.
    bases
        It reads bases in place of features.
    """

    def __init__(self, channels: tuple[int, int], layer: ConvLayer, *, norm: NormName, bases: bool) -> None:
        how = {"pool": layer.pool, "residual": layer.residual, "dropout": layer.dropout}
        super().__init__(channels, layer.kernel, norm=norm, **how)
        self.conv = PairedConvolution(channels, layer.kernel, bases=bases)
        if self.norm is not None:
            self.norm = PairedNorm(channels[1] // 2)
            bias: nn.Parameter = self.conv.bias  # pyright: ignore[reportAssignmentType]
            bias.requires_grad_(False)  # as in every block with a norm
        self.join = False

    def forward(self, x: Tensor, extent: Extent) -> tuple[Tensor, Extent]:
        """Features and extent after the block."""
        y, extent = super().forward(x, extent)
        return joined(y.permute(0, 2, 3, 1)).permute(0, 3, 1, 2) if self.join else y, extent

    def pools_from_start(self, extent: Extent) -> bool:
        """Whether no positions are left over, so that pooling from the beginning is pooling from the end."""
        return self.pool == 1 or (extent.full and extent.width % self.pool == 0)

    def pooled(self, y: Tensor, extent: Extent) -> tuple[Tensor, Extent]:
        """Max-pooling that both strands agree on.

        Where positions are left over, pooling from the beginning joins other positions than pooling from the end. The
        first half of the features is pooled from the beginning and their partners from the end: the other strand
        swaps both. A rest of fewer than ``pool`` positions counts as one, at the end that is reached last.
        """
        if self.pools_from_start(extent):
            return super().pooled(y, extent)
        from_start, from_end = y.chunk(2, 1)
        after = extent.pooled(self.pool)
        rest = (-extent.length % self.pool).view(-1, 1, 1, 1)
        from_start, found = (F.max_pool2d(half, (1, self.pool), ceil_mode=True) for half in (from_start, from_end))
        for shift in range(1, self.pool):
            way = F.max_pool2d(F.pad(from_end, (shift, 0)), (1, self.pool), ceil_mode=True)
            found = torch.where(rest == shift, way[..., : after.width], found)
        return torch.cat([from_start, found], 1), after


def joined(x: Tensor) -> Tensor:
    """Mean and maximum of partners, (..., D) both ways: the same whichever strand is read."""
    own, other = x.chunk(2, -1)
    return torch.cat([(own + other) / 2, torch.maximum(own, other)], -1)
