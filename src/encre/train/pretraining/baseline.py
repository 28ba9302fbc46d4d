"""What a masked base is guessed to be without a model: the most frequent base, and a Markov chain from both sides."""

from __future__ import annotations

import numpy as np

from encre.sequence.alphabet import reverse_complement
from encre.sequence.tokenizers import kmer_ids
from encre.shapes import N_CODE

ORDER = 4


class Chain:
    """Guesses from the :data:`ORDER` bases on either side of a gap, with counts of bases so far behind them.

    Both sides are taken as independent given the base (naive Bayes). It sees what a model sees: the bases nearest to
    the masked one that are not masked themselves. What lies further than ``reach`` tells nothing.

    Parameters
    ----------
    codes
        (N, L) uint8, sequences to count in; both strands are.
    reach
        Longest distance in bases from the last known base.
    """

    def __init__(self, codes: np.ndarray, *, reach: int) -> None:
        both = np.concatenate([codes, reverse_complement(codes)])  # so that padding, too, ends up on either side
        ids = kmer_ids(both, ORDER)
        known = both[both < N_CODE]
        self.prior = np.log((np.bincount(known, minlength=N_CODE) + 1) / (len(known) + N_CODE))
        self.tables = np.zeros((reach + 1, 4**ORDER + 1, N_CODE))
        for distance in range(1, min(reach, both.shape[1] - ORDER) + 1):
            before = ids[:, : ids.shape[1] - distance].ravel()
            base = both[:, ORDER + distance - 1 :].ravel()
            real = (base < N_CODE) & (before < 4**ORDER)
            counts = np.bincount(before[real] * N_CODE + base[real], minlength=4**ORDER * N_CODE)
            counts = counts.reshape(-1, N_CODE) + np.exp(self.prior) * N_CODE
            self.tables[distance, :-1] = np.log(counts / counts.sum(1, keepdims=True)) - self.prior

    def scores(self, shown: np.ndarray, asked: np.ndarray) -> np.ndarray:
        """Log-probabilities, up to a constant, (M, 4) of the asked bases of codes (B, L) in which they are hidden."""
        left = self._side(shown, asked)
        # The other side is the left side of the other strand; its bases are complements, 3 - base.
        right = self._side(reverse_complement(shown), asked[:, ::-1])[:, ::-1, ::-1]
        return self.prior + (left + right)[asked]

    def _side(self, shown: np.ndarray, asked: np.ndarray) -> np.ndarray:
        """What the bases to the left say (B, L, 4)."""
        place = np.arange(shown.shape[1])
        last = np.maximum.accumulate(np.where(asked, -1, place), axis=1)
        first = last - ORDER + 1
        ids = np.take_along_axis(kmer_ids(shown, ORDER), np.clip(first, 0, shown.shape[1] - ORDER), axis=1)
        ids = np.where(first < 0, 4**ORDER, ids)
        distance = np.where(place - last < len(self.tables), place - last, 0)
        return self.tables[distance, ids]


def baselines(train: np.ndarray, valid: np.ndarray, shown: np.ndarray, asked: np.ndarray) -> dict[str, float]:
    """Accuracy on the asked bases of ``valid`` (B, L), by name, of what is counted in ``train`` (N, L)."""
    truth = valid[asked]
    frequent = int(np.bincount(train[train < N_CODE], minlength=N_CODE).argmax())
    longest = int((np.diff(np.flatnonzero(np.pad(~asked, ((0, 0), (1, 1)), constant_values=True))) - 1).max())
    chain = Chain(train, reach=max(longest, 1))
    return {
        "most_frequent_base": float((truth == frequent).mean()),
        f"markov_{ORDER}_both_sides": float((chain.scores(shown, asked).argmax(1) == truth).mean()),
    }
