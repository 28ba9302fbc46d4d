"""Motifs as probabilities, and their files: MEME minimal motif format, version 4 or later.

The format is that of https://meme-suite.org/meme/doc/meme-format.html; JASPAR and HOCOMOCO offer it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np

from encre.errors import FormatError
from encre.files import read_bytes, staged_file
from encre.sequence.alphabet import decode
from encre.tables import place

#: A row of probabilities may miss 1 by this much: files round to three decimals at worst.
_SLACK = 0.02
_WIDTH = re.compile(r"\bw\s*=\s*(\d+)")
_ALENGTH = re.compile(r"\balength\s*=\s*(\d+)")
_SITES = re.compile(r"\bnsites\s*=\s*([\d.eE+]+)")
_REMEDY = "Get the motifs in MEME format: JASPAR and HOCOMOCO offer it beside their other formats."


@dataclass(frozen=True)
class Motif:
    """A motif.

    Parameters
    ----------
    name
        Its identifier, without blanks, for example ``MA0002.3``.
    pwm
        (w, 4) probabilities of A, C, G, T at each place; rows sum to 1.
    label
        Its alternative name, for example ``Runx1``; empty when the file has none.
    sites
        Sequences that the probabilities were counted from; 0 when not stated.
    """

    name: str
    pwm: np.ndarray
    label: str = ""
    sites: float = 0.0

    def __len__(self) -> int:
        return len(self.pwm)

    @property
    def title(self) -> str:
        """Name and label."""
        return f"{self.name} {self.label}".rstrip()

    @property
    def consensus(self) -> str:
        """The likeliest base at each place."""
        return decode(self.codes)

    @property
    def codes(self) -> np.ndarray:
        """The likeliest base at each place, (w,) uint8."""
        return self.pwm.argmax(axis=1).astype(np.uint8)

    @property
    def information(self) -> np.ndarray:
        """(w,) bits at each place, against equal bases: 0 to 2."""
        safe = np.where(self.pwm > 0, self.pwm, 1.0)
        return 2 + (self.pwm * np.log2(safe)).sum(axis=1)


class _Line(NamedTuple):
    number: int
    text: str


def read_meme(path: str | Path) -> list[Motif]:
    """Read the DNA motifs of a MEME file.

    Parameters
    ----------
    path
        MEME minimal motif format (version 4 or later), plain or gzip; also what MEME itself writes as text.

    Returns
    -------
    list of Motif
        In file order.

    Raises
    ------
    FormatError
        When it is not such a file, or of another alphabet; names the first line at fault and what should stand there.
    """
    lines = _lines(path)
    _check_head(path, lines)
    motifs: dict[str, Motif] = {}
    at = 0
    while at < len(lines):
        if lines[at].text.split()[0] != "MOTIF":
            at += 1
            continue
        where = place(path, lines[at].number)
        motif, at = _read_motif(path, lines, at)
        if motif.name in motifs:
            raise FormatError(f"the motif '{motif.name}' stands twice", where=where, remedy="Rename or remove one.")
        motifs[motif.name] = motif
    if not motifs:
        raise FormatError("the file has a MEME head and no motif", where=path, expected="lines that begin with MOTIF")
    return list(motifs.values())


def write_meme(path: str | Path, motifs: Sequence[Motif]) -> None:
    """Write motifs in MEME format, version 4, six decimals; the file is renamed into place."""
    parts = ["MEME version 4\n\nALPHABET= ACGT\n\nstrands: + -\n\nBackground letter frequencies\n"]
    parts.append("A 0.25 C 0.25 G 0.25 T 0.25\n")
    for motif in motifs:
        parts.append(f"\nMOTIF {motif.title}\n")
        parts.append(f"letter-probability matrix: alength= 4 w= {len(motif)} nsites= {motif.sites:g} E= 0\n")
        parts += [" ".join(f"{value:.6f}" for value in row) + "\n" for row in motif.pwm]
    with staged_file(path) as staged:
        staged.write_text("".join(parts), encoding="utf-8")


def _lines(path: str | Path) -> list[_Line]:
    """The lines that are not blank, with their 1-based numbers."""
    content = read_bytes(path)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    if not text or "\0" in text:
        _refuse(
            path, 1, "this is not a MEME motif file", expected="text that begins with 'MEME version 4'", got="bytes"
        )
    return [_Line(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]


def _check_head(path: str | Path, lines: Sequence[_Line]) -> None:
    """Refuse what does not say that it is MEME 4 or later, and other alphabets than DNA."""
    head = next((line for line in lines if line.text.startswith("MEME version")), None)
    number = re.search(r"\d+", head.text) if head else None
    if head is None or number is None:
        first = lines[0]
        _refuse(
            path,
            first.number,
            "this is not a MEME motif file",
            expected="'MEME version 4'",
            got=f"'{first.text[:60]}'",
        )
    if int(number.group()) < 4:
        _refuse(path, head.number, "the MEME version is too old", expected="4 or later", got=number.group())
    for line in lines:
        if line.text.startswith("MOTIF"):
            return
        if line.text.startswith("ALPHABET"):
            letters = re.sub(r"^ALPHABET\s*=?\s*", "", line.text).strip().strip('"')
            if letters.upper() not in ("ACGT", "DNA", "DNA-LIKE") and not letters.upper().startswith("DNA"):
                _refuse(
                    path, line.number, "the motifs are not DNA", expected="ALPHABET= ACGT", got=f"'{letters[:40]}'"
                )


def _read_motif(path: str | Path, lines: Sequence[_Line], at: int) -> tuple[Motif, int]:
    """The motif whose MOTIF line is ``lines[at]``, and the index of the line behind its matrix."""
    head = lines[at]
    words = head.text.split()[1:]
    if not words:
        _refuse(path, head.number, "the motif has no name", expected="MOTIF name", got=f"'{head.text}'")
    name, label = words[0], " ".join(words[1:])
    begin = at + 1
    while begin < len(lines) and not lines[begin].text.startswith(("letter-probability", "MOTIF ")):
        begin += 1
    if begin == len(lines) or lines[begin].text.startswith("MOTIF "):
        expected = "a line 'letter-probability matrix: alength= 4 w= …' behind it"
        _refuse(path, head.number, f"the motif '{name}' has no matrix", expected=expected)
    said = lines[begin]
    letters, width, sites = _ALENGTH.search(said.text), _WIDTH.search(said.text), _SITES.search(said.text)
    if letters and letters.group(1) != "4":
        _refuse(path, said.number, f"the motif '{name}' is not DNA", expected="alength= 4", got=letters.group(0))
    rows = _matrix_rows(path, lines, begin + 1, name=name, width=int(width.group(1)) if width else None)
    motif = Motif(name, np.array(rows), label, float(sites.group(1)) if sites else 0.0)
    return motif, begin + 1 + len(rows)


def _matrix_rows(
    path: str | Path, lines: Sequence[_Line], begin: int, *, name: str, width: int | None
) -> list[list[float]]:
    """Rows of four probabilities from ``lines[begin]``: ``width`` of them, or as many as there are."""
    rows: list[list[float]] = []
    while width is None or len(rows) < width:
        line = lines[begin + len(rows)] if begin + len(rows) < len(lines) else None
        values = _numbers(line.text) if line else None
        if values is None and width is None:
            break
        if line is None or values is None:
            where = line.number if line else lines[-1].number
            got = f"'{line.text[:60]}'" if line else "the end of the file"
            what = f"the matrix of motif '{name}' ends too soon"
            _refuse(path, where, what, expected=f"{width} rows of four numbers", got=f"{got} after {len(rows)}")
        _check_row(path, line, values, name=name)
        rows.append([value / sum(values) for value in values])
    if not rows:
        _refuse(path, lines[begin - 1].number, f"the matrix of motif '{name}' is empty", expected="a row or more")
    return rows


def _check_row(path: str | Path, line: _Line, values: list[float], *, name: str) -> None:
    wrong = len(values) != 4 or min(values) < 0 or not abs(sum(values) - 1) <= _SLACK
    if wrong:
        counts = len(values) == 4 and min(values) >= 0 and sum(values) > 1 + _SLACK
        _refuse(
            path,
            line.number,
            f"this is no row of probabilities (motif '{name}')",
            expected="four numbers from 0 to 1 that sum to 1 (A C G T)",
            got=f"'{line.text[:60]}'",
            remedy="These look like counts or scores: divide each row by its sum." if counts else _REMEDY,
        )


def _numbers(text: str) -> list[float] | None:
    try:
        return [float(word) for word in text.split()]
    except ValueError:
        return None


def _refuse(
    path: str | Path, line: int, what: str, *, expected: str, got: str = "", remedy: str = _REMEDY
) -> NoReturn:
    raise FormatError(what, where=place(path, line), expected=expected, got=got, remedy=remedy)
