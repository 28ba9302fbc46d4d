"""What a trunk reads of the codes: the input layers, one a way to read."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from encre.models.layers import Extent
from encre.sequence.tokenizers import kmer_ids
from encre.shapes import N_CODE

InputName = Literal["kmer", "one_hot"]


class KmerInput(nn.Module):
    """Overlapping k-mers, each with a learned vector: codes (B, L) -> (B, T, D)."""

    def __init__(self, k: int, features: int, *, stride: int = 1) -> None:
        super().__init__()
        self.k, self.stride, self.width = k, stride, features
        self.embedding = nn.Embedding(4**k + 1, features)

    def forward(self, codes: Tensor, extent: Extent) -> tuple[Tensor, Extent]:
        """Embed; positions beyond the real tokens hold the special id's vector until they are masked."""
        ids = kmer_ids(codes.int(), self.k)
        if self.stride > 1:
            ids = ids[:, :: self.stride].contiguous()
        return self.embedding(ids), extent.windows(self.k, self.stride)

    def relaxed(self, x: Tensor, codes: Tensor, extent: Extent) -> tuple[Tensor, Extent]:
        """The expected vector of each k-mer when its bases are drawn with weights ``x`` (B, 4, L): (B, T, D).

        Multilinear in ``x``, and :meth:`forward` itself where ``x`` is the one-hot form of ``codes`` (B, L).
        A k-mer that holds an N in ``codes`` has the special id's vector whatever ``x`` is.
        """
        count = x.shape[-1] - self.k + 1
        weights = x[..., :count]
        for step in range(1, self.k):
            weights = (weights[:, :, None] * x[:, None, :, step : step + count]).flatten(1, 2)
        weights = weights[..., :: self.stride].transpose(1, 2)
        known = (kmer_ids(codes.int(), self.k)[:, :: self.stride] < 4**self.k)[..., None]
        vectors = self.embedding.weight
        return torch.where(known, weights @ vectors[:-1], vectors[-1]), extent.windows(self.k, self.stride)


class OneHotInput(nn.Module):
    """One-hot bases, N and padding all zeros: codes (B, L) -> (B, L, 4)."""

    k, stride, width = 1, 1, 4
    letters: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("letters", torch.eye(N_CODE + 1)[:, :N_CODE].contiguous(), persistent=False)

    def forward(self, codes: Tensor, extent: Extent) -> tuple[Tensor, Extent]:
        """Look the codes up in a 5 x 4 table, on the device."""
        return F.embedding(codes.int(), self.letters), extent

    def relaxed(self, x: Tensor, codes: Tensor, extent: Extent) -> tuple[Tensor, Extent]:
        """The weights ``x`` (B, 4, L) themselves, as (B, L, 4)."""
        return x.transpose(1, 2), extent


def make_input(name: InputName, k: int, features: int) -> KmerInput | OneHotInput:
    """The input layer that a config names."""
    return KmerInput(k, features) if name == "kmer" else OneHotInput()
