"""Signal tracks as a model reads them: bins that were not measured are zeros that a mask tells apart."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from encre.models.layers import Extent, dropout

if TYPE_CHECKING:
    from encre.models.settings import SignalConfig


class Tracks(NamedTuple):
    """Signals of a batch.

    Parameters
    ----------
    values
        (B, S, J) float32, 0 where missing.
    measured
        (B, S, J) float32, 1 where measured and 0 where missing.
    length
        (B,) int64 bases of the rows, on the same device.
    bin
        Bases of a bin.
    """

    values: Tensor
    measured: Tensor
    length: Tensor
    bin: int

    @classmethod
    def of(cls, signals: Tensor, length: Tensor, config: SignalConfig, *, training: bool) -> Tracks:
        """Of signals (B, S, J) where NaN (or any other number that is not finite) is missing.

        In training, a row loses all its tracks with the probability ``track_dropout``, and each of them by itself
        with the same.
        """
        measured = torch.isfinite(signals)
        if training and config.track_dropout:
            rows, count = signals.shape[:2]
            draws = torch.rand(rows, count + 1, device=signals.device)
            kept = (draws[:, :1] >= config.track_dropout) & (draws[:, 1:] >= config.track_dropout)
            measured = measured & kept[..., None]
        values = signals.masked_fill(~measured, 0.0)
        length = length.to(signals.device, non_blocking=True)
        return cls(values, measured.to(values.dtype), length, config.bin or 1)

    @property
    def channels(self) -> Tensor:
        """Values and where they were measured, (B, 2 * S, J)."""
        return torch.cat([self.values, self.measured], dim=1)

    @property
    def known(self) -> Tensor:
        """Where any track was measured, (B, 1, J), 1 or 0."""
        return self.measured.amax(1, keepdim=True)

    def at_tokens(self, tokens: int, *, k: int, stride: int) -> Tensor:
        """Channels (B, T, 2 * S) of tokens of ``k`` bases, their starts ``stride`` apart: means over their bases."""
        width = (tokens - 1) * stride + k
        bases = self.channels.repeat_interleave(self.bin, dim=2)[..., :width]
        bases = F.pad(bases, (0, width - bases.shape[-1]))
        return (bases if k == stride == 1 else F.avg_pool1d(bases, k, stride)).transpose(1, 2)


class Fusion(nn.Module):
    """One way to bring tracks into a model: a subclass overrides the places where it acts.

    Where nothing was measured in a row, each place hands on exactly what it was given, so that such a row gets the
    logits of the sequence alone. ``beside`` is the number of features that are put beside the trunk's vector;
    ``reads_tokens`` says that :meth:`tokens` does something, and so needs a trunk that shows them.
    """

    beside = 0
    reads_tokens = False

    def tokens(self, tokens: Tensor, tracks: Tracks) -> Tensor:
        """Tokens (B, T, E) before the trunk encodes them."""
        return tokens

    def features(self, features: Tensor, extent: Extent, tracks: Tracks) -> Tensor:
        """The trunk's features (B, D, T') before the pooling."""
        return features

    def vector(self, vector: Tensor, tracks: Tracks | None) -> Tensor:
        """The pooled vector (B, D) before the heads, as (B, D + beside); ``tracks`` is None without any."""
        return vector


class TrackEncoder(nn.Module):
    """Two convolutions over the bins: tracks -> (B, width, J), zeros where no track was measured.

    Parameters
    ----------
    tracks
        S.
    width
        Features of a bin.
    share
        Of the features that dropout sets to zero in training.
    """

    kernel = 5

    def __init__(self, tracks: int, width: int, share: float) -> None:
        super().__init__()
        widths = (2 * tracks, width, width)
        self.share = share
        self.convolutions = nn.ModuleList(
            nn.Conv1d(*pair, self.kernel, padding=self.kernel // 2) for pair in pairwise(widths)
        )

    def forward(self, tracks: Tracks) -> Tensor:
        """Features of every bin."""
        x, known = tracks.channels, tracks.known
        for convolution in self.convolutions:
            x = F.relu(convolution(x))
            x = x * known.to(x.dtype)
        return dropout(x, self.share, self.training)
