"""Transformer: a BERT-style encoder (Devlin et al. 2019) over overlapping k-mers.

Learned positions, post-norm, GELU, no token types and no pooler. Projections of query, key and value are one
matrix; attention is PyTorch's fused kernel, without a mask when nothing in the batch is padded.
"""

from __future__ import annotations

from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from encre.models.inputs import KmerInput
from encre.models.layers import Extent, dropout
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
    stride
        Bases between the starts of two tokens.
    """

    name: Literal["transformer"] = "transformer"  # pyright: ignore[reportIncompatibleVariableOverride]
    input: Literal["kmer"] = "kmer"  # pyright: ignore[reportIncompatibleVariableOverride]
    width: int = Field(default=256, ge=1, le=4096)
    layers: int = Field(default=6, ge=1, le=96)
    heads: int = Field(default=4, ge=1, le=64)
    feed_forward: int = Field(default=1024, ge=1)
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    attention_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    positions: int = Field(default=348, ge=1)
    stride: int = Field(default=1, ge=1)
    pooling: Literal["max", "mean", "attention"] = "mean"

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width must be a multiple of heads; {self.width} is not one of {self.heads}")
        return self

    @property
    def longest(self) -> int:
        """The longest sequence in bases that the positions can hold."""
        return self.positions * self.stride + self.k - 1

    @property
    def widest(self) -> int:
        """The inside of the feed-forward part, or query, key and value."""
        return max(self.feed_forward // self.stride, 3 * self.width // self.stride, 1)

    def build_trunk(self) -> Transformer:
        """The encoder."""
        return Transformer(self)


class Transformer(nn.Module):
    """The encoder: ``(codes (B, L), length (B,)) -> (features (B, D, T), Extent)``."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.input = KmerInput(config.k, config.width, stride=config.stride)
        self.positions = nn.Embedding(config.positions, config.width)
        self.norm = nn.LayerNorm(config.width)
        self.dropout, self.width = config.dropout, config.width
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.apply(_initialise)

    def forward(self, codes: Tensor, length: Tensor) -> tuple[Tensor, Extent]:
        """Features of every token, zeros beyond the real ones."""
        return self.encode(*self.input(codes, Extent.of(length, codes.shape[1], codes.device)))

    def encode(self, tokens: Tensor, extent: Extent) -> tuple[Tensor, Extent]:
        """Features (B, D, T) of embedded tokens (B, T, D), zeros beyond the real ones."""
        x = self.norm(extent.pack(tokens + self.positions.weight[: extent.width]))
        x = dropout(x, self.dropout, self.training)
        for layer in self.layers:
            x = layer(x, extent)
        return extent.unpack(x).transpose(1, 2), extent


class Layer(nn.Module):
    """Self-attention and feed-forward, each with dropout, residual and norm after it; rows (R, D) both ways.

    Everything but the attention itself works on the real tokens alone.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.heads, self.dropout, self.attention_dropout = config.heads, config.dropout, config.attention_dropout
        self.query_key_value = nn.Linear(config.width, 3 * config.width)
        self.output = nn.Linear(config.width, config.width)
        self.attention_norm = nn.LayerNorm(config.width)
        self.feed_in = nn.Linear(config.width, config.feed_forward)
        self.feed_out = nn.Linear(config.feed_forward, config.width)
        self.feed_norm = nn.LayerNorm(config.width)

    def forward(self, x: Tensor, extent: Extent) -> Tensor:
        """Rows (R, D) after the layer."""
        x = self.attention_norm(x + dropout(self.attend(x, extent), self.dropout, self.training))
        inner = self.feed_out(F.gelu(self.feed_in(x)))
        return self.feed_norm(x + dropout(inner, self.dropout, self.training))

    def attend(self, x: Tensor, extent: Extent) -> Tensor:
        """Multi-head self-attention of each sequence's own tokens: rows (R, D) both ways."""
        qkv = extent.unpack(self.query_key_value(x)).unflatten(2, (3, self.heads, -1))
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        if query.dtype == torch.bfloat16 and query.device.type == "cpu" and not torch.is_grad_enabled():
            return self.output(extent.pack(attend_each(query, key, value, extent).flatten(2)))
        mask = None if extent.full else extent.mask[:, None, None, :]
        drop = self.attention_dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=drop)
        return self.output(extent.pack(mixed.transpose(1, 2).flatten(2)))


def attend_each(query: Tensor, key: Tensor, value: Tensor, extent: Extent) -> Tensor:
    """Attention of one sequence after the other, each at its own length: (B, H, T, D) each in, (B, T, H, D) out.

    In bfloat16 on a CPU a sequence's weights stay in the cache so, and its products are bfloat16's own: two thirds of
    the time of PyTorch's fused kernel, which computes in float32 there. It keeps nothing for a gradient.
    """
    rows, heads, longest, features = query.shape
    mixed = query.new_zeros(rows, longest, heads, features)
    scale = features**-0.5
    for row, length in enumerate(extent.length.tolist()):
        q, k, v = (x[row, :, :length] for x in (query, key, value))
        mixed[row, :length] = torch.matmul(torch.matmul(q * scale, k.transpose(1, 2)).softmax(-1), v).transpose(0, 1)
    return mixed


def _initialise(module: nn.Module) -> None:
    """BERT's own start: normal(0, 0.02), biases 0."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
