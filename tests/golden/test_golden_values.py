"""Values that must not move between versions: groups, tokens, shuffles, streams, and the shipped model's answers."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

import encre
from encre.reproducibility import stream
from encre.sequence.alphabet import decode_many, encode, encode_many, group_ids
from encre.sequence.edits import dinucleotide_shuffle
from encre.sequence.tokenizers import kmer_ids

#: A site of the shipped data: chr1:842,860-843,060 (hg38, 0-based), open in K562.
SITE = (
    "TGCATGTATGTTAGACAGAACAAATGCACGGCGGCCTTCAGCAGCACCGACCGCGTCAACCCCTCTGTGCTCACACCAGGAGTGATCAGCGCACACGCCC"
    "TCCCACAGGATGGGAGAAGGTGATAACAGCTGAGCTGGGTGTCCAGAAGCCAGCCCCACCCCACAGCCACTACTGAGAGGTTATGAGATCATGGCCTTAT"
)
STREAM = [31, 842, 466, 437, 59]
SHUFFLED = "TGCAGGACCATCGTGCATGGCTTTAAAACGCACAGATGTA"
LOGITS = {"element": 8.9180, "GM12878": -8.3097, "hESCT0": -8.4825, "K562": 6.2820, "HepG2": -6.5628}


def test_group_is_the_md5_of_the_canonical_text():
    # N stands between G and T as text, so the reverse complement ("ANC…") is the smaller of these two
    codes, offsets = encode_many(["TTGNT", "ANCAA", "ACGT"])
    expected = [hashlib.md5(text.encode()).hexdigest() for text in ("ANCAA", "ANCAA", "ACGT")]
    assert group_ids(codes, offsets).tolist() == expected
    assert expected[2] == "f1f8f4bf413b16ad135722aa4591043e"


def test_three_mers_are_base_four_with_64_for_n():
    assert kmer_ids(encode("ACGTNACG").astype(np.int64), 3).tolist() == [6, 27, 64, 64, 64, 6]


def test_a_named_stream_gives_the_same_numbers():
    assert stream(0, "train", "order", 0).integers(0, 1000, 5).tolist() == STREAM


def test_a_shuffle_of_a_seed_is_the_same_sequence():
    codes, offsets = encode_many([SITE[:40]])
    shuffled = dinucleotide_shuffle(codes, offsets, stream(0, "golden"))
    assert decode_many(shuffled, offsets) == [SHUFFLED]


def test_the_shipped_model_gives_the_answers_it_gave():
    table = encre.load().predict([SITE])
    found = {name: table[f"logit_{name}"][0] for name in LOGITS}
    assert found == pytest.approx(LOGITS, abs=1e-3)
    assert table["probability_K562"][0] > 0.5, "it is open in K562"
