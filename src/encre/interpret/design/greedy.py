"""Greedy search: all single substitutions are scored, the best is made, until none is better."""

from __future__ import annotations

import numpy as np

from encre.interpret.design.problem import Found, Problem, Step

#: Smaller gains are rounding: scores are exact to 1e-5.
LEAST_GAIN = 2e-5


def best_edit(
    problem: Problem, codes: np.ndarray, start: np.ndarray, *, among: np.ndarray | None = None
) -> tuple[int, int, float] | None:
    """The best single substitution that satisfies every constraint: place, base, score.

    Parameters
    ----------
    codes
        The sequence (L,).
    start
        What edits are counted from (L,).
    among
        Only these places, (L,) bool.

    Returns
    -------
    tuple or None
        None when none is allowed, or none is better than the sequence as it is.
    """
    allowed = problem.constraints.allowed(codes, start)
    if among is not None:
        allowed &= among[:, None]
    place, base = np.nonzero(allowed)
    if not len(place):
        return None
    now, scores = problem.score_edits(codes, place, base)
    best = int(scores.argmax())
    if scores[best] - now < LEAST_GAIN:
        return None
    return int(place[best]), int(base[best]), float(scores[best])


def greedy(problem: Problem, start: np.ndarray, mended: np.ndarray, rng: np.random.Generator | None) -> Found:
    """Climb by single substitutions.

    Parameters
    ----------
    start
        What edits are counted from (L,).
    mended
        The start with every constraint satisfied (L,).
    rng
        With one, only a random half of the places may change, so that another way is taken; None for all.
    """
    codes = mended.copy()
    among = None if rng is None else rng.random(len(codes)) < 0.5
    path = [Step(0, float(problem.score(codes[None])[0]), int((codes != start).sum()))]
    seen = [codes.copy()]
    for step in range(1, problem.settings.budget + 1):
        found = best_edit(problem, codes, start, among=among)
        if found is None:
            break
        place, base, score = found
        codes[place] = base
        seen.append(codes.copy())
        path.append(Step(step, score, int((codes != start).sum())))
    return Found(np.array(seen[::-1]), path)
