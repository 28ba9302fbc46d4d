"""The local part of a trunk, level by level: what only part of a sequence, or a few changed bases, must pay for.

A convolution's output depends on the bases near it alone. :class:`Levels` holds a trunk's input and convolutions in
a form in which part of a level can be computed from part of the one below. Features are ``(rows, T, D)`` here,
positions before features, so that a run of positions is one piece of memory.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from encre.models.cnn import Convolutions
from encre.models.equivariant import PairedBlock, PairedConvolution, joined
from encre.models.inputs import KmerInput, OneHotInput
from encre.models.layers import ConvBlock, Extent

#: Stands before a ReLU where there is no position: what is added to it never matters.
NOWHERE = -1e30


class Level(NamedTuple):
    """One convolution with what follows it: norm (folded into weights and bias), ReLU, residual, pooling.

    Parameters
    ----------
    weight
        ``(D', D, 1, 2 * half + 1)`` channels-last.
    bias
        ``(D',)``.
    taps
        ``(D, (2 * half + 1) * D')``: one position's part of the outputs from ``half`` before it to ``half`` behind.
    kernel
        ``((2 * half + 1) * D, D')``: all inputs of an output, the first tap's on top.
    half
        Positions each side that an output reaches.
    pool
        Positions that the pooling joins.
    residual
        Whether the input is added before the pooling.
    join
        Whether features are joined with their partners at last (see :mod:`encre.models.equivariant`).
    """

    weight: Tensor
    bias: Tensor
    taps: Tensor
    kernel: Tensor
    half: int
    pool: int
    residual: bool
    join: bool = False

    @classmethod
    def of(cls, block: ConvBlock) -> Level:
        """A block in evaluation mode."""
        weight, bias = block.conv.weight, block.conv.bias
        assert bias is not None, "every convolution here has a bias"
        if (norm := block.norm) is not None:
            scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
            weight, bias = weight * scale[:, None, None, None], (bias - norm.running_mean) * scale + norm.bias
        join = isinstance(block, PairedBlock) and block.join
        if isinstance(block.conv, PairedConvolution):
            weight, bias = block.conv.whole(weight, bias)
        taps = weight[:, :, 0].flip(-1).permute(1, 2, 0).flatten(1).contiguous()
        kernel = weight[:, :, 0].permute(2, 1, 0).flatten(0, 1).contiguous()
        weight = weight.contiguous(memory_format=torch.channels_last)
        return cls(weight, bias, taps, kernel, weight.shape[-1] // 2, block.pool, block.residual, join)

    def convolved(self, x: Tensor) -> Tensor:
        """What stands before the ReLU: ``(rows, T, D) -> (rows, T, D')``, zeros beyond both ends."""
        image = x.transpose(1, 2).unsqueeze(2)  # channels-last already: nothing is copied
        return F.conv2d(image, self.weight, self.bias, padding=(0, self.half)).squeeze(2).transpose(1, 2)

    def finished(self, y: Tensor, x: Tensor | None = None, *, keep: bool = False) -> Tensor:
        """ReLU, residual (the input at the same positions) and pooling; a rest of fewer positions counts as one.

        ``y`` is overwritten unless it is to be kept.
        """
        if self.residual and x is not None:
            done = pooled((F.relu(y) if keep else relu_(y)) + x, self.pool)
        else:  # A ReLU after the pooling gives the same and passes over fewer values.
            done = F.relu(y) if keep and self.pool == 1 else relu_(pooled(y, self.pool))
        return joined(done) if self.join else done


def relu_(y: Tensor) -> Tensor:
    """ReLU in place.

    A bfloat16 is negative when its bits, read as int16, are: PyTorch's own kernel takes 6 times as long on a CPU.
    """
    if y.dtype == torch.bfloat16:
        y.view(torch.int16).clamp_(min=0)
        return y
    return F.relu(y, inplace=True)


def pooled(y: Tensor, pool: int) -> Tensor:
    """Maximum over every ``pool`` positions of ``(rows, T, D)``; where none is above 0, any that is not either."""
    if pool == 1 or not y.shape[1]:
        return y
    if y.dtype == torch.bfloat16:  # in the order of their bits, which numbers above 0 share (see relu_)
        return pooled(y.view(torch.int16), pool).view(torch.bfloat16)
    if rest := -y.shape[1] % pool:
        y = F.pad(y, (0, 0, 0, rest))
    top = torch.maximum(y[:, 0::pool], y[:, 1::pool])
    for place in range(2, pool):
        torch.maximum(top, y[:, place::pool], out=top)
    return top


class Levels:
    """A trunk's input and convolutions.

    Parameters
    ----------
    convolutions
        In evaluation mode.
    """

    def __init__(self, convolutions: Convolutions) -> None:
        assert isinstance(convolutions.input, KmerInput | OneHotInput)
        self.input = convolutions.input
        self.levels = [Level.of(block) for block in convolutions.blocks if isinstance(block, ConvBlock)]
        #: Tokens that one position of each level stands for, from the tokens (1) to the last level.
        self.steps = [1]
        for level in self.levels:
            self.steps.append(self.steps[-1] * level.pool)

    def tokens(self, codes: Tensor) -> Tensor:
        """Embedded tokens (rows, T, E) of whole sequences (rows, L) uint8."""
        length = torch.full((len(codes),), codes.shape[1])
        return self.input(codes, Extent.of(length, codes.shape[1], codes.device))[0]

    def forward(self, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Outputs, and what stood before the ReLU, of every level.

        Parameters
        ----------
        x
            Tokens (rows, T, E).

        Returns
        -------
        tuple of list of Tensor
            ``(rows, T, D)`` each: the tokens and every level's output; and every level's pre-activations.
        """
        outputs, before = [x], []
        for level in self.levels:
            before.append(level.convolved(outputs[-1]))
            outputs.append(level.finished(before[-1], outputs[-1], keep=True))
        return outputs, before

    def work(self, tokens: int) -> float:
        """Multiplications of one sequence of so many tokens."""
        total = 0.0
        for level in self.levels:
            total += tokens * level.weight.numel()
            tokens = -(-tokens // level.pool)
        return total


class Padded(NamedTuple):
    """Features (rows, T, D) between margins, for taking runs of positions that may reach over an end.

    Parameters
    ----------
    values
        ``(rows, margin + T + margin, D)`` contiguous.
    margin
        Positions before the first.
    """

    values: Tensor
    margin: int

    @classmethod
    def of(cls, x: Tensor, margin: int, *, fill: float = 0.0) -> Padded:
        """With ``margin`` positions of ``fill`` at both ends."""
        if not margin:
            return cls(x.contiguous(), 0)
        return cls(F.pad(x, (0, 0, margin, margin), value=fill).contiguous(), margin)

    def runs(self, row: Tensor, start: Tensor, width: int) -> Tensor:
        """Copies ``(B, width, D)`` of the positions from ``start`` (B,) on, of rows ``row`` (B,)."""
        rows, length, features = self.values.shape
        view = self.values.as_strided((rows * length - width + 1, width * features), (features, 1))
        at = row * length + start + self.margin
        return view.index_select(0, at).view(len(at), width, features)
