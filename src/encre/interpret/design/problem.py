"""What every search is given, and what it hands back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from encre.interpret.design.constraints import Constraints
from encre.interpret.design.settings import DesignSettings
from encre.interpret.design.target import Objective

if TYPE_CHECKING:
    from encre.models.model import EnhancerModel


class Step(NamedTuple):
    """The best sequence after some steps: its score, and its edits from the start."""

    step: int
    score: float
    edits: int


class Found(NamedTuple):
    """What a search found.

    Parameters
    ----------
    codes
        (P, L) sequences that satisfy every constraint, the best first.
    path
        The best sequence after each step.
    """

    codes: np.ndarray
    path: list[Step]


@dataclass(frozen=True)
class Problem:
    """A model, what is wanted of it, and what every design must satisfy. Scores are higher for better."""

    model: EnhancerModel
    objective: Objective
    constraints: Constraints

    @property
    def settings(self) -> DesignSettings:
        """How to search."""
        return self.constraints.settings

    def score(self, codes: np.ndarray) -> np.ndarray:
        """Scores (N,) of sequences (N, L), both strands averaged."""
        from encre.models.inference import predict_logits

        count, length = codes.shape
        offsets = np.arange(count + 1, dtype=np.int64) * length
        logits = predict_logits(self.model, np.ascontiguousarray(codes).reshape(-1), offsets, both_strands=True)
        return self.objective.score(logits.astype(np.float64), self.model.tasks)

    def score_edits(self, codes: np.ndarray, place: np.ndarray, base: np.ndarray) -> tuple[float, np.ndarray]:
        """The score of one sequence (L,), and of each of M single substitutions in it (M,)."""
        from encre.models.substitution import Substitutions, substituted_logits

        changes = Substitutions(
            np.zeros(len(place), np.int64), place.astype(np.int64), base.astype(np.uint8).reshape(-1, 1)
        )
        before, after = substituted_logits(self.model, codes[None], changes, both_strands=True)
        scores = [self.objective.score(logits.astype(np.float64), self.model.tasks) for logits in (before, after)]
        return float(scores[0][0]), scores[1]
