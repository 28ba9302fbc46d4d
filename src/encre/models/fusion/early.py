"""Early fusion: the tracks join the tokens, and the trunk reads both together."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from encre.errors import ConfigError
from encre.models.fusion.tracks import Fusion, Tracks
from encre.models.settings import SignalConfig


class EarlyFusion(Fusion):
    """Values and masks at each token's own bases, added to the tokens.

    Embedded tokens are given a learned projection of them. One-hot bases are too narrow for that (four features, all
    of them taken): the input keeps a channel free for each value and mask, beside the letters, and the trunk's first
    layer is the projection.

    Parameters
    ----------
    config
        The tracks.
    trunk
        Whose input tells where its tokens lie (``k``, ``stride``).

    Raises
    ------
    ConfigError
        When the trunk's tokens have no fixed places, or its one-hot input keeps no channels free.
    """

    reads_tokens = True

    def __init__(self, config: SignalConfig, trunk: Any) -> None:
        super().__init__()
        layer, channels = getattr(trunk, "input", None), 2 * len(config.tracks)
        self.k, self.stride = getattr(layer, "k", None), getattr(layer, "stride", None)
        self.spare = getattr(layer, "spare", 0)
        if layer is None or not isinstance(self.k, int) or not isinstance(self.stride, int):
            raise ConfigError("the tokens of this model lie at no fixed bases, as early fusion needs", remedy=_REMEDY)
        if self.spare not in (0, channels) or (not self.spare and layer.width <= channels):
            raise ConfigError(
                "the input of this model has no room for signal tracks",
                expected=f"more than {channels} features",
                got=f"{layer.width}",
                remedy=f"Use k-mers with a wider embedding, or another fusion. {_REMEDY}",
            )
        self.project = None if self.spare else nn.Linear(channels, layer.width, bias=False)

    def tokens(self, tokens: Tensor, tracks: Tracks) -> Tensor:
        """Tokens with the tracks in them."""
        found = tracks.at_tokens(tokens.shape[1], k=int(self.k or 1), stride=int(self.stride or 1))
        if self.project is None:
            return tokens + F.pad(found, (tokens.shape[-1] - self.spare, 0)).to(tokens.dtype)
        return tokens + self.project(found)


_REMEDY = 'Possible with every model: fusion = "late" or "cross_attention".'
