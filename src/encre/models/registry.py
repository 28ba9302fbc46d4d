"""The architectures by name. A new one: a file with its config and trunk, and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from encre.errors import ConfigError, nearest
from encre.models.cnn import CNNConfig
from encre.models.cnn_lstm import CNNLSTMConfig
from encre.models.dilated import DilatedConfig
from encre.models.ensemble import EnsembleConfig
from encre.models.equivariant import EquivariantConfig
from encre.models.hybrid import HybridConfig
from encre.models.language_model import LanguageModelConfig
from encre.models.longformer import LongformerConfig
from encre.models.performer import PerformerConfig
from encre.models.residual import ResidualConfig
from encre.models.settings import ModelConfig
from encre.models.transformer import TransformerConfig

#: name in a config file -> settings class
MODELS: dict[str, type[ModelConfig]] = {
    "cnn": CNNConfig,
    "cnn_lstm": CNNLSTMConfig,
    "transformer": TransformerConfig,
    "ensemble": EnsembleConfig,
    "language_model": LanguageModelConfig,
    "residual": ResidualConfig,
    "equivariant": EquivariantConfig,
    "hybrid": HybridConfig,
    "dilated": DilatedConfig,
    "longformer": LongformerConfig,
    "performer": PerformerConfig,
}


def model_config(values: Mapping[str, Any] | ModelConfig, *, where: str = "[model]") -> ModelConfig:
    """The settings that a ``[model]`` table describes.

    Parameters
    ----------
    values
        The table's values; ``name`` chooses the architecture.
    where
        File to name in an error.

    Raises
    ------
    ConfigError
        For an unknown name (the nearest is offered), an unknown key or a value out of range.
    """
    if isinstance(values, ModelConfig):
        return values
    name = values.get("name")
    if name is None:
        raise ConfigError("key 'name' in [model] is missing", where=where, remedy=f"One of: {', '.join(MODELS)}.")
    if name not in MODELS:
        raise ConfigError(f"there is no model '{name}'", where=where, remedy=nearest(str(name), MODELS))
    return MODELS[name].parse(values, where=where)
