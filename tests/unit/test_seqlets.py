"""Seqlets: found where contributions stand together, not where they are scattered."""

from __future__ import annotations

import numpy as np
import pytest

from encre.interpret.motifs.seqlets import fdr_threshold, find_seqlets, window_sums


def scattered(count: int = 100, length: int = 80) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, (count, length))


def planted(sign: float) -> tuple[np.ndarray, np.ndarray]:
    values, places = scattered(), np.random.default_rng(1).integers(0, 71, 100)
    for row, place in enumerate(places[:50]):
        values[row, place : place + 9] += sign
    return values, places[:50]


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_every_planted_stretch_is_one_seqlet(sign):
    values, places = planted(sign)
    found = find_seqlets(values, np.random.default_rng(2), core=9, flank=5)
    strong = found.of_sign(int(sign))
    assert set(range(50)) <= set(strong.row.tolist())
    first = {int(row): int(start) for row, start in zip(strong.row, strong.start, strict=True)}
    centre = np.array([first[row] for row in range(50)]) + found.width / 2
    inside = (places > 5) & (places < 66)
    assert np.abs(centre - (places + 4.5))[inside].max() <= 2
    assert len(found.row) <= 55  # at most a few by chance


def test_scattered_contributions_give_none():
    found = find_seqlets(scattered(), np.random.default_rng(2), core=9, flank=5)
    assert len(found.row) <= 2
    assert len(find_seqlets(np.zeros((5, 40)), np.random.default_rng(0), core=9, flank=5).row) == 0


def test_many_zeros_do_not_hide_what_stands_together():
    """A maximum over positions gives contributions of exactly 0; TF-MoDISco's own null found a fifth of these."""
    values = np.zeros((100, 80))
    values[:, 30:39] = 2.0
    assert len(find_seqlets(values, np.random.default_rng(0), core=9, flank=5).row) == 100


def test_cores_never_overlap_and_windows_stay_inside():
    values, _ = planted(1.0)
    values[0] = 1.0  # a whole row
    found = find_seqlets(values, np.random.default_rng(2), core=9, flank=8)
    assert found.width == 25
    assert (found.start >= 0).all()
    assert (found.start + found.width <= 80).all()
    own = found.start[found.row == 0]
    assert 7 <= len(own) <= 9  # cores of 9 side by side in 80 bases


def test_the_same_stream_gives_the_same_seqlets():
    values, _ = planted(1.0)
    first, second = (find_seqlets(values, np.random.default_rng(7), core=9, flank=5) for _ in range(2))
    np.testing.assert_array_equal(first.start, second.start)
    assert first.thresholds == second.thresholds


def test_window_sums_equal_a_loop():
    values = scattered(3, 20)
    expected = [[row[i : i + 6].sum() for i in range(15)] for row in values]
    np.testing.assert_allclose(window_sums(values, 6), expected)


def test_the_threshold_keeps_the_false_discovery_rate():
    rng = np.random.default_rng(0)
    null, values = rng.normal(size=5000), np.concatenate([rng.normal(size=4500), rng.normal(6, 1, 500)])
    threshold = fdr_threshold(values, null, 0.05)
    assert ((null >= threshold).sum() + 1) <= 0.05 * (values >= threshold).sum()
    assert 480 <= (values >= threshold).sum() <= 560
    assert fdr_threshold(null, null, 0.05) == np.inf
    assert fdr_threshold(-np.abs(null), null, 0.05) == np.inf
