"""Which rows stand or fall together in the bootstrap, and how often each block is drawn.

Neighbouring elements are not independent, so whole chromosomes are drawn; 5 Mb blocks where the split has
fewer than five chromosomes; sequence groups where there are no coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from encre.reproducibility import stream

BLOCK_BASES = 5_000_000
FEWEST = 5
"""With fewer blocks than this an interval would pretend to know more than the data says."""
MOST_GROUPS = 200
"""Groups without coordinates are dealt at random into this many blocks: the variance stays that of
independent groups, and the cost does not grow with the table."""


@dataclass(frozen=True)
class Resamples:
    """Blocks of a table and the draws over them.

    Parameters
    ----------
    codes
        (N,) block of each row, 0 to M-1.
    weights
        (R, M) how often each block stands in each resample; every row sums to M. R is 0 when there are too
        few blocks for an interval.
    kind
        ``"chromosomes"``, ``"5 Mb blocks"`` or ``"sequence groups"``.
    """

    codes: np.ndarray
    weights: np.ndarray
    kind: str

    @property
    def blocks(self) -> int:
        """The number of blocks, M."""
        return self.weights.shape[1]


def make_resamples(table: pl.DataFrame, *, seed: int = 0, resamples: int = 1000) -> Resamples:
    """Choose the blocks for a table and draw the resamples.

    The draws depend on the seed and the blocks alone, so two tables over the same rows are drawn alike and
    their difference is a paired one.

    Parameters
    ----------
    table
        A prediction table; needs ``chrom``, ``start`` and ``group``, any of them null.
    seed, resamples
        Of the random stream ``evaluate/bootstrap``.
    """
    codes, kind = _blocks(table, seed)
    count = int(codes.max()) + 1
    rng = stream(seed, "evaluate", "bootstrap", kind, count)
    drawn = resamples if count >= FEWEST else 0
    weights = rng.multinomial(count, np.full(count, 1 / count), size=drawn).astype(np.float64)
    return Resamples(codes, weights, kind)


def _blocks(table: pl.DataFrame, seed: int) -> tuple[np.ndarray, str]:
    placed = table["chrom"].is_not_null() & table["start"].is_not_null()
    if placed.all():
        by_chromosome = _codes(table["chrom"])
        if by_chromosome.max() + 1 >= FEWEST:
            return by_chromosome, "chromosomes"
        place = table.select(
            pl.concat_str(pl.col("chrom"), (pl.col("start") // BLOCK_BASES).cast(pl.String), separator=":")
        ).to_series()
        by_place = _codes(place)
        if by_place.max() + 1 >= FEWEST:
            return by_place, "5 Mb blocks"
    names = table["group"].fill_null("")
    own = pl.Series([f"row {i}" for i in range(len(table))])
    groups = _codes(own.zip_with(names == "", names))
    return _deal(groups, seed), "sequence groups"


def _codes(names: pl.Series) -> np.ndarray:
    """0-based code of each name, in sorted order of names, so that row order does not matter."""
    return names.rank("dense").to_numpy().astype(np.int64) - 1


def _deal(groups: np.ndarray, seed: int) -> np.ndarray:
    count = int(groups.max()) + 1
    if count <= MOST_GROUPS:
        return groups
    order = stream(seed, "evaluate", "deal", count).permutation(count)
    return (order % MOST_GROUPS)[groups]
