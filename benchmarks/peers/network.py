"""The network of ``scoring_inputs.py`` as plain PyTorch modules, from the same weights; imported by the workers.

The project's pooling counts a rest of fewer positions as one. Zeros appended after the ReLU give the same maxima, and
tangermeme's fast path can follow them, which it cannot with ``ceil_mode``.
"""

import numpy as np
import torch
from torch import nn


class PadTo(nn.Module):
    """Zeros at the end up to a multiple of ``size`` positions."""

    def __init__(self, size):
        super().__init__()
        self.size = size

    def forward(self, x):
        rest = -x.shape[-1] % self.size
        return nn.functional.pad(x, (0, rest)) if rest else x


def read(path):
    """``nn.Sequential``: one-hot (N, 4, L) -> logits (N, K)."""
    stored = np.load(path)
    layers = []
    for layer, pool in enumerate(stored["pools"].tolist()):
        weight, bias = (torch.from_numpy(stored[f"{kind}{layer}"]) for kind in ("weight", "bias"))
        width, channels, kernel = weight.shape
        convolution = nn.Conv1d(channels, width, kernel, padding=kernel // 2)
        convolution.weight.data, convolution.bias.data = weight, bias
        layers += [convolution, nn.ReLU()]
        if pool > 1:
            layers += [PadTo(pool), nn.MaxPool1d(pool)]
    weight, bias = torch.from_numpy(stored["weight"]), torch.from_numpy(stored["bias"])
    head = nn.Linear(weight.shape[1], weight.shape[0])
    head.weight.data, head.bias.data = weight, bias
    return nn.Sequential(*layers, nn.AdaptiveMaxPool1d(1), nn.Flatten(), head).eval()


def one_hot(codes, dtype=torch.int8):
    """(N, L) codes -> (N, 4, L), N all zeros."""
    table = torch.cat([torch.eye(4, dtype=dtype), torch.zeros(1, 4, dtype=dtype)])
    return table[torch.from_numpy(codes).long()].transpose(1, 2).contiguous()
