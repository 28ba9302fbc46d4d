"""Fusion by cross-attention: each position of the sequence looks for what the tracks say near it."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from encre.models.fusion.tracks import Fusion, TrackEncoder, Tracks
from encre.models.layers import Extent, dropout
from encre.models.settings import SignalConfig

#: What a distance is counted in, in bases; a head's slope is one a unit.
_UNIT = 100.0


class CrossAttention(Fusion):
    """The trunk's features query the encoded bins; what they find is added to them.

    A head weighs a bin by how far it is as well, with a slope that it learns (as in ALiBi, Press et al. 2022). Bins
    that were not measured are left out, and there is one key more, of zeros and worth nothing: a row without any
    measured bin finds exactly nothing. Time and memory grow with positions times bins.

    Parameters
    ----------
    config
        The tracks, ``width`` and ``heads``.
    trunk
        Any; ``width`` features.
    """

    def __init__(self, config: SignalConfig, trunk: Any) -> None:
        super().__init__()
        self.heads, self.share = config.heads, config.dropout
        self.encoder = TrackEncoder(len(config.tracks), config.width, config.dropout)
        self.norm = nn.LayerNorm(trunk.width)
        self.query = nn.Linear(trunk.width, config.width)
        self.key_value = nn.Linear(config.width, 2 * config.width)
        self.output = nn.Linear(config.width, trunk.width, bias=False)
        self.slope = nn.Parameter(torch.linspace(1.5, -4.5, config.heads))  # log: from bins next to it to all of them

    def features(self, features: Tensor, extent: Extent, tracks: Tracks) -> Tensor:
        """Features (B, D, T') with what they found in the tracks."""
        query = self.query(self.norm(features.transpose(1, 2))).unflatten(2, (self.heads, -1)).transpose(1, 2)
        bins = self.key_value(self.encoder(tracks).transpose(1, 2)).unflatten(2, (2, self.heads, -1))
        key, value = F.pad(bins.permute(2, 0, 3, 1, 4), (0, 0, 0, 1)).unbind(0)
        weight = self._nearness(extent, tracks).to(query.dtype)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=weight)
        found = dropout(self.output(mixed.transpose(1, 2).flatten(2)), self.share, self.training)
        return features + extent.zero(found.transpose(1, 2)).to(features.dtype)

    def _nearness(self, extent: Extent, tracks: Tracks) -> Tensor:
        """What is added to the scores (B, H, T', J + 1): less if far, minus infinity where nothing was measured."""
        positions, bins = (
            torch.arange(count, device=tracks.values.device) + 0.5
            for count in (extent.width, tracks.values.shape[-1])
        )
        centre = positions * (tracks.length / extent.length)[:, None]
        distance = (centre[:, :, None] - bins * tracks.bin).abs() / _UNIT
        weight = -self.slope.exp()[:, None, None] * distance[:, None]
        weight = weight.masked_fill(tracks.known[:, :, None] == 0, -torch.inf)
        return F.pad(weight, (0, 1))
