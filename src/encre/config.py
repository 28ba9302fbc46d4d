"""Strict TOML <-> pydantic: every config of encre is a :class:`Config`; an unknown key is refused.

Settings live in the room that uses them (``data.build.DatasetConfig``, ``models.cnn.CNNConfig`` …);
this module holds only what they share: reading, overriding with ``a.b=c``, writing, and turning a
pydantic complaint into one paragraph that names the file, the table and the nearest known key.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import tomli_w
from pydantic import BaseModel, ConfigDict, ValidationError

from encre.errors import ConfigError, MissingFileError, nearest


class Config(BaseModel):
    """Base of every settings model: frozen, strict about keys, readable from and writable to TOML."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise explain(error, type(self), where=type(self).__name__) from None

    # So marked, pydantic does not call it for nested models, and their complaints keep the whole path.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    @classmethod
    def parse(cls, values: Mapping[str, Any], *, where: str | Path = "") -> Self:
        """Check plain values (as TOML gives them).

        Raises
        ------
        ConfigError
            Naming the table, the key and the nearest known key or the allowed range.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise explain(error, cls, where=str(where) or cls.__name__) from None

    @classmethod
    def from_toml(cls, path: str | Path, *, overrides: Iterable[str] = ()) -> Self:
        """Read a TOML file, apply ``a.b=c`` overrides, and check it."""
        return cls.parse(override(read_toml(path), overrides), where=path)

    def to_toml(self) -> str:
        """The resolved settings as TOML; keys that are None are left out (TOML has no null)."""
        return tomli_w.dumps(_without_none(self.model_dump(mode="json")))


def read_toml(path: str | Path) -> dict[str, Any]:
    """Read a TOML file into plain values; a missing or broken file is said in one paragraph."""
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(
            "there is no such config file",
            where=path,
            remedy="Check the path; examples/ holds ready configs.",
        )
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"not valid TOML: {error}", where=path) from error


def override(values: Mapping[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """Apply ``table.key=value`` assignments; the value is read as TOML, or taken as text."""
    result = _copy(values)
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key.strip():
            raise ConfigError("an override is written table.key=value", got=f"'{assignment}'")
        *tables, last = key.strip().split(".")
        place = result
        for table in tables:
            place = place.setdefault(table, {})
            if not isinstance(place, dict):
                raise ConfigError(f"'{table}' of the override '{assignment}' is a value, not a table")
        try:
            place[last] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            place[last] = text
    return result


def explain(error: ValidationError, model: type[BaseModel], *, where: str) -> ConfigError:
    """Turn pydantic's complaint into one :class:`ConfigError` about its first entry."""
    first = error.errors(include_url=False)[0]
    location = [str(part) for part in first["loc"]]
    table, key = ".".join(location[:-1]), location[-1] if location else ""
    place = f"in [{table}]" if table else "at the top level"
    more = f" ({error.error_count() - 1} more like it.)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        known = _fields_at(model, location[:-1])
        return ConfigError(f"unknown key '{key}' {place}", where=where, remedy=nearest(key, known) + more)
    if first["type"] == "missing":
        return ConfigError(f"key '{key}' {place} is missing", where=where, remedy=f"Add it.{more}")
    said = first["msg"].removeprefix("Value error, ")
    what = f"key '{key}' {place} is not right: {said}" if key else said
    shown = "" if isinstance(first["input"], dict) else repr(first["input"])
    return ConfigError(what, where=where, got=shown, remedy=more.strip())


def _fields_at(model: type[BaseModel], location: list[str]) -> list[str]:
    """Field names of the nested model that a location points into."""
    for part in location:
        field = model.model_fields.get(part)
        inner = _model_in(field.annotation) if field else None
        if inner is None:
            return list(model.model_fields) if field is None else []
        model = inner
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in getattr(annotation, "__args__", ()):
        if (found := _model_in(part)) is not None:
            return found
    return None


def _copy(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _copy(v) if isinstance(v, Mapping) else v for k, v in values.items()}


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    return [_without_none(v) for v in value] if isinstance(value, list) else value
