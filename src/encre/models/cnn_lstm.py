"""CNN + LSTM: convolutions with batch norm and residuals, then a bidirectional LSTM over the real positions."""

from __future__ import annotations

from math import prod
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from encre.models.cnn import AfterConvolutions, ConvLayer, ConvolutionConfig, Convolutions
from encre.models.layers import Extent


class CNNLSTMConfig(ConvolutionConfig):
    """Settings of the CNN + LSTM (defaults: convolutions 128, 256, 256, BiLSTM of 128 each way, mean).

    Parameters
    ----------
    residual
        Add a convolution's input to its output where both have as many features.
    lstm
        Features of the LSTM in each direction.
    """

    name: Literal["cnn_lstm"] = "cnn_lstm"  # pyright: ignore[reportIncompatibleVariableOverride]
    channels: tuple[int, ...] = (128, 256, 256)
    kernel_sizes: tuple[int, ...] = (5, 5, 5)
    pools: tuple[int, ...] = (1, 1, 1)
    norm: Literal["none", "batch"] = "batch"
    dropout: float = Field(default=0.3, ge=0.0, lt=1.0)
    pooling: Literal["max", "mean", "attention"] = "mean"
    residual: bool = True
    lstm: int = Field(default=128, ge=1, le=4096)

    def layers(self) -> list[ConvLayer]:
        """The convolutions; the first has no residual."""
        first, *rest = super().layers()
        return [first, *(layer._replace(residual=self.residual) for layer in rest)]

    @property
    def widest(self) -> int:
        """The widest convolution, or the four gates of an LSTM."""
        return max(super().widest, 4 * self.lstm // prod(self.pools))

    def build_trunk(self) -> CNNLSTM:
        """Convolutions and the LSTM."""
        return CNNLSTM(self)


class CNNLSTM(AfterConvolutions):
    """Convolutions and a BiLSTM: ``(codes (B, L), length (B,)) -> (features (B, 2 * lstm, T), Extent)``.

    Each direction is an LSTM that reads from a sequence's own end onwards, so that padding always comes after
    what is real and never reaches it. PyTorch's packed sequences give the same, but miss the fused kernel: a training
    step took 2.2 times as long with them (32 elements of 150-250 bp, one core).
    """

    def __init__(self, config: CNNLSTMConfig) -> None:
        super().__init__()
        self.convolutions = Convolutions(config)
        self.rightward = nn.LSTM(self.convolutions.width, config.lstm, batch_first=True)
        self.leftward = nn.LSTM(self.convolutions.width, config.lstm, batch_first=True)
        self.width = 2 * config.lstm

    def encode(self, tokens: Tensor, extent: Extent) -> tuple[Tensor, Extent]:
        """Features (B, 2 * lstm, T') of embedded tokens (B, T, E), zeros beyond the real ones."""
        return self.run(*self.convolutions.encode(tokens, extent))

    def run(self, features: Tensor, extent: Extent) -> tuple[Tensor, Extent]:
        """Both LSTMs over the convolutions' features (B, D, T)."""
        steps = features.transpose(1, 2).contiguous()
        right = self.rightward(steps)[0]
        left = turned(self.leftward(turned(steps, extent))[0], extent)
        return extent.zero(torch.cat([right, left], dim=-1).transpose(1, 2)), extent


def turned(x: Tensor, extent: Extent) -> Tensor:
    """``x`` (B, T, D) with the real positions of each sequence in the opposite order, padding where it was."""
    if extent.full:
        return x.flip(1)
    place = torch.arange(extent.width, device=x.device)
    order = torch.where(extent.mask, extent.length[:, None] - 1 - place, place)
    return x.gather(1, order[..., None].expand_as(x))
