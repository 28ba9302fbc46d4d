"""The shuffle draws every arrangement equally often: against all of them, written out."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from scipy.stats import chisquare

from encre.sequence.alphabet import decode_many, encode
from encre.sequence.edits import dinucleotide_shuffle
from encre.sequence.flat import offsets_of


def arrangements(text: str) -> list[str]:
    """All texts with the same dinucleotides and the same ends, by trying every order of the inner letters."""
    wanted = Counter(itertools.pairwise(text))
    found = {text[0] + "".join(inner) + text[-1] for inner in itertools.permutations(text[1:-1])}
    return sorted(other for other in found if Counter(itertools.pairwise(other)) == wanted)


@pytest.mark.parametrize("text", ["ACAGATACA", "AACAGAATA", "ACCAGGAC", "ANACNACA", "CGATCGTAG"])
def test_every_arrangement_is_equally_likely(text):
    expected = arrangements(text)
    assert len(expected) > 3
    count = 600 * len(expected)
    codes = np.tile(encode(text), count)
    offsets = offsets_of(np.full(count, len(text)))
    drawn = Counter(decode_many(dinucleotide_shuffle(codes, offsets, np.random.default_rng(5)), offsets))
    assert sorted(drawn) == expected
    assert chisquare([drawn[other] for other in expected]).pvalue > 1e-4


def test_low_complexity_long_and_empty_sequences_are_shuffled_too():
    texts = ["A" * 300, "AC" * 200, "A" * 200 + "C", "", "ACG", "ACGT" * 2000, "N" * 50]
    codes = encode("".join(texts))
    offsets = offsets_of(np.array([len(text) for text in texts]))
    shuffled = decode_many(dinucleotide_shuffle(codes, offsets, np.random.default_rng(0)), offsets)
    for before, after in zip(texts, shuffled, strict=True):
        assert Counter(itertools.pairwise(before)) == Counter(itertools.pairwise(after))


def test_the_same_stream_gives_the_same_shuffle_and_real_sequences_change():
    rng = np.random.default_rng(3)
    lengths = rng.integers(150, 351, 60)
    offsets = offsets_of(lengths)
    codes = rng.integers(0, 4, offsets[-1], dtype=np.uint8)
    first = dinucleotide_shuffle(codes, offsets, np.random.default_rng(1))
    assert np.array_equal(first, dinucleotide_shuffle(codes, offsets, np.random.default_rng(1)))
    assert not np.array_equal(first, dinucleotide_shuffle(codes, offsets, np.random.default_rng(2)))
    same = [np.mean(first[a:b] == codes[a:b]) for a, b in itertools.pairwise(offsets)]
    assert max(same) < 0.5
