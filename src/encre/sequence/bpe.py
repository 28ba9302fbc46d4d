"""Byte-pair subwords (Sennrich et al. 2016; of DNA: DNABERT-2, Zhou et al. 2024), by Hugging Face `tokenizers`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from encre.errors import ConfigError, FormatError, MissingExtraError
from encre.sequence.alphabet import decode
from encre.sequence.vocabulary import PADDING, SPECIALS, UNKNOWN

#: Bases of the pieces that byte pairs are learned from, and so the most that a token can have: pieces of 512 take
#: twice the time.
PIECE = 128


@dataclass(frozen=True)
class BytePairs:
    """A tokenizer of Hugging Face `tokenizers`; how many tokens a sequence has depends on its bases.

    N is what the file makes of an unknown letter: one ``[UNK]`` for each run of N where encre trained it, one for
    each N in DNABERT-2's file.

    Parameters
    ----------
    text
        The text of its ``tokenizer.json``.
    where
        File to name in an error.

    Raises
    ------
    FormatError
        When the text is not such a file, or N would leave no token.
    MissingExtraError
        When `tokenizers` is not installed.
    """

    name: ClassVar[str] = "bpe"
    text: str
    where: str | Path = field(default="tokenizer.json", compare=False, repr=False)

    def __post_init__(self) -> None:
        if not self.encode(["N"])[0] or not self.encode(["A"])[0]:
            raise FormatError(
                "the tokenizer makes no token of a base",
                where=self.where,
                expected="tokens for A, C, G and T, and an unknown token for N",
                remedy="Train one with `encre data tokenizer`.",
            )

    @cached_property
    def tokenizer(self) -> Any:
        """The `tokenizers.Tokenizer`, without the truncation and padding that its file may ask for."""
        try:
            made = load_tokenizers().Tokenizer.from_str(self.text)
        except Exception as error:  # what `tokenizers` raises has no class of its own
            if isinstance(error, MissingExtraError):
                raise
            raise FormatError("not a tokenizer", where=self.where, got=str(error)) from error
        made.no_truncation()
        made.no_padding()
        return made

    @cached_property
    def vocabulary_size(self) -> int:
        """One more than the largest id."""
        return max(self.tokenizer.get_vocab(with_added_tokens=True).values()) + 1

    @property
    def padding_id(self) -> int:
        """The id of ``[PAD]``, or 0."""
        return self.tokenizer.token_to_id(PADDING) or 0

    @cached_property
    def longest_word(self) -> int:
        """Bases of the longest token."""
        specials = {token.content for token in self.tokenizer.get_added_tokens_decoder().values()}
        return max(len(word) for word in self.tokenizer.get_vocab() if word not in specials)

    def encode(self, texts: Sequence[str], *, specials: bool = False) -> list[list[int]]:
        """Ids of each sequence, with what the file puts around them ([CLS], [SEP]) where ``specials``."""
        found = self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=specials)
        return [one.ids for one in found]

    def words(self) -> list[str]:
        """The tokens in id order."""
        return [self.tokenizer.id_to_token(number) or "" for number in range(self.vocabulary_size)]

    def describe(self) -> str:
        """As messages name it."""
        return "byte-pair subwords"

    def to_json(self) -> str:
        """The text of ``tokenizer.json``, as `tokenizers` reads it too."""
        return self.text


def texts_of(codes: np.ndarray, length: np.ndarray) -> list[str]:
    """The letters of a padded batch: codes (B, L) uint8 and real bases (B,)."""
    width = codes.shape[1]
    text = decode(np.ascontiguousarray(codes))
    return [text[row * width : row * width + n] for row, n in enumerate(length.tolist())]


def padded_ids(rows: Sequence[Sequence[int]], padding: int) -> tuple[np.ndarray, np.ndarray]:
    """Ids of many sequences as one array (B, T) int64, padded, and how many each has (B,) int64."""
    count = np.fromiter(map(len, rows), np.int64, len(rows))
    ids = np.full((len(rows), int(count.max(initial=0))), padding, np.int64)
    flat = np.fromiter((number for row in rows for number in row), np.int64, int(count.sum()))
    ids[np.arange(ids.shape[1]) < count[:, None]] = flat
    return ids, count


def train_byte_pairs(texts: Iterable[str], *, vocabulary_size: int = 4096) -> BytePairs:
    """Learn byte pairs; the same texts in the same order give the same file.

    Parameters
    ----------
    texts
        Sequences; they are cut at N, which no token holds, and into pieces of :data:`PIECE` bases.
    vocabulary_size
        Tokens, the five specials and the four bases among them.

    Raises
    ------
    ConfigError
        When there is no text, or too little of it for so many tokens.
    """
    package = load_tokenizers()
    made = package.Tokenizer(package.models.BPE(unk_token=UNKNOWN, fuse_unk=True))
    trainer = package.trainers.BpeTrainer(
        vocab_size=vocabulary_size, special_tokens=list(SPECIALS), initial_alphabet=list("ACGT"), show_progress=False
    )
    made.train_from_iterator(_pieces(texts), trainer)
    if (found := made.get_vocab_size()) < vocabulary_size:
        raise ConfigError(
            "the sequences are too few for so many tokens",
            expected=f"{vocabulary_size:,}",
            got=f"{found:,}",
            remedy="Ask for fewer tokens, or give more sequence.",
        )
    ends = [(name, made.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    made.post_processor = package.processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return BytePairs(made.to_str(pretty=True) + "\n")


def describe_byte_pairs(made: BytePairs, texts: Sequence[str]) -> dict[str, Any]:
    """Tokens, bases of the longest, and bases a token in these texts."""
    count = sum(map(len, made.encode(texts)))
    return {
        "tokens": made.vocabulary_size,
        "longest": made.longest_word,
        "bases": sum(map(len, texts)),
        "bases_a_token": sum(map(len, texts)) / count,
    }


def _pieces(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        for run in text.upper().replace("N", " ").split():
            yield from (run[at : at + PIECE] for at in range(0, len(run), PIECE))


def load_tokenizers() -> Any:
    """The package, or the remedy where it is missing."""
    try:
        import tokenizers
    except ImportError as error:
        raise MissingExtraError(
            "byte-pair subwords are made by the package tokenizers, which is not installed",
            remedy="pip install 'encre[tokenizers]'",
        ) from error
    return tokenizers
