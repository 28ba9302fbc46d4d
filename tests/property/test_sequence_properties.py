"""What holds for any sequences."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from encre.sequence.alphabet import (
    canonical_flat,
    decode_many,
    encode_many,
    group_ids,
    reverse_complement_flat,
)
from encre.sequence.edits import dinucleotide_shuffle
from encre.sequence.flat import blocks, offsets_of, pack, padded, take_flat, unpack

dna = st.text(alphabet="ACGTN", max_size=60)
many = st.lists(dna, min_size=1, max_size=12)
quick = settings(deadline=None, max_examples=80)


@quick
@given(many)
def test_decode_of_encode_is_identity(texts):
    assert decode_many(*encode_many(texts)) == texts


@quick
@given(many)
def test_reverse_complement_twice_is_identity_and_maps_letters(texts):
    codes, offsets = encode_many(texts)
    once = reverse_complement_flat(codes, offsets)
    table = str.maketrans("ACGTN", "TGCAN")
    assert decode_many(once, offsets) == [text[::-1].translate(table) for text in texts]
    assert np.array_equal(reverse_complement_flat(once, offsets), codes)


@quick
@given(many)
def test_canonical_is_the_smaller_strand_and_groups_do_not_see_the_strand(texts):
    codes, offsets = encode_many(texts)
    other = reverse_complement_flat(codes, offsets)
    canonical, flipped = canonical_flat(codes, offsets)
    pairs = list(zip(texts, decode_many(other, offsets), strict=True))
    assert decode_many(canonical, offsets) == [min(pair) for pair in pairs]
    assert flipped.tolist() == [b < a for a, b in pairs]
    assert group_ids(codes, offsets).tolist() == group_ids(other, offsets).tolist()


@quick
@given(many, st.integers(0, 2**32))
def test_a_shuffle_keeps_every_dinucleotide_and_both_ends(texts, seed):
    codes, offsets = encode_many(texts)
    shuffled = decode_many(dinucleotide_shuffle(codes, offsets, np.random.default_rng(seed)), offsets)
    for before, after in zip(texts, shuffled, strict=True):
        assert sorted(a + b for a, b in itertools.pairwise(before)) == sorted(
            a + b for a, b in itertools.pairwise(after)
        )
        assert before[:1] == after[:1]
        assert before[-1:] == after[-1:]


@quick
@given(many)
def test_packing_is_lossless(texts):
    codes, _ = encode_many(texts)
    out = np.empty(len(codes), dtype=np.uint8)
    packed = pack(codes)
    unpack(packed, len(codes), out=out)
    assert len(packed) == (len(codes) + 1) // 2
    assert np.array_equal(out, codes)


@quick
@given(many, st.integers(1, 100), st.integers(0, 2**32))
def test_blocks_cover_all_rows_once(texts, size, seed):
    offsets = offsets_of(np.array([len(text) for text in texts]))
    rows = [row for first, last in blocks(offsets, size) for row in range(first, last)]
    assert rows == list(range(len(texts)))


@quick
@given(many, st.integers(0, 2**32))
def test_taking_and_padding_rows_gives_those_sequences(texts, seed):
    codes, offsets = encode_many(texts)
    rows = np.random.default_rng(seed).integers(0, len(texts), size=2 * len(texts))
    assert decode_many(*take_flat(codes, offsets, rows)) == [texts[row] for row in rows]
    lengths = np.diff(offsets)
    width = int(lengths.max())
    table = padded(codes, offsets[:-1][rows], lengths[rows], width=width)
    grid = decode_many(table.ravel(), offsets_of(np.full(len(rows), width)))
    assert grid == [texts[row].ljust(width, "N") for row in rows]
