"""Performer (Choromanski et al. 2021): attention through positive orthogonal random features (FAVOR+).

softmax's kernel exp(q k) is the mean of exp(w q - q q / 2) exp(w k - k k / 2) over normal vectors w, so that values
are summed once and read by every query: memory and time grow with the length. The vectors are drawn with the weights,
from the same stream, saved with them, and never drawn anew: the same folder gives the same logits.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from encre.models.encoder import EncoderConfig
from encre.models.layers import Extent


class PerformerConfig(EncoderConfig):
    """Settings of the Performer (defaults: 128 random features a head).

    Parameters
    ----------
    random_features
        Of each head. The error to dense attention falls with their root; the paper advises d log d for heads of d.
    """

    name: Literal["performer"] = "performer"  # pyright: ignore[reportIncompatibleVariableOverride]
    random_features: int = Field(default=128, ge=1, le=8192)

    @property
    def widest(self) -> int:
        """As of any encoder, or the random features of query and key."""
        return max(super().widest, 2 * self.heads * self.random_features // (self.stride * self.pool))

    def mixing(self) -> nn.Module:
        """Attention through random features."""
        return FavorAttention(self.width // self.heads, self.random_features)


class FavorAttention(nn.Module):
    """Attention of every token to every real one, estimated by random features, which are made in float32.

    Parameters
    ----------
    head
        Features of a head, d.
    features
        Random features, m.
    """

    projection: Tensor

    def __init__(self, head: int, features: int) -> None:
        super().__init__()
        self.register_buffer("projection", orthogonal(features, head))

    def forward(self, query: Tensor, key: Tensor, value: Tensor, extent: Extent) -> Tensor:
        """Mixed values (B, T, H, d) of (B, H, T, d) each."""
        with torch.autocast(query.device.type, enabled=False):
            made = self._features(query.float(), key.float(), extent)
            queries, keys = (x.to(value.dtype, memory_format=torch.contiguous_format) for x in made)
            summed = keys.transpose(2, 3) @ value
            weights = queries @ keys.sum(2).unsqueeze(-1)
            return ((queries @ summed) / weights).transpose(1, 2)

    def _features(self, query: Tensor, key: Tensor, extent: Extent) -> tuple[Tensor, Tensor]:
        """Random features (B, H, T, m) of queries and keys, 0 to 1, those of padding 0.

        What is the same for all features of a query cancels, q q / 2 among it. The maximum of each feature over the
        keys goes from the keys to the queries: then no exponential overflows, and no denominator falls below 1.
        """
        scale = query.shape[-1] ** -0.25
        projection = self.projection * scale
        keys = F.linear(key.transpose(1, 2), projection)
        keys -= key.transpose(1, 2).square().sum(-1, keepdim=True) * (scale**2 / 2)
        if not extent.full:
            keys.masked_fill_(~extent.mask[:, :, None, None], -torch.inf)
        top = keys.detach().amax(1, keepdim=True)
        queries = F.linear(query.transpose(1, 2), projection)
        queries += top
        queries -= queries.detach().amax(-1, keepdim=True)
        keys -= top
        return queries.exp_().transpose(1, 2), keys.exp_().transpose(1, 2)


def orthogonal(rows: int, features: int) -> Tensor:
    """Normal vectors (rows, features), those of each square block orthogonal; from torch's current random state."""
    squares = torch.randn(-(-rows // features), features, features)
    directions = torch.linalg.qr(squares).Q.transpose(1, 2).flatten(0, 1)[:rows]
    return directions * torch.randn(rows, features).norm(dim=1, keepdim=True)
