"""Hybrid: residual convolutions over the bases, dense attention over what they pool, attention pooling at the end."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from encre.models.encoder import EncoderConfig


class HybridConfig(EncoderConfig):
    """Settings of the hybrid (defaults for elements of 200-500 bp: .65 M parameters, 4 bases a token)."""

    name: Literal["hybrid"] = "hybrid"  # pyright: ignore[reportIncompatibleVariableOverride]
    stem: int = Field(default=128, ge=1, le=4096)
    widths: tuple[int, ...] = (160,)
    blocks: tuple[int, ...] = (1,)
    pools: tuple[int, ...] = (2,)
    attention_layers: int = Field(default=2, ge=1, le=96)
    feed_forward: int = Field(default=320, ge=1)
