"""One file from the first of its addresses that gives it: resumed where it broke off, verified, renamed into place.

What has come so far lies in ``NAME.partial``, and beside it ``NAME.partial.json`` says of which version it is
(address, ETag, Last-Modified, length), so that the rest of another version is never appended to it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import url2pathname

from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from encre.errors import MissingFileError, ResourceError
from encre.sources.catalogue import Entry
from encre.sources.verify import Digests, WrongFileError, is_page, verify
from encre.sources.web import RefusedError, Web

_BLOCK = 1 << 18
_RESUMES = 4
"""How often an answer may break off without a byte more than the time before."""

Moved = Callable[[int], None]
"""``moved(n)``: n more bytes are there; negative when some were thrown away."""


class Fetched(NamedTuple):
    """A file that came whole."""

    path: Path
    address: str
    digests: Digests


class _CutError(Exception):
    """The answer ended before the file did."""


@dataclass
class _Job:
    """One file from one address."""

    entry: Entry
    address: str
    target: Path
    web: Web
    moved: Moved
    total: int | None = None
    note: dict[str, Any] = field(default_factory=dict)

    @property
    def partial(self) -> Path:
        return self.target.with_name(f"{self.target.name}.partial")

    @property
    def sidecar(self) -> Path:
        return self.target.with_name(f"{self.target.name}.partial.json")

    @property
    def have(self) -> int:
        return self.partial.stat().st_size if self.partial.is_file() else 0

    def discard(self) -> None:
        """Throw away what has come so far."""
        self.moved(-self.have)
        self.partial.unlink(missing_ok=True)
        self.sidecar.unlink(missing_ok=True)


def fetch(entry: Entry, folder: Path, *, web: Web, moved: Moved = lambda n: None) -> Fetched:
    """Bring one file into a folder.

    Parameters
    ----------
    entry
        What to bring.
    folder
        Where to; it exists.
    web
        The client.
    moved
        Told of every byte.

    Raises
    ------
    MissingFileError
        When no address gave it: each with what it answered.
    ResourceError
        When the disk is full.
    """
    answers = []
    for address in _in_order(entry, folder):
        job = _Job(entry, address, folder / entry.file_at(address), web, moved)
        moved(job.have)
        try:
            with _disk_words(job.target):
                digests = _bring(job)
        except RefusedError as refusal:
            answers.append(f"{address} {refusal}")
            if job.have:
                moved(-job.have)  # it stays for another day; the next address begins anew
            else:
                job.discard()
            continue
        _sweep(entry, folder)
        return Fetched(job.target, address, digests)
    name = entry.file_at(entry.addresses[0])
    raise MissingFileError(
        f"'{entry.name}' could not be downloaded: {'; '.join(answers)}",
        remedy=f"Fetch it by hand and put it at {folder / name}, or name a mirror: [catalogue.{entry.name}] "
        'addresses = ["https://…"]; then download again.',
    )


def _bring(job: _Job) -> Digests:
    """Bring, verify and rename one file; a wrong one is thrown away."""
    if urlsplit(job.address).scheme == "file":
        _copy(job)
    else:
        _download(job)
    try:
        digests = verify(job.partial, job.entry, name=job.target.name)
    except WrongFileError as wrong:
        job.discard()
        raise RefusedError(f"gave a file that {wrong}") from wrong
    job.partial.chmod(0o644)
    job.partial.replace(job.target)
    return digests


def _sweep(entry: Entry, folder: Path) -> None:
    """Remove the parts that came from other addresses of a file that is whole now."""
    for name in {entry.file_at(address) for address in entry.addresses}:
        for left in (f"{name}.partial", f"{name}.partial.json"):
            (folder / left).unlink(missing_ok=True)


def _in_order(entry: Entry, folder: Path) -> list[str]:
    """The addresses in their order, but first the one of which a part is already there."""
    begun = [
        address
        for address in entry.addresses
        if _read_note(folder / f"{entry.file_at(address)}.partial.json").get("address") == address
    ]
    return [*begun, *(address for address in entry.addresses if address not in begun)]


def _copy(job: _Job) -> None:
    """A ``file://`` address: copied in blocks, so that a wait can be interrupted."""
    source = Path(url2pathname(urlsplit(job.address).path))
    job.discard()
    try:
        reader = source.open("rb")
    except OSError as error:
        raise RefusedError(f"cannot be read ({error.strerror})") from error
    with reader:
        check_room(job.target.parent, source.stat().st_size)
        with job.partial.open("wb") as writer:
            while block := reader.read(_BLOCK):
                job.web.check()
                writer.write(block)
                job.moved(len(block))


def _download(job: _Job) -> None:
    """Ask until the whole file is there; go on where an answer broke off."""
    job.note = _read_note(job.sidecar)
    most, idle = 0, 0
    while True:
        try:
            _ask(job)
            return
        except _CutError as cut:
            if job.entry.size is not None and job.have == job.entry.size:
                return  # the server said another length than the file has: what counts is the checksum
            idle = 0 if job.have > most else idle + 1
            most = max(most, job.have)
            if idle >= _RESUMES:
                of = f" of {job.total:,}" if job.total else ""
                raise RefusedError(f"broke off after {most:,}{of} bytes ({cut})") from cut
            job.web.pause(min(job.web.backoff * 2**idle, 30.0))


def _may_resume(job: _Job) -> bool:
    """Whether the part that is there is of this address, and of a version that can be told from another."""
    told = job.note.get("etag") or job.note.get("last_modified") or job.entry.md5 or job.entry.sha256
    return job.note.get("address") == job.address and bool(told) and not job.note.get("decoded")


def _ask(job: _Job) -> None:
    """One request, and its body to the end of the partial file."""
    have, headers = job.have, {}
    if have and not _may_resume(job):
        job.discard()
        have = 0
    if have:
        headers = {"Range": f"bytes={have}-"}
        if validator := job.note.get("etag") or job.note.get("last_modified"):
            headers["If-Range"] = validator
    response = job.web.open(job.address, headers=headers)
    try:
        if have and response.status == 416:
            checked = bool(job.entry.md5 or job.entry.sha256)
            if have == _total_of(response) and (checked or have == job.note.get("total")):
                return  # all of it had come before
            job.discard()
            raise _CutError("it has fewer bytes than have come")
        if have and response.status == 206 and not _continues(job, response, have):
            job.discard()
            raise _CutError("it has become another version")
        if response.status not in (200, 206):
            raise RefusedError(f"answered {response.status} {response.reason or ''}".rstrip())
        if "html" in response.headers.get("Content-Type", "").lower():
            raise RefusedError("gave a web page instead of data")
        if have and response.status == 200:
            job.discard()
            have = 0
        _expect(job, response, have)
        _receive(job, response, have)
    finally:
        job.web.close(response)


def _continues(job: _Job, response: BaseHTTPResponse, have: int) -> bool:
    """Whether a 206 is the rest of the very version that has come so far."""
    first = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    etag = _strong(response)
    return (
        first is not None
        and int(first[1]) == have
        and _total_of(response) in (job.note.get("total"), None)
        and (etag == job.note.get("etag") or not etag or not job.note.get("etag"))
    )


def _expect(job: _Job, response: BaseHTTPResponse, have: int) -> None:
    """Before the first byte: the length against the entry and the disk; note of which version the bytes are."""
    decoded = _is_packed(response) and not job.target.name.endswith(".gz")
    job.total = None if decoded else _total_of(response)
    size = job.entry.size
    if size is not None and job.total is not None and job.total != size:
        raise RefusedError(f"offers {job.total:,} bytes instead of {size:,}")
    if job.total is not None:
        check_room(job.target.parent, job.total - have)
    job.note = {
        "address": job.address,
        "etag": _strong(response),
        "last_modified": response.headers.get("Last-Modified", ""),
        "total": job.total,
        "decoded": decoded,
    }
    job.sidecar.write_text(json.dumps(job.note), encoding="utf-8")


def _receive(job: _Job, response: BaseHTTPResponse, have: int) -> None:
    with job.partial.open("ab" if have else "wb") as handle:
        try:
            # What is there is written at once, so that little is lost when the rest does not come.
            while block := response.read1(_BLOCK, decode_content=bool(job.note["decoded"])):
                if not handle.tell() and is_page(block):
                    raise RefusedError("gave a web page instead of data")
                handle.write(block)
                job.moved(len(block))
                job.web.check()
        except (HTTPError, ConnectionError, TimeoutError) as error:
            job.web.check()
            raise _CutError(_cut_words(error)) from error
    job.web.check()
    if job.total is not None and job.have != job.total:
        raise _CutError("its answer ended early")


def _cut_words(error: Exception) -> str:
    return "no more bytes came in time" if "timed out" in str(error).lower() else "the connection broke"


def _total_of(response: BaseHTTPResponse) -> int | None:
    """Bytes of the whole file as the server tells them."""
    if response.status in (206, 416):
        found = re.search(r"/(\d+)\s*$", response.headers.get("Content-Range", ""))
        return int(found[1]) if found else None
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def _strong(response: BaseHTTPResponse) -> str:
    """The ETag when it is a strong one: only those promise the same bytes (RFC 9110, 8.8.3)."""
    etag = response.headers.get("ETag", "")
    return "" if etag.startswith("W/") else etag


def _is_packed(response: BaseHTTPResponse) -> bool:
    return response.headers.get("Content-Encoding", "identity").lower() not in ("", "identity")


def _read_note(path: Path) -> dict[str, Any]:
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def length_at(address: str, web: Web) -> int | None:
    """Bytes that an address says it has, asked with HEAD; None when it does not say."""
    if urlsplit(address).scheme == "file":
        path = Path(url2pathname(urlsplit(address).path))
        return path.stat().st_size if path.is_file() else None
    try:
        response = web.open(address, method="HEAD", patient=False)
    except RefusedError:
        return None
    try:
        page = "html" in response.headers.get("Content-Type", "").lower()
        return _total_of(response) if response.status == 200 and not page and not _is_packed(response) else None
    finally:
        web.close(response)


def check_room(folder: Path, needed: int) -> None:
    """Refuse to begin when the disk has not room for what is to come."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ResourceError(
            "the disk has not room for the download",
            where=folder,
            expected=f"{needed / 1e6:,.1f} MB free",
            got=f"{free / 1e6:,.1f} MB",
            remedy="Free some space, or choose another folder ([download] folder, or --out).",
        )


@contextlib.contextmanager
def _disk_words(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or isinstance(error, ResourceError):
            raise
        raise ResourceError(
            "the disk filled up while downloading",
            where=target,
            remedy="Free some space and start again: what has come so far is kept, and goes on from there.",
        ) from error
