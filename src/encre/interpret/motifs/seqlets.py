"""Seqlets: stretches whose contributions are larger than chance placement of bases would bring together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Seqlets(NamedTuple):
    """Windows of one width around the strongest contributions, none of whose cores overlap.

    Parameters
    ----------
    row
        (M,) int64 which sequence.
    start
        (M,) int64 first base, 0-based in the sequence.
    score
        (M,) float64 sum of the contributions over the core.
    width
        Bases of a seqlet: its core and the flanks.
    thresholds
        Smallest positive and largest negative sum that counts; an infinity where none does.
    """

    row: np.ndarray
    start: np.ndarray
    score: np.ndarray
    width: int
    thresholds: tuple[float, float]

    def of_sign(self, sign: int) -> Seqlets:
        """Those that raise (1) or lower (-1) the logit."""
        kept = np.sign(self.score) == sign
        return self._replace(row=self.row[kept], start=self.start[kept], score=self.score[kept])


def find_seqlets(
    contributions: np.ndarray, rng: np.random.Generator, *, core: int, flank: int, fdr: float = 0.05
) -> Seqlets:
    """Call seqlets at a false discovery rate.

    The null is the same contributions with every base moved to a random place among all sequences: what windows would
    sum to if large contributions did not stand together. TF-MoDISco fits a Laplace distribution instead, which many
    contributions of exactly 0 (a maximum over positions gives them) spoil.

    Parameters
    ----------
    contributions
        (N, L) of the bases that stand there; 0 beyond a sequence's end and at N.
    rng
        A named random stream.
    core
        Bases over which contributions are summed.
    flank
        Bases added on either side; a seqlet near an end is moved inwards, never dropped.
    fdr
        At the thresholds, at most this share of the windows beyond them would be there by chance.

    Returns
    -------
    Seqlets
        By sequence, then by position.
    """
    sums = window_sums(contributions, core)
    null = window_sums(rng.permutation(contributions.ravel()).reshape(contributions.shape), core)
    high, low = fdr_threshold(sums, null, fdr), -fdr_threshold(-sums, -null, fdr)
    beyond = (sums >= high) | (sums <= low)
    strength = np.where(beyond, np.abs(sums), -np.inf)
    rows, places = [], []
    apart = np.arange(strength.shape[1])
    while True:  # the strongest window of every sequence at once, then what it overlaps is out
        best = strength.argmax(axis=1)
        found = np.flatnonzero(np.isfinite(strength[np.arange(len(best)), best]))
        if not len(found):
            break
        rows.append(found)
        places.append(best[found])
        taken = np.abs(apart[None, :] - best[found][:, None]) < core
        strength[found] = np.where(taken, -np.inf, strength[found])
    row = np.concatenate(rows) if rows else np.empty(0, np.int64)
    at = np.concatenate(places) if places else np.empty(0, np.int64)
    order = np.lexsort((at, row))
    row, at = row[order], at[order]
    width = min(core + 2 * flank, contributions.shape[1])
    start = np.clip(at - flank, 0, contributions.shape[1] - width)
    return Seqlets(row, start, sums[row, at], width, (high, low))


def window_sums(values: np.ndarray, width: int) -> np.ndarray:
    """Sums of ``width`` neighbours in each row, (N, L - width + 1) float64."""
    running = np.zeros((len(values), values.shape[1] + 1))
    np.cumsum(values, axis=1, out=running[:, 1:])
    return running[:, width:] - running[:, :-width]


def fdr_threshold(values: np.ndarray, null: np.ndarray, fdr: float) -> float:
    """The smallest positive threshold at which ``null`` has at most ``fdr`` times as many values as ``values``.

    Both hold as many values. Infinity when there is none: one value of the null is added, so that a few large values
    alone do not pass for certain.
    """
    real, chance = np.sort(values[values > 0]), np.sort(null[null > 0])
    if not len(real):
        return np.inf
    above = len(real) - np.searchsorted(real, real, side="left")
    by_chance = len(chance) - np.searchsorted(chance, real, side="left")
    good = by_chance + 1 <= fdr * above
    # Every larger threshold up to the strictest that still passes must pass too: the tail, not an island.
    last = int(np.flatnonzero(good)[-1]) if good.any() else -1
    if last < 0:
        return np.inf
    bad = np.flatnonzero(~good[: last + 1])
    return float(real[bad[-1] + 1 if len(bad) else 0])
