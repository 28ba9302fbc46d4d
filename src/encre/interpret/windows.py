"""What is explained: sequences no longer than the model's window, and windows of those that are longer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from encre.predict.inputs import Records
from encre.predict.tiling import tile
from encre.sequence.flat import join, offsets_of


class Windows(NamedTuple):
    """N windows of records, in the records' order.

    Parameters
    ----------
    codes, offsets
        Flat codes (sum of lengths,) uint8 and offsets (N + 1,).
    record
        (N,) which record each is of.
    first
        (N,) where it begins in its record's sequence, 0-based.
    """

    codes: np.ndarray
    offsets: np.ndarray
    record: np.ndarray
    first: np.ndarray

    @property
    def length(self) -> np.ndarray:
        """(N,) bases."""
        return np.diff(self.offsets)

    def take(self, rows: np.ndarray) -> Windows:
        """Some of the windows."""
        codes = join(self.codes, self.offsets[rows], self.offsets[rows + 1])
        return Windows(codes, offsets_of(self.length[rows]), self.record[rows], self.first[rows])

    def of_one_length(self, bases: int) -> Iterator[np.ndarray]:
        """Yield rows (B,) of one length and of at most ``bases`` bases together (at least one row)."""
        length = self.length
        for width in np.unique(length):
            rows = np.flatnonzero(length == width)
            size = max(1, bases // int(width))
            for first in range(0, len(rows), size):
                yield rows[first : first + size]

    def block(self, rows: np.ndarray) -> np.ndarray:
        """Codes (B, L) of rows of one length."""
        width = int(self.length[rows[0]])
        return self.codes[self.offsets[rows][:, None] + np.arange(width)]


def windows_of(records: Records, window: int) -> tuple[Windows, int]:
    """Cover records as predictions do: those longer than ``window`` by windows that overlap by half.

    Parameters
    ----------
    records
        What can be scored: none holds only N.
    window
        Bases that the model reads in one piece.

    Returns
    -------
    tuple
        The windows, and how many were left out because they hold only N.
    """
    tiles = tile(records.codes, records.offsets, window=window)
    record = np.repeat(np.arange(len(records)), tiles.per_sequence)
    return Windows(tiles.codes, tiles.offsets, record, tiles.first), tiles.only_n
