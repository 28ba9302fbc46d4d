"""The ways to bring signal tracks into a model, by name. A new one: a file beside this one, and a line here."""

from __future__ import annotations

from typing import Any

from encre.errors import ConfigError
from encre.models.fusion.cross_attention import CrossAttention
from encre.models.fusion.early import EarlyFusion
from encre.models.fusion.late import LateFusion
from encre.models.fusion.tracks import Fusion
from encre.models.settings import SignalConfig

#: name in a config file -> how the tracks join
FUSIONS: dict[str, type[EarlyFusion] | type[LateFusion] | type[CrossAttention]] = {
    "early": EarlyFusion,
    "late": LateFusion,
    "cross_attention": CrossAttention,
}


def make_fusion(config: SignalConfig | None, trunk: Any) -> Fusion | None:
    """What a config asks for; None for sequence alone.

    Raises
    ------
    ConfigError
        When the tracks are not named, or the trunk cannot take them in this way.
    """
    if config is None:
        return None
    if not config.tracks or config.bin is None:
        raise ConfigError(
            "[model.signals] names no tracks and no bin",
            remedy="A training takes them from its dataset; elsewhere, name both.",
        )
    return FUSIONS[config.fusion](config, trunk)
