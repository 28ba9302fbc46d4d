"""Is an effect unusual? Random changes of the same kind in the same sequences, and what share of them does as much.

That a change is unusual among random ones does not make it causal: the model may be wrong, and what it rates high is
still one of many changes of the sequence.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from encre.evaluation.false_discovery import benjamini_hochberg
from encre.genome.intervals import overlaps
from encre.genome.store import Genome
from encre.predict.variants.checks import KINDS, Changes, names_of
from encre.predict.variants.windows import distinct_windows
from encre.reproducibility import stream
from encre.sequence.flat import join, offsets_of
from encre.shapes import N_CODE

#: Groups of single-nucleotide changes, strand-collapsed to a pyrimidine.
SUBSTITUTIONS = ("C>A", "C>G", "C>T", "T>A", "T>C", "T>G")
_CLASS = np.full((5, 5), -1)  # [reference, alternative] codes -> place in SUBSTITUTIONS
for _number, (_ref, _alt) in enumerate([(1, 0), (1, 2), (1, 3), (3, 0), (3, 1), (3, 2)]):
    _CLASS[_ref, _alt] = _CLASS[3 - _ref, 3 - _alt] = _number

#: Absolute deltas that differ by less are ties: networks compute them to about 1e-6.
_TIE = 1e-6


class Background(NamedTuple):
    """M random changes in windows of a file's own changes.

    Parameters
    ----------
    changes
        The changes.
    owner
        (M,) whose window each lies in, rising.
    group
        (M,) as :func:`groups_of`.
    matched
        (M,) whether the trinucleotide is one that its match in the file has (single-nucleotide changes only).
    """

    changes: Changes
    owner: np.ndarray
    group: np.ndarray
    matched: np.ndarray


def groups_of(changes: Changes, genome: Genome) -> np.ndarray:
    """What each change (P,) is compared with, (P,) int64.

    Single-nucleotide changes by strand-collapsed substitution (0-5 in :data:`SUBSTITUTIONS`); the others by kind and
    length in doublings (1, 2-3, 4-7 … bases).
    """
    kind = changes.kind
    longest = np.maximum(changes.end - changes.start, changes.added)
    doubling = np.frexp(np.maximum(longest, 1).astype(np.float64))[1] - 1
    group = len(SUBSTITUTIONS) + 64 * kind + doubling
    single = np.flatnonzero(kind == 0)
    if len(single):
        group[single] = _contexts(changes.take(single), genome) // 16
    return group.astype(np.int64)


def name_of_group(group: int) -> str:
    """``C>T``, ``deletion of 4-7 bp`` …"""
    if group < len(SUBSTITUTIONS):
        return SUBSTITUTIONS[group]
    kind, doubling = divmod(group - len(SUBSTITUTIONS), 64)
    low, high = 1 << doubling, (2 << doubling) - 1
    return f"{KINDS[kind]} of {low}{f'-{high}' if high > low else ''} bp"


def draw_background(
    changes: Changes, genome: Genome, *, begin: np.ndarray, width: int, count: int, seed: int
) -> Background:
    """Draw random changes in the central halves of the windows of a file's own changes, never at one of those.

    Parameters
    ----------
    changes
        The file's P changes.
    genome
        Where the bases come from.
    begin
        (P,) where each window begins; at most ``count`` different windows, chosen at random, are drawn from.
    width
        Bases of a window.
    count
        How many are drawn for each group of :func:`groups_of`; fewer where the windows do not hold as many.
    seed
        Of the stream ``variants background``.
    """
    rng = stream(seed, "variants", "background")
    sites = _Sites(
        changes,
        genome,
        begin=begin,
        width=width,
        windows=rng.permutation(distinct_windows(changes.chrom, begin)[0])[:count],
    )
    groups = groups_of(changes, genome)
    parts = []
    for group in np.unique(groups).tolist():
        like = changes.take(np.flatnonzero(groups == group))
        draw = _draw_single if group < len(SUBSTITUTIONS) else _draw_other
        parts.append((group, *draw(like, sites, count, rng)))
    owner = np.concatenate([part[2] for part in parts])
    order = np.argsort(owner, kind="stable")
    every = Changes.joined([part[1] for part in parts])
    group = np.repeat([part[0] for part in parts], [len(part[2]) for part in parts])
    matched = np.concatenate([part[3] for part in parts])
    return Background(every.take(order), owner[order], group[order], matched[order])


def p_values(
    delta: np.ndarray, group: np.ndarray, *, null: np.ndarray, null_group: np.ndarray, among_own: bool = False
) -> np.ndarray:
    """Two-sided empirical p-values: ``(1 + random changes with as large an absolute delta) / (1 + random changes)``.

    Parameters
    ----------
    delta
        (P, K) delta logits.
    group
        (P,) only random changes of the same group count.
    null, null_group
        (M, K) and (M,) the same of the random changes.
    among_own
        The null is the file itself: each change is left out of its own.

    Returns
    -------
    np.ndarray
        (P, K) float64; NaN where the group has no random change.
    """
    result = np.full(delta.shape, np.nan)
    for one in np.unique(group).tolist():
        mine, others = np.flatnonzero(group == one), np.abs(null[null_group == one])
        total = len(others) - among_own
        if total < 1:
            continue
        for task in range(delta.shape[1]):
            below = np.searchsorted(np.sort(others[:, task]), np.abs(delta[mine, task]) - _TIE, side="left")
            result[mine, task] = (1 + len(others) - below - among_own) / (1 + total)
    return result


def q_values(p: np.ndarray) -> np.ndarray:
    """Benjamini-Hochberg over the rows of each column of p-values (P, K); NaN stays and counts for nothing."""
    return np.stack([benjamini_hochberg(column) for column in p.T], axis=1)


class _Sites:
    """Bases in the central halves of some windows, each once, without N and without the file's own changes."""

    def __init__(
        self, changes: Changes, genome: Genome, *, begin: np.ndarray, width: int, windows: np.ndarray
    ) -> None:
        self.genome, self._file = genome, changes
        inner = max(width // 2, 1)
        low = begin[windows] + width // 4
        flat, _ = genome.gather(names_of(changes.chrom[windows], genome), low - 1, low + inner + 1, pad="N")
        around = np.lib.stride_tricks.sliding_window_view(flat.reshape(len(windows), inner + 2), 3, axis=1)
        owner = np.repeat(windows, inner)
        chrom, place = changes.chrom[owner], (low[:, None] + np.arange(inner)).reshape(-1)
        _, once = np.unique((chrom << 40) + place, return_index=True)
        triples = around.reshape(-1, 3)[once]
        fine = (triples[:, 1] < N_CODE) & ~self.taken(chrom[once], place[once], place[once] + 1)
        self.owner, self.chrom, self.place = owner[once][fine], chrom[once][fine], place[once][fine]
        self.triples, self.limit = triples[fine], begin[self.owner] + width // 4 + inner

    def taken(self, chrom: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        """Which intervals touch a change of the file; an insertion touches the bases on both sides of it."""
        own = self._file
        low = own.start - (own.start == own.end)
        return overlaps(chrom, start, end, with_=(own.chrom, low, np.maximum(own.end, own.start + 1)))

    def bases(self, rows: np.ndarray, length: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Flat codes and offsets of ``length`` (B,) bases from each site of ``rows`` (B,) on."""
        offsets = offsets_of(length)
        some = np.flatnonzero(length)
        start = self.place[rows[some]]
        codes, _ = self.genome.gather(
            names_of(self.chrom[rows[some]], self.genome), start, start + length[some], pad="N"
        )
        return codes, offsets


def _draw_single(
    like: Changes, sites: _Sites, count: int, rng: np.random.Generator
) -> tuple[Changes, np.ndarray, np.ndarray]:
    """Single-nucleotide changes of one substitution; trinucleotides as in ``like``, as far as there are enough."""
    wanted = _contexts(like, sites.genome)
    substitution = int(wanted[0]) // 16
    contexts, alternatives = _contexts_of(sites.triples, substitution)
    pool = np.flatnonzero(contexts >= 0)
    count = min(count, len(pool))
    chosen = np.zeros(len(contexts), dtype=bool)
    names, weights = np.unique(wanted, return_counts=True)
    for name, share in zip(names.tolist(), rng.multinomial(count, weights / weights.sum()).tolist(), strict=True):
        there = pool[contexts[pool] == name]
        chosen[rng.permutation(there)[:share]] = True
    matched = chosen.copy()
    rest = pool[~chosen[pool]]
    chosen[rng.permutation(rest)[: count - int(chosen.sum())]] = True
    rows = np.flatnonzero(chosen)
    place = sites.place[rows]
    changes = Changes(
        sites.chrom[rows], place, place + 1, alternatives[rows], offsets_of(np.ones(len(rows), np.int64))
    )
    return changes, sites.owner[rows], matched[rows]


def _draw_other(
    like: Changes, sites: _Sites, count: int, rng: np.random.Generator
) -> tuple[Changes, np.ndarray, np.ndarray]:
    """Changes of several bases, each of the lengths of one of ``like``, with random bases at random places."""
    if not len(sites.place):
        none = np.zeros(0, dtype=np.int64)
        return like.take(none), none, none.astype(bool)
    twin, rows = rng.integers(len(like.start), size=2 * count), rng.integers(len(sites.place), size=2 * count)
    gone, added = (like.end - like.start)[twin], like.added[twin]
    chrom, start = sites.chrom[rows], sites.place[rows]
    codes, offsets = sites.bases(rows, np.maximum(gone, 1))
    fine = np.add.reduceat(codes >= N_CODE, offsets[:-1], dtype=np.int64) == 0
    fine &= ~sites.taken(chrom, start, start + np.maximum(gone, 1)) & (start + gone <= sites.limit[rows])
    if not added.any():  # two deletions of the same bases are one
        once = np.unique(np.stack([chrom, start, gone]), axis=1, return_index=True)[1]
        fine &= np.isin(np.arange(len(fine)), once)
    kept = np.flatnonzero(fine)[:count]
    new = _new_bases(codes, offsets, kept, gone=gone, added=added, sites=sites, rng=rng)
    changes = Changes(chrom[kept], start[kept], start[kept] + gone[kept], new, offsets_of(added[kept]))
    return changes, sites.owner[rows[kept]], np.zeros(len(kept), dtype=bool)


def _new_bases(
    codes: np.ndarray,
    offsets: np.ndarray,
    kept: np.ndarray,
    *,
    gone: np.ndarray,
    added: np.ndarray,
    sites: _Sites,
    rng: np.random.Generator,
) -> np.ndarray:
    """Flat codes: every base of a change in place becomes another; inserted bases are drawn from the sites."""
    total = int(added[kept].sum())
    if (gone == added).all():
        old = join(codes, offsets[kept], offsets[kept + 1])
        return ((old + rng.integers(1, 4, size=total)) % 4).astype(np.uint8)
    return sites.triples[rng.integers(len(sites.triples), size=total), 1]


def _contexts(changes: Changes, genome: Genome) -> np.ndarray:
    """Substitution and trinucleotide of single-nucleotide changes (P,): 16 * substitution + flanks, strand-collapsed.

    A flank that is N counts as A: the change stays in its group.
    """
    names = names_of(changes.chrom, genome)
    triples = genome.gather(names, changes.start - 1, changes.start + 2, pad="N")[0].reshape(-1, 3)
    left, ref, right = triples.T.astype(np.int64)
    return 16 * _CLASS[ref, changes.codes] + _flanks(left, ref, right)


def _contexts_of(triples: np.ndarray, substitution: int) -> tuple[np.ndarray, np.ndarray]:
    """As :func:`_contexts` of sites (S, 3) if they had this substitution, -1 where they cannot, and the new bases."""
    left, ref, right = triples.T.astype(np.int64)
    alternative = np.argmax(_CLASS[:, :4] == substitution, axis=1)[ref]
    able = _CLASS[ref, alternative] == substitution
    return np.where(able, 16 * substitution + _flanks(left, ref, right), -1), alternative.astype(np.uint8)


def _flanks(left: np.ndarray, ref: np.ndarray, right: np.ndarray) -> np.ndarray:
    left, right = left % N_CODE, right % N_CODE
    turned = (ref == 0) | (ref == 2)  # purines are read from the other strand
    return np.where(turned, 4 * (3 - right) + 3 - left, 4 * left + right)
