"""What a model reads instead of letters: overlapping k-mers or one-hot, made from codes per batch.

The functions use operators only, so that the same code runs on NumPy arrays and on torch tensors, on
whatever device they are; this module does not import torch.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

from encre.errors import ConfigError, FormatError, SequenceError, nearest
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


def kmer_ids(codes: Any, k: int) -> Any:
    """Ids of overlapping k-mers: base 4 with A 0, C 1, G 2, T 3, the first base weighing most.

    Any k-mer that holds a code above 3 (N or padding) gets the one special id ``4**k``.

    Parameters
    ----------
    codes
        Codes ``(..., L)``, NumPy or torch, of any integer type.
    k
        Bases a token, 1 to 8.

    Returns
    -------
    array or tensor
        ``(..., L - k + 1)``, int64 (a signed type wider than a byte is kept).

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
    ids, special = wide[..., :count], unknown[..., :count]
    for step in range(1, k):
        ids = ids * 4 + wide[..., step : step + count]
        special = special | unknown[..., step : step + count]
    return ids * ~special + special * 4**k


def _wide(codes: Any) -> Any:
    """Codes in an integer type that holds 4**8 + 1 ids."""
    if codes.dtype.itemsize > 2:
        return codes
    return codes.astype(np.int64) if isinstance(codes, np.ndarray) else codes.long()


@dataclass(frozen=True)
class KmerTokenizer:
    """Overlapping k-mers at stride 1: ``L - k + 1`` tokens for L bases.

    Parameters
    ----------
    k
        Bases a token, 1 to 8. With k = 3, ids 0-63 and the special id 64.
    """

    name: ClassVar[str] = "kmer"
    k: int = 3

    def __post_init__(self) -> None:
        if not 1 <= self.k <= MAX_K:
            raise ConfigError("k of the k-mer tokenizer is out of range", expected=f"1 to {MAX_K}", got=str(self.k))

    @property
    def vocabulary_size(self) -> int:
        """``4**k`` k-mers and the special id."""
        return 4**self.k + 1

    @property
    def special_id(self) -> int:
        """The id of padding and of every k-mer with an N: ``4**k``."""
        return 4**self.k

    def tokens(self, codes: Any) -> Any:
        """Ids ``(..., T)`` of codes ``(..., L)``; see :func:`kmer_ids`."""
        return kmer_ids(codes, self.k)

    def lengths(self, length: Any) -> Any:
        """Real tokens of sequences of ``length`` real bases: ``length - k + 1``, never below 0."""
        count = length - (self.k - 1)
        return count * (count > 0)

    def words(self) -> list[str]:
        """The k-mers in id order; the last is the special one, written as N."""
        return ["".join(letters) for letters in itertools.product("ACGT", repeat=self.k)] + ["N" * self.k]

    def to_json(self) -> str:
        """The text of ``tokenizer.json``."""
        return json.dumps({"name": self.name, "k": self.k}) + "\n"


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

    def to_json(self) -> str:
        """The text of ``tokenizer.json``."""
        return json.dumps({"name": self.name}) + "\n"


TOKENIZERS: dict[str, type[KmerTokenizer] | type[OneHot]] = {
    KmerTokenizer.name: KmerTokenizer,
    OneHot.name: OneHot,
}


def from_json(text: str) -> KmerTokenizer | OneHot:
    """The tokenizer that wrote this text of ``tokenizer.json``.

    Raises
    ------
    FormatError
        When the text is damaged or names a tokenizer that this encre does not know.
    """
    try:
        values = dict(json.loads(text))
        name = str(values.pop("name"))
    except (ValueError, TypeError, KeyError) as error:
        raise FormatError("not a tokenizer", where="tokenizer.json", got=str(error)) from error
    if name not in TOKENIZERS:
        raise FormatError(f"unknown tokenizer '{name}'", where="tokenizer.json", remedy=nearest(name, TOKENIZERS))
    try:
        return TOKENIZERS[name](**values)
    except TypeError as error:
        raise FormatError("not a tokenizer", where="tokenizer.json", got=str(error)) from error
