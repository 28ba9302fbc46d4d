"""What a sequence's length, composition, repeats or chromosome alone would score: the floor a model must beat."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from encre.data.rows import Rows
from encre.sequence.alphabet import gc_share, n_share
from encre.sequence.flat import blocks
from encre.tasks import TaskSet

#: What is tried. ``cpg`` is observed over expected CpG (Gardiner-Garden and Frommer, 1987).
SHORTCUTS = ("length", "gc", "cpg", "n_share", "repeat_share", "chromosome")
#: First letters of a group (an MD5) that put a row into the first half of the cross-fit.
_FIRST_HALF = tuple("01234567")


def shortcut_scores(rows: Rows, tasks: TaskSet, *, split: str = "test", flag: float = 0.6) -> dict[str, Any]:
    """AUROC of each shortcut on its own, against each task and each kind of negatives, on one split.

    The chromosome is scored by the share of positives that it has in the other half of the rows (halves by the
    rows' group, so that copies stay together), the mean of both halves. It asks whether the labels differ by
    chromosome, whichever chromosomes train.

    Parameters
    ----------
    rows
        Grouped rows with their targets, ``kind`` and ``split``; ``repeat_share`` where it is known.
    tasks
        What is predicted.
    split
        Whose rows are judged.
    flag
        An AUROC beyond this, in either direction, is flagged.

    Returns
    -------
    dict
        ``{"split", "tasks": {task: {feature: AUROC, …, "positives", "negatives"}}}``; an AUROC below 0.5 means that
        the smaller value goes with the positives. Undefined is None, with a ``reason``. ``by_kind``: the same of
        each binary task's positives against one kind of negatives at a time, where there are several kinds.
        ``absent``: feature -> why no row has it. ``flagged``: ``{task, feature, kind, auroc}``, the strongest
        first (``kind`` None: all negatives together), and the ``flag`` that was asked for.
    """
    chosen = rows.keep((rows.table["split"] == split).to_numpy())
    features, absent = _features(chosen)
    judge = _Judge(chosen.table, {name: _Ranked(values) for name, values in features.items()})
    found: dict[str, Any] = {}
    by_kind: dict[str, dict[str, Any]] = {}
    kinds = chosen.table["kind"].unique(maintain_order=True).to_list()
    for task in tasks:
        if task.kind == "regression":
            found[task.name] = dict.fromkeys(SHORTCUTS) | {"reason": "a regression has no AUROC"}
            continue
        target = chosen.table[task.target].cast(pl.Float32).fill_null(float("nan")).to_numpy()
        positive, negative = target > 0.5, target <= 0.5
        found[task.name] = judge(positive, negative)
        if len(kinds) > 1:
            apart = {kind: negative & (chosen.table["kind"] == kind).to_numpy() for kind in kinds}
            by_kind[task.name] = {kind: judge(positive, those) for kind, those in apart.items() if those.any()}
    result = {"split": split, "tasks": found, "by_kind": by_kind, "absent": absent, "flag": flag}
    return result | {"flagged": beyond(result, flag)}


def beyond(found: dict[str, Any], limit: float) -> list[dict[str, Any]]:
    """The shortcuts that score more than the limit in either direction, the strongest first.

    Parameters
    ----------
    found
        From :func:`shortcut_scores`.
    limit
        AUROC, 0.5 to 1.
    """
    places = [(task, None, values) for task, values in found["tasks"].items()]
    places += [(task, kind, v) for task, kinds in found.get("by_kind", {}).items() for kind, v in kinds.items()]
    over = [
        {"task": task, "feature": feature, "kind": kind, "auroc": values[feature]}
        for task, kind, values in places
        for feature in SHORTCUTS
        if values.get(feature) is not None and strength(values[feature]) > limit
    ]
    return sorted(over, key=lambda item: -strength(item["auroc"]))


def strength(auroc: float) -> float:
    """The AUROC of a score or of its opposite, whichever is larger."""
    return abs(auroc - 0.5) + 0.5


def auroc(score: np.ndarray, positive: np.ndarray) -> float | None:
    """Area under the ROC curve by ranks, ties counting half; None without both classes.

    Parameters
    ----------
    score
        ``(N,)``, larger for positives.
    positive
        ``(N,)`` bool.
    """
    return _Ranked(score).auroc(positive, ~positive)


def cpg_ratio(codes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Observed over expected CpG of every sequence: CpG x known bases / (C x G); 0 where it has no C or no G.

    Returns
    -------
    numpy.ndarray
        ``(N,)`` float64; about 0.2 in most of a vertebrate genome, above 0.6 in CpG islands.
    """
    out = np.zeros(len(offsets) - 1, dtype=np.float64)
    for first, last in blocks(offsets):
        low = int(offsets[first])
        part = codes[low : offsets[last]]
        edges = offsets[first : last + 1] - low
        is_c, is_g = part == 1, part == 2
        pair = np.zeros(len(part), dtype=bool)
        pair[:-1] = is_c[:-1] & is_g[1:]
        inside = np.maximum(edges[1:] - 1, edges[:-1])  # a pair must begin before the last base
        cpg = (running := _running(pair))[inside] - running[edges[:-1]]
        c, g, known = (np.diff(_running(hit)[edges]) for hit in (is_c, is_g, part < 4))
        both = c.astype(np.float64) * g
        out[first:last] = np.divide(cpg * known.astype(np.float64), both, out=np.zeros(len(c)), where=both > 0)
    return out


def _running(hit: np.ndarray) -> np.ndarray:
    total = np.zeros(len(hit) + 1, dtype=np.int64)
    np.cumsum(hit, out=total[1:])
    return total


def _features(rows: Rows) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """What every row has, and why a feature is absent."""
    codes, offsets = rows.seen()
    features = {
        "length": np.diff(offsets).astype(np.float64),
        "gc": gc_share(codes, offsets),
        "cpg": cpg_ratio(codes, offsets),
        "n_share": n_share(codes, offsets),
    }
    absent = {}
    if "repeat_share" in rows.table.columns and rows.table["repeat_share"].null_count() < len(rows):
        features["repeat_share"] = rows.table["repeat_share"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    else:
        absent["repeat_share"] = "no base is known to be soft-masked"
    if not rows.table["chrom"].is_not_null().any():
        absent["chromosome"] = "no coordinates"
    return features, absent


class _Ranked:
    """A feature's values as dense ranks, so that any choice of rows is judged by two counts."""

    def __init__(self, values: np.ndarray) -> None:
        known = np.isfinite(values)
        different, place = np.unique(values[known], return_inverse=True)
        self.bins = len(different)
        self.place = place
        self.known = None if known.all() else known

    def auroc(self, positive: np.ndarray, negative: np.ndarray) -> float | None:
        """Of the rows marked; those without the feature are left out."""
        if self.known is not None:
            positive, negative = positive[self.known], negative[self.known]
        counts = [np.bincount(self.place[chosen], minlength=self.bins) for chosen in (positive, negative)]
        return auroc_of_counts(*counts)


def auroc_of_counts(positive: np.ndarray, negative: np.ndarray) -> float | None:
    """AUROC from how many positives and negatives have each score ``(S,)``, scores ascending; None without both."""
    total = int(positive.sum()) * int(negative.sum())
    if not total:
        return None
    below = np.cumsum(negative) - negative
    return float((positive * (below + negative / 2)).sum() / total)


class _Judge:
    """Scores every feature on a choice of positives and negatives."""

    def __init__(self, table: pl.DataFrame, ranked: dict[str, _Ranked]) -> None:
        self.ranked = ranked
        chrom = table["chrom"]
        self.placed = chrom.is_not_null().to_numpy()
        physical = chrom.cast(pl.String).cast(pl.Categorical).to_physical().fill_null(0).to_numpy()
        first = table["group"].str.slice(0, 1).is_in(_FIRST_HALF).to_numpy()
        self.cell = np.unique(physical, return_inverse=True)[1] * 2 + first  # chromosome and half as one number
        self.cells = int(self.cell.max(initial=-1)) // 2 * 2 + 2

    def __call__(self, positive: np.ndarray, negative: np.ndarray) -> dict[str, Any]:
        scores: dict[str, Any] = {
            name: self.ranked[name].auroc(positive, negative) if name in self.ranked else None for name in SHORTCUTS
        }
        if self.placed.any():
            scores["chromosome"] = self._chromosome(positive & self.placed, negative & self.placed)
        counts = {"positives": int(positive.sum()), "negatives": int(negative.sum())}
        unmeasured = {} if all(counts.values()) else {"reason": "not measured in this split, or one class only"}
        return scores | counts | unmeasured

    def _chromosome(self, positive: np.ndarray, negative: np.ndarray) -> float | None:
        """Mean over both halves of the AUROC that the other half's share of positives by chromosome reaches."""
        counts = [np.bincount(self.cell[chosen], minlength=self.cells) for chosen in (positive, negative)]
        of_half = [(counts[0][half::2], counts[1][half::2]) for half in (0, 1)]
        scores = []
        for (mine, others), (p, n) in zip(of_half, reversed(of_half), strict=True):
            overall = p.sum() / max(p.sum() + n.sum(), 1)
            share = np.where(p + n > 0, p / np.maximum(p + n, 1), overall)
            values, rank = np.unique(share, return_inverse=True)
            at = [np.bincount(rank, weights=c, minlength=len(values)) for c in (mine, others)]
            scores.append(auroc_of_counts(*at))
        known = [score for score in scores if score is not None]
        return float(np.mean(known)) if len(known) == len(scores) else None
