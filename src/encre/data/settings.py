"""What can be asked of a dataset build: ``DatasetConfig``, as TOML tables or as keyword arguments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, SerializeAsAny, field_validator, model_validator

from encre.config import Config, override, read_toml
from encre.data.negatives import NEGATIVES
from encre.errors import ConfigError, nearest
from encre.sources.registry import SOURCES

#: Keys of [source] that hold paths; relative ones are resolved against the config file's folder.
_PATH_KEYS = ("registry", "genome", "file", "labels", "tissues")


class SequenceSettings(Config):
    """[sequence]: which bases of an element become its sequence.

    ``mode = "element"`` takes the elements as they are; ``mode = "window"`` takes ``width`` bases of real
    flanking sequence centred on the element, with ``jitter`` more on each side for shifting in training.
    """

    mode: Literal["element", "window"] = "element"
    width: int | None = Field(default=None, ge=1)
    jitter: int = Field(default=0, ge=0)
    max_n_share: float = Field(default=0.5, ge=0, le=1)
    min_length: int = Field(default=1, ge=1)
    max_length: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.mode == "window" and self.width is None:
            raise ValueError("mode 'window' needs a width")
        if self.mode == "element" and (self.width is not None or self.jitter):
            raise ValueError("width and jitter belong to mode 'window'")
        if self.max_length is not None and self.max_length < self.min_length:
            raise ValueError("max_length is below min_length")
        return self


class NegativeSettings(Config):
    """[negatives]: rows made from the elements to tell them from; ``per_element`` of each kind."""

    kinds: tuple[str, ...] = ()
    per_element: int = Field(default=1, ge=1, le=100)
    seed: int = Field(default=0, ge=0)

    @field_validator("kinds")
    @classmethod
    def _known(cls, kinds: tuple[str, ...]) -> tuple[str, ...]:
        for kind in kinds:
            if kind not in NEGATIVES:
                raise ValueError(f"there are no negatives of kind '{kind}'. {nearest(kind, NEGATIVES)}")
        if len(set(kinds)) != len(kinds):
            raise ValueError("a kind of negatives stands twice")
        return kinds


class SplitSettings(Config):
    """[split]: who trains and who judges.

    By ``"chromosome"`` (the field's default; ``valid`` and ``test`` name chromosomes, the rest trains), by
    ``"group"`` (random, but a sequence and its reverse complement stay together; stratified by targets and
    class) or by ``"column"`` (as the source says).
    """

    by: Literal["chromosome", "group", "column"] = "chromosome"
    valid: tuple[str, ...] = ("chr6", "chr21")
    test: tuple[str, ...] = ("chr5", "chr10", "chr14", "chr18", "chr20", "chr22")
    valid_fraction: float = Field(default=0.1, gt=0, lt=1)
    test_fraction: float = Field(default=0.1, gt=0, lt=1)
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if both := sorted(set(self.valid) & set(self.test)):
            raise ValueError(f"{', '.join(both)} stands in both valid and test")
        if self.valid_fraction + self.test_fraction >= 1:
            raise ValueError("valid_fraction and test_fraction leave nothing to train on")
        return self


class AuditSettings(Config):
    """[audit]: limits that fail the build; without a limit the audit only reports.

    ``max_exact_leakage`` is the number of pairs of identical (or reverse-complement) sequences that may
    stand in two splits; ``max_shortcut_auroc`` the AUROC that length, GC or N share alone may reach.
    """

    max_exact_leakage: int | None = Field(default=None, ge=0)
    max_shortcut_auroc: float | None = Field(default=None, ge=0.5, le=1)


class DatasetConfig(Config):
    """Everything that decides a dataset: the tables [source], [sequence], [negatives], [split] and [audit].

    ``source`` is one of the settings of ``encre.sources.registry.SOURCES``, chosen by its ``kind``.
    """

    name: str = "dataset"
    source: SerializeAsAny[Config]
    sequence: SequenceSettings = SequenceSettings()
    negatives: NegativeSettings = NegativeSettings()
    split: SplitSettings = SplitSettings()
    audit: AuditSettings = AuditSettings()

    @field_validator("source", mode="before")
    @classmethod
    def _source(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        if problem := _source_problem(values):
            raise ValueError(f"{problem[0]}. {problem[1]}")
        return SOURCES[values["kind"]][0].model_validate(values)

    @classmethod
    def parse(cls, values: Mapping[str, Any], *, where: str | Path = "") -> Self:
        """Check plain values (as TOML gives them); as :meth:`Config.parse`, and [source] by its kind."""
        source = values.get("source")
        if isinstance(source, Mapping) and (problem := _source_problem(source)):
            raise ConfigError(problem[0], where=str(where) or cls.__name__, remedy=problem[1])
        return super().parse(values, where=where)

    @classmethod
    def from_toml(cls, path: str | Path, *, overrides: Iterable[str] = ()) -> Self:
        """Read a TOML file, apply ``a.b=c`` overrides, resolve [source]'s paths beside the file, and check it."""
        values = override(read_toml(path), overrides)
        source = values.get("source")
        if isinstance(source, dict):
            values["source"] = _beside(source, Path(path).resolve().parent)
        return cls.parse(values, where=path)


def _source_problem(source: Mapping[str, Any]) -> tuple[str, str] | None:
    """What is wrong with [source]'s kind or keys, and the remedy; None when nothing is."""
    kind = source.get("kind")
    if kind not in SOURCES:
        return f"there is no source of kind '{kind}' in [source]", nearest(str(kind), SOURCES)
    known = SOURCES[str(kind)][0].model_fields
    for key in source:
        if key not in known:
            return f"unknown key '{key}' in [source]", nearest(key, known)
    return None


def _beside(source: dict[str, Any], folder: Path) -> dict[str, Any]:
    """[source] with its relative paths made absolute; empty ones (a tissue without a file) stay empty."""

    def resolve(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: resolve(item) for key, item in value.items()}
        return str(folder / Path(value).expanduser()) if isinstance(value, str) and value else value

    return {key: resolve(value) if key in _PATH_KEYS else value for key, value in source.items()}
