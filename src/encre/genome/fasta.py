"""FASTA, plain, gzip or bgzip, as a stream of base codes: a few passes in C over each chunk, no loop over lines.

A base is one byte: its code (A 0, C 1, G 2, T 3, any other letter 4) and, added to it, 8 where the file has it in
lower case (soft-masked repeats).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np

from encre.errors import FormatError
from encre.files import explain_damage, open_plain
from encre.tables import place, refuse_cut_bgzip

SOFT_MASK = 8
CODE_BITS = 7
_BAD = 255
_LINE_BREAKS = b"\r\n\t "
_CHUNK = 4 << 20


def _make_table() -> bytes:
    table = bytearray([_BAD]) * 256
    for letter in range(ord("A"), ord("Z") + 1):
        code = b"ACGT".find(letter)
        table[letter] = 4 if code < 0 else code
        table[letter + 32] = table[letter] | SOFT_MASK
    for gap in b"-*.":
        table[gap] = 4
    return bytes(table)


_TABLE = _make_table()


class Piece(NamedTuple):
    """A part of the stream: either the begin of a record, or some of its bases."""

    header: str | None
    """The header line without ``>``, at the begin of a record; else None."""
    bases: bytes
    """Codes with the soft-mask bit; empty with a header."""
    offset: int
    """Byte offset of the piece in the unpacked text."""


class Records(NamedTuple):
    """A whole FASTA in memory."""

    names: list[str]
    """First word of each header (N,)."""
    headers: list[str]
    """Header lines without ``>`` (N,)."""
    codes: np.ndarray
    """Base codes 0-4 of all records, one after the other, uint8; the soft mask is left out."""
    offsets: np.ndarray
    """Where each record begins in ``codes`` (N + 1,) int64."""
    lines: list[int]
    """1-based line of each header (N,)."""


def stream_fasta(path: str | Path) -> Iterator[Piece]:
    """Read a FASTA piece by piece, in bounded memory.

    Raises
    ------
    FormatError
        When it is empty, not a FASTA, a damaged gzip, or has something that is no letter in a sequence; the place is
        named by line and column.
    MissingFileError
        When there is no such file.
    """
    refuse_cut_bgzip(path)
    with explain_damage(path), open_plain(path) as handle:
        offset, rest, inside = 0, b"", False
        while chunk := handle.read(_CHUNK):
            text = rest + chunk if rest else chunk
            if not inside:
                text, offset = _skip_to_first(text, offset, path)
                inside = bool(text)
            rest = yield from _pieces(text, offset, path)
            offset += len(text) - len(rest)
        if not inside:
            raise FormatError(
                "the file is empty", where=path, remedy="Check that it was written or downloaded whole."
            )
        if rest:  # a header without a line end is the last thing in the file
            yield Piece(_header(rest, offset, path), b"", offset)


def read_fasta(path: str | Path) -> Records:
    """Read a whole FASTA of short records into flat codes.

    Parameters
    ----------
    path
        Plain, gzip or bgzip.

    Returns
    -------
    Records
        Names, headers, flat codes and offsets, header lines.

    Raises
    ------
    FormatError
        As :func:`stream_fasta`, and for a record without a base or a name.
    """
    headers: list[str] = []
    starts: list[int] = []
    parts: list[bytes] = []
    places: list[int] = []
    length = 0
    for piece in stream_fasta(path):
        if piece.header is not None:
            headers.append(piece.header)
            starts.append(length)
            places.append(piece.offset)
        else:
            parts.append(piece.bases)
            length += len(piece.bases)
    codes = np.frombuffer(b"".join(parts), dtype=np.uint8) & CODE_BITS
    offsets = np.array([*starts, length], dtype=np.int64)
    lines = [line for line, _ in _lines_at(path, places)]
    empty = np.flatnonzero(np.diff(offsets) == 0)
    if len(empty):
        raise FormatError(
            f"the record '{headers[empty[0]]}' has no sequence", where=place(path, lines[int(empty[0])])
        )
    return Records([first_word(header) for header in headers], headers, codes, offsets, lines)


def first_word(header: str) -> str:
    """The record's name: the header up to the first blank."""
    return header.split(None, 1)[0]


def line_at(path: str | Path, offset: int) -> int:
    """The 1-based line of a byte offset of the unpacked text (a second pass: for messages only)."""
    return _lines_at(path, [offset])[0][0]


def _lines_at(path: str | Path, offsets: list[int]) -> list[tuple[int, int]]:
    """The 1-based lines and columns of increasing offsets, in one pass over the unpacked text."""
    wanted = np.array(offsets, dtype=np.int64)
    found: list[tuple[int, int]] = []
    begin, before, line_begin = 0, 0, 0
    with open_plain(path) as handle:
        while len(found) < len(wanted) and (chunk := handle.read(_CHUNK)):
            ends = np.flatnonzero(np.frombuffer(chunk, dtype=np.uint8) == ord("\n")) + begin
            here = wanted[len(found) : int(np.searchsorted(wanted, begin + len(chunk)))]
            passed = np.searchsorted(ends, here)
            line_begins = np.concatenate(([line_begin], ends + 1))[passed]
            columns = (here - line_begins + 1).tolist()
            found += zip((1 + before + passed).tolist(), columns, strict=True)
            begin, before = begin + len(chunk), before + len(ends)
            line_begin = int(ends[-1]) + 1 if len(ends) else line_begin
    return found


def _skip_to_first(text: bytes, offset: int, path: str | Path) -> tuple[bytes, int]:
    """Drop what may stand before the first record (blank lines, a byte-order mark); anything else is refused."""
    stripped = text.removeprefix(b"\xef\xbb\xbf").lstrip()
    if stripped and not stripped.startswith(b">"):
        got = "a binary file" if b"\0" in stripped[:4096] else repr(stripped[:20].decode("utf-8", "replace"))
        line = text[: len(text) - len(stripped)].count(b"\n") + 1
        raise FormatError(
            "this is not a FASTA file",
            where=place(path, line, column=1),
            expected="a header that begins with '>'",
            got=got,
        )
    return stripped, offset + len(text) - len(stripped)


def _pieces(text: bytes, offset: int, path: str | Path) -> Iterator[Piece]:
    """Cut one chunk into pieces; returns the rest, a header whose line end has not come yet."""
    at = 0
    while at < len(text):
        begin = text.find(b">", at)
        stop = len(text) if begin < 0 else begin
        if stop > at:
            yield Piece(None, _translate(text[at:stop], offset + at, path), offset + at)
        if begin < 0:
            return b""
        end = text.find(b"\n", begin)
        if end < 0:
            return text[begin:]
        yield Piece(_header(text[begin:end], offset + begin, path), b"", offset + begin)
        at = end + 1
    return b""


def _header(line: bytes, offset: int, path: str | Path) -> str:
    header = line[1:].decode("utf-8", errors="replace").strip()
    if not header:
        raise FormatError("a header has no name", where=place(path, line_at(path, offset), column=1))
    return header


def _translate(text: bytes, offset: int, path: str | Path) -> bytes:
    bases = text.translate(_TABLE, _LINE_BREAKS)
    if bases.find(_BAD) >= 0:
        _explain_bad(text, offset, path)
    return bases


def _explain_bad(text: bytes, offset: int, path: str | Path) -> NoReturn:
    found = re.search(rb"[^A-Za-z\s*.-]", text)
    at = found.start() if found else 0
    line, column = _lines_at(path, [offset + at])[0]
    letter = text[at : at + 1].decode("latin-1")
    raise FormatError(
        "this is no letter of a sequence",
        where=place(path, line, column=column),
        expected="letters (A, C, G, T, N …)",
        got=repr(letter),
        remedy="The file is damaged, or not a nucleotide FASTA.",
    )
