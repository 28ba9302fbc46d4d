"""Clusters of rows that must not stand on two sides of a split: near-duplicates and overlapping intervals."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
import polars as pl
from pydantic import Field, model_validator

from encre.config import Config
from encre.data.overlaps import spans_of
from encre.data.rows import Rows
from encre.ledger import Ledger
from encre.progress import SILENT, Progress
from encre.sequence.near_duplicates import near_duplicate_clusters, numbered

#: Repeat families that the ledger names one by one.
_NAMED = 5


class ClusterSettings(Config):
    """[clusters]: which rows count as near-duplicates, and what becomes of families of repeats.

    Two rows are similar when, on either strand, some ungapped stretch of at least ``min_overlap`` of the shorter
    one has an identity of ``similarity``. A cluster of more than ``largest`` rows is a repeat family (Alu and the
    like: each member resembles some other, few resemble all): it is kept whole (``repeats = "keep"``), taken apart
    into what is similar at ``cut_similarity`` (``"cut"``), or left out (``"drop"``). After a cut, rows of different
    parts may still be similar at ``similarity``, and an audit at that similarity says so.
    """

    similarity: float = Field(default=0.9, ge=0.8, le=1)
    min_overlap: float = Field(default=0.5, gt=0, le=1)
    repeats: Literal["keep", "cut", "drop"] = "keep"
    largest: int = Field(default=1000, ge=1)
    cut_similarity: float = Field(default=0.98, ge=0.8, le=1)

    @model_validator(mode="after")
    def _stricter(self) -> Self:
        if self.repeats == "cut" and self.cut_similarity < self.similarity:
            raise ValueError("cut_similarity is below similarity, so nothing would be cut")
        return self


def cluster_rows(rows: Rows, settings: ClusterSettings, *, ledger: Ledger, progress: Progress = SILENT) -> Rows:
    """Give every row its ``cluster``, and treat repeat families as the settings say.

    Parameters
    ----------
    rows
        With or without coordinates; where the table has ``repeat_share``, the families' mean of it is noted.
    settings
        What is similar, and what becomes of repeat families.
    ledger
        Told how many clusters there are, how large, which are repeat families, and what was dropped.
    progress
        Told of the search.

    Returns
    -------
    Rows
        Those that are left, with ``cluster`` Int64, numbered by first rows from 0. Rows with the same sequence, on
        either strand, similar ones, and those whose intervals (with jitter's flanks) share a base are in one.
    """
    links = overlap_links(rows)
    labels = _search(rows, settings, settings.similarity, links, progress)
    families = _families(labels, settings.largest)
    notes = _sizes(labels) | {"pairs of neighbours with overlapping intervals": len(links)}
    notes |= _described(rows, labels, families, settings)
    before, dropped = len(rows), 0
    if settings.repeats == "cut" and len(families):
        labels = _cut(rows, labels, families, settings, progress)
        notes |= {f"{name}, after the cut": value for name, value in _sizes(labels).items()}
    while settings.repeats == "drop" and len(families):
        keep = ~np.isin(labels, families)
        dropped += int((~keep).sum())
        rows, labels = rows.keep(keep), labels[keep]
        # A seed that a family crowded may now show rows alike that it hid before, so that clusters can only grow.
        links = np.concatenate([overlap_links(rows), _chains(labels)])
        labels = _search(rows, settings, settings.similarity, links, progress)
        families = _families(labels, settings.largest)
    ledger.add(
        "cluster near-duplicates and overlaps",
        before,
        len(rows),
        dropped={"in a repeat family": dropped},
        notes=notes,
    )
    return rows.with_columns(cluster=labels)


def overlap_links(rows: Rows) -> np.ndarray:
    """Pairs of rows ``(M, 2)`` that connect all whose intervals, with jitter's flanks, share a base.

    Each row is linked to the one that begins last before it, when any that began before reaches over its first
    base: intervals that overlap, directly or through others, are neighbours in that order.
    """
    spans = spans_of(rows)
    placed = np.flatnonzero(spans.placed)
    begin, end = spans.begin[placed] - rows.jitter, spans.end[placed] + rows.jitter
    order = np.lexsort((end, begin))
    begin, end, row = begin[order], end[order], placed[order]
    covered = begin[1:] < np.maximum.accumulate(end)[:-1]
    return np.stack([row[:-1][covered], row[1:][covered]], axis=1)


def _search(
    rows: Rows, settings: ClusterSettings, similarity: float, links: np.ndarray, progress: Progress
) -> np.ndarray:
    codes, offsets = rows.seen()
    return near_duplicate_clusters(
        codes,
        offsets,
        similarity=similarity,
        min_overlap=settings.min_overlap,
        links=links,
        progress=progress,
    )


def _chains(labels: np.ndarray) -> np.ndarray:
    """Pairs of rows ``(M, 2)`` that connect the rows of each label."""
    order = np.argsort(labels, kind="stable")
    same = labels[order][1:] == labels[order][:-1]
    return np.stack([order[:-1][same], order[1:][same]], axis=1)


def _families(labels: np.ndarray, largest: int) -> np.ndarray:
    """The clusters with more than ``largest`` rows, the largest first."""
    sizes = np.bincount(labels)
    found = np.flatnonzero(sizes > largest)
    return found[np.argsort(-sizes[found], kind="stable")]


def _cut(
    rows: Rows, labels: np.ndarray, families: np.ndarray, settings: ClusterSettings, progress: Progress
) -> np.ndarray:
    """Labels in which the members of repeat families are clustered again, at the stricter similarity."""
    inside = np.isin(labels, families)
    members = rows.keep(inside)
    parts = _search(members, settings, settings.cut_similarity, overlap_links(members), progress)
    labels = labels.copy()
    labels[inside] = len(rows) + parts
    return numbered(labels)


def _sizes(labels: np.ndarray) -> dict[str, int | float | str]:
    sizes = np.bincount(labels)
    return {
        "clusters": len(sizes),
        "rows that are not alone in their cluster": int(sizes[sizes > 1].sum()),
        "rows of the largest cluster": int(sizes.max(initial=0)),
    }


def _described(
    rows: Rows, labels: np.ndarray, families: np.ndarray, settings: ClusterSettings
) -> dict[str, int | float | str]:
    """What the ledger says of the repeat families: how many, their rows, and how much of them is soft-masked."""
    sizes = np.bincount(labels)
    notes: dict[str, int | float | str] = {
        "repeat families": len(families),
        "rows in repeat families": int(sizes[families].sum()),
        "repeat families are clusters of more rows than": settings.largest,
        "repeat families are treated so": settings.repeats,
    }
    for number, family in enumerate(families[:_NAMED].tolist()):
        share = _masked(rows, labels == family)
        notes[f"repeat family {number + 1}"] = f"{sizes[family]:,} rows" + (
            "" if share is None else f", {share:.0%} of their bases soft-masked"
        )
    inside = np.isin(labels, families)
    for name, chosen in (("repeat families", inside), ("other rows", ~inside)):
        if (share := _masked(rows, chosen)) is not None:
            notes[f"mean share of soft-masked bases in {name}"] = round(share, 4)
    return notes


def _masked(rows: Rows, chosen: np.ndarray) -> float | None:
    """Mean share of soft-masked bases of the chosen rows; None when it is not known, or there are none."""
    if "repeat_share" not in rows.table.columns:
        return None
    mean = rows.table["repeat_share"].cast(pl.Float64).fill_nan(None).filter(pl.Series(chosen)).mean()
    return None if mean is None else float(mean)  # pyright: ignore[reportArgumentType]
