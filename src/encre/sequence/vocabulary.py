"""Vocabulary files as BERT has them: a word a line, the line's number being its id."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path

from encre.errors import ConfigError, FormatError
from encre.files import read_bytes

PADDING, UNKNOWN = "[PAD]", "[UNK]"
#: In DNABERT's files (Ji et al. 2021) these come first, in this order.
SPECIALS = (PADDING, UNKNOWN, "[CLS]", "[SEP]", "[MASK]")


def read_vocabulary_text(path: str | Path) -> str:
    """The text of a vocabulary file; missing, empty or binary is said in words."""
    try:
        return read_bytes(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError("not a vocabulary: the file is not text", where=path) from error


def vocabulary_words(text: str, where: str | Path) -> tuple[str, ...]:
    """The words of a ``vocab.txt`` in the order of their ids.

    Raises
    ------
    FormatError
        Naming the line of a word that stands there twice, or of an empty one.
    """
    words = tuple(line.strip() for line in text.rstrip("\n").split("\n"))
    seen: set[str] = set()
    for number, word in enumerate(words, start=1):
        if not word or word in seen:
            what = f"the word '{word}' stands there twice" if word else "an empty line"
            raise FormatError(what, where=f"{where}, line {number}", expected="a new word a line")
        seen.add(word)
    return words


def check_kmer_words(words: Sequence[str], k: int) -> None:
    """Refuse a vocabulary that lacks a k-mer, ``[UNK]`` or ``[PAD]``.

    Raises
    ------
    ConfigError
        Naming the first word that is missing, and the k that the vocabulary is of.
    """
    known = set(words)
    wanted = (PADDING, UNKNOWN, *("".join(letters) for letters in product("ACGT", repeat=k)))
    missing = [word for word in wanted if word not in known]
    if missing:
        found = kmer_width(words)
        raise ConfigError(
            f"the vocabulary has no word '{missing[0]}'",
            expected=f"{PADDING}, {UNKNOWN} and all {4**k:,} {k}-mers",
            got=f"a vocabulary of {found}-mers" if found else f"{len(words):,} words",
            remedy=f"Set k = {found}." if found and found != k else "",
        )


def kmer_width(words: Sequence[str]) -> int | None:
    """The k of a vocabulary that holds all k-mers of one width and, apart from specials in brackets, nothing else."""
    plain = {word for word in words if not word.startswith("[")}
    width = len(next(iter(plain), ""))
    whole = len(plain) == 4**width and all(len(word) == width and not word.strip("ACGT") for word in plain)
    return width if width and whole else None
