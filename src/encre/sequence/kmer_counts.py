"""How often each k-mer stands in a sequence, whichever strand it is read on."""

from __future__ import annotations

import numpy as np

from encre.sequence.flat import blocks
from encre.sequence.tokenizers import kmer_ids


def merged_kmer_counts(codes: np.ndarray, offsets: np.ndarray, k: int) -> np.ndarray:
    """Counts of k-mers, a k-mer and its reverse complement as one; those with an N are left out.

    Returns
    -------
    numpy.ndarray
        ``(N, F)`` float32 whole numbers, F = 512 for k = 5.
    """
    ids = np.arange(4**k)
    other, rest = np.zeros_like(ids), ids.copy()
    for _ in range(k):
        other, rest = other * 4 + (3 - rest % 4), rest // 4
    merged = np.unique(np.minimum(ids, other), return_inverse=True)[1]
    width = int(merged.max()) + 1
    lengths = np.diff(offsets)
    counts = np.zeros((len(lengths), width), dtype=np.float32)
    for first, last in blocks(offsets):
        flat = codes[offsets[first] : offsets[last]]
        if len(flat) < k:
            continue
        row = np.repeat(np.arange(last - first), lengths[first:last])
        found = kmer_ids(flat.astype(np.int64), k)
        inside = (row[: len(found)] == row[k - 1 :]) & (found < 4**k)
        cell = row[: len(found)][inside] * width + merged[found[inside]]
        counts[first:last] = np.bincount(cell, minlength=(last - first) * width).reshape(-1, width)
    return counts
