"""Longformer (Beltagy et al. 2020): attention in a sliding window, and a few global tokens.

Memory and time grow with the length times the window. The global tokens are learned, as the [CLS] of the paper is,
but share the projections of the other tokens, so that the layer is every trunk's own.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from encre.models.attention import DenseAttention
from encre.models.encoder import EncoderConfig
from encre.models.layers import Extent


class LongformerConfig(EncoderConfig):
    """Settings of the Longformer (defaults: windows of 1 kb on each side, four global tokens).

    Parameters
    ----------
    window
        Tokens on each side that a token attends to; a layer more sees as much further.
    """

    name: Literal["longformer"] = "longformer"  # pyright: ignore[reportIncompatibleVariableOverride]
    global_tokens: int = Field(default=4, ge=0, le=1024)
    window: int = Field(default=128, ge=1)

    def mixing(self) -> nn.Module:
        """Windowed attention."""
        return WindowAttention(self.window, self.global_tokens, dropout=self.attention_dropout)


class WindowAttention(DenseAttention):
    """Each token attends to those at most ``window`` away and to the global tokens, which attend to all.

    Queries are cut into blocks of ``window`` tokens; a block's keys are its own, those of both its neighbours, and
    the global ones. Sequences that fit into the window go through the dense attention that they then have.

    Parameters
    ----------
    window
        Tokens on each side.
    global_tokens
        The first so many tokens are global.
    dropout
        On the attention weights in training.
    """

    def __init__(self, window: int, global_tokens: int, *, dropout: float = 0.0) -> None:
        super().__init__(dropout)
        self.window, self.first = window, global_tokens

    def forward(self, query: Tensor, key: Tensor, value: Tensor, extent: Extent) -> Tensor:
        """Mixed values (B, T, H, d) of (B, H, T, d) each, the global tokens first."""
        first = self.first
        if extent.width - first <= self.window + 1:
            return super().forward(query, key, value, extent)
        blocks = _cut(query[:, :, first:].transpose(1, 2), self.window).flatten(0, 1).transpose(1, 2)
        near = self.mixed(blocks, self._around(key), self._around(value), self._visible(extent))
        near = near.reshape(len(query), -1, *near.shape[2:])[:, : extent.width - first]
        if not first:
            return near
        mask = None if extent.full else extent.mask[:, None, None, :]
        return torch.cat([self.mixed(query[:, :, :first], key, value, mask), near], 1)

    def _around(self, x: Tensor) -> Tensor:
        """What each block sees of keys or values (B, H, T, d): (B * blocks, H, globals + 3 * window, d)."""
        x = x.transpose(1, 2)
        blocks = F.pad(_cut(x[:, self.first :], self.window), (0, 0, 0, 0, 0, 0, 1, 1))
        parts = [blocks[:, :-2], blocks[:, 1:-1], blocks[:, 2:]]
        if self.first:
            parts.insert(0, x[:, None, : self.first].expand(-1, parts[0].shape[1], -1, -1, -1))
        return torch.cat(parts, 2).flatten(0, 1).transpose(1, 2)

    def _visible(self, extent: Extent) -> Tensor:
        """Where a block's queries look: (B * blocks, 1, window, globals + 3 * window) bool."""
        window, first = self.window, self.first
        real = _cut(extent.mask[:, first:, None, None], window)[..., 0, 0]
        around = F.pad(real, (0, 0, 1, 1))
        own = real if first else real | ~real.any(-1, keepdim=True)  # or a block of padding had nothing to look at
        real = F.pad(torch.cat([around[:, :-2], own, around[:, 2:]], -1), (first, 0), value=True)
        place = torch.arange(window, device=real.device)
        away = torch.arange(3 * window, device=real.device) - window - place[:, None]
        band = F.pad(away.abs() <= window, (first, 0), value=True)
        return (band & real[:, :, None]).flatten(0, 1)[:, None]


def _cut(x: Tensor, size: int) -> Tensor:
    """(B, T, H, d) in blocks (B, n, size, H, d), the last filled up with zeros."""
    return F.pad(x, (0, 0, 0, 0, 0, -x.shape[1] % size)).unflatten(1, (-1, size))
