"""Pairs of motifs at a range of distances: what both do beyond what each does alone, and whether distance matters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from encre.evaluation.false_discovery import benjamini_hochberg
from encre.interpret.motifs.insertion import Backgrounds, Insertion, mean_interval
from encre.reproducibility import stream
from encre.sequence.alphabet import reverse_complement

Orientation = Literal["same", "opposite"]
ORIENTATIONS: tuple[Orientation, ...] = ("same", "opposite")

#: Permutations of the distances, and the share of false discoveries at which distance is said to matter.
PERMUTATIONS = 999
SIGNIFICANT = 0.05
#: Logits agree to this much between two ways of computing them: smaller differences are none.
_NOISE = 1e-4


class NamedCodes(NamedTuple):
    """A motif to insert: its name and codes (w,)."""

    name: str
    codes: np.ndarray


@dataclass(frozen=True)
class Spacing:
    """One pair in one orientation, for one task.

    Parameters
    ----------
    left, right
        Names; ``right`` lies behind ``left``, turned where the orientation is ``"opposite"``.
    orientation
        ``"same"`` strand or ``"opposite"``.
    task
        Whose logit.
    gaps
        (D,) bases between the two.
    beyond
        (D,) mean over backgrounds of the pair's effect minus the sum of the two alone at the same places.
    low, high
        (D,) its 95 % interval.
    together
        (D,) mean effect of the pair.
    p_value
        Of no effect of distance: the distances permuted within each background.
    q_value
        The same over all pairs, orientations and tasks.
    """

    left: str
    right: str
    orientation: Orientation
    task: str
    gaps: np.ndarray
    beyond: np.ndarray
    low: np.ndarray
    high: np.ndarray
    together: np.ndarray
    p_value: float
    q_value: float

    @property
    def matters(self) -> bool:
        """Whether the effect depends on the distance, at a false discovery rate of 5 %."""
        return self.q_value <= SIGNIFICANT

    @property
    def statement(self) -> str:
        """Does distance matter? In one sentence."""
        who = f"{self.left} and {self.right} ({self.orientation} strand), {self.task}"
        if not self.matters:
            return f"{who}: no effect of distance (p = {self.p_value:.2g}, q = {self.q_value:.2g})."
        most, least = int(self.beyond.argmax()), int(self.beyond.argmin())
        return (
            f"{who}: distance matters (p = {self.p_value:.2g}, q = {self.q_value:.2g}): beyond the sum of the two "
            f"{self.beyond[most]:+.2f} at {self.gaps[most]} bp, {self.beyond[least]:+.2f} at {self.gaps[least]} bp."
        )


def pair_spacing(
    backgrounds: Backgrounds,
    motifs: Sequence[NamedCodes],
    *,
    gaps: Sequence[int],
    tasks: Sequence[str],
    seed: int = 0,
) -> list[Spacing]:
    """Insert every pair of motifs (each with itself, too) at every gap that fits, in both orientations.

    Parameters
    ----------
    backgrounds
        Where to.
    motifs
        The first of a pair stands at one place; the second lies behind it at each gap.
    gaps
        Bases between the two; those that do not fit are left out.
    tasks
        Names.
    seed
        Of the permutations.
    """
    pairs = [(a, b) for i, a in enumerate(motifs) for b in motifs[i:]]
    plan = _Plan(backgrounds.codes)
    arranged = [_arrange(plan, a, b, gaps=gaps, orientation=o) for a, b in pairs for o in ORIENTATIONS]
    if not plan.insertions:
        return []
    change = backgrounds.changes(plan.insertions)
    column = {task: backgrounds.predictor.tasks.index(task) for task in tasks}
    return _corrected(
        [
            _spacing(place, change[:, :, k], task, seed=seed)
            for place in arranged
            if len(place.gaps) > 1
            for task, k in column.items()
        ]
    )


def _spacing(place: _Arrangement, change: np.ndarray, task: str, *, seed: int) -> Spacing:
    """What one arrangement says of one task; ``change`` is (M, R), of all insertions of the plan."""
    both = change[place.both]
    beyond = both - change[place.left] - change[place.right]
    beyond = np.round(beyond / _NOISE) * _NOISE
    mean, low, high = mean_interval(beyond, axis=1)
    rng = stream(seed, "motifs", "spacing", *place.names, place.orientation, task)
    p = permutation_p(beyond, rng)
    together = both.mean(axis=1, dtype=np.float64)
    return Spacing(*place.names, place.orientation, task, np.array(place.gaps), mean, low, high, together, p, p)


def permutation_p(values: np.ndarray, rng: np.random.Generator, *, permutations: int = PERMUTATIONS) -> float:
    """p-value of no difference between distances (D, R): the variance of their means, distances permuted.

    Within each background its values change places, so that differences between backgrounds do not count.
    """
    observed = values.mean(axis=1).var()
    if observed <= _NOISE**2:
        return 1.0
    beyond = 0
    for _ in range(permutations):
        beyond += rng.permuted(values, axis=0).mean(axis=1).var() >= observed * (1 - 1e-9)
    return (beyond + 1) / (permutations + 1)


class _Arrangement(NamedTuple):
    """A pair in one orientation: rows of the plan for both and for each alone, a row a gap."""

    names: tuple[str, str]
    orientation: Orientation
    gaps: list[int]
    both: list[int]
    left: list[int]
    right: list[int]


class _Plan:
    """Insertions, each asked for once: what stands alone is shared by many pairs."""

    def __init__(self, backgrounds: np.ndarray) -> None:
        self.backgrounds = backgrounds
        self.insertions: list[Insertion] = []
        self._alone: dict[tuple[int, bytes], int] = {}

    def alone(self, start: int, codes: np.ndarray) -> int:
        key = (start, codes.tobytes())
        if key not in self._alone:
            self._alone[key] = self._add(start, np.tile(codes, (len(self.backgrounds), 1)))
        return self._alone[key]

    def both(self, start: int, left: np.ndarray, right: np.ndarray, *, gap: int) -> int:
        end = start + len(left) + gap + len(right)
        bases = self.backgrounds[:, start:end].copy()
        bases[:, : len(left)] = left
        bases[:, len(left) + gap :] = right
        return self._add(start, bases)

    def _add(self, start: int, bases: np.ndarray) -> int:
        self.insertions.append(Insertion(start, bases))
        return len(self.insertions) - 1


def _arrange(
    plan: _Plan, left: NamedCodes, right: NamedCodes, *, gaps: Sequence[int], orientation: Orientation
) -> _Arrangement:
    """Plan a pair so that its widest arrangement lies in the middle of the backgrounds."""
    length, alone = plan.backgrounds.shape[1], len(left.codes) + len(right.codes)
    second = right.codes if orientation == "same" else np.ascontiguousarray(reverse_complement(right.codes))
    fitting = [gap for gap in gaps if alone + gap <= length]
    found = _Arrangement((left.name, right.name), orientation, fitting, [], [], [])
    if not fitting:
        return found
    start = (length - alone - max(fitting)) // 2
    for gap in fitting:
        found.both.append(plan.both(start, left.codes, second, gap=gap))
        found.left.append(plan.alone(start, left.codes))
        found.right.append(plan.alone(start + len(left.codes) + gap, second))
    return found


def _corrected(found: list[Spacing]) -> list[Spacing]:
    q = benjamini_hochberg(np.array([spacing.p_value for spacing in found]))
    return [replace(spacing, q_value=float(value)) for spacing, value in zip(found, q, strict=True)]
