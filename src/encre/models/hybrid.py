"""Hybrid: residual convolutions over the bases, dense attention over what they pool, attention pooling at the end."""

from __future__ import annotations

from typing import Literal

from encre.models.encoder import EncoderConfig


class HybridConfig(EncoderConfig):
    """Settings of the hybrid (defaults for elements of 200-500 bp: .64 M parameters, 4 bases a token)."""

    name: Literal["hybrid"] = "hybrid"  # pyright: ignore[reportIncompatibleVariableOverride]
    stem: int = 128
    widths: tuple[int, ...] = (160,)
    blocks: tuple[int, ...] = (1,)
    pools: tuple[int, ...] = (2,)
