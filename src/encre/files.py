"""Files and folders, safely: clear words for what is missing or damaged, nothing half-written.

Everything encre writes is written beside its place and renamed into it, so that an interrupted or
failed command leaves what was there before; what a killed one left behind is swept by the next.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import gzip
import io
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from encre.errors import EncreError, FolderError, FormatError, MissingFileError, ResourceError

_GZIP_MAGIC = b"\x1f\x8b"


def open_existing(path: str | Path) -> io.BufferedReader:
    """Open a file's raw bytes; missing, a folder, a pipe or unreadable is a :class:`MissingFileError`."""
    path = Path(path)
    if path.is_dir():
        raise MissingFileError("a folder stands where a file was expected", where=path)
    if path.is_fifo():  # files are looked at before they are read
        raise MissingFileError("a pipe can be read only once", where=path, remedy="Write it to a file first.")
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise MissingFileError("there is no such file", where=path, remedy="Check the path.") from None
    except OSError as error:
        raise MissingFileError(f"the file cannot be read: {error.strerror}", where=path) from error


def open_plain(path: str | Path) -> IO[bytes]:
    """Open a file for reading bytes, unpacked when its first bytes say gzip (bgzip included)."""
    with open_existing(path) as handle:
        packed = handle.read(2) == _GZIP_MAGIC
    return cast(IO[bytes], gzip.open(path)) if packed else open_existing(path)


@contextlib.contextmanager
def explain_damage(path: str | Path) -> Iterator[None]:
    """Turn a truncated or corrupt gzip, met while reading, into one :class:`FormatError`."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FormatError(
            f"the gzip file is truncated or damaged ({error})",
            where=path,
            remedy="Download or pack it again.",
        ) from error


def read_bytes(path: str | Path) -> bytes:
    """All bytes of a plain or gzip file; empty and damaged files are refused in words."""
    with explain_damage(path), open_plain(path) as handle:
        content = handle.read()
    if not content.strip():
        raise FormatError("the file is empty", where=path, remedy="Check that it was written or downloaded whole.")
    return content


@contextlib.contextmanager
def staged_file(path: str | Path) -> Iterator[Path]:
    """Yield a path beside ``path`` to write; it is renamed into place on success, removed on failure."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _staged(path, folder=False) as staged, explain_full_disk(path):
        yield staged
        staged.chmod(0o644)
        staged.replace(path)


@contextlib.contextmanager
def staged_folder(path: str | Path) -> Iterator[Path]:
    """Yield an empty folder beside ``path``; it is renamed into place on success, removed on failure.

    Raises
    ------
    FolderError
        When ``path`` exists and is not an empty folder.
    ResourceError
        When the disk fills up on the way; nothing is left behind.
    """
    path = Path(path)
    refuse_occupied(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _staged(path, folder=True) as staged, explain_full_disk(path):
        yield staged
        staged.chmod(0o755)
        refuse_occupied(path)  # another process may have been quicker
        if path.is_dir():
            path.rmdir()
        staged.rename(path)


@contextlib.contextmanager
def _staged(path: Path, *, folder: bool) -> Iterator[Path]:
    """A new file or folder beside ``path``, held by a lock while this process lives.

    What a killed process left is no longer held: the next one that writes the same path removes it.
    """
    _sweep(path)
    staged, handle = _make_held(path, folder=folder)
    try:
        yield staged
    finally:
        os.close(handle)
        _remove(staged)


def _make_held(path: Path, *, folder: bool) -> tuple[Path, int]:
    names = {"dir": path.parent, "prefix": f".{path.name}.", "suffix": ".partial"}
    while True:
        if folder:
            staged = Path(tempfile.mkdtemp(**names))
        else:
            made, name = tempfile.mkstemp(**names)
            os.close(made)
            staged = Path(name)
        handle = _hold(staged)
        if handle is not None and staged.exists():  # else another process swept it before it was held
            return staged, handle


def _sweep(path: Path) -> None:
    """Remove what killed processes left of ``path``; what a living one holds stays."""
    for left in path.parent.iterdir():
        if left.name.startswith(f".{path.name}.") and left.name.endswith(".partial"):
            handle = _hold(left, sweeping=True)
            if handle is not None:
                os.close(handle)
                _remove(left)


def _hold(path: Path, *, sweeping: bool = False) -> int | None:
    """An open handle that holds ``path`` for this process alone; None when another has it, or it is gone."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # A file system without locks: write all the same, but sweep nothing, since who lives cannot be told.
        if sweeping or isinstance(error, BlockingIOError):
            os.close(handle)
            return None
    return handle


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def refuse_occupied(path: str | Path) -> None:
    """Refuse an output path that is a file or a folder with something in it."""
    path = Path(path)
    if path.is_dir() and any(path.iterdir()):
        raise FolderError(
            "the output folder exists and is not empty",
            where=path,
            remedy="Name a new folder, or empty this one.",
        )
    if path.exists() and not path.is_dir():
        raise FolderError("a file stands where the output folder should go", where=path, remedy="Name another.")


@contextlib.contextmanager
def explain_full_disk(path: str | Path) -> Iterator[None]:
    """Turn 'no space left' into one :class:`ResourceError` that says where and what to do."""
    full = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    try:
        yield
    except EncreError:
        raise
    except Exception as error:
        said = str(error)  # polars raises no OSError, but has the number in its words
        if getattr(error, "errno", None) not in full and not any(f"(os error {number})" in said for number in full):
            raise
        raise ResourceError(
            "the disk filled up while writing",
            where=path,
            remedy="Free some space or write elsewhere; what was half-written has been removed.",
        ) from error


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON (sorted only as given, NaN refused) and rename it into place."""
    with staged_file(path) as staged:
        staged.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: str | Path) -> Any:
    """Read a JSON file; a missing or damaged one is said in one paragraph."""
    with open_existing(path) as handle:
        try:
            return json.loads(handle.read().decode("utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise FormatError(f"not valid JSON ({error})", where=path, remedy="The file is damaged.") from error


def read_manifest(folder: str | Path, *, kind: str, version: int) -> dict[str, Any]:
    """Read ``manifest.json`` of a dataset or run folder and refuse a foreign or other version.

    Parameters
    ----------
    folder
        The folder.
    kind
        ``"dataset"`` or ``"run"``.
    version
        The format version that this encre reads.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise MissingFileError(f"there is no such {kind} folder", where=folder, remedy="Check the path.")
    if not (folder / "manifest.json").is_file():
        raise FolderError(f"this is not a {kind} folder", where=folder, expected="a manifest.json in it")
    manifest = read_json(folder / "manifest.json")
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if not isinstance(found, dict) or found.get("kind") != kind:
        kind_found = found.get("kind") if isinstance(found, dict) else None
        raise FolderError(
            f"this is not a {kind} folder",
            where=folder,
            got=str(kind_found or "a foreign manifest"),
            remedy="It has no heads yet: begin from it with `encre train … --set train.start=FOLDER`."
            if kind_found == "pretrained"
            else "",
        )
    if found.get("version") != version:
        verb = "encre data build" if kind == "dataset" else "encre train"
        raise FolderError(
            f"the {kind} folder has another format version",
            where=folder,
            expected=f"{version}",
            got=f"{found.get('version')}",
            remedy=f"Make it again with `{verb}`, or use the encre that wrote it.",
        )
    return manifest
