"""Convolutions, pooled, then encoder layers: what the hybrid, the Longformer and the Performer have in common.

Convolutions read motifs and shorten the sequence (8 bases a token and fewer tokens by as much); attention lets them
see each other. Positions are rotary: a learned table for 32 kb would hold rows that most data never trains.
"""

from __future__ import annotations

from math import prod
from typing import Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from encre.models.attention import DenseAttention, Layer, Rotation, bert_start
from encre.models.cnn import AfterConvolutions, Convolutions
from encre.models.layers import Extent
from encre.models.residual import ResidualConfig


class EncoderConfig(ResidualConfig):
    """Settings of a trunk of residual convolutions and encoder layers (defaults for up to 64 kb: 8 bases a token).

    ``dropout`` is after each part of both.

    Parameters
    ----------
    attention_layers, heads, feed_forward
        Number of encoder layers, attention heads, features inside the feed-forward part. A token has the last of
        ``widths`` features.
    attention_dropout
        On the attention weights (dense and windowed attention).
    global_tokens
        Learned tokens beside the positions that attend to all and are attended by all.
    positions
        Longest sequence in tokens. Nothing is learned for a position, so it may be raised after training; a model
        has seen no further than its training sequences, though.
    """

    stem: int = Field(default=64, ge=1, le=4096)
    widths: tuple[int, ...] = (96, 128)
    blocks: tuple[int, ...] = (1, 1)
    pools: tuple[int, ...] = (2, 2)
    attention_layers: int = Field(default=4, ge=1, le=96)
    heads: int = Field(default=4, ge=1, le=64)
    feed_forward: int = Field(default=256, ge=1)
    attention_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    global_tokens: int = Field(default=0, ge=0, le=1024)
    positions: int = Field(default=8192, ge=1)

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.width % (2 * self.heads):
            pairs = f"{self.width} is not one of {2 * self.heads}"
            raise ValueError(f"the last of widths must be a multiple of twice the heads; {pairs}")
        return self

    @property
    def width(self) -> int:
        """Features of a token."""
        return self.widths[-1]

    @property
    def pool(self) -> int:
        """Bases (or k-mers, or subwords) that the pooling joins into one token."""
        return self.stem_pool * prod(self.pools)

    @property
    def longest(self) -> int:
        """The longest sequence in bases that the positions can hold."""
        return self.bases_of(self.positions * self.pool)

    @property
    def widest(self) -> int:
        """The widest convolution, the inside of the feed-forward part, or query, key and value."""
        return max(super().widest, max(self.feed_forward, 3 * self.width) // (self.stride * self.pool))

    def mixing(self) -> nn.Module:
        """A layer's attention, by default a dense one."""
        return DenseAttention(self.attention_dropout)

    def build_trunk(self) -> Encoder:
        """Convolutions and encoder layers."""
        return Encoder(self)


class Encoder(AfterConvolutions):
    """The trunk: ``(codes (B, L), length (B,)) -> (features (B, D, T), Extent)``, a position a token."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.convolutions = Convolutions(config)
        self.width, self.head = config.width, config.width // config.heads
        self.globals = nn.Parameter(torch.empty(config.global_tokens, config.width)) if config.global_tokens else None
        self.layers = nn.ModuleList(
            Layer(config, config.mixing(), norm_first=True) for _ in range(config.attention_layers)
        )
        self.norm = nn.LayerNorm(config.width)
        self.layers.apply(bert_start)
        if self.globals is not None:
            nn.init.normal_(self.globals)

    def encode(self, tokens: Tensor, extent: Extent) -> tuple[Tensor, Extent]:
        """Features (B, D, T') of embedded bases (B, T, E), zeros beyond the real tokens."""
        features, extent = self.convolutions.encode(tokens, extent)
        x, inner, first = features.transpose(1, 2).float(), extent, 0  # the residual sum is kept in float32
        if self.globals is not None:
            first = len(self.globals)
            x = torch.cat([self.globals.expand(len(x), -1, -1), x], 1)
            inner = Extent(extent.length + first, extent.width + first, full=extent.full)
        places = (torch.arange(inner.width, device=x.device) - first).clamp(min=0)  # global tokens are not turned
        rotation = Rotation.of(places, self.head)
        rows = inner.pack(x)
        for layer in self.layers:
            rows = layer(rows, inner, rotation)
        return inner.unpack(self.norm(rows))[:, first:].transpose(1, 2), extent
