"""Dilated convolutions: a stem that pools, then gated residual convolutions whose reach doubles with each.

Dilation as in Basenji (Kelley et al. 2018), gates as in WaveNet (van den Oord et al. 2016). A layer costs the same
whatever it reaches, so memory and time grow with the length.
"""

from __future__ import annotations

from math import prod
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from encre.models.cnn import AfterConvolutions, Convolutions
from encre.models.layers import Extent, MaskedBatchNorm, dropout
from encre.models.residual import ResidualConfig


class DilatedConfig(ResidualConfig):
    """Settings of the dilated convolutions (defaults: 8 bases a position, 11 layers that see 32 kb).

    Parameters
    ----------
    dilated_layers
        Gated convolutions behind the pooling; the i-th looks ``2**i`` positions to each side.
    gated
        Features inside a gated convolution; the positions' own are the last of ``widths``.
    """

    name: Literal["dilated"] = "dilated"  # pyright: ignore[reportIncompatibleVariableOverride]
    stem: int = Field(default=64, ge=1, le=4096)
    widths: tuple[int, ...] = (96, 128)
    blocks: tuple[int, ...] = (1, 1)
    pools: tuple[int, ...] = (2, 2)
    dilated_layers: int = Field(default=11, ge=1, le=24)
    gated: int = Field(default=64, ge=1, le=4096)

    @property
    def reach(self) -> int:
        """Bases (or k-mers) that one position of the last layer sees."""
        reach = step = 1
        for layer in self.layers():
            reach += (layer.kernel - 1 + layer.pool - 1) * step
            step *= layer.pool
        return reach + 2 * (2**self.dilated_layers - 1) * step

    @property
    def widest(self) -> int:
        """The widest convolution, or a gated one's two halves."""
        return max(super().widest, 2 * self.gated // (self.stride * self.stem_pool * prod(self.pools)))

    def build_trunk(self) -> Dilated:
        """The stem and the gated convolutions."""
        return Dilated(self)


class Dilated(AfterConvolutions):
    """The trunk: ``(codes (B, L), length (B,)) -> (features (B, D, T), Extent)``."""

    def __init__(self, config: DilatedConfig) -> None:
        super().__init__()
        self.convolutions = Convolutions(config)
        self.width = self.convolutions.width
        self.blocks = nn.ModuleList(
            GatedBlock(self.width, config.gated, dilation=2**layer, dropout=config.dropout)
            for layer in range(config.dilated_layers)
        )
        self.norm = MaskedBatchNorm(self.width)
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def encode(self, tokens: Tensor, extent: Extent) -> tuple[Tensor, Extent]:
        """Features (B, D, T') of embedded bases (B, T, E), zeros beyond the real positions."""
        features, extent = self.convolutions.encode(tokens, extent)
        x = features.unsqueeze(2)
        for block in self.blocks:
            x = block(x, extent)
        return extent.zero(F.relu(self.norm(x, extent), inplace=True)).squeeze(2), extent


class GatedBlock(nn.Module):
    """``x + dropout(mix(a * sigmoid(b)))`` of a normed dilated convolution's halves a, b; (B, D, 1, T) both ways.

    Parameters
    ----------
    width, gated
        D, and the features of a half.
    dilation
        Positions between the convolution's three taps.
    dropout
        Share set to zero in training.
    """

    def __init__(self, width: int, gated: int, *, dilation: int, dropout: float) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, 2 * gated, (1, 3), padding=(0, dilation), dilation=(1, dilation), bias=False)
        self.norm = MaskedBatchNorm(2 * gated)
        self.mix = nn.Conv2d(gated, width, 1)
        self.dropout = dropout

    def forward(self, x: Tensor, extent: Extent) -> Tensor:
        """Features after the block, zeros beyond the real positions."""
        gated = F.glu(self.norm(self.conv(x), extent), 1)
        return extent.zero(x + dropout(self.mix(gated), self.dropout, self.training))
