"""CNN + LSTM: convolutions with batch norm and residuals, then a bidirectional LSTM over the real positions."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from encre.models.cnn import ConvolutionConfig, Convolutions
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

    def build_trunk(self) -> CNNLSTM:
        """Convolutions and the LSTM."""
        return CNNLSTM(self)


class CNNLSTM(nn.Module):
    """Convolutions and a BiLSTM: ``(codes (B, L), length (B,)) -> (features (B, 2 * lstm, T), Extent)``.

    The LSTM reads packed sequences: its backward direction starts at the last real position, so padding
    never reaches it.
    """

    def __init__(self, config: CNNLSTMConfig) -> None:
        super().__init__()
        self.convolutions = Convolutions(config, residual=config.residual)
        self.lstm = nn.LSTM(self.convolutions.width, config.lstm, batch_first=True, bidirectional=True)
        self.width = 2 * config.lstm

    def forward(self, codes: Tensor, length: Tensor) -> tuple[Tensor, Extent]:
        """Features of every position, zeros beyond the real ones."""
        features, extent = self.convolutions(codes, length)
        steps = features.transpose(1, 2).contiguous()
        if extent.full:
            return self.lstm(steps)[0].transpose(1, 2), extent
        packed = pack_padded_sequence(steps, extent.length.cpu(), batch_first=True, enforce_sorted=False)
        padded, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=extent.width)
        return padded.transpose(1, 2), extent
