"""What negatives are matched on: length, GC, share of repeats, distance to the nearest transcription start site."""

from __future__ import annotations

import numpy as np
import polars as pl

from encre.data.rows import Rows
from encre.genome.store import Genome
from encre.genome.stretches import Axis
from encre.genome.tss import Tss, nearest_tss_distance, tss_keys
from encre.sequence.alphabet import gc_share

#: In the order in which they are reported.
COVARIATES = ("length", "gc", "repeat_share", "tss_distance")


def log_distance(distance: np.ndarray) -> np.ndarray:
    """Distances in bases on the scale they are matched on, ``log10(distance + 1)``."""
    return np.log10(np.asarray(distance, dtype=np.float64) + 1)


def covariates(rows: Rows) -> dict[str, np.ndarray]:
    """The covariates of what a model sees of each row.

    Returns
    -------
    dict
        Name -> ``(N,)`` float64, NaN where a row has no value: ``length`` (bases), ``gc`` (share of known bases) and,
        where the table has the columns, ``repeat_share`` and ``tss_distance`` (as ``log10(bases + 1)``).
    """
    found = {"length": rows.lengths.astype(np.float64), "gc": gc_share(*rows.seen())}
    table = rows.table
    if "repeat_share" in table.columns:
        found["repeat_share"] = table["repeat_share"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    if "tss_distance" in table.columns:
        distance = table["tss_distance"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
        found["tss_distance"] = log_distance(distance)
    return found


def annotate(rows: Rows, genome: Genome, *, tss: Tss | None = None) -> Rows:
    """Rows with the columns ``repeat_share`` (Float32) and, with start sites, ``tss_distance`` (Int64, bases).

    Both are of what a model sees; the distance is from its centre. Rows without a place on the genome have null.
    """
    begin, end = rows.spans()
    placed = begin != end  # without a place both are -1
    chrom, begin, end = rows.table["chrom"].filter(pl.Series(placed)), begin[placed], end[placed]
    table = rows.table
    if "repeat_share" not in table.columns or table["repeat_share"].null_count():
        share = np.full(len(rows), np.nan, dtype=np.float32)
        share[placed] = genome.soft_mask_share(chrom, begin, end)
        rows = rows.with_columns(repeat_share=pl.Series(share).fill_nan(None))
    if tss is None:
        return rows
    axis = Axis(genome)
    distance = np.full(len(rows), -1, dtype=np.int64)
    keys = tss_keys(tss, axis.names)
    distance[placed] = nearest_tss_distance(axis.numbers(chrom), (begin + end) // 2, keys)
    return rows.with_columns(tss_distance=pl.Series(distance).replace(-1, None))
