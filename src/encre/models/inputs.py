"""What a trunk reads of the codes: the input layers, one a way to read.

An input layer takes codes ``(B, L)`` and their :class:`~encre.models.layers.Extent`, and gives embedded tokens
``(B, T, E)`` and theirs; ``width`` is E. ``k`` and ``stride`` are bases a token, and between the starts of two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from encre.models.layers import Extent
from encre.sequence.bpe import BytePairs, padded_ids, texts_of
from encre.sequence.tokenizers import KmerTokenizer, kmer_ids
from encre.shapes import N_CODE

if TYPE_CHECKING:
    from encre.models.settings import ModelConfig


class KmerInput(nn.Module):
    """k-mers, each with a learned vector: codes (B, L) -> (B, T, E).

    Parameters
    ----------
    tokenizer
        Which k-mers have which ids.
    features
        E.
    """

    table: Tensor | None

    def __init__(self, tokenizer: KmerTokenizer, features: int) -> None:
        super().__init__()
        self.tokenizer, self.k, self.stride, self.width = tokenizer, tokenizer.k, tokenizer.stride, features
        table = None if tokenizer.table is None else torch.from_numpy(tokenizer.table)
        self.register_buffer("table", table, persistent=False)
        self.embedding = nn.Embedding(tokenizer.vocabulary_size, features)

    def forward(self, codes: Tensor, extent: Extent) -> tuple[Tensor, Extent]:
        """Embed; positions beyond the real tokens hold the special id's vector until they are masked."""
        ids = kmer_ids(codes.int(), self.k, stride=self.stride)
        if self.table is not None:
            ids = self.table[ids]
        return self.embedding(ids.contiguous()), extent.windows(self.k, self.stride)

    @property
    def vectors(self) -> Tensor:
        """The vector of each k-mer in base-4 order, that of k-mers with an N last: (4**k + 1, E)."""
        return self.embedding.weight if self.table is None else self.embedding.weight[self.table]

    def relaxed(self, x: Tensor, codes: Tensor, extent: Extent) -> tuple[Tensor, Extent]:
        """The expected vector of each k-mer when its bases are drawn with weights ``x`` (B, 4, L): (B, T, E).

        Multilinear in ``x``, and :meth:`forward` itself where ``x`` is the one-hot form of ``codes`` (B, L).
        A k-mer that holds an N in ``codes`` has the special id's vector whatever ``x`` is.
        """
        count = x.shape[-1] - self.k + 1
        weights = x[..., : count : self.stride]
        for step in range(1, self.k):
            weights = (weights[:, :, None] * x[:, None, :, step : step + count : self.stride]).flatten(1, 2)
        known = (kmer_ids(codes.int(), self.k, stride=self.stride) < 4**self.k)[..., None]
        vectors = self.vectors
        tokens = torch.where(known, weights.transpose(1, 2) @ vectors[:-1], vectors[-1])
        return tokens, extent.windows(self.k, self.stride)


class OneHotInput(nn.Module):
    """One-hot bases, N and padding all zeros: codes (B, L) -> (B, L, 4 + spare), the spare channels zeros as well."""

    k, stride = 1, 1
    letters: Tensor

    def __init__(self, spare: int = 0) -> None:
        super().__init__()
        self.spare, self.width = spare, N_CODE + spare
        self.register_buffer("letters", F.pad(torch.eye(N_CODE + 1)[:, :N_CODE], (0, spare)), persistent=False)

    def forward(self, codes: Tensor, extent: Extent) -> tuple[Tensor, Extent]:
        """Look the codes up in a 5 x 4 table, on the device."""
        return F.embedding(codes.int(), self.letters), extent

    def relaxed(self, x: Tensor, codes: Tensor, extent: Extent) -> tuple[Tensor, Extent]:
        """The weights ``x`` (B, 4, L) themselves, as (B, L, 4 + spare)."""
        return F.pad(x.transpose(1, 2), (0, self.spare)), extent


class BytePairInput(nn.Module):
    """Byte-pair subwords, each with a learned vector: codes (B, L) -> (B, T, E).

    T differs from sequence to sequence. Text and ids are made on the CPU, whatever device the codes are on.

    Parameters
    ----------
    tokenizer
        What cuts the text.
    features
        E.
    """

    def __init__(self, tokenizer: BytePairs, features: int) -> None:
        super().__init__()
        self.tokenizer, self.width = tokenizer, features
        self.embedding = nn.Embedding(tokenizer.vocabulary_size, features)

    def forward(self, codes: Tensor, extent: Extent) -> tuple[Tensor, Extent]:
        """Cut and embed."""
        ids, length = self.cut(codes, extent.length)  # pyright: ignore[reportCallIssue]
        return self.embedding(ids), Extent.of(length, ids.shape[1], codes.device)

    @torch.compiler.disable
    def cut(self, codes: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Ids (B, T) on the codes' device, padded, and how many each sequence has, (B,) on the CPU."""
        rows = self.tokenizer.encode(texts_of(codes.cpu().numpy(), length.cpu().numpy()))
        ids, count = padded_ids(rows, self.tokenizer.padding_id)
        return torch.from_numpy(ids).to(codes.device, non_blocking=True), torch.from_numpy(count)


Input = KmerInput | OneHotInput | BytePairInput

#: name in a config file -> the layer of its settings, whose tokens become vectors of so many features
INPUTS: dict[str, Callable[[ModelConfig, int], Input]] = {
    "kmer": lambda config, features: KmerInput(config.tokenizer, features),
    "canonical_kmer": lambda config, features: KmerInput(config.tokenizer, features),
    "one_hot": lambda config, features: OneHotInput(config.spare),
    "bpe": lambda config, features: BytePairInput(config.tokenizer, features),
}


def make_input(config: ModelConfig, features: int) -> Input:
    """The input layer that a config names; one-hot has features of its own number."""
    return INPUTS[config.input](config, features)


def reads_in_place(layer: nn.Module) -> bool:
    """Whether token i is made of the bases from i on, so that parts of a sequence have the same tokens."""
    return isinstance(layer, KmerInput | OneHotInput) and layer.stride == 1
