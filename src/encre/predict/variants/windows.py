"""Reference and alternative windows of changes of the genome, and their logits, in blocks that bound memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from encre.genome.store import Genome
from encre.predict.variants.checks import Changes, names_of
from encre.progress import SILENT, Progress

if TYPE_CHECKING:
    from encre.models.device import Precision
    from encre.models.model import EnhancerModel

#: A block of work: at most about this many reference windows and changes.
_BLOCK_ROWS, _BLOCK_CHANGES = 1024, 16_384


class Windows(NamedTuple):
    """How the windows of changes are made and read.

    Parameters
    ----------
    width
        Bases of a window, W.
    shifts
        (S,) bases by which each window is moved; ``[0]`` leaves it where it is.
    combine
        Over the shifts, the ``"mean"``, or the one with the largest absolute delta of each task (``"max"``).
    both_strands
        Average the logits of both strands.
    precision
        Of the network, see :func:`encre.models.inference.predict_logits`.
    """

    width: int
    shifts: np.ndarray
    combine: str = "mean"
    both_strands: bool = True
    precision: Precision = "fp32"


class Logits(NamedTuple):
    """Logits of reference and alternative, (P, K) float32 each."""

    reference: np.ndarray
    alternative: np.ndarray


def centred(changes: Changes, width: int) -> np.ndarray:
    """Where the window around the middle of each change begins (P,) int64, 0-based; it may lie off the chromosome."""
    return (changes.start + changes.end) // 2 - width // 2


def score_changes(
    model: EnhancerModel,
    genome: Genome,
    *,
    changes: Changes,
    begin: np.ndarray,
    windows: Windows,
    progress: Progress = SILENT,
) -> Logits:
    """Logits of every change's reference and alternative.

    Parameters
    ----------
    model
        In evaluation mode.
    genome
        Where the bases come from; what lies off a chromosome is N.
    changes
        P changes; those that share a window should follow each other, then they share its reference.
    begin
        (P,) where the window of each begins.
    windows
        Their width and the rest.
    progress
        Follows the changes done.
    """
    count, tasks = len(begin), len(model.tasks)
    result = Logits(np.empty((count, tasks), np.float32), np.empty((count, tasks), np.float32))
    with progress.track("variants", count, "var") as advance:
        for first, last in _blocks(changes.chrom, begin, len(windows.shifts)):
            part = changes.take(np.arange(first, last))
            found = [
                _score_block(model, genome, changes=part, begin=begin[first:last] + shift, windows=windows)
                for shift in windows.shifts.tolist()
            ]
            combined = _combined(found, windows.combine)
            result.reference[first:last], result.alternative[first:last] = combined
            advance(last - first, "")
    return result


def _blocks(chrom: np.ndarray, begin: np.ndarray, shifts: int) -> Iterator[tuple[int, int]]:
    """Yield ``(first, last)`` ranges that cover all changes."""
    new = np.ones(len(begin), dtype=bool)
    new[1:] = (begin[1:] != begin[:-1]) | (chrom[1:] != chrom[:-1])
    rows = np.cumsum(new)
    first = 0
    while first < len(begin):
        most = rows[first] + max(1, _BLOCK_ROWS // shifts)
        last = min(int(np.searchsorted(rows, most, side="left")), first + _BLOCK_CHANGES)
        yield first, last
        first = last


def _score_block(
    model: EnhancerModel, genome: Genome, *, changes: Changes, begin: np.ndarray, windows: Windows
) -> Logits:
    """One block at one shift: what keeps its length is substituted in place, the rest gets windows of its own."""
    count, tasks = len(begin), len(model.tasks)
    result = Logits(np.empty((count, tasks), np.float32), np.empty((count, tasks), np.float32))
    added, gone = changes.added, changes.end - changes.start
    lengths = np.where(added == gone, added, -1)
    for length in np.unique(lengths).tolist():
        at = np.flatnonzero(lengths == length)
        work = _rebuilt if length < 0 else _substituted
        some = work(model, genome, changes=changes.take(at), begin=begin[at], windows=windows)
        result.reference[at], result.alternative[at] = some
    return result


def _substituted(
    model: EnhancerModel, genome: Genome, *, changes: Changes, begin: np.ndarray, windows: Windows
) -> Logits:
    """Changes of one length that keep it: each reference window is computed once."""
    from encre.models.substitution import Substitutions, substituted_logits

    codes, row = _references(genome, changes, begin, windows.width)
    what = Substitutions(row, changes.start - begin, changes.codes.reshape(len(begin), -1))
    reference, alternative = substituted_logits(
        model, codes, what, both_strands=windows.both_strands, precision=windows.precision
    )
    return Logits(reference[row], alternative)


def _rebuilt(
    model: EnhancerModel, genome: Genome, *, changes: Changes, begin: np.ndarray, windows: Windows
) -> Logits:
    """Insertions and deletions: the mean of the two windows that keep the left or the right side in its place."""
    from encre.models.inference import predict_logits

    width = windows.width
    codes, row = _references(genome, changes, begin, width)
    left, right = (anchored(changes, genome, begin=begin, width=width, anchor=side) for side in ("left", "right"))
    every = np.concatenate([codes, left, right])
    logits = predict_logits(
        model,
        every.reshape(-1),
        np.arange(len(every) + 1, dtype=np.int64) * width,
        both_strands=windows.both_strands,
        precision=windows.precision,
    )
    reference, left_logits, right_logits = np.split(logits, [len(codes), len(codes) + len(left)])
    return Logits(reference[row], (left_logits + right_logits) / 2)


def _references(genome: Genome, changes: Changes, begin: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The different reference windows (R, W) of changes, and which of them each change (P,) has."""
    first, row = distinct_windows(changes.chrom, begin)
    start = begin[first]
    codes, _ = genome.gather(names_of(changes.chrom[first], genome), start, start + width, pad="N")
    return codes.reshape(len(first), width), row


def anchored(changes: Changes, genome: Genome, *, begin: np.ndarray, width: int, anchor: str) -> np.ndarray:
    """The alternative windows of changes.

    Parameters
    ----------
    changes
        P changes.
    genome
        Where the bases beside them come from.
    begin
        (P,) where the reference window begins.
    width
        Bases of a window.
    anchor
        ``"left"``: what lies left of the change stays where it is in the reference window, and what lies right of it
        moves; ``"right"``: the other way round.

    Returns
    -------
    np.ndarray
        Codes (P, W) uint8.
    """
    added = changes.added
    grown = added - (changes.end - changes.start)
    margin = int(np.abs(grown).max(initial=0))
    flat, _ = genome.gather(names_of(changes.chrom, genome), begin - margin, begin + width + margin, pad="N")
    around = flat.reshape(len(begin), width + 2 * margin)
    place = np.arange(width)
    # In the window's own positions: the first base that comes, and the first behind those.
    first = changes.start - begin if anchor == "left" else changes.end - begin - added
    behind = (first + added)[:, None]
    moved_left, moved_right = (0, -grown[:, None]) if anchor == "left" else (grown[:, None], 0)
    at = np.where(place < first[:, None], place + moved_left, place + moved_right) + margin
    result = np.take_along_axis(around, at, axis=1)
    inside = (place >= first[:, None]) & (place < behind)
    rows, columns = np.nonzero(inside)
    result[rows, columns] = changes.codes[changes.offsets[rows] + columns - first[rows]]
    return result


def distinct_windows(chrom: np.ndarray, begin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One row of each different window, in order of first use, and which of them each change (P,) has."""
    key = (chrom.astype(np.int64) << 40) + begin  # a window may begin before its chromosome: the key still differs
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return first[order], rank[inverse]


def _combined(found: list[Logits], how: str) -> Logits:
    """The shifts of one block brought together."""
    if len(found) == 1:
        return found[0]
    reference = np.stack([logits.reference for logits in found])
    alternative = np.stack([logits.alternative for logits in found])
    if how == "mean":
        return Logits(reference.mean(axis=0), alternative.mean(axis=0))
    chosen = np.abs(alternative - reference).argmax(axis=0)[None]
    return Logits(*(np.take_along_axis(logits, chosen, axis=0)[0] for logits in (reference, alternative)))
