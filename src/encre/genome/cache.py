"""The base cache of a genome: made once from its source file, found again by the source's digest.

One folder per source and way of reading it, under ``genomes/`` of the cache root: ``bases.u8``, one byte a base
(code 0-4, plus 8 where soft-masked), sequence after sequence; ``index.json``, where each sequence begins and how long
it is.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from encre.errors import FolderError, FormatError, ResourceError
from encre.files import open_existing, staged_file, staged_folder
from encre.genome import twobit
from encre.genome.assembly import Assembly, check_lengths, check_some_known
from encre.genome.fasta import Piece, first_word, line_at, stream_fasta
from encre.progress import Progress
from encre.reproducibility import sha256_file
from encre.tables import place

BASES = "bases.u8"
_INDEX = "index.json"
_VERSION = 1

Index = dict[str, tuple[int, int]]
"""Sequence name -> (offset, length) in bases."""


def cache_root(cache: str | Path | None) -> Path:
    """The folder of all genome caches: the one given, ``$ENCRE_CACHE``, or ``~/.cache/encre``."""
    return Path(cache or os.environ.get("ENCRE_CACHE") or Path.home() / ".cache" / "encre") / "genomes"


def source_digest(path: Path, root: Path) -> str:
    """SHA-256 of the source file, remembered by its path, size and modification time."""
    with open_existing(path):
        stat = path.stat()
    known = {"path": str(path.resolve()), "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    note = root / "sources" / f"{hashlib.md5(known['path'].encode(), usedforsecurity=False).hexdigest()}.json"
    seen = _read_json(note)
    if all(seen.get(key) == value for key, value in known.items()) and isinstance(seen.get("sha256"), str):
        return seen["sha256"]
    digest = sha256_file(path)
    try:
        with staged_file(note) as staged:
            staged.write_text(json.dumps({**known, "sha256": digest}), encoding="utf-8")
    except PermissionError as error:
        raise _unwritable(root, error) from error
    return digest


def open_cache(
    path: Path, *, digest: str, root: Path, assembly: Assembly, keep_scaffolds: bool, progress: Progress
) -> tuple[Path, Index]:
    """The cache folder of a source and its index; made now when it is not there or damaged.

    Raises
    ------
    FormatError, AssemblyMismatchError, ResourceError
        As :class:`encre.genome.store.Genome` says.
    """
    way = ("custom" if assembly.is_custom else assembly.name) + ("-all" if keep_scaffolds else "")
    folder = root / f"{digest[:16]}-{way}"
    index = _read_index(folder)
    if index is not None:
        return folder, index
    if folder.exists():
        shutil.rmtree(folder)
    try:
        with staged_folder(folder) as staged:
            _import(path, staged, assembly=assembly, keep_scaffolds=keep_scaffolds, progress=progress)
            source = {"name": path.name, "sha256": digest}
            content = {"version": _VERSION, "source": source, **json.loads((staged / _INDEX).read_text("utf-8"))}
            (staged / _INDEX).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    except PermissionError as error:
        raise _unwritable(root, error) from error
    except (FolderError, FileExistsError):
        pass  # another process made the same cache meanwhile; it is checked below
    index = _read_index(folder)
    if index is None:
        raise FolderError("the genome cache cannot be read back", where=folder, remedy="Remove it and try again.")
    return folder, index


class _Writer:
    """Takes the records of a source in order and keeps what the assembly knows."""

    def __init__(self, path: Path, handle: IO[bytes], assembly: Assembly, *, keep_scaffolds: bool) -> None:
        self.path, self.handle, self.assembly, self.keep_scaffolds = path, handle, assembly, keep_scaffolds
        self.index: Index = {}
        self.names: list[str] = []
        self.dropped = 0
        self._name: str = ""
        self._kept: str | None = None
        self._length = self._written = self._offset = 0

    def begin(self, name: str, offset: int) -> None:
        """A record begins at this byte of the unpacked text (-1: the source has no lines)."""
        self.finish()
        known = self.assembly.canonical(name)
        self._name, self._length, self._offset = name, 0, offset
        self._kept = known or (name if self.keep_scaffolds else None)
        self.names.append(name)
        if self._kept is None:
            self.dropped += 1
        elif self._kept in self.index:
            raise FormatError(
                f"the sequence '{self._kept}' stands twice", where=self._where(), remedy="Remove one of the two."
            )

    def add(self, bases: Any) -> int:
        """Bases of the record that began last; how many of them are kept."""
        self._length += len(bases)
        return 0 if self._kept is None else self.handle.write(bases)

    def finish(self) -> None:
        """The record is complete: check its length and enter it into the index."""
        if not self._name:
            return
        if not self._length:
            raise FormatError(f"the sequence '{self._name}' has no bases", where=self._where())
        check_lengths({self._name: self._length}, self.assembly, where=self.path.name)
        if self._kept is not None:
            self.index[self._kept] = (self._written, self._length)
            self._written += self._length
        self._name = ""

    def _where(self) -> str:
        return place(self.path, line_at(self.path, self._offset) if self._offset >= 0 else None)


def _import(path: Path, folder: Path, *, assembly: Assembly, keep_scaffolds: bool, progress: Progress) -> None:
    """Stream the source into ``bases.u8`` and ``index.json`` of a folder."""
    total = sum(assembly.lengths.values()) or path.stat().st_size
    with (folder / BASES).open("wb") as handle, progress.track(f"import {path.name}", total, "bp") as advance:
        writer = _Writer(path, handle, assembly, keep_scaffolds=keep_scaffolds)
        pieces = _twobit_pieces(path, assembly) if twobit.is_twobit(path) else stream_fasta(path)
        for piece in pieces:
            if piece.header is not None:
                writer.begin(first_word(piece.header), piece.offset)
            else:
                advance(writer.add(piece.bases), "")
        writer.finish()
    check_some_known(writer.names, assembly, where=path.name)
    if not writer.index:
        raise FormatError("the file has no sequence", where=path)
    if writer.dropped:
        kept = f"{len(writer.index):,} of {len(writer.names):,} sequences kept"
        progress.say(f"{path.name}: {kept}; {assembly.name} does not name the others (scaffolds, alternative loci …)")
    content = {"dropped": writer.dropped, "sequences": writer.index}
    (folder / _INDEX).write_text(json.dumps(content), encoding="utf-8")


def _twobit_pieces(path: Path, assembly: Assembly) -> Iterator[Piece]:
    records = twobit.read_records(path)
    check_lengths({record.name: record.length for record in records}, assembly, where=path.name)
    for record in records:
        yield Piece(record.name, b"", -1)
        for bases in twobit.stream_record(path, record):
            yield Piece(None, bases.tobytes(), -1)


def _read_index(folder: Path) -> Index | None:
    """The index of a cache folder, or None when it is absent, of another version or does not fit its bases."""
    content = _read_json(folder / _INDEX)
    try:
        index = {name: (int(offset), int(length)) for name, (offset, length) in content["sequences"].items()}
        size = (folder / BASES).stat().st_size
    except (KeyError, TypeError, ValueError, AttributeError, OSError):
        return None
    fits = content.get("version") == _VERSION and size == sum(length for _, length in index.values())
    return index if fits and index else None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _unwritable(root: Path, error: OSError) -> ResourceError:
    return ResourceError(
        f"the genome cache cannot be written ({error.strerror})",
        where=root,
        remedy="Set ENCRE_CACHE to a folder that you may write to.",
    )
