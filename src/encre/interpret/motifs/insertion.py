"""Motifs put into backgrounds: what one changes in the middle of sequences that are otherwise left alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from encre.errors import SequenceError
from encre.predict.inputs import Records
from encre.progress import SILENT, Progress
from encre.sequence.edits import dinucleotide_shuffle
from encre.sequence.flat import offsets_of
from encre.shapes import N_CODE

if TYPE_CHECKING:
    from encre.models.device import Precision
    from encre.predict.predictor import Predictor


class Effects(NamedTuple):
    """What inserting each motif changes, over backgrounds.

    Parameters
    ----------
    mean
        (M, K) mean change of the logit; NaN for a motif wider than the backgrounds.
    low, high
        (M, K) ends of the 95 % interval of that mean (Student's t over backgrounds).
    """

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


class Insertion(NamedTuple):
    """The same place of every background rewritten.

    Parameters
    ----------
    start
        First base, 0-based in the background.
    bases
        (R, w) uint8 what stands there instead.
    """

    start: int
    bases: np.ndarray


def shuffled_backgrounds(codes: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Dinucleotide shuffles of sequences drawn with replacement: (count, L) uint8.

    Parameters
    ----------
    codes
        (N, L), N (4) beyond a sequence's end; those of the commonest length are drawn from, without N where possible.
    count
        How many.
    rng
        A named random stream.
    """
    known = codes < N_CODE
    length = codes.shape[1] - known[:, ::-1].argmax(axis=1)
    common = int(np.bincount(length).argmax())
    whole = np.flatnonzero((length == common) & (known.sum(axis=1) == common))
    rows = whole if len(whole) else np.flatnonzero(length == common)
    drawn = codes[rng.choice(rows, count), :common]
    offsets = offsets_of(np.full(count, common))
    return dinucleotide_shuffle(drawn.reshape(-1), offsets, rng).reshape(count, common)


def given_backgrounds(records: Records, predictor: Predictor) -> np.ndarray:
    """Backgrounds of one length from what the user gave: (R, L) uint8.

    Raises
    ------
    SequenceError
        When they are of several lengths, too few, or longer or shorter than the model reads.
    """
    length = np.unique(np.diff(records.offsets))
    if len(length) > 1 or len(records) < 3:
        raise SequenceError(
            "backgrounds must be three or more sequences of one length", where=records.source,
            got=f"{len(records):,} of {int(length.min()):,} to {int(length.max()):,} bp",
        )  # fmt: skip
    predictor.model.check_lengths(length, where=records.source)
    return records.codes[records.offsets[0] : records.offsets[-1]].reshape(len(records), -1)


@dataclass(frozen=True)
class Backgrounds:
    """Sequences that are otherwise left alone, and the model that reads them.

    Parameters
    ----------
    predictor
        The model.
    codes
        (R, L) uint8, R at least 3.
    precision
        Of the model's arithmetic.
    progress
        Follows the sequences.
    """

    predictor: Predictor
    codes: np.ndarray
    precision: Precision = "fp32"
    progress: Progress = SILENT

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def length(self) -> int:
        """Bases of each, L."""
        return self.codes.shape[1]

    def changes(self, insertions: Sequence[Insertion]) -> np.ndarray:
        """Change of the logits by each of M insertions in each background: (M, R, K) float32."""
        from encre.models.substitution import Substitutions, substituted_logits

        model, count = self.predictor.model, len(self)
        change = np.empty((len(insertions), count, len(self.predictor.tasks)), np.float32)
        widths = np.array([insertion.bases.shape[1] for insertion in insertions], np.int64)
        with self.progress.track("insertions", len(insertions) * count, "seq") as advance:
            for width in np.unique(widths):  # all of one width are scored together
                at = np.flatnonzero(widths == width).tolist()
                start = np.repeat([insertions[i].start for i in at], count)
                bases = np.concatenate([insertions[i].bases for i in at])
                put = Substitutions(np.tile(np.arange(count), len(at)), start, bases)
                reference, mutated = substituted_logits(model, self.codes, put, precision=self.precision)
                change[at] = mutated.reshape(len(at), count, -1) - reference[None]
                advance(len(at) * count, "")
        return change


def marginal_effects(backgrounds: Backgrounds, motifs: Sequence[np.ndarray]) -> Effects:
    """Mean effect of each motif, codes (w,), in the middle of the backgrounds (marginalisation)."""
    fitting = [i for i, motif in enumerate(motifs) if len(motif) <= backgrounds.length]
    insertions = [
        Insertion((backgrounds.length - len(motifs[i])) // 2, np.tile(motifs[i], (len(backgrounds), 1)))
        for i in fitting
    ]
    found = np.full((3, len(motifs), len(backgrounds.predictor.tasks)), np.nan)
    if fitting:
        found[:, fitting] = mean_interval(backgrounds.changes(insertions), axis=1)
    return Effects(*found)


def mean_interval(values: np.ndarray, *, axis: int) -> np.ndarray:
    """Mean and the ends of its 95 % interval (Student's t) along an axis, stacked in front: (3, …)."""
    from scipy.special import stdtrit

    count = values.shape[axis]
    mean = values.mean(axis=axis, dtype=np.float64)
    half = stdtrit(count - 1, 0.975) * values.std(axis=axis, ddof=1, dtype=np.float64) / np.sqrt(count)
    return np.stack([mean, mean - half, mean + half])
