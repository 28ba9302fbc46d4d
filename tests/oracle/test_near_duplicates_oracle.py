"""Near-duplicates against what was planted, and against a slow judge that tries every diagonal."""

from __future__ import annotations

import importlib.util
import itertools
from pathlib import Path

import numpy as np
import pytest

from encre.sequence.alphabet import reverse_complement
from encre.sequence.near_duplicates import near_duplicate_clusters, near_duplicate_pairs


def _planted():
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "planted.py"
    spec = importlib.util.spec_from_file_location("planted", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


planted = _planted()


def one(codes, offsets, row):
    return codes[offsets[row] : offsets[row + 1]]


@pytest.fixture(scope="module")
def crowd():
    """Random sequences, changed copies of some, and a small family of repeats, with N strewn in."""
    rng = np.random.default_rng(7)
    codes, offsets = planted.random_sequences(rng, 40, shortest=50, longest=140)
    codes, offsets, _ = planted.plant(codes, offsets, rng, pairs=30, lowest=0.85)
    short = [planted.substituted(one(codes, offsets, 0)[:50], 3, rng), one(codes, offsets, 1)[20:]]
    codes, offsets = planted.followed_by(codes, offsets, short)
    codes = codes.copy()
    codes[rng.choice(len(codes), 60, replace=False)] = 4
    return codes, offsets


@pytest.mark.parametrize(("similarity", "min_overlap"), [(0.9, 0.5), (0.95, 0.8), (1.0, 0.4)])
def test_exactly_the_pairs_of_the_slow_judge_are_reported(crowd, similarity, min_overlap):
    codes, offsets = crowd
    found = near_duplicate_pairs(codes, offsets, similarity=similarity, min_overlap=min_overlap)
    names = set(zip(found.a.tolist(), found.b.tolist(), strict=True))
    slow = {
        (a, b)
        for a, b in itertools.combinations(range(len(offsets) - 1), 2)
        if planted.slow_similar(one(codes, offsets, a), one(codes, offsets, b), similarity, min_overlap)
    }
    assert len(names) == len(found.a)
    assert names <= slow
    # Copies of 50 bases with changes may share no seed; most do.
    assert len(names) >= 0.9 * len(slow)
    assert len(slow) >= 10


def test_strand_shift_identity_and_length_say_where_the_stretch_lies():
    rng = np.random.default_rng(3)
    codes, offsets = planted.random_sequences(rng, 300)
    codes, offsets, _ = planted.plant(codes, offsets, rng, pairs=200)
    flip = rng.random(len(offsets) - 1) < 0.5
    codes = np.concatenate(
        [
            reverse_complement(one(codes, offsets, row)) if flip[row] else one(codes, offsets, row)
            for row in range(len(offsets) - 1)
        ]
    )
    found = near_duplicate_pairs(codes, offsets)
    assert len(found.a) > 180
    assert found.reverse.any()
    assert not found.reverse.all()
    for a, b, reverse, shift, identity, length in zip(*found, strict=True):
        ours, theirs = one(codes, offsets, a), one(codes, offsets, b)
        theirs = reverse_complement(theirs) if reverse else theirs
        match = ours[max(shift, 0) :][: len(theirs) - max(-shift, 0)]
        match = match == theirs[max(-shift, 0) :][: len(match)]
        stretches = np.lib.stride_tricks.sliding_window_view(match, length).mean(axis=1)
        assert stretches.max() == pytest.approx(identity, abs=1e-6)
        assert identity >= 0.9 - 1e-6
        assert length >= min(len(ours), len(theirs)) / 2
        if length < len(match):  # a base more would not be identical enough
            assert np.lib.stride_tricks.sliding_window_view(match, length + 1).mean(axis=1).max() < 0.9


def test_planted_pairs_are_found_and_what_is_found_is_similar():
    rng = np.random.default_rng(1)
    codes, offsets = planted.random_sequences(rng, 20_000)
    codes, offsets, truth = planted.plant(codes, offsets, rng, pairs=3000)
    labels = near_duplicate_clusters(codes, offsets)
    together = labels[truth.a] == labels[truth.b]
    for kind, name in enumerate(planted.KINDS[:-1]):
        assert together[truth.kind == kind].mean() >= 0.99, name
    # With an indel in a shifted copy both halves may be too short to count: ask the slow judge.
    for row in np.flatnonzero(~together):
        a, b = one(codes, offsets, truth.a[row]), one(codes, offsets, truth.b[row])
        assert truth.kind[row] != planted.KINDS.index("all") or not planted.slow_similar(a, b, 0.9, 0.5)
    found = near_duplicate_pairs(codes, offsets)
    assert np.array_equal(labels[found.a], labels[found.b])
    for row in rng.choice(len(found.a), 40, replace=False):
        assert planted.slow_similar(one(codes, offsets, found.a[row]), one(codes, offsets, found.b[row]), 0.9, 0.5)


def test_near_duplicates_within_a_family_of_repeats_are_found():
    rng = np.random.default_rng(2)
    codes, offsets = planted.plant_family(*planted.random_sequences(rng, 2), rng, copies=5000, divergence=0.16)
    codes, offsets, truth = planted.plant(codes, offsets, rng, pairs=500, kinds=planted.KINDS[:-1])
    labels = near_duplicate_clusters(codes, offsets)
    assert (labels[truth.a] == labels[truth.b]).mean() >= 0.99
    # The family is too diverse to hang together; only its own near-duplicates do.
    assert np.bincount(labels).max() < 500


def test_a_young_family_is_one_cluster_and_repeats_of_two_bases_do_not_blow_up():
    rng = np.random.default_rng(2)
    codes, offsets = planted.plant_family(*planted.random_sequences(rng, 2), rng, copies=1500, divergence=0.02)
    labels = near_duplicate_clusters(codes, offsets)
    assert np.bincount(labels).max() == 1500
    codes, offsets = planted.random_sequences(rng, 1500, shortest=200)
    codes = codes.copy()
    for row in range(1500):
        codes[offsets[row] + 20 : offsets[row] + 90] = np.resize([0, 1], 70)
    assert np.bincount(near_duplicate_clusters(codes, offsets)).max() < 10


def test_the_planted_rows_are_what_the_truth_says():
    rng = np.random.default_rng(0)
    codes, offsets = planted.random_sequences(rng, 50)
    codes, offsets, truth = planted.plant(codes, offsets, rng, pairs=50, kinds=("identity", "indel"))
    for a, b, kind, identity, _ in zip(*truth, strict=True):
        ours, theirs = one(codes, offsets, a), one(codes, offsets, b)
        if planted.KINDS[kind] == "identity":
            assert (ours == theirs).mean() == pytest.approx(identity)
        else:
            assert 1 <= abs(len(ours) - len(theirs)) <= 10
        assert planted.slow_similar(ours, reverse_complement(theirs), 0.9, 0.5)
    assert not planted.slow_similar(one(codes, offsets, 0), one(codes, offsets, 1), 0.9, 0.5)
