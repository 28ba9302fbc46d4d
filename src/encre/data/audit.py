"""The audit of a dataset: leakage, shortcuts and what a memory alone would score; and the limits that fail it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import polars as pl
from pydantic import Field

from encre.config import Config
from encre.data.audit_words import FEATURES, row_words
from encre.data.clusters import ClusterSettings
from encre.data.leakage import find_leaks, leaked_rows
from encre.data.neighbours import neighbour_profit
from encre.data.rows import Rows
from encre.data.shortcuts import beyond, shortcut_scores, strength
from encre.errors import GateError
from encre.progress import SILENT, Progress
from encre.sequence.alphabet import canonical_flat
from encre.tasks import TaskSet

if TYPE_CHECKING:
    from encre.data.dataset import Dataset


#: What is done with the table of leaked rows.
Keep = Callable[[pl.DataFrame], None]


class AuditSettings(Config):
    """[audit]: what is looked for, and limits that fail the build; without a limit the audit only reports.

    Parameters
    ----------
    max_exact_leakage
        Pairs of identical (or reverse-complement) sequences that may stand in two splits.
    max_overlap_leakage
        Rows of valid and test whose bases may lie on the genome where another split's lie too.
    max_near_leakage
        Rows of valid and test that may have a shifted or nearly equal partner in another split; asks for
        ``near_duplicates``.
    max_shortcut_auroc
        AUROC that a shortcut alone may reach, in either direction, against all negatives or one kind of them.
    max_neighbour_profit
        Accuracy that the nearest-training-neighbour classifier may gain from rows that leak; asks for
        ``neighbours``.
    near_duplicates
        Look for shifted and nearly equal sequences as well.
    neighbours
        Judge the nearest-training-neighbour classifier as well.
    flag_shortcut_auroc
        From here on a shortcut is flagged in the report; it fails nothing.
    """

    max_exact_leakage: int | None = Field(default=None, ge=0)
    max_overlap_leakage: int | None = Field(default=None, ge=0)
    max_near_leakage: int | None = Field(default=None, ge=0)
    max_shortcut_auroc: float | None = Field(default=None, ge=0.5, le=1)
    max_neighbour_profit: float | None = Field(default=None, ge=0, le=1)
    near_duplicates: bool = False
    neighbours: bool = False
    flag_shortcut_auroc: float = Field(default=0.6, ge=0.5, le=1)

    @property
    def wants_near(self) -> bool:
        """Whether near-duplicates are looked for, asked for outright or by their limit."""
        return self.near_duplicates or self.max_near_leakage is not None

    @property
    def wants_neighbours(self) -> bool:
        """Whether the neighbour classifier is judged, asked for outright or by its limit."""
        return self.neighbours or self.max_neighbour_profit is not None


def audit(
    rows: Rows,
    tasks: TaskSet | None,
    settings: AuditSettings,
    clusters: ClusterSettings | None = None,
    *,
    split: str = "test",
    keep: Keep | None = None,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Audit rows that have their groups, splits and targets.

    Parameters
    ----------
    rows
        The finished rows, negatives included.
    tasks
        What is predicted; None for sequences without labels, of which only the leakage can be told.
    settings
        What to look for.
    clusters
        What counts as nearly equal; the defaults when None.
    split
        On which split shortcuts and neighbours are judged.
    keep
        Given the table of :func:`encre.data.leakage.leaked_rows`.
    progress
        Told of long searches.

    Returns
    -------
    dict
        ``leakage`` (:func:`encre.data.leakage.leakage`), ``shortcuts``
        (:func:`encre.data.shortcuts.shortcut_scores`) and, when asked for, ``neighbours``
        (:func:`encre.data.neighbours.neighbour_profit`); plain values. Without tasks, ``shortcuts`` is None.
    """
    leaks = find_leaks(rows, near=settings.wants_near, clusters=clusters, progress=progress)
    if keep is not None:
        keep(leaked_rows(rows, leaks))
    found: dict[str, Any] = {"leakage": leaks.summary, "shortcuts": None}
    if tasks is not None:
        found["shortcuts"] = shortcut_scores(rows, tasks, split=split, flag=settings.flag_shortcut_auroc)
        if settings.wants_neighbours:
            found["neighbours"] = neighbour_profit(rows, tasks, leaks, split=split, progress=progress)
    return found


def audit_dataset(
    dataset: Dataset,
    settings: AuditSettings,
    clusters: ClusterSettings | None = None,
    *,
    keep: Keep | None = None,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """As :func:`audit`, of an opened dataset folder."""
    rows = Rows(dataset.elements, dataset.codes, dataset.offsets, dataset.jitter)
    rows = rows.with_columns(flipped=canonical_flat(*rows.seen())[1])
    return audit(rows, dataset.tasks, settings, clusters, keep=keep, progress=progress)


def check_audit(found: dict[str, Any], settings: AuditSettings, *, own: bool = False) -> None:
    """Fail when the audit exceeds a limit.

    Parameters
    ----------
    found, settings
        The audit and its limits.
    own
        Whether it is of somebody's own files, so that no config of a build could do better.

    Raises
    ------
    GateError
        Exit code 3, naming every limit that was exceeded.
    """
    leaks = [*_leaks_over(found["leakage"], settings), *_neighbours_over(found, settings)]
    scores = list(_shortcuts_over(found, settings))
    if said := [clause for clause, _ in [*leaks, *scores]]:
        head = said[0] if len(said) == 1 else f"{len(said)} limits of [audit] are exceeded: " + "; ".join(said)
        todo = [remedy for _, remedy in [*leaks, *scores] if remedy]
        if own:
            todo = [*([_LEAVE_OUT] if leaks else []), *([_CHOOSE] if scores else [])]
        raise GateError(head, remedy=" ".join([*dict.fromkeys(todo), "Or raise the limit knowingly."]))


def failures(found: dict[str, Any], settings: AuditSettings) -> list[str]:
    """Every limit that the audit exceeds, one clause each; empty when it passes."""
    parts = (
        _leaks_over(found["leakage"], settings),
        _neighbours_over(found, settings),
        _shortcuts_over(found, settings),
    )
    return [clause for part in parts for clause, _ in part]


def _leaks_over(leakage: dict[str, Any], settings: AuditSettings) -> Iterator[tuple[str, str]]:
    limit = settings.max_exact_leakage
    if limit is not None and leakage["pairs"] > limit:
        example = " and ".join(row_words(row) for row in leakage["examples"][0]["rows"][:2])
        yield (
            f"{leakage['pairs']:,} pairs of identical or reverse-complement sequences stand in two splits "
            f"({leakage['exact']:,} exact, {leakage['reverse_complement']:,} reverse complement), for example "
            f"{example}, where max_exact_leakage allows {limit:,}",
            'Set [split] by = "group", which keeps them together.',
        )
    limit = settings.max_overlap_leakage
    if limit is not None:
        overlapping = leakage["kinds"]["overlapping"]
        if overlapping["pairs"] is None:
            yield f"max_overlap_leakage cannot be judged: {overlapping['reason']}", ""
        elif (held := _judged(overlapping["rows"])) > limit:
            yield (
                f"{held:,} valid and test rows lie on bases of the genome on which another split lies too, where "
                f"max_overlap_leakage allows {limit:,}",
                'Set [split] by = "chromosome" or "cluster".',
            )
    limit = settings.max_near_leakage
    if limit is not None and leakage["near_rows"] is None:
        yield "max_near_leakage cannot be judged: near-duplicates were not looked for", ""
    elif limit is not None and (held := _judged(leakage["near_rows"])) > limit:
        yield (
            f"{held:,} valid and test rows have a shifted or nearly equal partner in another split, where "
            f"max_near_leakage allows {limit:,}",
            'Set [split] by = "cluster", and [clusters] repeats = "keep" or "drop".',
        )


def _judged(rows: dict[str, int]) -> int:
    return rows["valid"] + rows["test"]


def _shortcuts_over(found: dict[str, Any], settings: AuditSettings) -> Iterator[tuple[str, str]]:
    limit, shortcuts = settings.max_shortcut_auroc, found.get("shortcuts")
    if limit is not None and shortcuts is None:
        yield "max_shortcut_auroc cannot be judged: there are no labels", ""
    elif limit is not None and shortcuts is not None and (over := beyond(shortcuts, limit)):
        yield _shortcut(over, limit, split=shortcuts["split"]), _REMEDIES[over[0]["feature"]]


def _neighbours_over(found: dict[str, Any], settings: AuditSettings) -> Iterator[tuple[str, str]]:
    limit, neighbours = settings.max_neighbour_profit, found.get("neighbours")
    if limit is not None and neighbours is None:
        yield "max_neighbour_profit cannot be judged: there are no labels, or neighbours were not asked for", ""
    elif limit is not None and neighbours is not None:
        for task, values in neighbours["tasks"].items():
            gained = (values.get("profit") or {}).get("accuracy")
            if gained is not None and gained > limit:
                yield (
                    f"leaked rows raise the accuracy of the nearest training neighbour on task '{task}' by "
                    f"{gained:.3f}, where max_neighbour_profit allows {limit:.3f}",
                    'Set [split] by = "cluster".',
                )


def _shortcut(over: list[dict[str, Any]], limit: float, *, split: str) -> str:
    worst = over[0]
    among = f" against negatives of kind '{worst['kind']}'" if worst["kind"] else ""
    more = f" (and {len(over) - 1} more)" if len(over) > 1 else ""
    return (
        f"{FEATURES[worst['feature']]} alone reaches an AUROC of {strength(worst['auroc']):.3f} for task "
        f"'{worst['task']}'{among} on the {split} split{more}, where max_shortcut_auroc allows {limit:.3f}"
    )


_LEAVE_OUT = "Leave out the rows that `--leaked rows.tsv` lists."
_CHOOSE = "Choose negatives that are matched on it."
_MATCHED = (
    'Use negatives that are matched on it ([negatives] kinds = ["dinucleotide_shuffle"] or matched background).'
)
_REMEDIES = {
    "length": 'Give every element the same width ([sequence] mode = "window").',
    "gc": _MATCHED,
    "cpg": _MATCHED,
    "n_share": "Lower [sequence] max_n_share.",
    "repeat_share": _MATCHED,
    "chromosome": "Take negatives from every chromosome alike.",
}
