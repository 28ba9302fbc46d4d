"""Transformer: a BERT-style encoder (Devlin et al. 2019) over overlapping k-mers.

Learned positions, post-norm, GELU, no token types and no pooler. Projections of query, key and value are one
matrix; attention is PyTorch's fused kernel, without a mask when nothing in the batch is padded.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from encre.models.attention import Layer, bert_start
from encre.models.inputs import make_input
from encre.models.layers import Extent, Trunk, dropout
from encre.models.settings import ModelConfig


class TransformerConfig(ModelConfig):
    """Settings of the Transformer (defaults: 6 layers, 4 heads, 256 wide, feed-forward 1024, 348 positions).

    Parameters
    ----------
    width, layers, heads, feed_forward
        Features of a token, number of layers, attention heads, features inside the feed-forward part.
    dropout
        After the embedding, the attention and the feed-forward part.
    attention_dropout
        On the attention weights. 0 by default: on a CPU, PyTorch's fused kernel takes none, and the
        separate one is slower.
    positions
        Longest sequence in tokens.
    """

    name: Literal["transformer"] = "transformer"  # pyright: ignore[reportIncompatibleVariableOverride]
    input: Literal["kmer", "canonical_kmer", "bpe"] = "kmer"  # pyright: ignore[reportIncompatibleVariableOverride]
    width: int = Field(default=256, ge=1, le=4096)
    layers: int = Field(default=6, ge=1, le=96)
    heads: int = Field(default=4, ge=1, le=64)
    feed_forward: int = Field(default=1024, ge=1)
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    attention_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    positions: int = Field(default=348, ge=1)
    pooling: Literal["max", "mean", "attention"] = "mean"

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width must be a multiple of heads; {self.width} is not one of {self.heads}")
        return self

    @property
    def longest(self) -> int:
        """The longest sequence in bases that the positions can hold."""
        return self.bases_of(self.positions)

    @property
    def widest(self) -> int:
        """The inside of the feed-forward part, or query, key and value."""
        return max(self.feed_forward // self.stride, 3 * self.width // self.stride, 1)

    def build_trunk(self) -> Transformer:
        """The encoder."""
        return Transformer(self)


class Transformer(Trunk):
    """The encoder: ``(codes (B, L), length (B,)) -> (features (B, D, T), Extent)``."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.input = make_input(config, config.width)
        self.positions = nn.Embedding(config.positions, config.width)
        self.norm = nn.LayerNorm(config.width)
        self.dropout, self.width = config.dropout, config.width
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.apply(bert_start)

    def encode(self, tokens: Tensor, extent: Extent) -> tuple[Tensor, Extent]:
        """Features (B, D, T) of embedded tokens (B, T, D), zeros beyond the real ones."""
        x = self.norm(extent.pack(tokens + self.positions.weight[: extent.width]))
        x = dropout(x, self.dropout, self.training)
        for layer in self.layers:
            x = layer(x, extent)
        return extent.unpack(x).transpose(1, 2), extent
