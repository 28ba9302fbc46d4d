"""CNN: input, convolutions with optional max-pooling, one vector. The defaults are the reference's shapes."""

from __future__ import annotations

from typing import Literal, NamedTuple, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from encre.models.inputs import Input, make_input
from encre.models.layers import ConvBlock, Extent, NormName, Trunk
from encre.models.settings import ModelConfig


class ConvLayer(NamedTuple):
    """One convolution of a stack.

    Parameters
    ----------
    features, kernel
        Features it makes, and its odd width in positions.
    pool
        Positions that the max-pooling after it joins into one; 1 for none.
    residual
        Add its input to its output where both have as many features.
    dropout
        Share of its features set to zero in training.
    """

    features: int
    kernel: int
    pool: int = 1
    residual: bool = False
    dropout: float = 0.0


class StackConfig(ModelConfig):
    """Settings of a trunk that begins with a stack of convolutions; a subclass says which.

    Parameters
    ----------
    embedding
        Features of a token's vector; one-hot bases have 4.
    norm
        ``"none"`` or ``"batch"`` (over the real positions of the global batch).
    dropout
        Share of features set to zero after each convolution in training.
    """

    embedding: int = Field(default=16, ge=1, le=4096)
    norm: Literal["none", "batch"] = "none"
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)

    def layers(self) -> list[ConvLayer]:
        """The convolutions, the one that reads the input first."""
        raise NotImplementedError

    @property
    def widest(self) -> int:
        """The widest convolution, before its pooling."""
        found, joined = 1, self.stride
        for layer in self.layers():
            found = max(found, layer.features // joined)
            joined *= layer.pool
        return found

    def build_trunk(self) -> nn.Module:
        """The stack of convolutions."""
        return Convolutions(self)


class ConvolutionConfig(StackConfig):
    """Settings of a stack of convolutions; one entry a layer.

    Parameters
    ----------
    channels, kernel_sizes, pools
        Features, odd width in positions, and max-pooling after each convolution (1 for none).
    """

    channels: tuple[int, ...] = (128, 256)
    kernel_sizes: tuple[int, ...] = (5, 5)
    pools: tuple[int, ...] = (1, 1)

    @model_validator(mode="after")
    def _one_entry_a_layer(self) -> Self:
        if not len(self.channels) == len(self.kernel_sizes) == len(self.pools) or not self.channels:
            counts = f"{len(self.channels)}, {len(self.kernel_sizes)} and {len(self.pools)}"
            raise ValueError(f"channels, kernel_sizes and pools need one entry a layer each; they have {counts}")
        if any(kernel < 1 or kernel % 2 == 0 for kernel in self.kernel_sizes):
            raise ValueError("kernel_sizes must be odd, so that a position keeps its place")
        if min(*self.channels, *self.pools) < 1:
            raise ValueError("channels and pools must be at least 1")
        return self

    def layers(self) -> list[ConvLayer]:
        """A layer an entry."""
        columns = zip(self.channels, self.kernel_sizes, self.pools, strict=True)
        return [ConvLayer(*column, dropout=self.dropout) for column in columns]


class CNNConfig(ConvolutionConfig):
    """Settings of the CNN (defaults: embedding 65 x 16, convolutions 16 -> 128 -> 256 of width 5, global max)."""

    name: Literal["cnn"] = "cnn"  # pyright: ignore[reportIncompatibleVariableOverride]


class Convolutions(Trunk):
    """Input and a stack of convolutions: ``(codes (B, L), length (B,)) -> (features (B, D, T), Extent)``."""

    #: Only where a length is a multiple of it does a position see nothing but what is near, wherever the ends are.
    period = 1

    def __init__(self, config: StackConfig) -> None:
        super().__init__()
        self.input = make_input(config, config.embedding)
        self.width, norm = self.input.width, config.norm
        self.blocks = nn.ModuleList()
        for layer in config.layers():
            self.blocks.append(self.block((self.width, layer.features), layer, norm=norm))
            self.width = layer.features
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def block(self, channels: tuple[int, int], layer: ConvLayer, *, norm: NormName) -> ConvBlock:
        """The module of one layer."""
        how = {"pool": layer.pool, "residual": layer.residual, "dropout": layer.dropout}
        return ConvBlock(channels, layer.kernel, norm=norm, **how)

    def encode(self, tokens: Tensor, extent: Extent) -> tuple[Tensor, Extent]:
        """Features (B, D, T') of embedded tokens (B, T, E), zeros beyond the real ones."""
        x = extent.zero(tokens.transpose(1, 2)).unsqueeze(2)
        for block in self.blocks:
            x, extent = block(x, extent)
        return x.squeeze(2), extent


class AfterConvolutions(Trunk):
    """A trunk that begins with ``convolutions`` and reads what they read."""

    convolutions: Convolutions

    @property
    def input(self) -> Input:
        """The input layer."""
        return self.convolutions.input
