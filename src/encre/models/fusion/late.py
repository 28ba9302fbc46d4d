"""Late fusion: the tracks are encoded by themselves, and their vector stands beside the sequence's."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from encre.models.fusion.tracks import Fusion, TrackEncoder, Tracks
from encre.models.settings import SignalConfig


class LateFusion(Fusion):
    """Convolutions over the bins; the heads read their mean and maximum over what was measured beside the vector.

    Parameters
    ----------
    config
        The tracks and ``width``: the vector gains twice as many features.
    trunk
        Any.
    """

    def __init__(self, config: SignalConfig, trunk: Any) -> None:
        super().__init__()
        self.encoder = TrackEncoder(len(config.tracks), config.width, config.dropout)
        self.beside = 2 * config.width

    def vector(self, vector: Tensor, tracks: Tracks | None) -> Tensor:
        """The vector with that of the tracks behind it: zeros where nothing was measured."""
        if tracks is None:
            return F.pad(vector, (0, self.beside))
        bins = self.encoder(tracks)  # 0 or more, and 0 where nothing was measured
        mean = bins.sum(-1) / tracks.known.sum(-1).clamp(min=1)
        return torch.cat([vector, mean.to(vector.dtype), bins.amax(-1).to(vector.dtype)], dim=1)
