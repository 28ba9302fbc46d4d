"""What a design is for: ``"heart up, brain down"`` -> one number per sequence, higher is better."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from encre.errors import ConfigError, nearest
from encre.tasks import TaskSet

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_WEIGHT = rf"(?:\s*[*x]?\s*(?P<weight>{_NUMBER}))?"
_DIRECTION = re.compile(rf"(?P<task>\S.*?)\s+(?P<goal>up|down){_WEIGHT}", re.IGNORECASE)
_VALUE = re.compile(rf"(?P<task>\S.*?)\s*=\s*(?P<value>{_NUMBER})(?:\s*[*x]\s*(?P<weight>{_NUMBER}))?")
_EXPECTED = "task up, task down or task = LOGIT, with a weight if wanted, as 'heart up 2, brain down, lung = 1.5'"


class Term(NamedTuple):
    """What one task should do."""

    task: str
    goal: Literal["up", "down", "value"]
    weight: float = 1.0
    value: float = 0.0

    def of(self, logit: Any) -> Any:
        """The term's part of the score, for logits (N,) of its task; arrays and tensors alike."""
        if self.goal == "value":
            return -self.weight * abs(logit - self.value)
        return self.weight * logit if self.goal == "up" else -self.weight * logit

    def __str__(self) -> str:
        of = f"logit({self.task})"
        if self.goal == "value":
            of = f"|{of} {'-' if self.value >= 0 else '+'} {abs(self.value):g}|"
        size = "" if self.weight == 1 else f"{self.weight:g} x "
        return f"{'+' if self.goal == 'up' else '-'} {size}{of}"


@dataclass(frozen=True)
class Objective:
    """A weighted sum over tasks: the logit for ``up``, minus it for ``down``, minus the distance for ``= LOGIT``."""

    terms: tuple[Term, ...]

    @classmethod
    def parse(cls, text: str, tasks: TaskSet) -> Objective:
        """Read a target such as ``"heart up 2, brain down, lung = 1.5"``.

        Raises
        ------
        ConfigError
            When it does not read as one, names a task that the model lacks, or asks two things of one task.
        """
        terms = [_read(part.strip()) for part in text.split(",") if part.strip()]
        if not terms:
            raise ConfigError("the target is empty", expected=_EXPECTED)
        for number, term in enumerate(terms):
            tasks.index(term.task)
            if term.task in [other.task for other in terms[:number]]:
                raise ConfigError(
                    f"the target asks two things of '{term.task}'", got=f"'{text}'", remedy="Name each task once."
                )
        return cls(tuple(terms))

    def score(self, logits: Any, tasks: TaskSet) -> Any:
        """Score (N,) of logits (N, K) in the order of ``tasks``; arrays and tensors alike."""
        return sum(term.of(logits[:, tasks.index(term.task)]) for term in self.terms)

    def lacking(self, tasks: TaskSet) -> list[str]:
        """Tasks of the target that another model does not predict."""
        return [term.task for term in self.terms if term.task not in tasks.names]

    def __str__(self) -> str:
        return " ".join(str(term) for term in self.terms).removeprefix("+ ")


def _read(part: str) -> Term:
    if found := _VALUE.fullmatch(part):
        term = Term(found["task"], "value", float(found["weight"] or 1), float(found["value"]))
    elif found := _DIRECTION.fullmatch(part):
        goal: Literal["up", "down"] = "up" if found["goal"].lower() == "up" else "down"
        term = Term(found["task"], goal, float(found["weight"] or 1))
    else:
        raise ConfigError(
            "this part of the target does not read", expected=_EXPECTED, got=f"'{part}'",
            remedy=nearest(part.rsplit(maxsplit=1)[-1], ("up", "down")) if len(part.split()) == 2 else "",
        )  # fmt: skip
    if not 0 < term.weight < float("inf"):
        raise ConfigError("a weight of the target must be above 0", got=f"'{part}'", remedy="Use down for less.")
    return term
