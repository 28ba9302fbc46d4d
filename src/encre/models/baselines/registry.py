"""The baselines by name. A new one: a class in a file of its family, and a line here."""

from __future__ import annotations

from collections.abc import Iterable

from encre.errors import ConfigError, nearest
from encre.models.baselines.base import Baseline
from encre.models.baselines.constant import AllPositive
from encre.models.baselines.gkm import GkmSVM
from encre.models.baselines.linear import GCOnly, Kmer4, Kmer5, LengthOnly
from encre.models.baselines.neighbour import NearestNeighbour

#: name -> class: in every evaluation
BASELINES: dict[str, type[Baseline]] = {
    "all_positive": AllPositive,
    "length_only": LengthOnly,
    "gc_only": GCOnly,
    "kmer4": Kmer4,
    "kmer5": Kmer5,
}
#: name -> class: those that take minutes, where they are asked for
ON_REQUEST: dict[str, type[Baseline]] = {
    "nearest_neighbour": NearestNeighbour,
    "gkm_svm": GkmSVM,
}


def baseline_kinds(more: Iterable[str] = ()) -> dict[str, type[Baseline]]:
    """The baselines of an evaluation: those of every one, and ``more`` by name.

    Raises
    ------
    ConfigError
        For a name that none has.
    """
    every = BASELINES | ON_REQUEST
    for name in more:
        if name not in every:
            raise ConfigError(f"there is no baseline '{name}'", remedy=nearest(name, ON_REQUEST))
    return BASELINES | {name: every[name] for name in more}
