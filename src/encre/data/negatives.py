"""Negatives: [negatives] of the config, the kinds by name, and how good their match is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from pydantic import Field, field_validator

from encre.config import Config
from encre.data.covariates import COVARIATES, covariates
from encre.data.matching import standardised_mean_difference
from encre.data.negative_kinds import (
    Made,
    Request,
    active_in,
    background,
    dinucleotide_shuffle_of,
    other_class,
    other_tissue,
    positives,
)
from encre.data.rows import Rows
from encre.errors import GateError, nearest
from encre.genome.store import Genome
from encre.ledger import Ledger
from encre.progress import SILENT, Progress
from encre.tasks import TaskSet


class Kind(NamedTuple):
    """A kind of negatives."""

    make: Callable[[Request], Made]
    before_split: bool
    """Whether the rows are split after it (they have places of their own) or inherit their element's split."""
    matched: bool
    """Whether it is chosen to be like the elements, so that too few or too unlike a choice is a fault."""

    def like(self, table: pl.DataFrame, tasks: TaskSet, settings: NegativeSettings) -> np.ndarray:
        """Which rows ``(N,)`` the negatives are to be like."""
        if self.make is other_tissue:
            return active_in(table, tasks, settings.tissue)
        return positives(table, tasks)


NEGATIVES = {
    "background": Kind(background, before_split=True, matched=True),
    "other_class": Kind(other_class, before_split=True, matched=False),
    "other_tissue": Kind(other_tissue, before_split=True, matched=False),
    "dinucleotide_shuffle": Kind(dinucleotide_shuffle_of, before_split=False, matched=False),
}
#: What an infinite difference (both constant, and not equal) is written as; JSON has no infinity.
_INFINITE = 99.0


class NegativeSettings(Config):
    """[negatives]: rows to tell the elements from, each kind under its name in the column ``kind``.

    Parameters
    ----------
    kinds
        ``"background"``, ``"other_class"``, ``"other_tissue"``, ``"dinucleotide_shuffle"``.
    per_element
        How many background windows and shuffles of each positive.
    seed
        Of everything drawn here.
    exclude
        BED of places that no background may touch (the ENCODE exclusion list); empty for none.
    tss
        File of transcription start sites, to match their distance; empty for none.
    distance
        Bases that lie at least between background and any element of the source.
    tissue
        For ``other_tissue``: the tissue that they are not active in.
    max_smd
        The standardised mean difference that a matched kind may have in any covariate; None for no limit.
    max_smd_of_source
        The same of ``other_class`` and ``other_tissue``, which the source gives as they are; None for no limit.
    max_unmatched
        The share of wanted negatives of a matched kind that may be missing.
    """

    kinds: tuple[str, ...] = ()
    per_element: int = Field(default=1, ge=1, le=100)
    seed: int = Field(default=0, ge=0)
    exclude: str = ""
    tss: str = ""
    distance: int = Field(default=100, ge=0)
    tissue: str = ""
    max_smd: float | None = Field(default=0.1, gt=0)
    max_smd_of_source: float | None = Field(default=None, gt=0)
    max_unmatched: float = Field(default=0.1, ge=0, le=1)

    @field_validator("kinds")
    @classmethod
    def _known(cls, kinds: tuple[str, ...]) -> tuple[str, ...]:
        for kind in kinds:
            if kind not in NEGATIVES:
                raise ValueError(f"there are no negatives of kind '{kind}'. {nearest(kind, NEGATIVES)}")
        if len(set(kinds)) != len(kinds):
            raise ValueError("a kind of negatives stands twice")
        return kinds


def genomic_negatives(
    rows: Rows,
    tasks: TaskSet,
    settings: NegativeSettings,
    *,
    genome: Genome | None,
    taken: pl.DataFrame,
    ledger: Ledger,
    progress: Progress = SILENT,
) -> tuple[Rows, list[dict[str, Any]]]:
    """Make the kinds that have a place on the genome, before the rows are split.

    Parameters
    ----------
    rows, tasks, settings
        The elements, what is predicted of them, and [negatives].
    genome
        Needed for background.
    taken
        ``chrom, start, end`` (0-based half-open) of every element of the source, also of those that are no rows.
    ledger
        Told what was added, and why the rest could not be.
    progress
        Follows the search.

    Returns
    -------
    tuple
        The rows with the negatives, and for each kind ``{"kind", "matched", "wanted", "made", "kept" (rows of the
        dataset), "unmatched": {reason: rows}, "smd": {covariate: {"before", "after"}}}``: differences against the
        positives (for ``other_tissue``, against what is active in the tissue); None where a covariate has no value.

    Raises
    ------
    ConfigError
        For background without a genome, a tissue that there is not, or classes that the source does not give.
    FormatError, IntervalError
        For an exclusion list or a file of start sites that cannot be used.
    """
    return _make(Request(rows, tasks, settings, genome, taken, progress), ledger, before_split=True)


def shuffled_negatives(
    rows: Rows, tasks: TaskSet, settings: NegativeSettings, *, ledger: Ledger
) -> tuple[Rows, list[dict[str, Any]]]:
    """Make the kinds that inherit their element's split; as :func:`genomic_negatives`, after the split."""
    return _make(Request(rows, tasks, settings), ledger, before_split=False)


def check_quality(quality: Iterable[dict[str, Any]], settings: NegativeSettings) -> None:
    """Fail when a kind is too unlike the elements, or too much of a matched one is missing.

    Raises
    ------
    GateError
        Naming the kind, the worst covariate, its difference and the limit.
    """
    for found in quality:
        kind, wanted = found["kind"], found["wanted"]
        missing = wanted - found["made"]
        if found["matched"] and missing > settings.max_unmatched * wanted:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in found["unmatched"].items())
            raise GateError(
                f"{missing:,} of {wanted:,} negatives of kind '{kind}' could not be matched",
                where="[negatives]",
                expected=f"at most {settings.max_unmatched * 100:g}%",
                got=reasons,
                remedy="Lower distance or per_element, or raise max_unmatched if the loss is meant.",
            )
        after = {name: abs(smd["after"]) for name, smd in found["smd"].items() if smd["after"] is not None}
        worst = max(after, key=lambda name: after[name], default="")
        key = "max_smd" if found["matched"] else "max_smd_of_source"
        limit, before = getattr(settings, key), found["smd"].get(worst, {}).get("before")
        if limit is not None and worst and after[worst] > limit:
            unmatched = f" (without matching {abs(before):.3f})" if found["matched"] else ""
            better = (
                "Lower distance or per_element, so that more places are free"
                if found["matched"]
                else 'Take "background" too, which is matched'
            )
            raise GateError(
                f"negatives of kind '{kind}' differ from the positives in {worst}",
                where="[negatives]",
                expected=f"a standardised mean difference of at most {limit:g}",
                got=f"{after[worst]:.3f}{unmatched}",
                remedy=f"A model could tell them apart by that alone. {better}, or raise {key}.",
            )


def _make(ask: Request, ledger: Ledger, *, before_split: bool) -> tuple[Rows, list[dict[str, Any]]]:
    """Make every kind asked for that belongs here, in the order of ``NEGATIVES``, and judge it."""
    quality = []
    for name, kind in NEGATIVES.items():
        if name not in ask.settings.kinds or kind.before_split != before_split:
            continue
        ask.progress.say(f"making negatives: {name}")
        made = kind.make(ask)
        found = _judge(name, made, ask)
        added = {name: len(made.rows) - len(ask.rows)}
        notes = {f"not made: {reason}": count for reason, count in made.unmatched.items()}
        notes |= {} if added[name] else {"rows that are of this kind": found["made"]}
        ledger.add(
            f"add negatives: {name}", len(ask.rows), len(made.rows), added=added, notes={**notes, **made.notes}
        )
        quality.append(found)
        ask = Request(made.rows, ask.tasks, ask.settings, ask.genome, ask.taken, ask.progress)
    return ask.rows, quality


def _judge(name: str, made: Made, ask: Request) -> dict[str, Any]:
    kind, table, values = NEGATIVES[name], made.rows.table, covariates(made.rows)
    like, chosen = kind.like(table, ask.tasks, ask.settings), (table["kind"] == name).to_numpy()
    smd = {}
    for covariate in (c for c in COVARIATES if c in values):
        ours, theirs = values[covariate][like], values[covariate][chosen]
        before = theirs if made.before is None else made.before[covariate]
        smd[covariate] = {"before": _difference(ours, before), "after": _difference(ours, theirs)}
    return {
        "kind": name,
        "matched": kind.matched,
        "wanted": made.wanted,
        "made": int(chosen.sum()),
        "kept": int(chosen.sum()),
        "unmatched": made.unmatched,
        "smd": smd,
    }


def judged_again(
    quality: Iterable[dict[str, Any]], rows: Rows, tasks: TaskSet, settings: NegativeSettings
) -> list[dict[str, Any]]:
    """The quality that :func:`genomic_negatives` told, of the rows that are left after some were left out."""
    table, values, again = rows.table, covariates(rows), []
    for found in quality:
        chosen = (table["kind"] == found["kind"]).to_numpy()
        like = NEGATIVES[found["kind"]].like(table, tasks, settings)
        smd = {
            name: {"before": old["before"], "after": _difference(values[name][like], values[name][chosen])}
            for name, old in found["smd"].items()
        }
        again.append(found | {"kept": int(chosen.sum()), "smd": smd})
    return again


def _difference(ours: np.ndarray, theirs: np.ndarray) -> float | None:
    value = standardised_mean_difference(ours, theirs)
    return None if math.isnan(value) else round(max(-_INFINITE, min(_INFINITE, value)), 4)
