"""Letters, strands, canonical form and composition, by hand."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from encre.errors import SequenceError
from encre.sequence.alphabet import (
    canonical_flat,
    decode,
    decode_many,
    encode,
    encode_many,
    gc_share,
    group_ids,
    n_share,
    reverse_complement,
    reverse_complement_flat,
)


def test_any_case_is_read_and_other_letters_become_n():
    assert encode("acgtACGTnNRYU-*").tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 4, 4, 4, 4, 4, 4, 4]
    assert encode(b"ACGT").tolist() == [0, 1, 2, 3]
    assert decode(encode("acgtr")) == "ACGTN"
    assert encode("").shape == (0,)


def test_a_sign_that_no_sequence_has_is_named_with_its_place():
    with pytest.raises(SequenceError, match=r"'7' at position 3"):
        encode("AC7T")
    with pytest.raises(SequenceError, match=r"sequence 2 is not DNA.*' ' at position 2"):
        encode_many(["ACGT", "A C"])
    with pytest.raises(SequenceError, match=r"'é' at position 2"):
        encode_many(["AéC"])


def test_reverse_complement_of_one_and_of_many():
    assert decode(reverse_complement(encode("AACGTN"))) == "NACGTT"
    codes, offsets = encode_many(["AAC", "", "GNT"])
    assert decode_many(reverse_complement_flat(codes, offsets), offsets) == ["GTT", "", "ANC"]


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("TTTT", "AAAA"),
        ("ACGT", "ACGT"),  # its own reverse complement
        ("NC", "GN"),
        ("NA", "NA"),  # reverse complement TN: N stands before T in text, though its code is larger
        ("TN", "NA"),
        ("ANT", "ANT"),
        ("GGGCCA", "GGGCCA"),
        ("N", "N"),
    ],
)
def test_the_canonical_form_is_the_smaller_text(text, canonical):
    codes, offsets = encode_many([text])
    found, flipped = canonical_flat(codes, offsets)
    assert decode(found) == canonical
    assert flipped[0] == (text != canonical)


def test_both_strands_share_a_group_and_it_is_the_md5_of_the_canonical_text():
    codes, offsets = encode_many(["GATTACA", "TGTAATC", "GATTACC"])
    groups = group_ids(codes, offsets)
    assert groups[0] == groups[1] != groups[2]
    assert groups[0] == hashlib.md5(b"GATTACA").hexdigest()


def test_long_palindromes_and_runs_of_n_are_decided():
    half = "ACGTTGCA" * 30
    palindrome = half + decode(reverse_complement(encode(half)))
    late = "N" * 200 + "C" + "N" * 200 + "A" + "N" * 300
    codes, offsets = encode_many([palindrome, "N" * 500, late])
    found, flipped = canonical_flat(codes, offsets)
    other = decode(reverse_complement(encode(late)))
    assert decode_many(found, offsets) == [palindrome, "N" * 500, min(late, other)]
    assert flipped.tolist() == [False, False, other < late]


def test_composition_is_of_known_bases():
    codes, offsets = encode_many(["GGCC", "GANN", "NN", "AT", ""])
    assert gc_share(codes, offsets).tolist() == [1.0, 0.5, 0.0, 0.0, 0.0]
    assert n_share(codes, offsets).tolist() == [0.0, 0.5, 1.0, 0.0, 1.0]


def test_codes_are_bytes():
    assert encode("ACGT").dtype == np.uint8
    assert encode_many(["ACGT"])[1].dtype == np.int64
