"""Signals of a batch, whatever the rows: turned twice they are as before, and every base carries its own value."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encre.data.dataset import Subset
from encre.sequence.flat import offsets_of


class Stored:
    """As much of a dataset as a batch needs: random codes, and signals whose values name row, track and bin."""

    def __init__(self, length, size, jitter):
        rng = np.random.default_rng(len(length))
        n, self.jitter, self.path = len(length), jitter, "here"
        self.length, self.size = np.array(length), size
        self.margin = -(-jitter // size)
        self.bins = -(-self.length // size)
        self.offsets = offsets_of(self.length + 2 * jitter)
        self._margin = int(self.length.max()) + 2 * jitter
        self._roomy = rng.integers(0, 4, int(self.offsets[-1]) + 2 * self._margin).astype(np.uint8)
        total = int(self.bins.max()) + 2 * self.margin
        self.signals = np.full((n, 2, total), np.nan, dtype=np.float32)
        for row in range(n):
            used = int(self.bins[row]) + 2 * self.margin
            self.signals[row, :, :used] = 1000 * row + 100 * np.arange(2)[:, None] + np.arange(used)
        self.manifest = {"signals": {"bin": size, "margin": self.margin}}
        self.targets = np.zeros((n, 1), dtype=np.float32)

    def expected(self, row, reverse, shift):
        """The bins of one row, the slow way."""
        first = self.margin + int(np.rint(shift / self.size))
        found = self.signals[row, :, first : first + int(self.bins[row])]
        return found[:, ::-1] if reverse else found


@st.composite
def asked(draw):
    size = draw(st.integers(1, 7))
    if draw(st.booleans()):
        jitter = draw(st.integers(1, 20))
        length = [size * draw(st.integers(1, 6))] * draw(st.integers(1, 4))
    else:
        jitter = 0
        length = draw(st.lists(st.integers(1, 40), min_size=1, max_size=5))
    rows = draw(st.lists(st.integers(0, len(length) - 1), min_size=1, max_size=6))
    flips = draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    shifts = draw(st.lists(st.integers(-jitter, jitter), min_size=len(rows), max_size=len(rows)))
    return SimpleNamespace(stored=Stored(length, size, jitter), rows=rows, flips=flips, shifts=shifts)


@settings(deadline=None)
@given(asked())
def test_a_batch_equals_a_look_up_row_by_row(case):
    stored = case.stored
    subset = Subset(stored, np.arange(len(stored.length)))
    batch = subset.batch(np.array(case.rows), reverse=np.array(case.flips), shift=np.array(case.shifts))
    longest = max(stored.length[case.rows])
    assert batch.signals.shape == (len(case.rows), 2, -(-longest // stored.size))
    for at, row in enumerate(case.rows):
        want = stored.expected(row, case.flips[at], case.shifts[at])
        np.testing.assert_array_equal(batch.signals[at, :, : want.shape[1]], want)
        assert np.isnan(batch.signals[at, :, want.shape[1] :]).all()
    np.testing.assert_array_equal(batch.signal_mask, ~np.isnan(batch.signals))


@settings(deadline=None)
@given(asked())
def test_turning_a_turned_row_gives_it_back(case):
    stored = case.stored
    subset = Subset(stored, np.arange(len(stored.length)))
    rows, shift = np.array(case.rows), np.array(case.shifts)
    plain = subset.batch(rows, shift=shift)
    turned = subset.batch(rows, reverse=np.ones(len(rows), dtype=bool), shift=shift)
    for at, row in enumerate(case.rows):
        used = int(stored.bins[row])
        np.testing.assert_array_equal(turned.signals[at, :, :used][:, ::-1], plain.signals[at, :, :used])
    unturned = subset.batch(rows, reverse=np.zeros(len(rows), dtype=bool), shift=shift)
    np.testing.assert_array_equal(unturned.signals, plain.signals)
    np.testing.assert_array_equal(unturned.codes, plain.codes)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("shift", [-3, 0, 2])
def test_with_a_bin_of_one_base_signals_move_with_their_bases(reverse, shift):
    jitter, width = 3, 12
    stored = Stored([width] * 5, 1, jitter)
    flat = stored._roomy[stored._margin : stored._margin + 5 * (width + 2 * jitter)].reshape(5, 1, -1)
    stored.signals = flat.astype(np.float32)  # every base carries its own code
    subset = Subset(stored, np.arange(5))
    batch = subset.batch(np.arange(5), reverse=np.full(5, reverse), shift=np.full(5, shift))
    codes = 3 - batch.codes if reverse else batch.codes
    np.testing.assert_array_equal(batch.signals[:, 0], codes)
