"""What holds of clusters of near-duplicates for any sequences, in any order, on either strand."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from encre.sequence.alphabet import encode_many, reverse_complement
from encre.sequence.flat import offsets_of
from encre.sequence.near_duplicates import near_duplicate_clusters, near_duplicate_pairs, numbered

some = settings(deadline=None, max_examples=20)


def relatives(seed, count):
    """Windows of a few short texts with changes, some of them equal, some with N; so that many are similar."""
    rng = np.random.default_rng(seed)
    roots = rng.integers(0, 4, (3, 160), dtype=np.uint8)
    out = []
    for _ in range(count):
        begin = int(rng.integers(0, 60))
        piece = roots[rng.integers(0, 3), begin : begin + int(rng.integers(40, 101))].copy()
        places = rng.choice(len(piece), int(rng.integers(0, 8)), replace=False)
        piece[places] = rng.integers(0, 5, len(places))
        out.append(piece)
    return [*out, out[0], reverse_complement(out[0])]


def flat(pieces):
    return np.concatenate(pieces), offsets_of(np.array([len(piece) for piece in pieces]))


@some
@given(st.integers(0, 2**32), st.integers(1, 40))
def test_neither_the_order_nor_the_strands_of_the_rows_change_the_clusters(seed, count):
    pieces = relatives(seed, count)
    rng = np.random.default_rng(seed)
    labels = near_duplicate_clusters(*flat(pieces))
    order = rng.permutation(len(pieces))
    turned = [reverse_complement(pieces[i]) if rng.random() < 0.5 else pieces[i] for i in order]
    assert np.array_equal(near_duplicate_clusters(*flat(turned)), numbered(labels[order]))


@some
@given(st.integers(0, 2**32), st.integers(1, 40))
def test_clusters_are_what_the_pairs_connect_numbered_by_first_rows(seed, count):
    pieces = relatives(seed, count)
    labels = near_duplicate_clusters(*flat(pieces))
    pairs = near_duplicate_pairs(*flat(pieces))
    root = np.arange(len(pieces))
    for _ in pieces:
        np.minimum.at(root, pairs.a, root[pairs.b])
        np.minimum.at(root, pairs.b, root[pairs.a])
    assert np.array_equal(labels, numbered(root))
    first = np.unique(labels, return_index=True)[1]
    assert (np.diff(first) > 0).all()


@some
@given(st.integers(0, 2**32), st.integers(1, 40))
def test_pairs_between_sides_are_the_pairs_whose_sides_differ(seed, count):
    pieces = relatives(seed, count)
    sides = np.random.default_rng(seed).integers(-1, 2, len(pieces)).astype(np.int8)
    every = near_duplicate_pairs(*flat(pieces))
    across = sides[every.a] != sides[every.b]
    between = near_duplicate_pairs(*flat(pieces), sides=sides)
    for column, expected in zip(between, every, strict=True):
        assert np.array_equal(column, expected[across])


@some
@given(st.lists(st.text(alphabet="ACGTN", max_size=60), max_size=12))
def test_any_sequences_at_all_are_taken(texts):
    codes, offsets = encode_many(texts)
    labels = near_duplicate_clusters(codes, offsets)
    pairs = near_duplicate_pairs(codes, offsets)
    assert len(labels) == len(texts)
    for a, b in zip(pairs.a, pairs.b, strict=True):
        assert a < b
        assert labels[a] == labels[b]
    for a, text in enumerate(texts):
        assert all(labels[a] == labels[b] for b in range(a) if texts[b] == text)
