"""What can be downloaded: one :class:`Entry` a file, with every address it is known to have had.

The entries that encre knows stand in ``assets/catalogue.toml``; a config adds its own under ``[catalogue.NAME]``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import Field, field_validator

from encre.config import Config
from encre.errors import ConfigError, nearest


@dataclass(frozen=True)
class Entry:
    """A file that the catalogue knows.

    Parameters
    ----------
    name
        How configs and the lock call it, for example ``"screen-v4"``.
    title
        One line for people.
    addresses
        Where it stands, tried in this order: ``https://``, ``http://`` or ``file://``.
    form
        What it is: ``"registry"``, ``"tissue"``, ``"biosample"``, ``"genome"``, ``"assembly report"``, ``"sizes"``,
        ``"exclusion list"``, ``"tss"``, ``"signal"``, ``"table"``.
    size
        Bytes, or None where nobody publishes it.
    md5, sha256
        Hex checksums, or "" where nobody publishes them.
    assembly
        Assembly that its coordinates belong to.
    licence, citation
        What its owner says, and the paper to cite.
    filename
        What it is called on disk; by default the last part of the address. ``.gz`` is added where the address that
        worked has it.
    rows
        Lines that it must have, or None where that is not known.
    classes
        Every cCRE class that it has (without ``,CTCF-bound``), or none where that is not known.
    """

    name: str
    title: str
    addresses: tuple[str, ...]
    form: str
    size: int | None = None
    md5: str = ""
    sha256: str = ""
    assembly: str = "GRCh38"
    licence: str = ""
    citation: str = ""
    filename: str = ""
    rows: int | None = None
    classes: tuple[str, ...] = ()

    def file_at(self, address: str) -> str:
        """What the file is called on disk when it comes from this address."""
        last = unquote(urlsplit(address).path).rsplit("/", 1)[-1] or self.name
        if not self.filename:
            return last
        return f"{self.filename}.gz" if last.endswith(".gz") and not self.filename.endswith(".gz") else self.filename


class EntrySettings(Config):
    """[catalogue.NAME]: a file of one's own, or a mirror of a known one; the keys are those of :class:`Entry`."""

    title: str = ""
    addresses: tuple[str, ...] = Field(min_length=1)
    form: Literal[
        "registry",
        "tissue",
        "biosample",
        "genome",
        "assembly report",
        "sizes",
        "exclusion list",
        "tss",
        "signal",
        "table",
    ]
    size: int | None = Field(default=None, gt=0)
    md5: str = Field(default="", pattern="^([0-9a-f]{32})?$")
    sha256: str = Field(default="", pattern="^([0-9a-f]{64})?$")
    assembly: str = "GRCh38"
    licence: str = ""
    citation: str = ""
    filename: str = Field(default="", pattern=r"^([^/\\.][^/\\]*)?$")
    rows: int | None = Field(default=None, gt=0)
    classes: tuple[str, ...] = ()

    @field_validator("addresses")
    @classmethod
    def _reachable(cls, addresses: tuple[str, ...]) -> tuple[str, ...]:
        for address in addresses:
            if urlsplit(address).scheme not in ("https", "http", "file"):
                raise ValueError(f"an address begins with https://, http:// or file://, not as '{address}'")
        return addresses


def load_catalogue(extra: Mapping[str, Any] | None = None) -> Mapping[str, Entry]:
    """Every entry that encre knows, and those of a config.

    Parameters
    ----------
    extra
        The tables under ``[catalogue]`` of a config, name -> keys. The name of a known entry changes only the keys
        that it gives: ``[catalogue.screen-v4] addresses = ["file:///mirror/V4.bed"]`` is still checked as V4 is.

    Raises
    ------
    ConfigError
        For an unknown key, a bad checksum or address, or an entry without addresses or form.
    """
    tables = _shipped()
    for name, values in (extra or {}).items():
        if not isinstance(values, Mapping):
            raise ConfigError(f"[catalogue.{name}] is not a table", remedy="Write it with `addresses` and `form`.")
        tables[name] = {**tables.get(name, {}), **values}
    return {name: _entry(name, values) for name, values in tables.items()}


def find(name: str, catalogue: Mapping[str, Entry]) -> Entry:
    """The entry of a name, written with or without ``@``; an unknown one is a :class:`ConfigError`."""
    bare = name.removeprefix("@")
    if bare not in catalogue:
        close = nearest(bare, catalogue)
        close = close if close.startswith("Did you") else "`encre data download --list` shows what there is."
        remedy = f"{close} A file of your own goes under [catalogue.{bare}] in the config."
        raise ConfigError(f"the catalogue has no '{bare}'", remedy=remedy)
    return catalogue[bare]


def distinct(entries: Iterable[Entry]) -> list[Entry]:
    """Each entry once; two files of one name on disk would overwrite each other and are refused."""
    once = {entry.name: entry for entry in entries}
    owners: dict[str, str] = {}
    for entry in once.values():
        for file in {entry.file_at(address) for address in entry.addresses}:
            if (other := owners.setdefault(file, entry.name)) != entry.name:
                raise ConfigError(
                    f"'{other}' and '{entry.name}' would both be called {file}",
                    remedy=f'Give one of them another: [catalogue.{entry.name}] filename = "…".',
                )
    return list(once.values())


def _shipped() -> dict[str, dict[str, Any]]:
    text = (resources.files("encre.assets") / "catalogue.toml").read_text(encoding="utf-8")
    content = tomllib.loads(text)
    tables: dict[str, dict[str, Any]] = dict(content["entries"])
    for family in content["families"].values():
        for word in family["each"]:
            values = {key: _filled(value, word) for key, value in family.items() if key != "each"}
            tables[values.pop("name")] = values
    return tables


def _filled(value: Any, word: str) -> Any:
    if isinstance(value, str):
        return value.replace("{each}", word)
    return [_filled(item, word) for item in value] if isinstance(value, list) else value


def _entry(name: str, values: Mapping[str, Any]) -> Entry:
    settings = EntrySettings.parse(values, where=f"[catalogue.{name}]")
    given: dict[str, Any] = settings.model_dump()
    return Entry(name=name, **{**given, "title": settings.title or name})
