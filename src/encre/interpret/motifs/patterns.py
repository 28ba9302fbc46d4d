"""Patterns: seqlets that look alike, aligned and averaged by TF-MoDISco (Shrikumar et al. 2018; modisco-lite)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from encre.interpret.motifs.contributions import Contributions
from encre.interpret.motifs.seqlets import Seqlets, find_seqlets
from encre.interpret.motifs.settings import MotifSettings, extra
from encre.progress import SILENT, Progress
from encre.reproducibility import stream
from encre.sequence.meme import Motif

#: Leiden clusterings from as many seeds, the best of which counts.
_LEIDEN_RUNS = 16
#: A pattern's ends are cut where contributions stay below this share of its largest. The reports of modisco-lite cut
#: at 0.3, which left TTATC of a GATA motif: too short for TOMTOM to know it.
_TRIM = 0.25
_SHORTEST = 5


@dataclass(frozen=True)
class Pattern:
    """One pattern of one task.

    Parameters
    ----------
    name
        As ``heart.pos_0``: task, sign, and rank by number of seqlets.
    task
        Whose contributions.
    sign
        1 where it raises the logit, -1 where it lowers it.
    motif
        Base frequencies of its seqlets, ends trimmed.
    contribution
        (w, 4) mean contribution of each base at each place.
    seqlets
        How many.
    """

    name: str
    task: str
    sign: int
    motif: Motif
    contribution: np.ndarray
    seqlets: int

    def turned(self) -> Pattern:
        """The same, read on the other strand."""
        motif = replace(self.motif, pwm=self.motif.pwm[::-1, ::-1])
        return replace(self, motif=motif, contribution=self.contribution[::-1, ::-1])


@dataclass(frozen=True)
class SeqletCounts:
    """How many seqlets a task has, and what became of them.

    Parameters
    ----------
    task
        Whose.
    positive, negative
        Seqlets that raise and lower the logit.
    in_patterns
        Those that a pattern holds.
    note
        Why there is no pattern of a sign; empty when there are patterns of both.
    """

    task: str
    positive: int
    negative: int
    in_patterns: int
    note: str


def find_patterns(
    contributions: Contributions, task: str, settings: MotifSettings, *, progress: Progress = SILENT
) -> tuple[list[Pattern], SeqletCounts]:
    """Seqlets of a task, and the patterns that TF-MoDISco makes of them.

    Returns
    -------
    tuple
        Patterns, positive first and then by number of seqlets; and the counts.

    Raises
    ------
    MissingExtraError
        Without modisco-lite.
    """
    core = min(settings.core, contributions.codes.shape[1])
    rng = stream(settings.seed, "motifs", "seqlets", task)
    actual = contributions.actual(task)
    seqlets = find_seqlets(actual, rng, core=core, flank=settings.flank, fdr=settings.fdr)
    patterns: list[Pattern] = []
    counts, notes = {}, []
    for sign, word in ((1, "pos"), (-1, "neg")):
        some = seqlets.of_sign(sign)
        counts[word] = len(some.row)
        kind = "raise" if sign > 0 else "lower"
        if len(some.row) < settings.min_seqlets:
            notes.append(
                f"{len(some.row):,} seqlets {kind} it, fewer than the {settings.min_seqlets:,} that patterns need"
            )
            continue
        progress.say(f"{task}: TF-MoDISco on {len(some.row):,} seqlets that {kind} the logit")
        found = _modisco(contributions, task, some, sign=sign, settings=settings)
        if not found:
            notes.append(f"{len(some.row):,} seqlets {kind} it, but too few are alike to make a pattern")
        patterns += [
            _pattern(f"{task}.{word}_{rank}", task, sign, modisco=pattern) for rank, pattern in enumerate(found)
        ]
    held = sum(pattern.seqlets for pattern in patterns)
    return patterns, SeqletCounts(task, counts["pos"], counts["neg"], held, "; ".join(notes))


def _modisco(
    contributions: Contributions, task: str, seqlets: Seqlets, *, sign: int, settings: MotifSettings
) -> list[Any]:
    """TF-MoDISco's patterns, the one with most seqlets first; its own seeds are fixed."""
    core, precompile, tfmodisco = (extra(f"modiscolite.{name}") for name in ("core", "precompile", "tfmodisco"))
    extra("leidenalg")
    precompile.start()  # else its kernels are compiled again in every process
    # Patterns grow over the ends of their seqlets, and TF-MoDISco drops what then leaves its sequence: give it room,
    # of unknown bases, which are a quarter of each, since it divides by their sum.
    room = ((0, 0), (seqlets.width, seqlets.width), (0, 0))
    one_hot = np.pad(contributions.one_hot, room)
    one_hot[one_hot.sum(axis=2) == 0] = 0.25
    hypothetical = np.pad(contributions.hypothetical[task], room)
    tracks = core.TrackSet(one_hot=one_hot, contrib_scores=one_hot * hypothetical, hypothetical_contribs=hypothetical)
    windows = [
        core.Seqlet(example_idx=row, start=start, end=start + seqlets.width, is_revcomp=False)
        for row, start in zip(seqlets.row.tolist(), (seqlets.start + seqlets.width).tolist(), strict=True)
    ]
    with warnings.catch_warnings():
        # Ranks of equal affinities have no correlation; TF-MoDISco then leaves the seqlet out, as it should.
        warnings.filterwarnings("ignore", message="An input array is constant")
        found = tfmodisco.seqlets_to_patterns(
            tracks.create_seqlets(windows),
            track_set=tracks,
            track_signs=sign,
            n_leiden_runs=_LEIDEN_RUNS,
            final_min_cluster_size=settings.min_support,
        )
    return sorted(found or [], key=lambda pattern: -len(pattern.seqlets))


def _pattern(name: str, task: str, sign: int, *, modisco: Any) -> Pattern:
    pwm = np.asarray(modisco.sequence, np.float64)
    contribution = np.asarray(modisco.contrib_scores, np.float64)
    first, last = _trimmed(contribution)
    motif = Motif(name, pwm[first:last], sites=float(len(modisco.seqlets)))
    return Pattern(name, task, sign, motif, contribution[first:last], len(modisco.seqlets))


def _trimmed(contribution: np.ndarray) -> tuple[int, int]:
    """First and end of the part between the outermost strong places, never shorter than five bases."""
    strength = np.abs(contribution.sum(axis=1))
    strong = np.flatnonzero(strength >= _TRIM * strength.max())
    first, last = int(strong[0]), int(strong[-1]) + 1
    missing = max(0, _SHORTEST - (last - first))
    first = max(0, min(first - missing // 2, len(strength) - _SHORTEST))
    return first, max(last, min(len(strength), first + _SHORTEST))


def alike(a: np.ndarray, b: np.ndarray, *, at_least: float = 0.85) -> bool:
    """Whether two matrices (w, 4) correlate over at least 70 % of the shorter, at some offset, on either strand."""
    short, long = sorted((a, b), key=len)
    overlap = max(4, round(0.7 * len(short)))
    for turned in (short, short[::-1, ::-1]):
        for offset in range(overlap - len(turned), len(long) - overlap + 1):
            first, last = max(0, offset), min(len(long), offset + len(turned))
            pair = (long[first:last] - 0.25, turned[first - offset : last - offset] - 0.25)
            norm = np.sqrt((pair[0] ** 2).sum() * (pair[1] ** 2).sum())
            if norm and (pair[0] * pair[1]).sum() / norm >= at_least:
                return True
    return False
