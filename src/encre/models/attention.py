"""What the trunks with attention share: the encoder layer, dense attention, and rotary positions.

A layer takes the attention that it mixes its tokens with as a module: ``(query, key, value (B, H, T, d), Extent) ->
(B, T, H, d)``. Dense attention is one of them; :mod:`encre.models.longformer` and :mod:`encre.models.performer` hold
others.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from encre.models.layers import Extent, dropout

#: Keys up to which the weights are written out in bfloat16 on a CPU: beyond, their memory costs more than they save.
_WRITTEN_OUT = 512
#: Tokens up to which the weights of a whole micro-batch stay in the cache.
_CACHED = 128


class LayerSettings(Protocol):
    """What a layer reads of a config; see :class:`encre.models.transformer.TransformerConfig`."""

    @property
    def width(self) -> int: ...  # noqa: D102
    @property
    def heads(self) -> int: ...  # noqa: D102
    @property
    def feed_forward(self) -> int: ...  # noqa: D102
    @property
    def dropout(self) -> float: ...  # noqa: D102
    @property
    def attention_dropout(self) -> float: ...  # noqa: D102


class Rotation(NamedTuple):
    """Rotary positions (Su et al. 2021): query and key are turned by angles that grow with their place.

    A product of the two then depends on their distance alone. There is no table with a row a position: any length
    goes, and what was learned at one place holds at every other.

    Parameters
    ----------
    cosine, sine
        (T, 1, 1, d), the first half of the sines negative.
    """

    cosine: Tensor
    sine: Tensor

    @classmethod
    def of(cls, places: Tensor, features: int, *, base: float = 10_000.0) -> Rotation:
        """For tokens at ``places`` (T,), heads of ``features`` (even); the slowest turns once in 2 pi ``base``."""
        half = features // 2
        speed = base ** -(torch.arange(half, device=places.device) / half)
        angle = places[:, None] * speed
        sine = angle.sin()
        return cls(angle.cos().repeat(1, 2)[:, None, None], torch.cat([-sine, sine], 1)[:, None, None])

    def turn(self, x: Tensor) -> Tensor:
        """Queries and keys (B, T, 2, H, d), turned."""
        cosine, sine = self.cosine.to(x.dtype), self.sine.to(x.dtype)
        return torch.addcmul(x * cosine, x.roll(x.shape[-1] // 2, -1), sine)


class Layer(nn.Module):
    """Self-attention and feed-forward, each with dropout, residual and norm; rows (R, D) both ways.

    Everything but the attention itself works on the real tokens alone.

    Parameters
    ----------
    config
        Width, heads, feed-forward, dropout.
    mixing
        The attention; None for a dense one.
    norm_first
        Norm before each part (Xiong et al. 2020: trains without a long warm-up; the trunk ends with a norm of its
        own) instead of after it (BERT).
    """

    def __init__(self, config: LayerSettings, mixing: nn.Module | None = None, *, norm_first: bool = False) -> None:
        super().__init__()
        self.heads, self.dropout, self.norm_first = config.heads, config.dropout, norm_first
        self.mixing = DenseAttention(config.attention_dropout) if mixing is None else mixing
        self.query_key_value = nn.Linear(config.width, 3 * config.width)
        self.output = nn.Linear(config.width, config.width)
        self.attention_norm = nn.LayerNorm(config.width)
        self.feed_in = nn.Linear(config.width, config.feed_forward)
        self.feed_out = nn.Linear(config.feed_forward, config.width)
        self.feed_norm = nn.LayerNorm(config.width)

    def forward(self, x: Tensor, extent: Extent, rotation: Rotation | None = None) -> Tensor:
        """Rows (R, D) after the layer."""
        if self.norm_first:
            x = x + dropout(self.attend(self.attention_norm(x), extent, rotation), self.dropout, self.training)
            return x + dropout(self.feed(self.feed_norm(x)), self.dropout, self.training)
        x = self.attention_norm(x + dropout(self.attend(x, extent, rotation), self.dropout, self.training))
        return self.feed_norm(x + dropout(self.feed(x), self.dropout, self.training))

    def feed(self, x: Tensor) -> Tensor:
        """The feed-forward part: rows (R, D) both ways."""
        return self.feed_out(F.gelu(self.feed_in(x)))

    def attend(self, x: Tensor, extent: Extent, rotation: Rotation | None = None) -> Tensor:
        """Multi-head self-attention of each sequence's own tokens: rows (R, D) both ways."""
        qkv = extent.unpack(self.query_key_value(x)).unflatten(2, (3, self.heads, -1))
        if rotation is None:
            query, key, value = qkv.unbind(2)
        else:
            pair, single = qkv.split((2, 1), 2)
            (query, key), value = rotation.turn(pair).unbind(2), single.squeeze(2)
        mixed = self.mixing(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), extent)
        return self.output(extent.pack(mixed.flatten(2)))


class DenseAttention(nn.Module):
    """Every token attends to every real one, without a mask when nothing is padded.

    Parameters
    ----------
    dropout
        On the attention weights in training.
    """

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout

    def forward(self, query: Tensor, key: Tensor, value: Tensor, extent: Extent) -> Tensor:
        """Mixed values (B, T, H, d) of (B, H, T, d) each."""
        if own_products(query) and not torch.is_grad_enabled() and extent.width > _CACHED:
            return attend_each(query, key, value, extent)
        mask = None if extent.full else extent.mask[:, None, None, :]
        return self.mixed(query, key, value, mask)

    def mixed(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """Mixed values (B, Q, H, d) of queries (B, H, Q, d); ``mask`` (B, 1, Q or 1, T) is True where they look.

        By PyTorch's fused kernel, but for a few keys in bfloat16 on a CPU: there, a step with the weights written out
        takes a fifth of its time for 64 keys and two thirds for 384, its backward pass being the slow one.
        """
        share = self.dropout if self.training else 0.0
        if not own_products(query) or key.shape[2] > _WRITTEN_OUT:
            mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=share)
            return mixed.transpose(1, 2)
        scores = torch.matmul(query * query.shape[-1] ** -0.5, key.transpose(2, 3))
        if mask is not None:
            scores += torch.zeros_like(mask, dtype=scores.dtype).masked_fill_(~mask, -torch.inf)
        return torch.matmul(dropout(scores.softmax(-1), share, self.training), value).transpose(1, 2)


def own_products(x: Tensor) -> bool:
    """Whether products of ``x`` are bfloat16's own on a CPU, where PyTorch's fused attention computes in float32."""
    return x.dtype == torch.bfloat16 and x.device.type == "cpu"


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


def bert_start(module: nn.Module) -> None:
    """BERT's own start: normal(0, 0.02), biases 0."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
