"""Bring the files of a catalogue into a folder, several at once, and note them in the lock."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import Field

from encre.config import Config
from encre.errors import EncreError, MissingFileError, ResourceError
from encre.progress import SILENT, Progress
from encre.sources.catalogue import Entry, distinct
from encre.sources.fetch import Fetched, Moved, check_room, fetch, length_at
from encre.sources.lock import LOCK, Locked, fault, place_of, read_lock, write_lock, written_as
from encre.sources.verify import Digests, WrongFileError, verify
from encre.sources.web import Web

_MB = 1_000_000
T = TypeVar("T")


class DownloadSettings(Config):
    """[download]: where the files of ``@name`` references go.

    Parameters
    ----------
    folder
        Relative to the config.
    jobs
        How many files come at once.
    encode, encyclopedia
        Base address of another portal than ENCODE's own, and which version of its encyclopedia biosamples are of;
        empty for the defaults.
    """

    folder: str = "files"
    jobs: int = Field(default=4, ge=1, le=16)
    encode: str = ""
    encyclopedia: str = ""


class Planned(NamedTuple):
    """What is to be done about one entry."""

    entry: Entry
    locked: Locked | None
    """The file that is there and right, as the lock has it or will have it; None when it is to come."""
    size: int | None
    """Bytes of the whole file, or None when nobody says."""
    begun: int
    """Bytes of it that came before and broke off."""
    note: str
    """Why a file that is there is fetched again; mostly empty."""


class Downloaded(NamedTuple):
    """A file that is there, whole and noted in the lock."""

    entry: Entry
    path: Path
    locked: Locked
    new: bool
    """Whether it came now."""


def plan(
    entries: Iterable[Entry], folder: str | Path, *, lock: str | Path | None = None, web: Web | None = None
) -> list[Planned]:
    """Say what is there already and what would come; nothing is written.

    A file is there when the lock names it and its checksum is still the same, or when it lies in its place (fetched
    by hand, say) and passes every check of its entry.

    Parameters
    ----------
    entries
        What is wanted.
    folder
        Where the files go.
    lock
        The lock file; by default ``encre.lock`` in the folder.
    web
        Asked for the lengths that the catalogue does not know; None to ask nobody.
    """
    folder = Path(folder)
    lock = Path(lock or folder / LOCK)
    known = read_lock(lock)
    found = [_look(entry, folder, lock=lock, locked=known.get(entry.name)) for entry in distinct(entries)]
    unknown = [one for one in found if one.locked is None and one.size is None]
    if web is None or not unknown:
        return found
    lengths: dict[str, int | None] = {}

    def told(name: str, length: Future[int | None]) -> None:
        lengths[name] = length.result()

    asked = {one.entry.name: functools.partial(_length, one.entry, web) for one in unknown}
    _at_once(asked, told, jobs=8, web=web)
    return [one._replace(size=lengths.get(one.entry.name, one.size)) for one in found]


def download(
    entries: Iterable[Entry],
    folder: str | Path,
    *,
    lock: str | Path | None = None,
    jobs: int = 4,
    offline: bool = False,
    progress: Progress = SILENT,
    web: Web | None = None,
) -> list[Downloaded]:
    """Bring files into a folder; those that are there and right are left alone.

    Parameters
    ----------
    entries
        What is wanted.
    folder
        Where the files go; made when it is not there.
    lock
        The lock file; by default ``encre.lock`` in the folder. Each file is noted as soon as it is whole.
    jobs
        How many come at once.
    offline
        Use only what the lock names.
    progress
        Follows the megabytes.
    web
        The client.

    Raises
    ------
    MissingFileError
        When a file could not be had from any of its addresses (all others come first), or, offline, is not locked.
    ResourceError
        When the disk has not room (asked before the first byte), or another download runs in the same folder.
    """
    folder = Path(folder)
    lock = Path(lock or folder / LOCK)
    if offline:
        return _offline(entries, lock)
    web = web or Web()
    folder.mkdir(parents=True, exist_ok=True)
    with _held(folder):
        planned = plan(entries, folder, lock=lock, web=web)
        missing = [one for one in planned if one.locked is None]
        have = {one.entry.name: one.locked for one in planned if one.locked is not None}
        known = read_lock(lock)
        if adopted := {name: locked for name, locked in have.items() if known.get(name) != locked}:
            write_lock(lock, adopted)
        for one in missing:
            if one.note:
                progress.say(f"{one.entry.name}: {one.note}; it is fetched again")
        check_room(folder, sum(max((one.size or 0) - one.begun, 0) for one in missing))
        have |= _bring(missing, folder, lock=lock, jobs=jobs, progress=progress, web=web)
    new = {one.entry.name for one in missing}
    return [
        Downloaded(one.entry, place_of(have[name], lock), have[name], name in new)
        for one in planned
        for name in [one.entry.name]
    ]


def _offline(entries: Iterable[Entry], lock: Path) -> list[Downloaded]:
    known = read_lock(lock)
    found, faults = [], []
    for entry in distinct(entries):
        locked = known.get(entry.name)
        wrong = fault(locked, lock) or _differs(locked, entry) if locked else "the lock does not name it"
        if wrong or locked is None:
            faults.append(f"{entry.name} ({wrong})")
        else:
            found.append(Downloaded(entry, place_of(locked, lock), locked, False))
    if faults:
        raise MissingFileError(
            f"offline, {len(faults)} of {len(faults) + len(found)} files are missing: {'; '.join(faults)}",
            where=lock,
            remedy="Download them where there is a network, and bring the folder and the lock here.",
        )
    return found


def _look(entry: Entry, folder: Path, *, lock: Path, locked: Locked | None) -> Planned:
    """Whether an entry's file is there and right, by the lock or else by its checks."""
    note = ""
    if locked is not None:
        note = fault(locked, lock) or _differs(locked, entry)
        if not note:
            return Planned(entry, locked, locked.size, 0, "")
        note = "" if note.endswith("is not there") else note
    names = dict.fromkeys(entry.file_at(address) for address in entry.addresses)
    for name in names:
        path = folder / name
        if not path.is_file():
            continue
        try:
            digests = verify(path, entry, name=name)
        except WrongFileError as wrong:
            note = f"{path} {wrong}"
            continue
        if locked is None:  # put there by hand
            return Planned(entry, _lock_entry(entry, path, "", digests, lock=lock), digests.size, 0, "")
    parts = [folder / f"{name}.partial" for name in names]
    begun = max((part.stat().st_size for part in parts if part.is_file()), default=0)
    return Planned(entry, None, entry.size, begun, note)


def _differs(locked: Locked, entry: Entry) -> str:
    """In what a locked file is not what the catalogue says now; ``""`` when in nothing."""
    for key in ("size", "md5", "sha256"):
        expected, got = getattr(entry, key), getattr(locked, key)
        if expected and expected != got:
            return f"the locked file has {key} {got}, the catalogue says {expected}"
    return ""


def _length(entry: Entry, web: Web) -> int | None:
    return next((size for address in entry.addresses if (size := length_at(address, web))), None)


def _bring(
    missing: Sequence[Planned], folder: Path, *, lock: Path, jobs: int, progress: Progress, web: Web
) -> dict[str, Locked]:
    """Fetch in threads, and lock each file as it comes; those that fail do not stop the others."""
    have: dict[str, Locked] = {}
    faults: list[EncreError] = []
    entries = {one.entry.name: one.entry for one in missing}
    if not missing:
        return have
    total = max(round(sum(one.size or 0 for one in missing) / _MB), 1)
    with progress.track("download", total, "MB") as advance:
        moved = _in_megabytes(advance)

        def came(name: str, file: Future[Fetched]) -> None:
            try:
                path, address, digests = file.result()
            except MissingFileError as error:
                faults.append(error)
                return
            have[name] = _lock_entry(entries[name], path, address, digests, lock=lock)
            write_lock(lock, {name: have[name]})
            advance(0, f"{len(have)} of {len(missing)} files")

        calls = {
            name: functools.partial(fetch, entry, folder, web=web, moved=moved) for name, entry in entries.items()
        }
        _at_once(calls, came, jobs=jobs, web=web)
    if len(faults) == 1:
        raise faults[0]
    if faults:
        what = " ".join(f"{fault.what.rstrip('.')}." for fault in faults)
        raise MissingFileError(what, remedy=faults[0].remedy)
    return have


def _at_once(
    calls: Mapping[str, Callable[[], T]], done: Callable[[str, Future[T]], None], *, jobs: int, web: Web
) -> None:
    """Make calls in threads and hand on each as it ends; whatever happens, all have ended when this returns."""
    pool = ThreadPoolExecutor(max_workers=jobs, thread_name_prefix="download")
    try:
        names = {pool.submit(call): name for name, call in calls.items()}
        left = set(names)
        while left:  # woken often, since Ctrl-C is heard only by a thread that runs
            ended, left = wait(left, timeout=0.2, return_when=FIRST_COMPLETED)
            for future in ended:
                done(names[future], future)
    except BaseException:
        web.stop()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _in_megabytes(advance: Callable[[int, str], None]) -> Moved:
    """Bytes from many threads as whole megabytes to one display."""
    guard, done, shown = threading.Lock(), 0, 0

    def moved(n: int) -> None:
        nonlocal done, shown
        with guard:
            done += n
            if step := done // _MB - shown:
                shown += step
                advance(step, "")

    return moved


def _lock_entry(entry: Entry, path: Path, address: str, digests: Digests, *, lock: Path) -> Locked:
    return Locked(
        file=written_as(path, lock),
        address=address,
        sha256=digests.sha256,
        md5=digests.md5,
        size=digests.size,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        licence=entry.licence,
    )


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Keep a folder for this download alone; two would append to the same partial files."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            remedy = "Wait for it, or name another folder with --out."
            raise ResourceError("another download into this folder is running", where=folder, remedy=remedy) from None
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(handle)
