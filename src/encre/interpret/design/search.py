"""From every start to its designs: search, keep apart what was found, and check it independently."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from encre.interpret.design.check import broken_constraints
from encre.interpret.design.evolution import evolution
from encre.interpret.design.gradient import gradient
from encre.interpret.design.greedy import LEAST_GAIN, greedy
from encre.interpret.design.problem import Found, Problem, Step
from encre.interpret.design.starts import Starts
from encre.progress import Progress
from encre.reproducibility import stream
from encre.sequence.alphabet import decode, reverse_complement

#: Searches for a design that lies apart from those before it.
_ATTEMPTS = 5


class Design(NamedTuple):
    """One design: its codes (L,), the number of its start, and the way to it."""

    codes: np.ndarray
    start: int
    path: list[Step]


def search_all(problem: Problem, starts: Starts, *, progress: Progress) -> tuple[list[Design], int]:
    """Designs of every start, and how many that were wanted could not be kept apart from the others.

    Every search draws from a stream of its own, named by method, start, replicate and attempt.
    """
    designs: list[Design] = []
    with progress.track("design", len(starts.names) * starts.each, "designs") as advance:
        for start in range(len(starts.names)):
            for replicate in range(starts.each):
                found = _search_apart(problem, starts, start, replicate=replicate, before=designs)
                designs += [found] if found else []
                advance(1, f"score {found.path[-1].score:.3f}" if found else "too like another design")
    for design in designs:
        texts = decode(design.codes), decode(starts.codes[design.start])
        if broken := broken_constraints(*texts, problem.settings):
            raise AssertionError(f"a design of '{starts.names[design.start]}' breaks a constraint: {broken}")
    return designs, len(starts.names) * starts.each - len(designs)


def _search_apart(
    problem: Problem, starts: Starts, start: int, *, replicate: int, before: list[Design]
) -> Design | None:
    """The best that is found far enough from all designs before it and better than where it began, or None.

    What no search improves is a design as well, unless it was one before.
    """
    others, best, score = [design.codes for design in before], None, -np.inf
    begun = float(problem.score(starts.mended[start][None])[0])
    for attempt in range(_ATTEMPTS):
        found = _search(problem, starts, start, names=(replicate, attempt))
        least, scores = problem.settings.distance(found.codes.shape[1]), problem.score(found.codes)
        good = (scores > begun + LEAST_GAIN) | (np.arange(len(scores)) == 0)
        apart = [rank for rank in np.flatnonzero(good) if closest(found.codes[rank], others) >= least]
        if apart and scores[apart[0]] > score:
            best, score = Design(found.codes[apart[0]], start, found.path), scores[apart[0]]
        if apart and apart[0] == 0:
            break
    return best


def _search(problem: Problem, starts: Starts, start: int, *, names: tuple[int, int]) -> Found:
    method = problem.settings.method
    rng = stream(problem.settings.seed, "design", method, start, *names)
    codes, mended = starts.codes[start], starts.mended[start]
    if method == "greedy":
        return greedy(problem, codes, mended, rng if any(names) else None)
    run: Callable[..., Found] = evolution if method == "evolution" else gradient
    return run(problem, codes, mended, rng)


def closest(codes: np.ndarray, others: list[np.ndarray]) -> int:
    """Fewest substitutions between a sequence (L,) and any other of its length, on either strand; L when none is."""
    alike = [other for other in others if len(other) == len(codes)]
    if not alike:
        return len(codes)
    every = np.array(alike)
    both = np.stack([codes, reverse_complement(codes)])
    return int((every[:, None] != both[None]).sum(axis=2).min())
