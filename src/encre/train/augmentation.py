"""Random edits of a batch's sequences that leave its targets as they are (EvoAug, Lee et al. 2023).

An edit works on a whole batch at once: ``(codes (B, L), length (B,), most, draw) -> codes``. ``draw(at, below)`` are
random whole numbers from 0 to ``below - 1``. They depend on the seed, the step and the row alone, so that neither the
number of processes nor an interruption changes them. A new edit is a function and a line in :data:`EDITS`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from encre.data.dataset import Batch
from encre.errors import ConfigError
from encre.reproducibility import stream_seed
from encre.sequence.alphabet import complement
from encre.sequence.flat import blank_beyond
from encre.sequence.seeds import mixed
from encre.shapes import N_CODE
from encre.train.settings import TrainConfig

Draw = Callable[[int | np.ndarray, int | np.ndarray], np.ndarray]
Edit = Callable[[np.ndarray, np.ndarray, float, Draw], np.ndarray]


def augmented(batch: Batch, config: TrainConfig, *, step: int, spent: float) -> Batch:
    """The batch, its codes edited as ``[train.augment]`` asks for.

    Parameters
    ----------
    batch
        As the dataset gives it; left as it is.
    config
        ``augment``, ``seed``.
    step
        Steps done, which name the random numbers.
    spent
        Share of the training that is behind us.

    Raises
    ------
    ConfigError
        When bases would move under signals that stay.
    """
    settings = config.augment
    asked = {name: float(getattr(settings, name)) for name in EDITS if getattr(settings, name)}
    if not asked or spent >= 1 - settings.finetune_share:
        return batch
    if batch.signals is not None and asked.keys() - {"mutate"}:
        raise ConfigError(
            "[train.augment] would move bases away from their signals",
            remedy="With signals, use mutate alone, and the dataset's jitter for shifts.",
        )
    keys = mixed(batch.index.astype(np.uint64) + np.uint64(stream_seed(config.seed, "train", "augment", step)))
    # Of the kinds in a random order of its own, a row takes the first few.
    order = _drawing(keys)(np.arange(len(asked)), 1 << 31).argsort(axis=1).argsort(axis=1)
    codes = batch.codes.copy()
    for number, (name, most) in enumerate(asked.items()):
        rows = np.flatnonzero(order[:, number] < settings.per_sequence)
        if len(rows):
            draw = _drawing(mixed(keys[rows] + np.uint64(number)))
            codes[rows] = EDITS[name](codes[rows], batch.length[rows, None], most, draw)
    return batch._replace(codes=blank_beyond(codes, batch.length))


def shift(codes: np.ndarray, length: np.ndarray, most: float, draw: Draw) -> np.ndarray:
    """Move the sequence; the freed end becomes N."""
    source = _places(codes) + (draw(0, 2 * int(most) + 1) - int(most))
    return np.where((source >= 0) & (source < length), _taken(codes, source), N_CODE)


def mutate(codes: np.ndarray, length: np.ndarray, most: float, draw: Draw) -> np.ndarray:
    """Substitute a share of the known bases, drawn with replacement, by one of the three others."""
    count = np.rint(most * length).astype(np.int64)
    places = np.arange(int(count.max()))
    at, by = draw(places, length), draw(places + len(places), 3)
    row, one = np.nonzero(places < count)
    old = codes[row, at[row, one]]
    codes[row, at[row, one]] = np.where(old < N_CODE, (old + by[row, one] + 1) % N_CODE, old)
    return codes


def insert(codes: np.ndarray, length: np.ndarray, most: float, draw: Draw) -> np.ndarray:
    """Put random bases in at one place; what is pushed over the end is lost."""
    count, at = _stretch(length, most, draw)
    behind = _places(codes) - at
    source = _places(codes) - np.where(behind < count, 0, count)
    return _filled(_taken(codes, source), np.where(behind < count, behind, -1), most, draw)


def delete(codes: np.ndarray, length: np.ndarray, most: float, draw: Draw) -> np.ndarray:
    """Take bases out at one place; the freed end is filled with random ones."""
    count, at = _stretch(length, most, draw)
    source = _places(codes) + np.where(_places(codes) < at, 0, count)
    return _filled(_taken(codes, source), source - length, most, draw)


def invert(codes: np.ndarray, length: np.ndarray, most: float, draw: Draw) -> np.ndarray:
    """Turn one stretch into its reverse complement."""
    count, at = _stretch(length, most, draw)
    places = _places(codes)
    inside = (places >= at) & (places < at + count)
    return np.where(inside, complement(_taken(codes, 2 * at + count - 1 - places)), codes)


def translocate(codes: np.ndarray, length: np.ndarray, most: float, draw: Draw) -> np.ndarray:
    """Cut bases off the end and put them before the beginning."""
    count, _ = _stretch(length, most, draw)
    source = _places(codes) - count
    return _taken(codes, np.where(source < 0, source + length, source))


#: key of ``[train.augment]`` -> edit
EDITS: dict[str, Edit] = {
    "shift": shift,
    "mutate": mutate,
    "insert": insert,
    "delete": delete,
    "invert": invert,
    "translocate": translocate,
}


def _places(codes: np.ndarray) -> np.ndarray:
    return np.arange(codes.shape[1])


def _stretch(length: np.ndarray, most: float, draw: Draw) -> tuple[np.ndarray, np.ndarray]:
    """How many bases, 0 to ``most``, and where they begin, two arrays (B, 1); within each sequence."""
    count = np.minimum(draw(0, int(most) + 1), length)
    return count, draw(1, length - count + 1)


def _taken(codes: np.ndarray, source: np.ndarray) -> np.ndarray:
    """The base that each place (B, L) takes; from outside of the array its nearest end."""
    width = codes.shape[1]
    begin = np.arange(len(codes))[:, None] * width
    return codes.reshape(-1).take(np.clip(source, 0, width - 1) + begin)


def _filled(codes: np.ndarray, number: np.ndarray, most: float, draw: Draw) -> np.ndarray:
    """``codes`` with random bases at the places (B, L) that have a number, 0 to ``most - 1``."""
    bases = draw(2 + np.arange(int(most)), N_CODE)
    row, place = np.nonzero((number >= 0) & (number < int(most)))
    codes[row, place] = bases[row, number[row, place]]
    return codes


def _drawing(keys: np.ndarray) -> Draw:
    """Random numbers of rows with keys (B,): ``draw(at, below) -> (B, len(at))``, ``at`` a number or several."""

    def draw(at: int | np.ndarray, below: int | np.ndarray) -> np.ndarray:
        words = mixed(keys[:, None] + np.atleast_1d(at).astype(np.uint64))
        return (words >> np.uint64(32)).astype(np.int64) * below >> 32

    return draw
