"""``encre.lock``: which files were downloaded, from where and when, with their checksums: a build can be repeated.

A TOML file: one table a file, ``[files.NAME]``, and under ``[groups]`` which files each organ or accession of ENCODE
had. It stands beside the config and may be committed with it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import tomli_w

from encre.errors import FormatError, MissingFileError, nearest
from encre.files import open_existing, staged_file
from encre.genome.cache import cache_root, source_digest

LOCK = "encre.lock"
_HEAD = "# Written by `encre data download`: what was fetched, from where and when. Keep it with the config.\n\n"
_AGAIN = "Remove it and download again: whole files that are there are not fetched twice."


@dataclass(frozen=True)
class Locked:
    """One file of the lock.

    Parameters
    ----------
    file
        Its path, relative to the lock's folder where it lies below it.
    address
        Where it came from; ``""`` when it was found in its place.
    sha256, md5
        Hex checksums of its bytes.
    size
        Bytes.
    date
        When it came, ISO 8601, UTC.
    licence
        What its owner says.
    """

    file: str
    address: str
    sha256: str
    md5: str
    size: int
    date: str
    licence: str = ""


def read_lock(path: str | Path) -> dict[str, Locked]:
    """Name -> locked file; nothing when there is no lock yet.

    Raises
    ------
    FormatError
        When it is no TOML, or a table of it lacks a key.
    """
    known = {field.name for field in fields(Locked)}
    try:
        return {
            name: Locked(**{key: value for key, value in table.items() if key in known})
            for name, table in _content(path).get("files", {}).items()
        }
    except (TypeError, AttributeError) as error:
        raise FormatError(f"the lock is damaged ({error})", where=path, remedy=_AGAIN) from error


def read_groups(path: str | Path) -> dict[str, list[str]]:
    """What was asked for by organ or accession -> names of its files, in order."""
    groups = _content(path).get("groups", {})
    if not isinstance(groups, dict) or not all(isinstance(names, list) for names in groups.values()):
        raise FormatError("the lock is damaged (its groups are no lists)", where=path, remedy=_AGAIN)
    return groups


def write_lock(
    path: str | Path, found: Mapping[str, Locked], *, groups: Mapping[str, Sequence[str]] | None = None
) -> None:
    """Put files and groups into the lock beside those that it has, and rename it into place."""
    files = read_lock(path) | dict(found)
    content: dict[str, object] = {"files": {name: asdict(files[name]) for name in sorted(files)}}
    if merged := read_groups(path) | {name: list(names) for name, names in (groups or {}).items()}:
        content["groups"] = {name: merged[name] for name in sorted(merged)}
    with staged_file(path) as staged:
        staged.write_text(_HEAD + tomli_w.dumps(content), encoding="utf-8")


def _content(path: str | Path) -> dict[str, Any]:
    if not Path(path).is_file():
        return {}
    with open_existing(path) as handle:
        try:
            return tomllib.loads(handle.read().decode("utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise FormatError(f"the lock is not valid TOML ({error})", where=path, remedy=_AGAIN) from error


def place_of(locked: Locked, lock: str | Path) -> Path:
    """Where a locked file should lie."""
    return Path(lock).resolve().parent / locked.file


def licence_of(file: str | Path) -> str:
    """The licence of a downloaded file, by the lock in its folder or in the one above; ``""`` where neither says."""
    file = Path(file).resolve()
    for lock in (folder / LOCK for folder in list(file.parents)[:2]):
        for locked in read_lock(lock).values():
            if place_of(locked, lock) == file:
                return locked.licence
    return ""


def written_as(file: Path, lock: str | Path) -> str:
    """How the lock writes a path: relative to its own folder where the file lies below it."""
    file, home = file.resolve(), Path(lock).resolve().parent
    return file.relative_to(home).as_posix() if file.is_relative_to(home) else str(file)


def fault(locked: Locked, lock: str | Path) -> str:
    """What is wrong with a locked file on this machine, in words; ``""`` when it is as it was locked.

    The checksum is remembered by path, size and modification time, so a large file is read only once.
    """
    path = place_of(locked, lock)
    if not path.is_file():
        return f"{path} is not there"
    if path.stat().st_size != locked.size:
        return f"{path} has {path.stat().st_size:,} bytes instead of {locked.size:,}"
    if source_digest(path, cache_root(None)) != locked.sha256:
        return f"{path} is not the file that was downloaded (its SHA-256 is another)"
    return ""


def resolve(name: str, lock: str | Path) -> Path:
    """The path of a locked file, checked.

    Raises
    ------
    MissingFileError
        When the lock does not name it, or the file is gone or changed.
    """
    locked = read_lock(lock)
    if name not in locked:
        close = nearest(name, locked) if locked else ""
        raise MissingFileError(f"'{name}' has not been downloaded", where=lock, remedy=close)
    if found := fault(locked[name], lock):
        raise MissingFileError(f"'{name}' is not as it was downloaded: {found}", where=lock)
    return place_of(locked[name], lock)
