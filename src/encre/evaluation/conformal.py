"""Prediction sets and intervals that hold the truth as often as they say (split conformal; Vovk et al. 2005).

A binary or multi-label task gets a set of answers: 1 is in it unless fewer than ``1 - level`` of valid's positives
score so low, 0 is in it unless fewer than ``1 - level`` of its negatives score so high. Each class is so covered by
itself (Mondrian, label-conditional), whatever the share of positives is. A set may hold both answers (the model
cannot tell) or none (a score that is unusual for either class). A regression gets the prediction and as much on
either side as valid's residuals say.

The promise is for rows that could as well be rows of valid. Other chromosomes come near to that; another kind of
background, another cell or another species do not, and no set notices.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from encre.errors import ConfigError, FormatError, nearest
from encre.evaluation.bootstrap import Estimate, describe, undefined
from encre.evaluation.metrics import ratio

LEVEL = 0.9
"""What `encre evaluate` measures the coverage of."""
LEVELS = tuple(round(percent / 100, 2) for percent in range(50, 100))
"""Levels that a run keeps cutoffs for."""


@dataclass(frozen=True)
class Conformal:
    """Cutoffs by task name, one a level of :data:`LEVELS`; None where valid has too few rows to exclude anything.

    Parameters
    ----------
    positive
        1 is in the set from this logit on.
    negative
        0 is in the set up to this logit.
    residual
        Half the width of a regression's interval.
    n
        Rows of valid that they come from: positives and negatives, or all.
    """

    positive: dict[str, list[float | None]] = field(default_factory=dict)
    negative: dict[str, list[float | None]] = field(default_factory=dict)
    residual: dict[str, list[float | None]] = field(default_factory=dict)
    n: dict[str, list[int]] = field(default_factory=dict)

    def sets(self, logits: np.ndarray, name: str, *, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
        """Whether 0 and whether 1 is in the set of each logit (N,): two bool (N,).

        Raises
        ------
        ConfigError
            When there are no cutoffs for the task or the level.
        """
        upper, lower = self._cutoff(self.negative, name, level), self._cutoff(self.positive, name, level)
        return logits <= (np.inf if upper is None else upper), logits >= (-np.inf if lower is None else lower)

    def interval(self, predictions: np.ndarray, name: str, *, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
        """Both ends (N,) of a regression's intervals."""
        half = self._cutoff(self.residual, name, level)
        half = np.inf if half is None else half
        return predictions - half, predictions + half

    def _cutoff(self, table: dict[str, list[float | None]], name: str, level: float) -> float | None:
        check_level(level)
        if name not in table:
            raise ConfigError(f"no conformal cutoffs for task '{name}'", remedy=nearest(name, table))
        return table[name][LEVELS.index(round(level, 2))]

    def fit(self, name: str, kind: str, *, targets: np.ndarray, logits: np.ndarray) -> None:
        """Take the cutoffs of one task from valid's measured targets (N,) and logits (N,)."""
        if kind == "regression":
            self.residual[name] = _cutoffs(np.abs(targets - logits))
            self.n[name] = [len(targets)]
            return
        positives, negatives = logits[targets > 0.5], logits[targets <= 0.5]
        self.positive[name] = [None if cut is None else -cut for cut in _cutoffs(-positives)]
        self.negative[name] = _cutoffs(negatives)
        self.n[name] = [len(positives), len(negatives)]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as they stand in ``calibration.json``."""
        return {
            "levels": list(LEVELS),
            **{key: getattr(self, key) for key in ("positive", "negative", "residual", "n")},
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any], *, where: object) -> Conformal:
        """Read back what :meth:`to_dict` wrote; a damaged one is a :class:`FormatError`."""
        parts = dict(values)
        try:
            sound = tuple(parts.pop("levels")) == LEVELS
            found = cls(**parts)
            tables = (found.positive, found.negative, found.residual)
            sound = sound and all(len(cuts) == len(LEVELS) for table in tables for cuts in table.values())
        except (TypeError, KeyError, AttributeError) as error:
            raise FormatError(
                f"no conformal cutoffs ({error})", where=where, remedy="Run `encre evaluate`."
            ) from error
        if not sound:
            raise FormatError(
                "the conformal cutoffs are of other levels", where=where, remedy="Run `encre evaluate`."
            )
        return found


def check_level(level: float) -> None:
    """Refuse a level that no cutoffs are kept for."""
    if not any(abs(level - known) < 1e-9 for known in LEVELS):
        raise ConfigError(
            "a conformal level is a share that the sets are to cover",
            expected=f"{LEVELS[0]:g} to {LEVELS[-1]:g}, in hundredths",
            got=f"{level:g}",
        )


def _cutoffs(scores: np.ndarray) -> list[float | None]:
    """For each level the score that so many are at most, one unseen score included."""
    ordered, n = np.sort(np.asarray(scores, np.float64)), len(scores)
    ranks = [int(np.ceil(round(level * (n + 1), 9))) for level in LEVELS]
    return [float(ordered[rank - 1]) if rank <= n else None for rank in ranks]


def said_set(zero: np.ndarray, one: np.ndarray) -> np.ndarray:
    """Sets in words (N,): ``"0"``, ``"1"``, ``"01"`` or nothing."""
    return np.array(["", "0", "1", "01"], object)[zero.astype(int) + 2 * one.astype(int)]


def measure(
    conformal: Conformal,
    name: str,
    kind: str,
    *,
    targets: np.ndarray,
    logits: np.ndarray,
    codes: np.ndarray,
    weights: np.ndarray,
) -> dict[str, Any]:
    """How often the sets or intervals of one task hold the truth, and how much they say.

    Parameters
    ----------
    conformal, name, kind
        Cutoffs from valid, and the task.
    targets, logits
        (N,) measured rows of the judged split.
    codes, weights
        (N,) block of each row and (R, M) weight of each block, as in :mod:`encre.evaluation.bootstrap`.

    Returns
    -------
    dict
        ``level`` and ``coverage``; ``positives`` and ``negatives`` (coverage of each class), ``empty`` and ``both``
        (shares of sets); of a regression ``width``. Coverage is ``{"value", "low", "high"}``.
    """
    blocks = {"codes": codes, "weights": weights}
    if kind == "regression":
        low, high = conformal.interval(logits, name)
        width = float(high[0] - low[0]) if len(logits) else None
        known = width if width is not None and np.isfinite(width) else None
        return {"level": LEVEL, "coverage": _share((targets >= low) & (targets <= high), **blocks), "width": known}
    zero, one = conformal.sets(logits, name)
    true = targets > 0.5
    covered = np.where(true, one, zero)
    parts = {"positives": true, "negatives": ~true}
    return {
        "level": LEVEL,
        "coverage": _share(covered, **blocks),
        **{key: _share(covered[rows], codes=codes[rows], weights=weights) for key, rows in parts.items()},
        "empty": _mean(~zero & ~one),
        "both": _mean(zero & one),
    }


def _mean(flags: np.ndarray) -> float | None:
    return round(float(flags.mean()), 6) if len(flags) else None


def _share(flags: np.ndarray, *, codes: np.ndarray, weights: np.ndarray) -> dict[str, Any]:
    """A share of rows with the interval of its block bootstrap."""
    if not len(flags):
        return describe(undefined("no row is measured", len(weights)))
    blocks = weights.shape[1]
    counted = [np.bincount(codes, weights=values, minlength=blocks) for values in (flags.astype(float), None)]
    drawn = ratio(*(weights @ values for values in counted))
    return describe(Estimate(float(flags.mean()), drawn))
