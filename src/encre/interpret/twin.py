"""A twin of a CNN, of PyTorch's own modules: what DeepLIFT's rules can hook onto.

Our trunks call ReLU and pooling as functions, mask padding, and keep channels last. The twin is for sequences of one
length without padding, takes (B, 4, L), has one module for each use, and gives the same logits (to 1e-5). Products
(the weights of a k-mer, attention times features) are modules of tangermeme's, which has an exact rule for them.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from encre.models.cnn import Convolutions
from encre.models.ensemble import Ensemble
from encre.models.equivariant import PairedBlock
from encre.models.heads import ExclusiveHeads
from encre.models.inputs import KmerInput, reads_in_place
from encre.models.layers import ConvBlock, Pooling
from encre.models.local import Level
from encre.models.model import EnhancerModel
from encre.models.relaxed import has_relaxed


def has_twin(model: EnhancerModel) -> bool:
    """Whether the model is a CNN, on one-hot input or k-mers of at most 4 bases at stride 1; or an ensemble.

    Its heads are linear, or exclusive.
    """
    if isinstance(model, Ensemble):
        return all(has_twin(member) for member in model.members)
    convolutional = isinstance(model.trunk, Convolutions) and reads_in_place(model.trunk.input)
    heads = model.heads
    read = heads.is_linear or (isinstance(heads, ExclusiveHeads) and heads.is_linear_before_relating)
    return convolutional and has_relaxed(model) and read and model.fusion is None


def make_twin(model: EnhancerModel, length: int) -> nn.Module:
    """The twin of a model for sequences of ``length`` bases, in evaluation mode on the model's device.

    Called with weights (B, 4, L) and, of a k-mer model, what :func:`special_vectors` gives.

    Parameters
    ----------
    model
        One for which :func:`has_twin`; its weights are copied.
    length
        L, in bases.
    """
    trunk: Any = model.trunk
    first = _Kmers(trunk.input) if isinstance(trunk.input, KmerInput) else nn.Identity()
    width = length - trunk.input.k + 1
    layers: list[nn.Module] = []
    for block in trunk.blocks:
        level = nn.Sequential(_convolution(block), nn.ReLU())
        layers.append(_Residual(level) if block.residual else level)
        if block.pool > 1:
            paired = isinstance(block, PairedBlock)
            layers.append(_PooledPairs(block.pool, width) if paired else nn.MaxPool1d(block.pool, ceil_mode=True))
            width = -(-width // block.pool)
        if isinstance(block, PairedBlock) and block.join:
            layers.append(_Joined())
    related = [_Exclusive(model.heads.exclusive)] if isinstance(model.heads, ExclusiveHeads) else []
    twin = _Twin(first, nn.Sequential(*layers, _pooling(model.pooling, width), _head(model), *related))
    return twin.to(next(model.parameters()).device).eval()


def special_vectors(model: EnhancerModel, codes: Tensor) -> tuple[Tensor] | None:
    """What stands in place of the k-mers that hold an N in ``codes`` (B, L), zeros elsewhere: ((B, D, T),).

    None for one-hot input, where N is zeros already.
    """
    layer: Any = model.trunk.input
    if not isinstance(layer, KmerInput):
        return None
    unknown = (codes > 3).float().unfold(1, layer.k, 1).amax(-1)
    return (unknown[:, None] * layer.vectors.detach()[-1].to(codes.device)[:, None],)


class _Twin(nn.Module):
    """Input, then all the rest in a row."""

    def __init__(self, first: nn.Module, rest: nn.Module) -> None:
        super().__init__()
        self.first, self.rest = first, rest

    def forward(self, x: Tensor, special: Tensor | None = None) -> Tensor:
        """Logits (B, K)."""
        features = self.first(x)
        return self.rest(features if special is None else features + special)


class _Residual(nn.Module):
    """What a level makes of (B, D, T), and the input itself added."""

    def __init__(self, level: nn.Module) -> None:
        super().__init__()
        self.level = level

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, T)."""
        return x + self.level(x)


class _PooledPairs(nn.Module):
    """Max-pooling of (B, D, T), the second half of the features from the end; see :mod:`encre.models.equivariant`."""

    def __init__(self, pool: int, width: int) -> None:
        super().__init__()
        self.from_start = nn.MaxPool1d(pool, ceil_mode=True)
        self.from_end = nn.MaxPool1d(pool)
        self.rest = -width % pool

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, ceil(T / pool))."""
        own, other = x.chunk(2, 1)
        return torch.cat([self.from_start(own), self.from_end(F.pad(other, (self.rest, 0)))], 1)


class _Joined(nn.Module):
    """Mean and maximum of partners, as :func:`encre.models.equivariant.joined`: ``max(a, b) = b + relu(a - b)``."""

    def __init__(self) -> None:
        super().__init__()
        self.above = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, T)."""
        own, other = x.chunk(2, 1)
        return torch.cat([(own + other) / 2, other + self.above(own - other)], 1)


class _Kmers(nn.Module):
    """The expected vector of each k-mer, as ``KmerInput.relaxed`` has it; zeros where it holds an N."""

    def __init__(self, layer: KmerInput) -> None:
        from tangermeme.deep_lift_shap import BilinearOp

        super().__init__()
        self.k = layer.k
        self.products = nn.ModuleList(BilinearOp("bit,bjt->bijt") for _ in range(layer.k - 1))
        vectors = layer.vectors.detach()[:-1]
        self.vectors = _linear_over_positions(vectors.T, torch.zeros(vectors.shape[1]))

    def forward(self, x: Tensor) -> Tensor:
        """Vectors (B, D, T) of weights (B, 4, L)."""
        count = x.shape[-1] - self.k + 1
        weights = x[..., :count]
        for step, product in enumerate(self.products, start=1):
            weights = product(weights, x[..., step : step + count]).flatten(1, 2)
        return self.vectors(weights)


class _Attention(nn.Module):
    """Attention pooling: (B, D, T) -> (B, D)."""

    def __init__(self, score: nn.Linear) -> None:
        from tangermeme.deep_lift_shap import BilinearOp

        super().__init__()
        self.score = _linear_over_positions(score.weight.detach(), score.bias.detach())
        self.softmax, self.product = nn.Softmax(-1), BilinearOp("bdt,bt->bd")

    def forward(self, x: Tensor) -> Tensor:
        """Features, weighted and summed up."""
        return self.product(x, self.softmax(self.score(x).squeeze(1)))


def _pooling(pooling: Pooling, width: int) -> nn.Module:
    if pooling.score is not None:
        return _Attention(pooling.score)
    whole = nn.MaxPool1d(width) if pooling.name == "max" else nn.AvgPool1d(width)
    return nn.Sequential(whole, nn.Flatten())


def _linear_over_positions(weight: Tensor, bias: Tensor) -> nn.Conv1d:
    """A linear layer (D, E) at every position of (B, E, T)."""
    layer = nn.Conv1d(weight.shape[1], weight.shape[0], 1)
    with torch.no_grad():
        layer.weight.copy_(weight[..., None])
        if layer.bias is not None:
            layer.bias.copy_(bias)
    return layer


def _convolution(block: ConvBlock) -> nn.Conv1d:
    """The block's convolution with its batch norm, which is affine in evaluation, folded in."""
    level = Level.of(block)
    features, inputs, _, width = level.weight.shape
    folded = nn.Conv1d(inputs, features, width, padding=level.half)
    with torch.no_grad():
        folded.weight.copy_(level.weight.squeeze(2))
        if folded.bias is not None:
            folded.bias.copy_(level.bias)
    return folded


def _head(model: EnhancerModel) -> nn.Linear:
    """All heads as one linear layer, in the tasks' order."""
    weight, bias = model.heads.matrix()
    linear = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        linear.weight.copy_(weight)
        linear.bias.copy_(bias)
    return linear


class _Exclusive(nn.Module):
    """What :class:`ExclusiveHeads` makes of outputs (B, K): ``logsumexp(a, b) = b + softplus(a - b)``, one by one."""

    def __init__(self, groups: list[list[int]]) -> None:
        super().__init__()
        self.groups = groups
        self.above = nn.ModuleList(nn.ModuleList(nn.Softplus() for _ in at[2:]) for at in groups)

    def forward(self, outputs: Tensor) -> Tensor:
        """Log odds (B, K)."""
        columns = list(outputs.unbind(1))
        for at, steps in zip(self.groups, self.above, strict=True):
            others = torch.stack([outputs[:, [other for other in at if other != own]] for own in at], 1)
            rest = others[..., 0]
            for number, softplus in enumerate(steps, start=1):  # pyright: ignore[reportArgumentType]
                rest = others[..., number] + softplus(rest - others[..., number])
            for place, own in enumerate(at):
                columns[own] = outputs[:, own] - rest[:, place]
        return torch.stack(columns, 1)


def reverse_strand(x: Tensor) -> Tensor:
    """The weights (..., 4, L) of the other strand, read 5' to 3'."""
    return x.flip(-1, -2)
