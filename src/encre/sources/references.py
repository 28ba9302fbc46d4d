"""``@name`` in a config: a file of the catalogue, found through the lock beside the config."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from encre.errors import ConfigError, MissingFileError
from encre.sources.catalogue import Entry, find, load_catalogue
from encre.sources.lock import LOCK, fault, place_of, read_lock

#: Tables that say how to download, and may not refer to downloads.
_OWN = ("catalogue", "download")


def references(values: Mapping[str, Any]) -> list[str]:
    """Names of every ``@name`` in a config's plain values, each once, in the order in which they stand."""
    return list(dict.fromkeys(_names({key: value for key, value in values.items() if key not in _OWN})))


def entries_of_config(values: Mapping[str, Any]) -> list[Entry]:
    """Every file that a config refers to: its ``@name`` references, and the ENCODE files that it asks for by organ.

    Raises
    ------
    ConfigError
        For a name that is neither in the catalogue nor under [catalogue].
    """
    catalogue = load_catalogue(values.get("catalogue"))
    entries = [find(name, catalogue) for name in references(values)]
    if find_spec("encre.sources.encode"):
        more = import_module("encre.sources.encode").entries_of_config(values)
        entries.extend(more)
    return entries


def resolve_references(values: Mapping[str, Any], *, config_path: str | Path) -> dict[str, Any]:
    """Put the path of the downloaded file in the place of each ``@name``.

    Parameters
    ----------
    values
        A config's plain values.
    config_path
        The config file; ``encre.lock`` lies beside it.

    Returns
    -------
    dict
        The same values with absolute paths; every file is there and as it was downloaded.

    Raises
    ------
    ConfigError
        For a name that nothing knows.
    MissingFileError
        For a file that was not downloaded, is gone, or has changed.
    """
    lock = Path(config_path).resolve().parent / LOCK
    known = read_lock(lock)
    paths: dict[str, str] = {}
    for name in references(values):
        remedy = f"Run: encre data download {config_path}"
        if name not in known:
            find(name, load_catalogue(values.get("catalogue")))
            raise MissingFileError(f"'@{name}' has not been downloaded", where=config_path, remedy=remedy)
        if found := fault(known[name], lock):
            raise MissingFileError(f"'@{name}' is not usable: {found}", where=config_path, remedy=remedy)
        paths[f"@{name}"] = str(place_of(known[name], lock))
    return {key: value if key in _OWN else _replaced(value, paths) for key, value in values.items()}


def _names(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _names(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _names(inner)
    elif isinstance(value, str) and value.startswith("@"):
        if not value[1:].strip():
            raise ConfigError("'@' names no file", remedy='Write for example "@screen-v4".')
        yield value[1:]


def _replaced(value: Any, paths: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _replaced(inner, paths) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_replaced(inner, paths) for inner in value]
    return paths.get(value, value) if isinstance(value, str) else value
