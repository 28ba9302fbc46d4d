"""Is this file what the catalogue promises? Size, checksum, form, rows and classes; read once for each question."""

from __future__ import annotations

import hashlib
import zlib
from gzip import BadGzipFile
from pathlib import Path
from typing import NamedTuple

from encre.files import open_plain
from encre.sources.catalogue import Entry

#: Form -> the column counts that it may have, each with the column of the class (0-based).
_CLASS_COLUMN = {"registry": {6: 5, 10: 9}, "tissue": {10: 9, 11: 9}}
_BLOCK = 1 << 20
_GZIP = b"\x1f\x8b"


class WrongFileError(Exception):
    """A file is not what its entry promises; the text says in what, as the end of a sentence."""


class Digests(NamedTuple):
    """What a file's bytes are."""

    size: int
    md5: str
    sha256: str


def digest(path: Path) -> Digests:
    """Size, MD5 and SHA-256 of a file, in one reading."""
    md5, sha256, size = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0
    with path.open("rb") as handle:
        while block := handle.read(_BLOCK):
            md5.update(block)
            sha256.update(block)
            size += len(block)
    return Digests(size, md5.hexdigest(), sha256.hexdigest())


def is_page(head: bytes) -> bool:
    """Whether the first bytes are of a web page or an XML answer instead of data; no data file begins with ``<``."""
    return head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<"


def verify(path: Path, entry: Entry, *, name: str) -> Digests:
    """Check a whole file against its entry.

    Parameters
    ----------
    path
        The file, perhaps not under its own name yet.
    entry
        What it must be.
    name
        The name that it will have; one that ends in ``.gz`` must be gzip.

    Raises
    ------
    WrongFileError
        Saying what is wrong, as the end of a sentence that begins with the file.
    """
    with path.open("rb") as handle:
        head = handle.read(512)
    if not head:
        raise WrongFileError("is empty")
    if is_page(head):
        raise WrongFileError("is a web page instead of data")
    found = digest(path)
    if entry.size is not None and found.size != entry.size:
        raise WrongFileError(f"has {found.size:,} bytes instead of {entry.size:,}")
    for kind, expected in (("MD5", entry.md5), ("SHA-256", entry.sha256)):
        got = found.md5 if kind == "MD5" else found.sha256
        if expected and got != expected:
            raise WrongFileError(f"has another {kind} ({got} instead of {expected})")
    if name.endswith(".gz") and not head.startswith(_GZIP):
        raise WrongFileError("is not gzip")
    if entry.form in _CLASS_COLUMN or entry.rows is not None:
        _check_rows(path, entry)
    elif head.startswith(_GZIP) and not (entry.md5 or entry.sha256):
        _check_whole_gzip(path)
    return found


def _check_whole_gzip(path: Path) -> None:
    try:
        with open_plain(path) as handle:
            while handle.read(_BLOCK):
                pass
    except (EOFError, zlib.error, BadGzipFile) as error:
        raise WrongFileError(f"is a truncated or damaged gzip ({error})") from error


def _check_rows(path: Path, entry: Entry) -> None:
    """Count rows and, in registry and tissue files, columns and classes; a truncated gzip shows here as well."""
    forms = _CLASS_COLUMN.get(entry.form)
    rows, columns, where = 0, 0, 0
    seen: set[bytes] = set()
    try:
        with open_plain(path) as handle:
            for line in handle:
                rows += 1
                if forms is None:
                    continue
                fields = line.rstrip(b"\r\n").split(b"\t")
                if rows == 1:
                    columns = len(fields)
                    where = forms.get(columns, -1)
                if len(fields) != columns or where < 0:
                    known = f"{columns}" if where >= 0 else " or ".join(map(str, forms))
                    raise WrongFileError(f"has {len(fields)} columns instead of {known} in line {rows:,}")
                seen.add(fields[where])
    except (EOFError, zlib.error, BadGzipFile) as error:
        raise WrongFileError(f"is a truncated or damaged gzip ({error})") from error
    if entry.rows is not None and rows != entry.rows:
        raise WrongFileError(f"has {rows:,} rows instead of {entry.rows:,}")
    found = {name.decode("utf-8", "replace").removesuffix(",CTCF-bound") for name in seen}
    if entry.classes and found != set(entry.classes):
        strange, missing = sorted(found - set(entry.classes)), sorted(set(entry.classes) - found)
        said = ", ".join([*(f"'{name}' too many" for name in strange[:3]), *(f"no '{name}'" for name in missing[:3])])
        raise WrongFileError(f"has other classes ({said})")
