"""Where motifs lie in sequences, by FIMO (Grant et al. 2011; memelite)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from encre.interpret.motifs.settings import extra
from encre.sequence.meme import Motif

#: Added to every probability before its logarithm, as memelite's FIMO does for files with zeros.
_PSEUDO = 1e-4


def find_hits(one_hot: np.ndarray, motifs: Sequence[Motif], *, p: float) -> pl.DataFrame:
    """Matches of motifs on both strands; a place that holds an N is none, as in the MEME suite.

    Parameters
    ----------
    one_hot
        (N, L, 4), N is zeros.
    motifs
        What to look for.
    p
        The largest p-value of a match (against equal bases; no correction for the number of places).

    Returns
    -------
    pl.DataFrame
        ``row`` (of ``one_hot``), ``start``, ``end`` (0-based half-open in the sequence), ``motif`` (its title),
        ``strand``, ``score`` (bits), ``p_value``; by row, then start.

    Raises
    ------
    MissingExtraError
        Without memelite.
    """
    length = one_hot.shape[1]
    fitting = [motif for motif in motifs if len(motif) <= length]
    schema = {
        "row": pl.Int64, "start": pl.Int64, "end": pl.Int64, "motif": pl.String, "strand": pl.String,
        "score": pl.Float64, "p_value": pl.Float64,
    }  # fmt: skip
    if not fitting:
        return pl.DataFrame(schema=schema)
    fimo = extra("memelite.fimo").fimo
    sequences = np.ascontiguousarray(one_hot.transpose(0, 2, 1)).astype(np.int8)
    matrices = {str(i): np.ascontiguousarray(motif.pwm.T) for i, motif in enumerate(fitting)}
    frames = []
    for motif, found in zip(fitting, fimo(matrices, sequences, threshold=p, eps=_PSEUDO), strict=True):
        if not len(found):
            continue
        columns = {
            "row": found["sequence_name"], "start": found["start"], "end": found["end"], "strand": found["strand"],
            "score": found["score"], "p_value": found["p-value"],
        }  # fmt: skip
        frame = pl.DataFrame({name: column.to_numpy() for name, column in columns.items()})
        frames.append(frame.with_columns(pl.lit(motif.title).alias("motif")).select(*schema).cast(schema))  # pyright: ignore[reportArgumentType]
    table = pl.concat(frames) if frames else pl.DataFrame(schema=schema)
    # memelite takes N for an average base, and would find motifs that hang over a sequence's end.
    unknown = np.zeros((len(one_hot), length + 1), np.int64)
    np.cumsum(one_hot.sum(axis=2) == 0, axis=1, out=unknown[:, 1:])
    row, start, end = (table[name].to_numpy() for name in ("row", "start", "end"))
    return table.filter(unknown[row, end] == unknown[row, start]).sort("row", "start", "motif", "strand")
