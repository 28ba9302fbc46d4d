"""What a sequence's length, GC share and N share alone would score: the floor that a model must beat."""

from __future__ import annotations

from typing import Any

import numpy as np

from encre.data.rows import Rows
from encre.errors import GateError
from encre.sequence.alphabet import gc_share, n_share
from encre.tasks import TaskSet

SHORTCUTS = ("length", "gc", "n_share")


def shortcut_scores(rows: Rows, tasks: TaskSet, *, split: str = "test") -> dict[str, Any]:
    """AUROC of each shortcut on its own, against each task, on the rows of one split.

    Returns
    -------
    dict
        ``{"split", "tasks": {task: {"length", "gc", "n_share", "positives", "negatives"}}}``; an AUROC below
        0.5 means that the smaller value goes with the positives. Undefined is None, with a ``reason``.
    """
    chosen = rows.keep((rows.table["split"] == split).to_numpy())
    codes, offsets = chosen.seen()
    features = {
        "length": np.diff(offsets).astype(np.float64),
        "gc": gc_share(codes, offsets),
        "n_share": n_share(codes, offsets),
    }
    found: dict[str, Any] = {}
    for task in tasks:
        if task.kind == "regression":
            found[task.name] = dict.fromkeys(SHORTCUTS) | {"reason": "a regression has no AUROC"}
            continue
        target = chosen.table[task.target].to_numpy()
        measured = ~np.isnan(target)
        positive = target[measured] > 0.5
        scores = {name: auroc(values[measured], positive) for name, values in features.items()}
        found[task.name] = scores | {"positives": int(positive.sum()), "negatives": int((~positive).sum())}
        if None in scores.values():
            found[task.name]["reason"] = "not measured in this split"
    return {"split": split, "tasks": found}


def auroc(score: np.ndarray, positive: np.ndarray) -> float | None:
    """Area under the ROC curve by ranks, ties counting half; None without both classes.

    Parameters
    ----------
    score
        ``(N,)``, larger for positives.
    positive
        ``(N,)`` bool.
    """
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if not n_positive or not n_negative:
        return None
    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    upto = np.cumsum(counts)
    rank = (upto - (counts - 1) / 2)[place]  # the mean rank of equal scores, counted from 1
    return float((rank[positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def check_shortcuts(found: dict[str, Any], limit: float | None) -> None:
    """Fail the build when a shortcut alone scores more than the config allows, in either direction.

    Raises
    ------
    GateError
        Exit code 3, naming the strongest shortcut and its task.
    """
    if limit is None:
        return
    scored = [
        (abs(values[name] - 0.5) + 0.5, name, task)
        for task, values in found["tasks"].items()
        for name in SHORTCUTS
        if values[name] is not None
    ]
    if scored and max(scored)[0] > limit:
        strength, name, task = max(scored)
        shown = {"length": "length", "gc": "GC share", "n_share": "N share"}[name]
        raise GateError(
            f"{shown} alone reaches an AUROC of {strength:.3f} for task '{task}' on the {found['split']} split",
            expected=f"at most {limit:.3f} ([audit] max_shortcut_auroc)",
            remedy=_REMEDIES[name],
        )


_REMEDIES = {
    "length": 'Give every element the same width ([sequence] mode = "window"), or raise the limit knowingly.',
    "gc": 'Use negatives of the same GC ([negatives] kinds = ["dinucleotide_shuffle"]), or raise the limit.',
    "n_share": "Lower [sequence] max_n_share, or raise the limit knowingly.",
}
