"""The signal tracks of a dataset that a model reads: which, in which order, in which bins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from encre.data.signals import MADE_UP
from encre.errors import ConfigError, DataError, nearest
from encre.models.settings import ModelConfig

if TYPE_CHECKING:
    from encre.data.dataset import Dataset


def with_tracks(config: ModelConfig, dataset: Dataset) -> ModelConfig:
    """The settings with ``[model.signals] tracks`` and ``bin`` filled in from the dataset.

    Raises
    ------
    ConfigError
        When the dataset has no track of that name, or other bins.
    DataError
        When the dataset has no tracks at all, or made-up training rows that their missing signal would give away.
    """
    asked = config.signals
    if asked is None:
        return config
    names = [track["name"] for track in dataset.tracks]
    remedy = 'Build it with [signals] (see docs/dataset.md), or train on sequence alone: fusion = "none".'
    if not names:
        raise DataError("the model reads signal tracks, and the dataset has none", where=dataset.path, remedy=remedy)
    for name in asked.tracks:
        if name not in names:
            what = f"the dataset has no signal track '{name}'"
            raise ConfigError(what, where=dataset.path, remedy=nearest(name, names))
    size = int(dataset.manifest["signals"]["bin"])
    if asked.bin not in (None, size):
        expected, got = f"bins of {size} bases, as the dataset has", f"{asked.bin}"
        raise ConfigError("key 'bin' in [model.signals] is not right", where=dataset.path, expected=expected, got=got)
    if dataset.train.elements["kind"].is_in(MADE_UP).any():
        raise DataError(
            "shuffled rows have no signal, and its absence would give them away",
            where=dataset.path,
            remedy=f"Take negatives from the genome ([negatives] kind). {remedy}",
        )
    found = {"tracks": asked.tracks or tuple(names), "bin": size}
    return config.model_copy(update={"signals": asked.model_copy(update=found)})


def columns(config: ModelConfig, dataset: Dataset) -> list[int]:
    """Where the model's tracks stand among the dataset's S; none for a model of sequence alone."""
    names = [track["name"] for track in dataset.tracks]
    return [names.index(name) for name in config.signals.tracks] if config.signals else []


def description(config: ModelConfig, dataset: Dataset) -> dict[str, Any]:
    """What a run's manifest says of its tracks: how they were made, so that others can be made alike later."""
    if config.signals is None:
        return {}
    about = dataset.manifest["signals"]
    return {"signals": {**about, "tracks": [about["tracks"][at] for at in columns(config, dataset)]}}
