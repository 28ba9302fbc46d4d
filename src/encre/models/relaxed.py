"""Logits of relaxed sequences: a weight for each base instead of one base, so that there is a gradient.

A one-hot model reads the weights as they are. A k-mer model reads the expected vector of each k-mer, whose weight
is the product of its bases' (the multilinear extension of the embedding). At one-hot corners both are the model.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from encre.errors import ConfigError
from encre.models.ensemble import Ensemble
from encre.models.layers import Extent
from encre.models.model import EnhancerModel

#: Widest k-mer whose 4**k weights a position are still cheap beside the trunk.
MAX_RELAXED_K = 4


def has_relaxed(model: EnhancerModel) -> bool:
    """Whether :func:`relaxed_logits` can read the model's input."""
    if isinstance(model, Ensemble):
        return all(has_relaxed(member) for member in model.members)
    layer: Any = getattr(model.trunk, "input", None)
    return hasattr(layer, "relaxed") and hasattr(model.trunk, "encode") and layer.k <= MAX_RELAXED_K


def relaxed_logits(model: EnhancerModel, x: Tensor, codes: Tensor) -> Tensor:
    """Logits of weights, with a gradient to them.

    Parameters
    ----------
    model
        In evaluation mode.
    x
        (B, 4, L) float weights of A, C, G, T at each position, on the model's device.
    codes
        (B, L) uint8 the sequences that the weights stand for, without padding; only where they are N matters,
        and only to k-mers.

    Returns
    -------
    Tensor
        (B, K) float32.

    Raises
    ------
    ConfigError
        When the k-mers are wider than 4 bases, or the tokens none of k-mers and bases.
    """
    if isinstance(model, Ensemble):
        return torch.stack([relaxed_logits(member, x, codes) for member in model.members]).mean(0)
    if not has_relaxed(model):
        raise ConfigError(
            f"there is no gradient to single bases through {model.config.tokenizer.describe()}",
            expected=f"one-hot input, or k-mers of at most {MAX_RELAXED_K} bases",
            remedy="Possible with this model: ism.",
        )
    length = torch.full((len(x),), x.shape[-1], dtype=torch.int64)
    trunk: Any = model.trunk
    tokens, extent = trunk.input.relaxed(x, codes, Extent.of(length, x.shape[-1], x.device))
    features, extent = trunk.encode(tokens, extent)
    return model.read(model.pooling(features, extent))


def relaxed_both_strands(model: EnhancerModel, x: Tensor, codes: Tensor) -> Tensor:
    """As :func:`relaxed_logits`, averaged over both strands."""
    other = torch.where(codes < 4, 3 - codes, codes).flip(1)
    return (relaxed_logits(model, x, codes) + relaxed_logits(model, x.flip(1, 2), other)) / 2
