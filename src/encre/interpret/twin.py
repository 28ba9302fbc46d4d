"""A twin of a one-hot CNN, of PyTorch's own modules: what DeepLIFT's rules can hook onto.

Our trunks call ReLU and pooling as functions, mask padding, and keep channels last. The twin is for sequences of one
length without padding, takes (B, 4, L), has one module for each use, and gives the same logits (to 1e-5).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from encre.models.cnn import Convolutions
from encre.models.layers import ConvBlock, OneHotInput
from encre.models.model import EnhancerModel


def has_twin(model: EnhancerModel) -> bool:
    """Whether the model is a one-hot CNN with max or mean pooling."""
    trunk = model.trunk
    return (
        isinstance(trunk, Convolutions) and isinstance(trunk.input, OneHotInput) and model.pooling.name != "attention"
    )


def make_twin(model: EnhancerModel, length: int) -> nn.Sequential:
    """The twin of a model for sequences of ``length`` bases, in evaluation mode on the model's device.

    Parameters
    ----------
    model
        One for which :func:`has_twin`; its weights are copied.
    length
        L, in bases.
    """
    trunk: Any = model.trunk
    layers: list[nn.Module] = []
    for block in trunk.blocks:
        layers += [_convolution(block), nn.ReLU()]
        if block.pool > 1:
            layers.append(nn.MaxPool1d(block.pool, ceil_mode=True))
            length = -(-length // block.pool)
    layers += [nn.MaxPool1d(length) if model.pooling.name == "max" else nn.AvgPool1d(length), nn.Flatten()]
    twin = nn.Sequential(*layers, _head(model))
    return twin.to(next(model.parameters()).device).eval()


def _convolution(block: ConvBlock) -> nn.Conv1d:
    """The block's convolution with its batch norm, which is affine in evaluation, folded in."""
    kernel: Any = block.conv.weight.detach().squeeze(2)
    bias: Any = block.conv.bias
    folded = nn.Conv1d(kernel.shape[1], kernel.shape[0], kernel.shape[2], padding=kernel.shape[2] // 2)
    scale, shift = torch.ones_like(bias), torch.zeros_like(bias)
    if (norm := block.norm) is not None:
        scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
        shift = norm.bias - norm.running_mean * scale
    with torch.no_grad():
        folded.weight.copy_(kernel * scale[:, None, None])
        if folded.bias is not None:
            folded.bias.copy_(bias * scale + shift)
    return folded


def _head(model: EnhancerModel) -> nn.Linear:
    """All heads as one linear layer, in the tasks' order."""
    weight = torch.cat([head.weight for head in model.heads.values()])[model.order]  # pyright: ignore
    bias = torch.cat([head.bias for head in model.heads.values()])[model.order]  # pyright: ignore
    linear = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        linear.weight.copy_(weight)
        linear.bias.copy_(bias)
    return linear


def reverse_strand(x: Tensor) -> Tensor:
    """The weights (..., 4, L) of the other strand, read 5' to 3'."""
    return x.flip(-1, -2)
