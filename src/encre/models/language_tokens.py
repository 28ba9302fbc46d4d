"""What cuts a sequence for a language model: the tokenizer of a Hugging Face folder, with its special tokens.

DNABERT's k-mers, whose own code puts blanks between the words, are cut by :class:`KmerTokenizer`; a
``tokenizer.json`` is read by `tokenizers`; anything else by `transformers` (6-mers side by side, as those of
the Nucleotide Transformer).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from encre.errors import FormatError, MissingExtraError
from encre.sequence.bpe import BytePairs, texts_of
from encre.sequence.tokenizers import KmerTokenizer, from_json
from encre.sequence.vocabulary import kmer_width, read_vocabulary_text, vocabulary_words

#: Letters that every tokenizer of DNA knows, in a text that is long enough for any of them.
_PROBE = "ACGTTGCATCAGGACTAGCTTACG"


class LanguageTokens(NamedTuple):
    """A language model's tokenizer.

    Parameters
    ----------
    cut
        Ids of each sequence of a padded batch, specials included: codes (B, L) uint8 and real bases (B,) int64.
    padding_id
        What stands beyond the last token.
    before, after
        Specials before and behind a sequence's own tokens.
    k
        Bases of overlapping k-mers; None for tokens side by side.
    longest_word
        Bases of the longest token.
    """

    cut: Callable[[np.ndarray, np.ndarray], list[list[int]]]
    padding_id: int
    before: int
    after: int
    k: int | None
    longest_word: int

    def describe(self) -> str:
        """As messages name it."""
        return "the tokens of a language model"

    def bases_of(self, tokens: int) -> int:
        """Bases of the longest sequence that may have no more than so many tokens of its own."""
        return tokens + self.k - 1 if self.k else tokens * self.longest_word


def read_language_tokens(folder: Path) -> LanguageTokens:
    """The tokenizer of a folder.

    Raises
    ------
    FormatError, MissingFileError
        When it is damaged, there is none, or it does not read DNA.
    """
    vocabulary, rust = folder / "vocab.txt", folder / "tokenizer.json"
    if vocabulary.is_file():
        words = vocabulary_words(read_vocabulary_text(vocabulary), vocabulary)
        if (k := kmer_width(words)) is not None:
            return _of_kmers(KmerTokenizer(k, vocabulary=words))
    if rust.is_file():
        pairs = from_json(read_vocabulary_text(rust), where=rust)
        if not isinstance(pairs, BytePairs):
            raise FormatError("not a tokenizer of Hugging Face", where=rust, got=pairs.describe())
        if (k := kmer_width(pairs.words())) is not None:
            return _of_kmers(KmerTokenizer(k, vocabulary=tuple(pairs.words())))
        return _of_text(pairs.encode, pairs.padding_id, pairs.tokenizer.token_to_id, pairs.words(), where=rust)
    return _of_transformers(folder)


def _of_kmers(tokenizer: KmerTokenizer) -> LanguageTokens:
    first, last = (tokenizer.vocabulary.index(name) for name in ("[CLS]", "[SEP]"))

    def cut(codes: np.ndarray, length: np.ndarray) -> list[list[int]]:
        counts = tokenizer.lengths(length).tolist()
        return [
            [first, *row[:count], last] for row, count in zip(tokenizer.tokens(codes).tolist(), counts, strict=True)
        ]

    return LanguageTokens(cut, tokenizer.padding_id, 1, 1, tokenizer.k, tokenizer.k)


def _of_transformers(folder: Path) -> LanguageTokens:
    transformers = load_extra("transformers")
    try:
        made = transformers.AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except Exception as error:  # missing and damaged files, and code of the folder's own, raise as many classes
        raise FormatError(
            "the folder has no tokenizer that can be read",
            where=folder,
            expected="tokenizer.json, vocab.txt, or what AutoTokenizer of transformers reads without foreign code",
            got=str(error).splitlines()[0],
        ) from error

    def encode(texts: Sequence[str], *, specials: bool = False) -> list[list[int]]:
        return made(list(texts), add_special_tokens=specials, padding=False, truncation=False)["input_ids"]

    return _of_text(encode, made.pad_token_id or 0, made.convert_tokens_to_ids, list(made.get_vocab()), where=folder)


def _of_text(
    encode: Callable[..., list[list[int]]],
    padding_id: int,
    id_of: Callable[[str], int | None],
    words: Sequence[str],
    *,
    where: Path,
) -> LanguageTokens:
    """A tokenizer that reads letters; one that knows none of them is refused."""
    own, whole = encode([_PROBE])[0], encode([_PROBE], specials=True)[0]
    unknown = {id_of(name) for name in ("[UNK]", "<unk>")}
    if not own or unknown & set(own):
        raise FormatError(
            "the tokenizer does not read DNA",
            where=where,
            expected="tokens for A, C, G and T",
            got=f"{len(own)} tokens, an unknown one among them" if own else "no token",
        )
    before = next(at for at in range(len(whole)) if whole[at : at + len(own)] == own)

    def cut(codes: np.ndarray, length: np.ndarray) -> list[list[int]]:
        return encode(texts_of(codes, length), specials=True)

    longest = max((len(word) for word in words if not word.strip("ACGT")), default=1)
    return LanguageTokens(cut, padding_id, before, len(whole) - len(own) - before, None, longest)


def load_extra(package: str) -> Any:
    """A package of the extra, or the remedy where it is missing."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingExtraError(
            f"language models are read by {package}, which is not installed",
            remedy="pip install 'encre[language_models]'",
        ) from error
