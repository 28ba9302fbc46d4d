"""What a sequence is compared with: a quarter of each base, no base, or its own shuffles."""

from __future__ import annotations

import numpy as np

from encre.sequence.edits import dinucleotide_shuffle
from encre.shapes import N_CODE


def one_hot(codes: np.ndarray) -> np.ndarray:
    """Weights (..., 4, L) float32 of codes (..., L); N is all zeros."""
    return (codes[..., None, :] == np.arange(N_CODE, dtype=np.uint8)[:, None]).astype(np.float32)


def make_references(name: str, codes: np.ndarray, *, count: int, rng: np.random.Generator) -> np.ndarray:
    """References of sequences, as weights; N stays where it is, as zeros, and contributes nothing.

    Parameters
    ----------
    name
        ``"uniform"``, ``"zero"`` or ``"shuffle"``.
    codes
        (B, L) uint8.
    count
        R, references a sequence.

    Returns
    -------
    numpy.ndarray
        (B, R, 4, L) float32.
    """
    if name == "shuffle":
        rows = shuffled(np.repeat(codes, count, axis=0), rng)
        return one_hot(rows.reshape(len(codes), count, -1))
    weight = 0.25 if name == "uniform" else 0.0
    known = (codes < N_CODE).astype(np.float32) * weight
    return np.broadcast_to(known[:, None, None], (len(codes), count, 4, codes.shape[1])).copy()


def shuffled(codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Dinucleotide shuffles of rows (B, L): each stretch between Ns by itself, so that N stays where it is."""
    unknown = codes == N_CODE
    begins = np.ones(codes.shape, bool)
    begins[:, 1:] = unknown[:, 1:] != unknown[:, :-1]
    offsets = np.append(np.flatnonzero(begins), codes.size).astype(np.int64)
    return dinucleotide_shuffle(codes.reshape(-1), offsets, rng).reshape(codes.shape)
