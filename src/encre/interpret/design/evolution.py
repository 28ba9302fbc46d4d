"""Evolutionary search: tournament, crossover, mutation, and an elite that is never lost."""

from __future__ import annotations

import numpy as np

from encre.interpret.design.problem import Found, Problem, Step

#: Of a generation: the share kept as it is, the share made from two parents, and who competes to be a parent.
_ELITE, _CROSSED, _TOURNAMENT = 0.05, 0.5, 3

#: Of a child: the mean number of mutations beyond the first, and the chance that an edit is undone instead.
_MORE_MUTATIONS, _UNDONE = 1.0, 0.3


def evolution(problem: Problem, start: np.ndarray, mended: np.ndarray, rng: np.random.Generator) -> Found:
    """Evolve a population from one start.

    Parameters
    ----------
    start
        What edits are counted from (L,).
    mended
        The start with every constraint satisfied (L,).
    rng
        Decides everything random.

    Returns
    -------
    Found
        The last generation, each sequence once.
    """
    size = problem.settings.population
    elite = max(1, round(_ELITE * size))
    population = _distinct([mended], children_of(problem, start, np.repeat(mended[None], size - 1, axis=0), rng))
    scores = problem.score(population)
    path: list[Step] = []
    for generation in range(problem.settings.budget + 1):
        order = np.lexsort(((population != start).sum(axis=1), -np.round(scores, 6)))  # edits without gain cost room
        population, scores = population[order], scores[order]
        path.append(Step(generation, float(scores[0]), int((population[0] != start).sum())))
        if generation == problem.settings.budget:
            break
        parents = _crossed(population, size - elite, rng)
        children = children_of(problem, start, parents, rng)
        kept = population[:elite]
        fresh = _distinct(kept, children)[len(kept) :]
        population = np.concatenate([kept, fresh])
        scores = np.concatenate([scores[:elite], problem.score(fresh) if len(fresh) else np.empty(0)])
    return Found(population, path)


def _crossed(population: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Children (count, L) of a population, the best first, before mutation.

    Each is a parent, or the ends of two parents joined at a random place.
    """
    length = population.shape[1]

    def parents() -> np.ndarray:
        return population[rng.integers(len(population), size=(count, _TOURNAMENT)).min(axis=1)]

    first, second = parents(), parents()
    cut = np.where(rng.random(count) < _CROSSED, rng.integers(1, max(2, length), size=count), length)
    return np.where(np.arange(length) < cut[:, None], first, second)


def children_of(problem: Problem, start: np.ndarray, parents: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Parents (N, L) with mutations, made to satisfy every constraint; who cannot be is left out."""
    constraints, most = problem.constraints, problem.settings.max_edits
    children = parents.copy()
    free = np.flatnonzero(~constraints.fixed(len(start)))
    for child, count in zip(children, 1 + rng.poisson(_MORE_MUTATIONS, len(children)), strict=True):
        edited = np.flatnonzero(child != start)
        if len(edited) and rng.random() < _UNDONE:
            places = rng.choice(edited, size=1)
            child[places] = start[places]
        else:
            places = rng.choice(free, size=min(int(count), len(free)), replace=False)
            child[places] = (child[places] + rng.integers(1, 4, size=len(places))) % 4
        if most is not None:  # two parents within the limit can have a child beyond it
            edited = np.flatnonzero(child != start)
            beyond = rng.permutation(edited)[: max(0, len(edited) - most)]
            child[beyond] = start[beyond]
    whole = [
        children[row] if good else constraints.mend(children[row], start, rng)
        for row, good in enumerate(constraints.hold(children, start))
    ]
    kept = [codes for codes in whole if codes is not None]
    return np.array(kept, dtype=np.uint8).reshape(-1, len(start))


def _distinct(kept: np.ndarray | list[np.ndarray], more: np.ndarray) -> np.ndarray:
    """The sequences, each once, in their order; what is kept first."""
    every = {codes.tobytes(): codes for codes in [*kept, *more]}
    return np.array(list(every.values()), dtype=np.uint8)
