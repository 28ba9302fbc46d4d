"""Background: windows of the genome that are no elements, but like them in length, GC, repeats and TSS distance.

The free part of the genome is indexed in tiles by what lies there. Then come rounds: each element that has no window
yet gets proposals from tiles like it, at random; the proposals' own covariates are taken, and proposals and elements
are paired within cells of chromosome, length class and covariates. What was proposed for one element may go to
another. What is left is tried again with more proposals each, at last in wider cells.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from encre.data.covariates import COVARIATES, log_distance
from encre.data.matching import match
from encre.genome.store import TILE, Genome
from encre.genome.stretches import Axis, Stretches, merged
from encre.genome.tss import nearest_tss_distance
from encre.progress import SILENT, Progress
from encre.reproducibility import stream
from encre.sequence.flat import offsets_of

#: Proposals of a round in all (more where there are more elements), and the fewest and most of one element.
_PROPOSALS, _FEWEST, _MOST = 1 << 20, 2, 256
#: Width of a cell in each covariate: shares, and powers of ten.
CELLS = {"gc": 0.02, "repeat_share": 0.1, "tss_distance": 0.2}
_SAID = {"gc": "GC share", "repeat_share": "repeat share", "tss_distance": "distance to a start site"}
#: For each round, what the widths are multiplied with, one after the other.
_ROUNDS = ((1.0,),) * 8 + ((1.0, 2.0, 4.0),) * 4
#: Classes of tiles in each covariate: their width, and how many there are (together they fit 16 bits).
_CLASSES = {"gc": (0.02, 50), "repeat_share": (0.1, 10), "tss_distance": (0.4, 24)}
#: The longest element of a length class is at most so many times as long as the shortest.
_LENGTH_CLASS = 1.1


@dataclass(frozen=True)
class Space:
    """Where background may lie.

    Parameters
    ----------
    genome
        What the windows are taken from.
    allowed
        The stretches that a window, flanks included, must lie within, on the genome's axis.
    tss
        Keys of the start sites (see :mod:`encre.genome.tss`); None to leave their distance out.
    flank
        Bases on each side of a window that must be free as well (jitter).
    """

    genome: Genome
    allowed: Stretches
    tss: np.ndarray | None = None
    flank: int = 0


class Wanted(NamedTuple):
    """What background is to look like, an element a row: arrays (N,)."""

    chrom: np.ndarray
    """Chromosome numbers on the genome's axis."""
    length: np.ndarray
    """Bases, int64."""
    gc: np.ndarray
    repeat_share: np.ndarray
    tss_distance: np.ndarray
    """Bases; not looked at without start sites."""


class Found(NamedTuple):
    """Background that was found."""

    row: np.ndarray
    """The wanted row that each window stands for (M,), ascending."""
    start: np.ndarray
    """0-based position on that row's chromosome (M,); the length is that of the row."""
    reasons: dict[str, int]
    """Why the other rows have none -> how many."""
    candidates: dict[str, np.ndarray]
    """Covariates of one free place anywhere for each row: what unmatched background would be."""


def find_background(wanted: Wanted, space: Space, *, seed: int, progress: Progress = SILENT) -> Found:
    """Find a window for each wanted row: of its length and chromosome, alike in the covariates, overlapping no other.

    Parameters
    ----------
    wanted
        What the windows are to look like.
    space
        Where they may lie.
    seed
        Of the stream ``negatives``.
    progress
        Follows the rows that have a window.
    """
    every = np.arange(len(wanted.chrom))
    if not len(every):
        return Found(every, every, {}, dict.fromkeys(COVARIATES, np.empty(0)))
    search = _Search(wanted, space)
    anywhere = search.uniform(every, stream(seed, "negatives", "background", "anywhere"))
    room = every[anywhere >= 0]
    candidates = search.values(room, anywhere[room])
    pool = np.empty((0, candidates.shape[1]))
    with progress.track("background", len(room), "windows") as advance:
        for number, widen in enumerate(_ROUNDS):
            left = room[search.begin[room] < 0]
            if not len(left):
                break
            pool = search.round(left, widen, stream(seed, "negatives", "background", number))
            advance(int((search.begin[left] >= 0).sum()), "")
    left = room[search.begin[room] < 0]
    full = search.uniform(left, stream(seed, "negatives", "background", "left")) < 0
    reasons = {
        "no free place of its length on its chromosome": len(every) - len(room),
        "every free place of its length is taken by other background": int(full.sum()),
    }
    if not full.all():
        reasons |= _why(search.wanted[left[~full]], np.concatenate([candidates, pool]), search.names)
    row = np.flatnonzero(search.begin >= 0)
    start = search.begin[row] - search.axis.edges[wanted.chrom[row]]
    named = dict(zip(search.names, candidates[:, 2:].T, strict=True))
    return Found(row, start, {k: v for k, v in reasons.items() if v}, {"length": wanted.length[room], **named})


class _Search:
    """The state of one search: which places are still free, and what has been found."""

    def __init__(self, wanted: Wanted, space: Space) -> None:
        self.space, self.axis, self.allowed = space, Axis(space.genome), space.allowed
        self.chrom, self.length = wanted.chrom, wanted.length
        self.longest = _longest_of_class(wanted.length)
        self.names = list(CELLS) if space.tss is not None else list(CELLS)[:2]
        self.widths = np.array([0, 0, *(CELLS[name] for name in self.names)])
        columns = [wanted.chrom, self.longest, wanted.gc, wanted.repeat_share, log_distance(wanted.tss_distance)]
        self.wanted = np.column_stack(columns[: len(self.widths)]).astype(np.float64)
        self.begin = np.full(len(wanted.chrom), -1, dtype=np.int64)
        """Where the window of each wanted row begins on the axis, -1 as long as it has none."""
        self.tiles = _Tiles(space, np.unique(wanted.chrom), self.longest)

    def round(self, left: np.ndarray, widen: tuple[float, ...], rng: np.random.Generator) -> np.ndarray:
        """Propose, match and keep windows for the rows that are left; returns the proposals' covariates."""
        each = int(np.clip(max(_PROPOSALS, _FEWEST * len(self.chrom)) // len(left), _FEWEST, _MOST))
        rows = np.repeat(left, each)
        begin = self.alike(rows, max(widen), rng)
        kept = np.argsort(begin, kind="stable")[int((begin < 0).sum()) :]  # in the genome's order: memory is near
        rows, begin = rows[kept], begin[kept]
        values = self.values(rows, begin)
        if len(rows):
            chosen = match(self.wanted[left], values, widths=self.widths, rng=rng, widen=widen)
            hit = chosen >= 0
            self._keep(left[hit], begin[chosen[hit]])
        return values

    def uniform(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A free place for each row anywhere on its chromosome, every one equally likely: begin (N,), -1 for none."""
        begin = np.full(len(rows), -1, dtype=np.int64)
        need, draw = self.longest[rows] + 2 * self.space.flank, rng.random(len(rows))
        cut = np.searchsorted(self.allowed.begin, self.axis.edges)
        for width in np.unique(need).tolist():
            mine = np.flatnonzero(need == width)
            places = offsets_of(np.maximum(self.allowed.end - self.allowed.begin - width + 1, 0))
            home = self.chrom[rows[mine]]
            low, high = places[cut[home]], places[cut[home + 1]]
            mine, low, high = mine[high > low], low[high > low], high[high > low]
            place = low + np.minimum((draw[mine] * (high - low)).astype(np.int64), high - low - 1)
            at = np.searchsorted(places, place, side="right") - 1
            begin[mine] = self.allowed.begin[at] + place - places[at] + self.space.flank
        return begin

    def alike(self, rows: np.ndarray, spread: float, rng: np.random.Generator) -> np.ndarray:
        """A free place for each row in a tile like it: begin (N,), -1 for none.

        ``spread`` cells around the row's own covariates are looked at.
        """
        cells = np.array([CELLS[name] for name in self.names]) * spread
        near = self.wanted[rows, 2:] + (rng.random((len(rows), len(cells))) - 0.5) * cells
        tile = self.tiles.draw(self.chrom[rows], near, rng.random(len(rows)))
        width, flank = self.longest[rows], self.space.flank
        begin = tile * TILE + rng.integers(0, TILE, len(rows)) - width // 2
        free = (tile >= 0) & self.allowed.hold(begin - flank, begin + width + flank)
        return np.where(free, begin, -1)

    def values(self, rows: np.ndarray, begin: np.ndarray) -> np.ndarray:
        """What is matched of the windows that begin there (N, C): chromosome, class, and the covariates in order."""
        chrom, width = self.chrom[rows], self.longest[rows]
        start = begin - self.axis.edges[chrom]
        counts = self.space.genome.composition(self.axis.chroms(chrom), start, start + width)
        columns = [chrom, width, counts.gc / width, counts.soft_masked / width]
        if self.space.tss is not None:
            columns.append(log_distance(nearest_tss_distance(chrom, start + width // 2, self.space.tss)))
        return np.column_stack(columns)

    def _keep(self, rows: np.ndarray, begin: np.ndarray) -> None:
        """Cut the windows to their rows' own lengths and keep those that do not overlap one before them."""
        begin = begin + (self.longest[rows] - self.length[rows]) // 2
        order = np.argsort(begin, kind="stable")
        rows, begin = rows[order], begin[order]
        low, high = begin - self.space.flank, begin + self.length[rows] + self.space.flank
        alone = np.append(True, low[1:] >= np.maximum.accumulate(high)[:-1])[: len(low)]
        self.begin[rows[alone]] = begin[alone]
        self.allowed = self.allowed.without(merged(low[alone], high[alone]))


class _Tiles:
    """Free tiles of the genome, sorted by chromosome and by what lies around them.

    Parameters
    ----------
    space
        The free places.
    chroms
        The chromosomes that are wanted, by their numbers.
    lengths
        Of the windows (N,): tiles are averaged over the median, and there is room about for the shortest.
    """

    def __init__(self, space: Space, chroms: np.ndarray, lengths: np.ndarray) -> None:
        self.sizes = [size for _, size in _CLASSES.values()]
        counts, edges = space.genome.tiles(), Axis(space.genome).edges
        across = max(1, round(float(np.median(lengths)) / TILE))
        room = max(0, int(lengths.min()) - TILE) // 2  # the window need not have the tile in its middle
        self.rank = np.full(len(edges), -1, dtype=np.int64)
        self.rank[chroms] = np.arange(len(chroms))
        orders, begins = [], [np.zeros(1, dtype=np.int64)]
        for chrom in chroms.tolist():
            first, last = -int(-edges[chrom] // TILE), int(edges[chrom + 1] // TILE)
            centre = np.arange(first, last) * TILE + TILE // 2
            free = np.flatnonzero(space.allowed.hold(centre - room, centre + room))
            values = [_around(count[first:last], free, across) for count in (counts.gc, counts.soft_masked)]
            if space.tss is not None:
                home, middle = np.full(len(free), chrom), centre[free] - edges[chrom]
                values.append(log_distance(nearest_tss_distance(home, middle, space.tss)))
            keys = self._class(np.column_stack(values))
            order = free[np.argsort(keys, kind="stable")] + first
            orders.append(order.astype(np.int32 if edges[-1] < TILE << 31 else np.int64))
            begins.append(begins[-1][-1] + np.cumsum(np.bincount(keys, minlength=int(np.prod(self.sizes)))))
        self.order = np.concatenate(orders)
        self.begins = np.concatenate(begins)

    def _class(self, values: np.ndarray) -> np.ndarray:
        """The class of covariates (N, C), (N,) uint16."""
        keys = np.zeros(len(values), dtype=np.int64)
        for column, (width, size) in zip(values.T, _CLASSES.values(), strict=False):
            keys = keys * size + np.clip(column / width, 0, size - 1).astype(np.int64)
        return keys.astype(np.uint16)

    def draw(self, chrom: np.ndarray, values: np.ndarray, draws: np.ndarray) -> np.ndarray:
        """A tile of each chromosome and class (N,), the one that a number from 0 to 1 falls on; -1 where none is."""
        cell = self.rank[chrom] * int(np.prod(self.sizes)) + self._class(values)
        low, high = self.begins[cell], self.begins[cell + 1]
        place = low + np.minimum((draws * (high - low)).astype(np.int64), high - low - 1)
        found = np.full(len(cell), -1, dtype=np.int64)  # wide enough for a position, which the stored tiles are not
        found[high > low] = self.order[place[high > low]]
        return found


def _around(counts: np.ndarray, tiles: np.ndarray, across: int) -> np.ndarray:
    """Share of bases counted (all tiles,) uint8 in the ``across`` tiles around some (N,); beyond the ends is none."""
    running = offsets_of(counts)
    first = tiles - across // 2
    last = np.minimum(first + across, len(counts))
    return (running[last] - running[np.maximum(first, 0)]) / (across * TILE)


def _longest_of_class(length: np.ndarray) -> np.ndarray:
    """The longest length in each row's length class (N,): windows are proposed so long, and cut."""
    classes = np.floor(np.log(length) / np.log(_LENGTH_CLASS)).astype(np.int64)
    longest = np.zeros(int(classes.max(initial=0)) + 1, dtype=np.int64)
    np.maximum.at(longest, classes, length)
    return longest[classes]


def _why(wanted: np.ndarray, free: np.ndarray, names: list[str]) -> dict[str, int]:
    """Why rows (N, C) found nothing, by the places (M, C) that were looked at on their chromosomes.

    The first covariate in which nothing free came near, or else that no place had all of them together.
    """
    reason = np.full(len(wanted), "no free window with all of these together", dtype=object)
    open_ = np.ones(len(wanted), dtype=bool)
    for column, name in enumerate(names, start=2):
        # Covariates lie between 0 and 9: sixteen keeps one chromosome from the next.
        have, sought = np.sort(free[:, 0] * 16 + free[:, column]), wanted[:, 0] * 16 + wanted[:, column]
        at = np.searchsorted(have, sought)
        near = [np.abs(sought - have[np.clip(i, 0, len(have) - 1)]) for i in (at - 1, at)]
        far = open_ & (np.minimum(*near) > CELLS[name] * max(_ROUNDS[-1]))
        reason[far] = f"no free window of such {_SAID[name]}"
        open_ &= ~far
    return dict(Counter(reason.tolist()))
