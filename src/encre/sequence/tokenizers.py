"""What a model reads instead of letters: k-mers or one-hot, made from codes per batch.

The functions use operators only, so that the same code runs on NumPy arrays and on torch tensors, on
whatever device they are; this module does not import torch.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from encre.errors import ConfigError, FormatError, SequenceError, nearest
from encre.sequence.bpe import BytePairs
from encre.sequence.vocabulary import PADDING, UNKNOWN, check_kmer_words, read_vocabulary_text, vocabulary_words
from encre.shapes import N_CODE

#: 4**8 k-mers is the largest vocabulary that still fits beside a small model.
MAX_K = 8


class Tokenizer(Protocol):
    """What every tokenizer answers; ``codes`` and ``length`` may be NumPy arrays or torch tensors."""

    name: ClassVar[str]

    @property
    def vocabulary_size(self) -> int:
        """Token ids, or channels, that there are."""
        ...

    def tokens(self, codes: Any) -> Any:
        """Codes ``(..., L)`` to model input."""
        ...

    def lengths(self, length: Any) -> Any:
        """Real tokens of sequences of ``length`` real bases."""
        ...

    def to_json(self) -> str:
        """The text of ``tokenizer.json``."""
        ...


def kmer_ids(codes: Any, k: int, *, stride: int = 1) -> Any:
    """Ids of k-mers: base 4 with A 0, C 1, G 2, T 3, the first base weighing most.

    Any k-mer that holds a code above 3 (N or padding) gets the one special id ``4**k``.

    Parameters
    ----------
    codes
        Codes ``(..., L)``, NumPy or torch, of any integer type.
    k
        Bases a token, 1 to 8.
    stride
        Bases between the starts of two tokens.

    Returns
    -------
    array or tensor
        ``(..., (L - k) // stride + 1)``, int64 (a signed type wider than a byte is kept).

    Raises
    ------
    SequenceError
        When L < k: there is no token.
    """
    count = codes.shape[-1] - k + 1
    if count < 1:
        raise SequenceError(
            f"{codes.shape[-1]} bases are too few for {k}-mers", expected=f"at least {k} bases a sequence"
        )
    wide = _wide(codes)
    unknown = wide > 3
    ids, special = wide[..., :count:stride], unknown[..., :count:stride]
    for step in range(1, k):
        ids = ids * 4 + wide[..., step : step + count : stride]
        special = special | unknown[..., step : step + count : stride]
    return ids * ~special + special * 4**k


def _wide(codes: Any) -> Any:
    """Codes in an integer type that holds 4**8 + 1 ids."""
    if codes.dtype.itemsize > 2:
        return codes
    return codes.astype(np.int64) if isinstance(codes, np.ndarray) else codes.long()


@dataclass(frozen=True)
class KmerTokenizer:
    """Overlapping or strided k-mers: ``(L - k) // stride + 1`` tokens for L bases.

    Parameters
    ----------
    k
        Bases a token, 1 to 8. With k = 3, ids 0-63 and the special id 64.
    stride
        Bases between the starts of two tokens.
    vocabulary
        Words in the order of their ids, as in DNABERT's ``vocab.txt`` (Ji et al. 2021): specials, ``[UNK]`` and
        ``[PAD]`` among them, and all k-mers; empty for the ids of :func:`kmer_ids`.
    """

    name: ClassVar[str] = "kmer"
    k: int = 3
    stride: int = 1
    vocabulary: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.k <= MAX_K:
            raise ConfigError("k of the k-mer tokenizer is out of range", expected=f"1 to {MAX_K}", got=str(self.k))
        if self.stride < 1:
            raise ConfigError("a k-mer tokenizer moves on by 1 base or more", got=str(self.stride))
        object.__setattr__(self, "vocabulary", tuple(self.vocabulary))
        if self.vocabulary:
            check_kmer_words(self.vocabulary, self.k)

    @property
    def vocabulary_size(self) -> int:
        """``4**k`` k-mers and the special id, or the words of the vocabulary."""
        return len(self.vocabulary) or 4**self.k + 1

    @property
    def special_id(self) -> int:
        """The id of every k-mer with an N: ``4**k``, or that of ``[UNK]``."""
        return self.vocabulary.index(UNKNOWN) if self.vocabulary else 4**self.k

    @property
    def padding_id(self) -> int:
        """The id of what is no token: :attr:`special_id`, or that of ``[PAD]``."""
        return self.vocabulary.index(PADDING) if self.vocabulary else self.special_id

    @cached_property
    def table(self) -> np.ndarray | None:
        """The id of each :func:`kmer_ids`, ``(4**k + 1,)`` int64; None where they are the same."""
        if not self.vocabulary:
            return None
        place = {word: number for number, word in enumerate(self.vocabulary)}
        return np.array([*(place[word] for word in _kmers(self.k)), self.special_id])

    def tokens(self, codes: Any, length: Any = None) -> Any:
        """Ids ``(..., T)`` of codes ``(..., L)``; with ``length`` (...), what lies beyond it is padding."""
        ids = kmer_ids(codes, self.k, stride=self.stride)
        table = self.table
        if table is not None:
            ids = table[ids] if isinstance(ids, np.ndarray) else ids.new_tensor(table)[ids]
        if length is None:
            return ids
        place = np.arange(ids.shape[-1])
        real = (place if isinstance(ids, np.ndarray) else ids.new_tensor(place)) < self.lengths(length)[..., None]
        return ids * real + self.padding_id * ~real

    def lengths(self, length: Any) -> Any:
        """Real tokens of sequences of ``length`` real bases: ``(length - k) // stride + 1``, never below 0."""
        count = (length - self.k) // self.stride + 1
        return count * (count > 0)

    def words(self) -> list[str]:
        """The words in id order; the k-mers and, last, the special one, written as N, without a vocabulary."""
        return list(self.vocabulary) or [*_kmers(self.k), "N" * self.k]

    def describe(self) -> str:
        """As messages name it."""
        return f"{self.k}-mers" if self.stride == 1 else f"{self.k}-mers at stride {self.stride}"

    def to_json(self) -> str:
        """The text of ``tokenizer.json``."""
        values: dict[str, Any] = {"name": self.name, "k": self.k}
        if self.stride > 1:
            values["stride"] = self.stride
        if self.vocabulary:
            values["vocabulary"] = self.vocabulary
        return json.dumps(values, indent=2) + "\n"


@dataclass(frozen=True)
class CanonicalKmerTokenizer(KmerTokenizer):
    """k-mers of which each shares its id with its reverse complement: the tokens of a sequence are those of the other
    strand in the opposite order (at a stride above 1, where the stride divides ``L - k``).

    There are ``4**k / 2`` ids for odd k and ``(4**k + 4**(k / 2)) / 2`` for even k, whose palindromes are their own
    partners, and the special id. Ids follow the smaller word of each pair, in alphabetical order.
    """

    name: ClassVar[str] = "canonical_kmer"

    def __post_init__(self) -> None:
        if self.vocabulary:
            raise ConfigError("canonical k-mers have ids of their own", remedy="Leave the vocabulary out.")
        super().__post_init__()

    @property
    def vocabulary_size(self) -> int:
        """Pairs of k-mers, and the special id."""
        return self.special_id + 1

    @property
    def special_id(self) -> int:
        """The number of pairs."""
        return (4**self.k + (0 if self.k % 2 else 2**self.k)) // 2

    @cached_property
    def table(self) -> np.ndarray:
        """The pair of each k-mer, ``(4**k + 1,)`` int64."""
        ids = np.arange(4**self.k)
        left, other = ids, np.zeros_like(ids)
        for _ in range(self.k):  # the last base's complement comes first
            left, base = np.divmod(left, 4)
            other = 4 * other + (3 - base)
        smaller = np.minimum(ids, other)
        return np.concatenate([np.unique(smaller, return_inverse=True)[1], [self.special_id]])

    def words(self) -> list[str]:
        """The smaller word of each pair in id order; the last is the special one, written as N."""
        first = np.unique(self.table[:-1], return_index=True)[1]
        kmers = _kmers(self.k)
        return [*(kmers[at] for at in first), "N" * self.k]

    def describe(self) -> str:
        """As messages name it."""
        return f"canonical {super().describe()}"


def _kmers(k: int) -> list[str]:
    return ["".join(letters) for letters in itertools.product("ACGT", repeat=k)]


@dataclass(frozen=True)
class OneHot:
    """One channel a base; N and padding are all zeros."""

    name: ClassVar[str] = "one_hot"

    @property
    def vocabulary_size(self) -> int:
        """Channels: A, C, G, T."""
        return N_CODE

    def tokens(self, codes: Any) -> Any:
        """Bool ``(..., L, 4)`` of codes ``(..., L)``."""
        letters = range(N_CODE)
        if isinstance(codes, np.ndarray):
            return codes[..., None] == np.array(letters, dtype=codes.dtype)
        return codes[..., None] == codes.new_tensor(list(letters))

    def lengths(self, length: Any) -> Any:
        """Real positions: the bases themselves."""
        return length

    def words(self) -> list[str]:
        """The channels' letters."""
        return list("ACGT")

    def describe(self) -> str:
        """As messages name it."""
        return "one-hot bases"

    def to_json(self) -> str:
        """The text of ``tokenizer.json``."""
        return json.dumps({"name": self.name}, indent=2) + "\n"


#: Those that work on arrays of codes; byte pairs (:mod:`encre.sequence.bpe`) work on text.
TOKENIZERS: dict[str, type[KmerTokenizer] | type[OneHot]] = {
    KmerTokenizer.name: KmerTokenizer,
    CanonicalKmerTokenizer.name: CanonicalKmerTokenizer,
    OneHot.name: OneHot,
}


def from_json(text: str, *, where: str | Path = "tokenizer.json") -> KmerTokenizer | OneHot | BytePairs:
    """The tokenizer that wrote this text of ``tokenizer.json``; one of Hugging Face `tokenizers` is byte pairs.

    Raises
    ------
    FormatError
        When the text is damaged or names a tokenizer that this encre does not know.
    """
    try:
        values = dict(json.loads(text))
        if "model" in values:
            return BytePairs(text, where=where)
        name = str(values.pop("name"))
    except (ValueError, TypeError, KeyError) as error:
        raise _foreign(error, where) from error
    if name not in TOKENIZERS:
        raise FormatError(f"unknown tokenizer '{name}'", where=where, remedy=nearest(name, TOKENIZERS))
    try:
        return TOKENIZERS[name](**values)
    except TypeError as error:
        raise _foreign(error, where) from error


def _foreign(error: Exception, where: str | Path) -> FormatError:
    return FormatError("not a tokenizer", where=where, got=str(error))


def make_tokenizer(
    name: str, *, k: int, stride: int = 1, vocabulary: str | Path | None = None
) -> KmerTokenizer | OneHot | BytePairs:
    """The tokenizer that settings name.

    Parameters
    ----------
    name
        ``"kmer"``, ``"canonical_kmer"``, ``"one_hot"`` or ``"bpe"``.
    k, stride
        Of k-mers.
    vocabulary
        Of k-mers, a ``vocab.txt`` with a word a line, or the ``tokenizer.json`` of a run folder; of byte pairs, the
        ``tokenizer.json``.

    Raises
    ------
    ConfigError, FormatError, MissingFileError
        When the vocabulary is missing, damaged, or of other k-mers.
    """
    if name == OneHot.name:
        return OneHot()
    if vocabulary is None:
        return TOKENIZERS[name](k=k, stride=stride)  # pyright: ignore[reportCallIssue]
    text = read_vocabulary_text(vocabulary)
    if name == KmerTokenizer.name and not text.lstrip().startswith("{"):
        return KmerTokenizer(k=k, stride=stride, vocabulary=vocabulary_words(text, vocabulary))
    found = from_json(text, where=vocabulary)
    if found.name != name or (isinstance(found, KmerTokenizer) and (found.k, found.stride) != (k, stride)):
        raise ConfigError(
            "the vocabulary is of other tokens",
            where=vocabulary,
            expected=f"{k}-mers at stride {stride}" if name == KmerTokenizer.name else name,
            got=found.describe(),
        )
    return found
