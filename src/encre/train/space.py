"""What `encre tune` may change: a range or choices for each key of a training file, as its ``[tune]`` table says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from encre.config import Config, override
from encre.errors import ConfigError
from encre.models.registry import model_config
from encre.models.settings import ModelConfig
from encre.train.settings import RunConfig, TrainConfig


class Space(Config):
    """Values that one key may have: from ``low`` to ``high``, or one of ``choices``.

    Parameters
    ----------
    low, high
        Both included; whole numbers where both are written as whole numbers.
    log
        Even in the logarithm.
    choices
        Any values that the key takes, lists included.
    """

    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    choices: tuple[Any, ...] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        ranged = self.low is not None and self.high is not None
        if ranged == (self.choices is not None) or (self.low is None) != (self.high is None):
            raise ValueError("give low and high, or choices")
        low, high = self.low or 0, self.high or 0
        if low > high or (self.log and low <= 0):
            raise ValueError("low must not be above high, and with log be above 0")
        return self

    @property
    def first(self) -> Any:
        """One of the values."""
        return self.choices[0] if self.choices is not None else self.low

    def suggest(self, trial: Any, key: str) -> Any:
        """The value of an optuna trial; choices are told apart by their JSON, so that lists can be chosen."""
        if self.choices is not None:
            return json.loads(trial.suggest_categorical(key, [json.dumps(choice) for choice in self.choices]))
        whole = isinstance(self.low, int) and isinstance(self.high, int)
        return (trial.suggest_int if whole else trial.suggest_float)(key, self.low, self.high, log=self.log)


class TuneConfig(RunConfig):
    """A training file that may have a ``[tune]`` table: key of the file (``"train.learning_rate"``) -> space."""

    tune: dict[str, Space] = Field(default_factory=dict)

    @field_validator("tune", mode="before")
    @classmethod
    def _flat(cls, values: Any) -> Any:
        return dict(_leaves(values)) if isinstance(values, Mapping) else values

    def space(self) -> dict[str, Space]:
        """The ``[tune]`` table, or what suits the model where there is none.

        Raises
        ------
        ConfigError
            When a key is none of the training file's, or a value is out of its range.
        """
        space = self.tune or default_space(model_config(self.model))
        for key, values in space.items():
            if key.split(".")[0] not in ("model", "train") or "." not in key:
                raise ConfigError(
                    f"[tune] cannot change '{key}'", expected="a key of [model] or [train]", got=f"'{key}'"
                )
            self.with_values({key: values.first})
        return space

    def with_values(self, values: Mapping[str, Any]) -> tuple[ModelConfig, TrainConfig]:
        """The settings with some keys set to other values."""
        plain = {"model": self.model, "train": self.train.model_dump(mode="json", exclude_none=True)}
        changed = override(plain, (f"{key}={json.dumps(value)}" for key, value in values.items()))
        return model_config(changed["model"], where="[tune]"), TrainConfig.parse(changed["train"], where="[tune]")


def default_space(config: ModelConfig) -> dict[str, Space]:
    """How fast and how freely to learn: what depends on the data most, and hardly on the model's shape.

    Widths and depths are choices about time and memory, so they are tuned only where ``[tune]`` names them.
    """
    space = {
        "train.learning_rate": Space(low=1e-4, high=1e-2, log=True),
        "train.weight_decay": Space(low=1e-4, high=0.3, log=True),
        "train.batch_size": Space(choices=(32, 64, 128)),
        "model.head_dropout": Space(low=0.0, high=0.5),
    }
    if "dropout" in type(config).model_fields:
        space["model.dropout"] = Space(low=0.0, high=0.4)
    return space


def _leaves(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """``[tune.train.learning_rate]`` and ``[tune."train.learning_rate"]`` alike."""
    found: list[tuple[str, Any]] = []
    for key, value in values.items():
        if isinstance(value, Mapping) and value and all(isinstance(v, Mapping) for v in value.values()):
            found += _leaves(value, f"{prefix}{key}.")
        else:
            found.append((f"{prefix}{key}", value))
    return found
