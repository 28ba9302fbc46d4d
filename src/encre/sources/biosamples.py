"""Activity of elements in one biosample or tissue file, and several biosamples folded into one tissue.

Per-biosample files: registry V4 ``<DNase>_<H3K4me3>_<H3K27ac>_<CTCF>.bed`` and V3 ``<…>.7group.bed``, bed9 and class,
V4 always and V3 mostly with a remark, ``All-data/Full-classification`` or ``Missing-data/Partial-classification``
(The ENCODE Project Consortium, Moore et al. 2020, Nature 583:699-710, and its registry pipeline). An element is
active where it is pELS or dELS. A biosample without DNase classifies nothing; one with DNase and without H3K27ac
cannot call an enhancer, so what is accessible there and no promoter is not measured, rather than inactive.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal, NamedTuple, Self

import numpy as np
import polars as pl
from pydantic import Field, field_validator, model_validator

from encre.config import Config
from encre.errors import ConfigError
from encre.genome.assembly import Assembly
from encre.sources.ccres import (
    ACTIVITY_FORMS,
    AGGREGATE_FORMS,
    ENHANCER_CLASSES,
    V3_CLASSES,
    V4_CLASSES,
    Classes,
    Joining,
    Registry,
    match_rows,
    read_ccres,
    read_classes,
)
from encre.tables import categories, first_row

Rule = Literal["any", "majority", "at_least"]
Classification = Literal[
    "tissue", "primary cell", "cell line", "in vitro differentiated cells", "organoid", "whole organisms"
]
Notes = dict[str, int | float | str]

# Without a DNase track a biosample has no class: these elements are not measured there.
_UNMEASURED = ("High-H3K4me3", "High-H3K27ac", "High-CTCF", "Unclassified")
# "CA-only" is the registry's CA, "Low-DNase" is inactive; V3's files also say "DNase-only".
_KNOWN = (*V4_CLASSES, *V3_CLASSES, "CA-only", "DNase-only", "Low-DNase", *_UNMEASURED)
# Told without H3K27ac: a promoter is one before it could be an enhancer, and what is closed is no enhancer.
_TOLD_WITHOUT_H3K27AC = ("PLS", "Low-DNase")
_ACCESSION = re.compile(r"(ENC|TST)(SR|FF)\d{3}[A-Z]{3}")
_PARTIAL = "Missing-data/Partial-classification"
_AGGREGATE = "Aggregated-Samples"


class Biosamples(Config):
    """A tissue made of several biosamples: ``brain = { organ = "brain", rule = "majority" }``.

    Parameters
    ----------
    files
        Their per-biosample files. Without them ``encre data download`` fetches what ``organ`` or ``accessions`` name.
    organ
        Every biosample of this organ that ENCODE has.
    accessions
        Biosamples by the accession of their annotation (ENCSR…) or file (ENCFF…).
    rule
        When an element is active in the tissue: in ``"any"`` biosample, in the ``"majority"`` (more than half) of
        those that measured it, or in ``"at_least"`` so many. One that none of them measured is NaN.
    at_least
        How many, for the rule of that name.
    classification
        Of an organ, only biosamples that ENCODE classifies so, for example ``["tissue", "primary cell"]`` to leave
        out cell lines; empty for all.
    """

    files: tuple[str, ...] = ()
    organ: str = ""
    accessions: tuple[str, ...] = ()
    rule: Rule = "any"
    at_least: int = Field(default=1, ge=1)
    classification: tuple[Classification, ...] = ()

    @field_validator("files", "accessions", "classification")
    @classmethod
    def _once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{twice[0]} stands twice")
        if not all(names):
            raise ValueError("an empty name stands there")
        return names

    @field_validator("accessions")
    @classmethod
    def _encodes(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if not _ACCESSION.fullmatch(name):
                raise ValueError(f"'{name}' is no accession of ENCODE (ENCSR000AAA, ENCFF000AAA)")
        return names

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not (self.files or self.organ or self.accessions):
            raise ValueError("a tissue needs files, an organ or accessions")
        if self.organ and self.accessions:
            raise ValueError("a tissue has an organ or accessions, not both")
        if self.at_least > 1 and self.rule != "at_least":
            raise ValueError('at_least belongs to rule = "at_least"')
        if self.classification and not self.organ:
            raise ValueError("classification chooses among the biosamples of an organ")
        if self.rule == "at_least" and self.at_least > len(self.files or self.accessions) > 0:
            raise ValueError("at_least is more than the biosamples that are named")
        return self

    @property
    def groups(self) -> tuple[str, ...]:
        """What the lock calls the files to fetch: ``organ:brain``, ``organ:brain:tissue``, or each accession."""
        if not self.organ:
            return self.accessions
        return (":".join(["organ", self.organ, *sorted(self.classification)]),)


class Activity(NamedTuple):
    """What one file, or several folded, say of each element."""

    values: np.ndarray
    """1 active, 0 not, NaN not measured: (N,) float32."""
    notes: Notes
    """Counts for the ledger."""


def read_activity(path: str, registry: Registry, *, joining: Joining, assembly: Assembly) -> Activity:
    """Activity of every registry element in one tissue or biosample file, plain or gzip.

    Parameters
    ----------
    path
        bed9 and class, with or without a remark.
    registry
        The elements.
    joining
        How rows find their element.
    assembly
        Chromosome names and lengths.

    Raises
    ------
    FormatError, IntervalError, UnknownChromosomeError
        For a bad line or an unknown class, naming file and line.
    DataError
        For a file of another registry version.
    """
    aggregate = first_row(path).fields[-1].strip() == _AGGREGATE  # then every row says so, and has all data
    forms = AGGREGATE_FORMS if aggregate else ACTIVITY_FORMS
    frame, _ = read_ccres(path, forms, what="a SCREEN tissue file")
    classes = read_classes(frame, path=path, known=_KNOWN, lists=_UNMEASURED)
    written, blind = _meaning(classes, frame)
    rows, notes = match_rows(registry, frame, joining, assembly=assembly, path=path)
    hit = rows >= 0
    values = np.full(len(rows), np.nan, dtype=np.float32)
    values[hit] = written[rows[hit]]
    notes |= {"active": int((values == 1).sum()), "not measured": int(np.isnan(values).sum())}
    if blind:
        notes["rows not measured because the biosample has no H3K27ac"] = blind
    return Activity(values, notes)


def _meaning(classes: Classes, frame: pl.DataFrame) -> tuple[np.ndarray, int]:
    """Activity of each row of a file (R,) float32, and how many rows the missing H3K27ac makes unmeasured."""
    names = np.array(classes.names)
    meaning = np.where(np.isin(names, _UNMEASURED), np.nan, np.isin(names, ENHANCER_CLASSES)).astype(np.float32)
    values = meaning[classes.rows]
    partial = _partial(frame)
    if partial is None or (values[partial] == 1).any():
        return values, 0
    untold = (meaning == 0) & ~np.isin(names, _TOLD_WITHOUT_H3K27AC)
    blind = partial & untold[classes.rows]
    values[blind] = np.nan
    return values, int(blind.sum())


def _partial(frame: pl.DataFrame) -> np.ndarray | None:
    """Rows (R,) that are remarked as classified without all data; None when there is none."""
    if "remark" not in frame.columns:
        return None
    rows, remarks = categories(frame["remark"])
    marked = np.array([remark.strip() == _PARTIAL for remark in remarks])
    return marked[rows] if marked.any() else None


def fold(activities: Iterable[np.ndarray], *, rule: Rule, at_least: int = 1) -> Activity:
    """Fold biosamples of a tissue into one; they are counted one after the other, and none is kept.

    Parameters
    ----------
    activities
        One or more, (N,) float32 as :attr:`Activity.values`.
    rule, at_least
        As :class:`Biosamples`; an element that no biosample measured is NaN.

    Raises
    ------
    ConfigError
        When ``at_least`` is more than there are biosamples.
    """
    biosamples, active, measured = 0, np.zeros(1, dtype=np.uint16), np.zeros(1, dtype=np.uint16)
    for values in activities:
        biosamples += 1
        active = active + (values == 1)
        measured = measured + ~np.isnan(values)
    if rule == "at_least" and at_least > biosamples:
        raise ConfigError(
            f"at_least = {at_least} can never be reached by {biosamples} biosamples",
            remedy="Name more biosamples, or a smaller number.",
        )
    enough = measured // 2 + 1 if rule == "majority" else at_least if rule == "at_least" else 1
    values = np.where(measured > 0, active >= enough, np.nan).astype(np.float32)
    several = measured > 1
    agreed = several & ((active == 0) | (active == measured))
    notes: Notes = {
        "rule": f"at least {at_least}" if rule == "at_least" else rule,
        "biosamples": biosamples,
        "active": int((values == 1).sum()),
        "not measured": int(np.isnan(values).sum()),
        "measured by several biosamples": int(several.sum()),
        "of these, all biosamples agree": int(agreed.sum()),
    }
    return Activity(values, notes)


def chosen_files(tissue: str, chosen: str | Biosamples) -> tuple[str, ...]:
    """The files of a tissue; none when it was not measured.

    Raises
    ------
    ConfigError
        When its biosamples have not been downloaded.
    """
    if isinstance(chosen, str):
        return (chosen,) if chosen else ()
    if not chosen.files:
        raise ConfigError(
            f"the biosample files of '{tissue}' are not here yet ({', '.join(chosen.groups)})",
            where=f"[source.tissues.{tissue}]",
            remedy="Fetch them with `encre data download CONFIG`, or name them with files = [...].",
        )
    return chosen.files
