"""Coarsened exact matching without replacement (Iacus, King and Porro, Political Analysis 20:1, 2012); its balance.

Covariates are cut into cells of stated widths; within a cell, wanted rows and rows of the pool are paired at random.
"""

from __future__ import annotations

import math

import numpy as np


def match(
    wanted: np.ndarray,
    pool: np.ndarray,
    *,
    widths: np.ndarray,
    rng: np.random.Generator,
    widen: tuple[float, ...] = (1.0,),
) -> np.ndarray:
    """Give each wanted row a row of the pool from its own cell, none of them twice.

    Parameters
    ----------
    wanted, pool
        Covariates ``(N, C)`` and ``(M, C)``, finite.
    widths
        Width of a cell in each covariate ``(C,)``; 0 for one that must be equal.
    rng
        Draws who is paired with whom, and where the borders of the cells lie.
    widen
        What the widths are multiplied with, one round after the other, for the rows that are left.

    Returns
    -------
    numpy.ndarray
        Row of the pool for each wanted row ``(N,)`` int64, or -1.
    """
    found = np.full(len(wanted), -1, dtype=np.int64)
    free = np.arange(len(pool))
    for factor in widen:
        left = np.flatnonzero(found < 0)
        if not len(left) or not len(free):
            break
        keys = _cells(np.concatenate([wanted[left], pool[free]]), np.asarray(widths) * factor, rng)
        pairs = _pair(keys[: len(left)], keys[len(left) :], rng)
        hit = pairs >= 0
        found[left[hit]] = free[pairs[hit]]
        free = np.delete(free, pairs[hit])
    return found


def _cells(values: np.ndarray, widths: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A number for the cell of each row ``(N,)`` int64."""
    keys = np.zeros(len(values), dtype=np.int64)
    span = 1
    for column, width in zip(values.T, widths.tolist(), strict=True):
        if width:
            places = np.floor(column / width + rng.random()).astype(np.int64)
            places -= places.min()
            count = int(places.max()) + 1
        else:
            found, places = np.unique(column, return_inverse=True)
            count = len(found)
        if span > (1 << 62) // count:  # number only the cells that occur
            keys = np.unique(keys, return_inverse=True)[1]
            span = int(keys.max()) + 1
        keys = keys * count + places
        span *= count
    return keys


def _pair(wanted: np.ndarray, pool: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pair rows of equal cells ``(N,)`` and ``(M,)`` at random: row of the pool, or -1, for each wanted row."""
    ours, theirs = rng.permutation(len(wanted)), rng.permutation(len(pool))
    ours = ours[np.argsort(wanted[ours], kind="stable")]
    theirs = theirs[np.argsort(pool[theirs], kind="stable")]
    cells, have = wanted[ours], pool[theirs]
    # The n-th wanted row of a cell takes the n-th row of the pool in it, as long as there are any.
    rank = np.arange(len(cells)) - np.searchsorted(cells, cells)
    place = np.searchsorted(have, cells) + rank
    hit = place < np.searchsorted(have, cells, side="right")
    found = np.full(len(wanted), -1, dtype=np.int64)
    found[ours[hit]] = theirs[place[hit]]
    return found


def standardised_mean_difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """How far apart the means of a covariate are, in pooled standard deviations (Austin, Stat. Med. 28:3083, 2009).

    Parameters
    ----------
    ours, theirs
        Values ``(N,)`` and ``(M,)``; NaN is left out.

    Returns
    -------
    float
        ``(mean of ours - mean of theirs) / sqrt((variance of ours + variance of theirs) / 2)``; 0 where both are
        constant and equal, infinite where both are constant and differ, NaN where one has no value.
    """
    ours, theirs = (np.asarray(v, dtype=np.float64)[~np.isnan(v)] for v in (ours, theirs))
    if not len(ours) or not len(theirs):
        return math.nan
    if (ours == ours[0]).all() and (theirs == theirs[0]).all():  # the mean of equal numbers may be rounded
        return 0.0 if ours[0] == theirs[0] else math.copysign(math.inf, ours[0] - theirs[0])
    spread = math.sqrt(sum(v.var(ddof=1) if len(v) > 1 else 0.0 for v in (ours, theirs)) / 2)
    return float(ours.mean() - theirs.mean()) / spread
