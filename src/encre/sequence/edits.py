"""Edits of many sequences at once: the dinucleotide-preserving shuffle.

The shuffle is the control that DART-Eval (Patel et al., 2024) uses: it keeps composition, length and
every dinucleotide count, so that only the order of motifs tells a real element from its shuffle.
"""

from __future__ import annotations

import functools
import itertools

import numpy as np

from encre.sequence.flat import join, offsets_of, padded

#: Sequences walked together, and the cells (rows x longest) that they may fill.
_ROWS, _CELLS = 4096, 1 << 21
#: Layout of a sorting key: source letter (3 bits), tree edge (1 bit), random (25 bits), target letter (3 bits).
_SOURCE, _LAST, _RANDOM = np.uint32(29), np.uint32(1 << 28), np.uint32((1 << 28) - 8)
_NO_EDGE = np.uint32(7 << 29)


def dinucleotide_shuffle(codes: np.ndarray, offsets: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shuffle every sequence, keeping its count of each dinucleotide and its first and last base.

    Each sequence becomes a uniformly drawn Euler walk through its own dinucleotides (Altschul and
    Erikson, Mol. Biol. Evol. 2:526, 1985). N counts as a fifth letter.

    Parameters
    ----------
    codes, offsets
        Flat codes and their offsets ``(N + 1,)``.
    rng
        A named random stream; the same stream and sequences give the same shuffles.

    Returns
    -------
    numpy.ndarray
        Flat codes with the same offsets.
    """
    codes = np.ascontiguousarray(codes)
    lengths = np.diff(offsets)
    # Sequences of like length are walked together, a step of all of them at a time.
    order = np.argsort(lengths, kind="stable")
    pieces = []
    first = 0
    while first < len(order):
        count = min(_ROWS, len(order) - first)
        while count > 1 and count * lengths[order[first + count - 1]] > _CELLS:
            count //= 2
        rows = order[first : first + count]
        pieces.append(_shuffle_rows(codes, offsets[rows], lengths[rows], rng))
        first += count
    if not pieces:
        return codes.copy()
    shuffled, edges = np.concatenate(pieces), offsets_of(lengths[order])
    back = np.argsort(order, kind="stable")
    return join(shuffled, edges[back], edges[back + 1])


def _shuffle_rows(codes: np.ndarray, starts: np.ndarray, lengths: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shuffles of some sequences, one after the other, flat."""
    width = int(lengths.max())
    if width < 4:  # three bases between fixed ends leave nothing to exchange
        return join(codes, starts, starts + lengths)
    rows = padded(codes, starts, lengths, width=width)
    real = np.arange(width) < lengths[:, None]
    edges, first_edge = _edge_lists(rows, real, rng)
    walked = _walk(edges, first_edge, rows[:, 0])
    return walked[real]


def _edge_lists(rows: np.ndarray, real: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Every letter's outgoing edges in the order in which the walk takes them.

    Returns
    -------
    tuple
        Target letters ``(B, L - 1)`` grouped by source letter, and where each letter's group begins
        ``(B, 5)``.
    """
    source, target = rows[:, :-1], rows[:, 1:]
    exists = real[:, 1:]
    pair = np.where(exists, source * np.uint8(5) + target, np.uint8(25))
    counts = (
        np.bincount((np.arange(len(rows))[:, None] * 26 + pair).ravel(), minlength=26 * len(rows))
        .reshape(-1, 26)[:, :25]
        .reshape(-1, 5, 5)
    )
    last = rows[np.arange(len(rows)), np.maximum(real.sum(axis=1) - 1, 0)]
    parents = _draw_trees(counts, last, rng)

    key = rng.integers(0, 1 << 32, size=source.shape, dtype=np.uint32) & _RANDOM
    for letter in range(5):
        # The tree edge of a letter is the one that it leaves by last: any one of its equals will do.
        wanted = np.uint8(5 * letter) + parents[:, letter]
        match = pair == wanted[:, None]
        column = match.argmax(axis=1)
        found = np.flatnonzero(match[np.arange(len(rows)), column] & (last != letter))
        key[found, column[found]] = _LAST
    key |= (source.astype(np.uint32) << _SOURCE) | target
    key[~exists] = _NO_EDGE
    key.sort(axis=1)
    begin = np.zeros((len(rows), 5), dtype=np.int64)
    np.cumsum(counts.sum(axis=2)[:, :-1], axis=1, out=begin[:, 1:])
    return (key & np.uint32(7)).astype(np.uint8), begin


def _walk(edges: np.ndarray, begin: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Follow the edge lists from the first letters; ``(B, L)``, meaningless beyond a row's length."""
    count, steps = edges.shape
    flat = np.concatenate([edges.ravel(), np.zeros(2 * steps + 8, dtype=np.uint8)])
    pointer = (begin + np.arange(count)[:, None] * steps).ravel()
    base = np.arange(count) * 5
    out = np.empty((steps + 1, count), dtype=np.uint8)
    out[0] = first
    for step in range(steps):
        slot = base + out[step]
        edge = pointer[slot]
        pointer[slot] = edge + 1
        np.minimum(flat[edge], np.uint8(4), out=out[step + 1])
    return np.ascontiguousarray(out.T)


@functools.cache
def _trees(root: int) -> np.ndarray:
    """All 125 spanning trees of five letters that lead to ``root``: parent of each letter, ``(125, 5)``."""
    others = [letter for letter in range(5) if letter != root]
    found = []
    for choice in itertools.product(range(5), repeat=4):
        parent = dict(zip(others, choice, strict=True))
        parent[root] = root
        if all(_leads_to(letter, parent, root) for letter in others):
            found.append([parent[letter] for letter in range(5)])
    return np.array(found, dtype=np.uint8)


def _leads_to(letter: int, parent: dict[int, int], root: int) -> bool:
    for _ in range(4):
        letter = parent[letter]
    return letter == root


def _draw_trees(counts: np.ndarray, last: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw, for every sequence, a spanning tree that leads to its last letter; parents ``(B, 5)``.

    A tree's weight is the product of the counts of its edges: the number of ways to choose them. A
    letter that the sequence lacks hangs on the last one, in one way.
    """
    parents = np.empty((len(counts), 5), dtype=np.uint8)
    draws = rng.random(len(counts))
    letters = np.arange(5)
    for root in range(5):
        rows = np.flatnonzero(last == root)
        if not len(rows):
            continue
        weights = counts[rows].astype(np.float64)
        weights[:, :, root] += counts[rows].sum(axis=2) == 0
        weights[:, root, root] = 1.0
        trees = _trees(root)
        if not counts[rows, 4].any() and root != 4:  # without N only the trees with N on the root count
            trees = trees[(trees[:, 4] == root) & ~(trees[:, :4] == 4).any(axis=1)]
        ways = np.ones((len(rows), len(trees)))
        for letter in letters:
            ways *= weights[:, letter][:, trees[:, letter]]
        running = np.cumsum(ways, axis=1)
        chosen = (running <= draws[rows, None] * running[:, -1:]).sum(axis=1)
        parents[rows] = trees[np.minimum(chosen, len(trees) - 1)]
    return parents
