"""Names for patterns: the database motifs that they resemble, by TOMTOM (Gupta et al. 2007; memelite)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from encre.evaluation.false_discovery import benjamini_hochberg
from encre.interpret.motifs.patterns import Pattern
from encre.interpret.motifs.settings import extra
from encre.sequence.meme import Motif

#: Matches that are kept for each pattern.
_KEPT = 5
#: With fewer motifs in the database, TOMTOM's p-values hang on which they are.
SMALL_DATABASE = 25


class Match(NamedTuple):
    """A database motif that a pattern resembles.

    Parameters
    ----------
    motif
        The database motif.
    p_value
        That a random motif of the database would be as alike.
    q_value
        The same over all motifs of the database (Benjamini and Hochberg 1995).
    strand
        ``"+"``, or ``"-"`` where the pattern's other strand is alike.
    """

    motif: Motif
    p_value: float
    q_value: float
    strand: str


def match_patterns(patterns: Sequence[Pattern], database: Sequence[Motif]) -> list[list[Match]]:
    """The database motifs most like each pattern, the best first.

    Parameters
    ----------
    patterns
        From :func:`encre.interpret.motifs.patterns.find_patterns`.
    database
        From :func:`encre.sequence.meme.read_meme`.

    Raises
    ------
    MissingExtraError
        Without memelite.
    """
    if not patterns or not database:
        return [[] for _ in patterns]
    tomtom = extra("memelite.tomtom").tomtom
    queries = [pattern.motif.pwm.T.copy() for pattern in patterns]
    with warnings.catch_warnings():
        # Said to the user in our own words: see SMALL_DATABASE.
        warnings.filterwarnings("ignore", message="tomtom was given", category=UserWarning)
        found = tomtom(queries, [motif.pwm.T.copy() for motif in database])
    p_values, strands = np.asarray(found[0]), np.asarray(found[4])
    matches = []
    for p, strand in zip(p_values, strands, strict=True):
        q = benjamini_hochberg(p)
        best = np.argsort(p, kind="stable")[:_KEPT]
        matches.append([Match(database[i], float(p[i]), float(q[i]), "-" if strand[i] else "+") for i in best])
    return matches
