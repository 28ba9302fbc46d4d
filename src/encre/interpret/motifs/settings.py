"""Settings of a motif analysis."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType
from typing import Literal

from pydantic import Field

from encre.config import Config
from encre.errors import MissingExtraError

Hits = Literal["named", "database", "none"]

#: Packages of the extra that an analysis needs.
_NEEDED = ("modiscolite", "memelite", "logomaker")

#: Bases between two motifs of a pair.
GAPS = (0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60)


class MotifSettings(Config):
    """How motifs are found, named, found again, and inserted.

    Parameters
    ----------
    most
        Sequences at most; of more, so many are drawn at random.
    core, flank
        Bases over which contributions are summed to call a seqlet, and bases added on either side of it.
    fdr
        False discovery rate of the seqlets.
    min_seqlets
        With fewer of a sign, no pattern is looked for.
    min_support
        Seqlets that a pattern needs.
    name_q
        A pattern is named after a database motif up to this q-value of TOMTOM.
    hits
        What FIMO looks for: ``"named"`` (each pattern's database motif, or the pattern itself where it has no name),
        the whole ``"database"``, or ``"none"``.
    hits_p
        Up to this p-value a hit is written.
    backgrounds
        Sequences that motifs are inserted into.
    pair_motifs
        So many of the most frequent patterns are inserted in pairs; 0 for no pairs.
    gaps
        Bases between the two motifs of a pair.
    marginalise_database
        Insert the consensus of every database motif as well.
    seed
        Of every random stream.
    """

    most: int = Field(default=2000, ge=1)
    core: int = Field(default=15, ge=4, le=100)
    flank: int = Field(default=8, ge=0, le=100)
    fdr: float = Field(default=0.05, gt=0, lt=1)
    min_seqlets: int = Field(default=40, ge=20)
    min_support: int = Field(default=20, ge=2)
    name_q: float = Field(default=0.05, gt=0, le=1)
    hits: Hits = "named"
    hits_p: float = Field(default=1e-4, gt=0, lt=1)
    backgrounds: int = Field(default=100, ge=3)
    pair_motifs: int = Field(default=4, ge=0, le=50)
    gaps: tuple[int, ...] = GAPS
    marginalise_database: bool = False
    seed: int = Field(default=0, ge=0)


def check_extras() -> None:
    """Refuse to begin without the packages that the work needs, some of them only at its end."""
    for name in _NEEDED:
        if importlib.util.find_spec(name) is None:
            raise _missing(name)


def extra(module: str) -> ModuleType:
    """A module of the extra ``interpret``; without it, a :class:`MissingExtraError`."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise _missing(str(error.name)) from error


def _missing(package: str) -> MissingExtraError:
    return MissingExtraError(
        f"motifs need the Python package '{package}', which is not installed",
        remedy="Install it with `pip install 'encre[interpret]'`.",
    )
