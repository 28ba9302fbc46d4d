"""What a config refers to: ``@name``, a file of the catalogue, and ``{organ = "brain"}``, ENCODE's biosamples of it.

``encre data download`` fetches them and notes them in the lock beside the config; a build takes them from there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from encre.config import read_toml
from encre.errors import ConfigError, MissingFileError
from encre.progress import SILENT, Progress
from encre.sources.biosamples import Biosamples
from encre.sources.catalogue import Entry, find, load_catalogue
from encre.sources.download import Downloaded, DownloadSettings, download
from encre.sources.lock import LOCK, Locked, fault, place_of, read_groups, read_lock, write_lock

#: Tables that say how to download, and may not refer to downloads.
_OWN = ("catalogue", "download")


class Wanted(NamedTuple):
    """What one download is about."""

    entries: list[Entry]
    folder: Path
    lock: Path
    jobs: int
    groups: dict[str, list[str]]
    """What a config asks for by organ or accession -> names of the entries."""


def wanted(
    words: Sequence[str], *, out: str | Path | None = None, offline: bool = False, progress: Progress = SILENT
) -> Wanted:
    """What a user asks for: one config (TOML), or names of the catalogue.

    Parameters
    ----------
    words
        The path of a config, or names, with or without ``@``.
    out
        Folder, instead of the config's ``[download] folder``; ``files`` for names.
    offline
        Take the biosamples of an organ from the lock, instead of asking ENCODE.
    progress
        Follows ENCODE's answers.

    Returns
    -------
    Wanted
        The lock stands beside the config, or in the folder when there is none.

    Raises
    ------
    ConfigError
        For an unknown name, or a config that refers to no file.
    """
    if len(words) != 1 or not words[0].endswith(".toml"):
        entries = [find(word, load_catalogue()) for word in words]
        folder = Path(out or DownloadSettings().folder)
        return Wanted(entries, folder, folder / LOCK, DownloadSettings().jobs, {})
    config = Path(words[0])
    values = read_toml(config)
    settings = DownloadSettings.parse(values.get("download", {}), where=f"[download] of {config}")
    lock = config.parent / LOCK
    catalogue = load_catalogue(values.get("catalogue"))
    entries = [find(name, catalogue) for name in references(values)]
    if not _biosamples(values):
        found = {}
    elif offline:
        found = _locked_groups(values, lock)
    else:
        from encre.sources.encode import entries_of_config

        found = entries_of_config(values, progress=progress)
    entries += [entry for group in found.values() for entry in group]
    if not entries:
        remedy = 'Write "@name" for a path, for example registry = "@screen-v4"; --list shows the names.'
        raise ConfigError("the config refers to no file that could be downloaded", where=config, remedy=remedy)
    groups = {name: [entry.name for entry in group] for name, group in found.items()}
    return Wanted(entries, Path(out or config.parent / settings.folder), lock, settings.jobs, groups)


def bring(
    want: Wanted, *, jobs: int | None = None, offline: bool = False, progress: Progress = SILENT
) -> list[Downloaded]:
    """Download what is wanted, and note in the lock which files are of which organ; see :func:`download`."""
    jobs = jobs or want.jobs
    found = download(want.entries, want.folder, lock=want.lock, jobs=jobs, offline=offline, progress=progress)
    if want.groups and not offline:
        write_lock(want.lock, {}, groups=want.groups)
    return found


def references(values: Mapping[str, Any]) -> list[str]:
    """Names of every ``@name`` in a config's plain values, each once, in the order in which they stand."""
    return list(dict.fromkeys(_names({key: value for key, value in values.items() if key not in _OWN})))


def resolve_references(values: Mapping[str, Any], *, config_path: str | Path) -> dict[str, Any]:
    """Put the downloaded file in the place of each ``@name``, and their files beside each organ or accession.

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
    names, tissues = references(values), _biosamples(values)
    if not (names or tissues):
        return dict(values)
    lock = Path(config_path).resolve().parent / LOCK
    known, groups = read_lock(lock), read_groups(lock)
    remedy = f"Run: encre data download {config_path}"

    def path_of(name: str, shown: str) -> str:
        if name not in known:
            raise MissingFileError(f"{shown} has not been downloaded", where=config_path, remedy=remedy)
        if found := fault(known[name], lock):
            raise MissingFileError(f"{shown} cannot be used: {found}", where=config_path, remedy=remedy)
        return str(place_of(known[name], lock))

    catalogue = load_catalogue(values.get("catalogue"))
    paths = {}
    for name in names:
        if name not in known:
            find(name, catalogue)
        paths[f"@{name}"] = path_of(name, f"'@{name}'")
    resolved = {key: value if key in _OWN else _replaced(value, paths) for key, value in values.items()}
    for tissue, chosen in tissues.items():
        if missing := [group for group in chosen.groups if group not in groups]:
            said = f"the biosamples of '{tissue}' ({', '.join(missing)}) have not been downloaded"
            raise MissingFileError(said, where=config_path, remedy=remedy)
        files = [path_of(name, f"{name} of '{tissue}'") for group in chosen.groups for name in groups[group]]
        resolved["source"]["tissues"][tissue]["files"] = list(dict.fromkeys(files))
    return resolved


def _biosamples(values: Mapping[str, Any]) -> dict[str, Biosamples]:
    """The tissues that a config makes of ENCODE's biosamples and for which it names no files."""
    source = values.get("source", {})
    tissues = source.get("tissues", {}) if isinstance(source, Mapping) else {}
    return {
        name: Biosamples.parse(chosen, where=f"[source.tissues.{name}]")
        for name, chosen in (tissues.items() if isinstance(tissues, Mapping) else ())
        if isinstance(chosen, Mapping) and not chosen.get("files")
    }


def _locked_groups(values: Mapping[str, Any], lock: Path) -> dict[str, list[Entry]]:
    """The entries of each group as the lock has them."""
    groups, known = read_groups(lock), read_lock(lock)
    found: dict[str, list[Entry]] = {}
    for tissue, chosen in _biosamples(values).items():
        for group in chosen.groups:
            if group not in groups:
                raise MissingFileError(
                    f"offline, and the lock does not know the biosamples of '{tissue}' ({group})",
                    where=lock,
                    remedy="Download them where there is a network, and bring the folder and the lock here.",
                )
            found[group] = [_entry_of(name, known.get(name)) for name in groups[group]]
    return found


def _entry_of(name: str, locked: Locked | None) -> Entry:
    address = locked.address if locked is not None else ""
    return Entry(name, name, (address,), "biosample", filename=Path(locked.file).name if locked else name)


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
