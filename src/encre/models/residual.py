"""Residual CNN: a wide stem that reads the bases, then stages of residual convolutions, pooled between.

Residual blocks as in He et al. (2016), one convolution each; attention pooling over positions as the default.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from encre.models.cnn import ConvLayer, StackConfig
from encre.models.settings import InputName


class StagedConfig(StackConfig):
    """Settings of a stem and stages of residual blocks (defaults: 160 x 11, then 160, 192 and 256 features).

    A stage is a convolution to its features, where the one before it has others, then its residual blocks
    ``y = x + dropout(relu(norm(convolution(x))))``, then its max-pooling.

    Parameters
    ----------
    stem, stem_kernel, stem_pool
        Features, odd width in positions and max-pooling of the convolution that reads the input; no dropout.
    widths, blocks, pools
        Features, residual blocks and max-pooling of each stage, one entry a stage.
    kernel
        Odd width in positions of the stages' convolutions.
    """

    input: InputName = "one_hot"
    pooling: Literal["max", "mean", "attention"] = "attention"
    norm: Literal["none", "batch"] = "batch"
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    stem: int = Field(default=160, ge=1, le=4096)
    stem_kernel: int = Field(default=11, ge=1, le=255)
    stem_pool: int = Field(default=2, ge=1, le=64)
    widths: tuple[int, ...] = (160, 192, 256)
    blocks: tuple[int, ...] = (1, 1, 1)
    pools: tuple[int, ...] = (2, 2, 1)
    kernel: int = Field(default=5, ge=1, le=255)

    @model_validator(mode="after")
    def _one_entry_a_stage(self) -> Self:
        if not len(self.widths) == len(self.blocks) == len(self.pools) or not self.widths:
            counts = f"{len(self.widths)}, {len(self.blocks)} and {len(self.pools)}"
            raise ValueError(f"widths, blocks and pools need one entry a stage each; they have {counts}")
        if self.stem_kernel % 2 == 0 or self.kernel % 2 == 0:
            raise ValueError("stem_kernel and kernel must be odd, so that a position keeps its place")
        if min(*self.widths, *self.pools) < 1 or min(self.blocks) < 0:
            raise ValueError("widths and pools must be at least 1, blocks at least 0")
        if empty := [width for width, stage in zip(self.widths, self._stages(), strict=True) if not stage]:
            raise ValueError(f"a stage of {empty[0]} features, as before it, needs at least one block")
        return self

    def layers(self) -> list[ConvLayer]:
        """The stem and the stages' convolutions."""
        stem = ConvLayer(self.stem, self.stem_kernel, self.stem_pool)
        return [stem, *(layer for stage in self._stages() for layer in stage)]

    def _stages(self) -> list[list[ConvLayer]]:
        stages = []
        before = (self.stem, *self.widths)
        for last, width, blocks, pool in zip(before, self.widths, self.blocks, self.pools, strict=False):
            layer = ConvLayer(width, self.kernel, dropout=self.dropout)
            stage = [layer] * (width != last) + [layer._replace(residual=True)] * blocks
            stages.append([*stage[:-1], *(end._replace(pool=pool) for end in stage[-1:])])
        return stages


class ResidualConfig(StagedConfig):
    """Settings of the residual CNN."""

    name: Literal["residual"] = "residual"  # pyright: ignore[reportIncompatibleVariableOverride]
