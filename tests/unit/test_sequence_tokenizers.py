"""k-mers and one-hot, by hand, and the same on NumPy arrays and torch tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from encre.errors import ConfigError, FormatError, SequenceError
from encre.sequence.alphabet import encode
from encre.sequence.tokenizers import TOKENIZERS, KmerTokenizer, OneHot, from_json, kmer_ids


def test_three_mers_count_in_base_four_and_n_is_64():
    assert kmer_ids(encode("AAACGTTTNA"), 3).tolist() == [0, 1, 6, 27, 47, 63, 64, 64]


def test_words_stand_in_id_order():
    tokenizer = KmerTokenizer(3)
    words = tokenizer.words()
    assert len(words) == tokenizer.vocabulary_size == 65
    assert words[tokenizer.special_id] == "NNN"
    for word in ("AAA", "ACG", "TTT", "NNN"):
        assert tokenizer.tokens(encode(word)).tolist() == [words.index(word)]


def test_padding_is_the_special_token_and_lengths_count_real_ones():
    tokenizer = KmerTokenizer(4)
    codes = np.full((2, 8), 4, dtype=np.uint8)
    codes[0, :6] = 1
    assert (tokenizer.tokens(codes) == 256).sum(axis=1).tolist() == [2, 5]
    assert tokenizer.lengths(np.array([6, 8, 3, 0])).tolist() == [3, 5, 0, 0]


@pytest.mark.parametrize("k", range(1, 9))
def test_torch_and_numpy_agree_for_every_k(k):
    codes = np.random.default_rng(k).integers(0, 5, (4, 40), dtype=np.uint8)
    assert torch.equal(kmer_ids(torch.from_numpy(codes), k), torch.from_numpy(kmer_ids(codes, k)))
    length = np.array([40, k, 0])
    tokenizer = KmerTokenizer(k)
    assert tokenizer.lengths(torch.from_numpy(length)).tolist() == tokenizer.lengths(length).tolist()


def test_one_hot_leaves_n_empty_on_both():
    codes = encode("ACGTN")[None]
    expected = np.eye(5, 4, dtype=bool)[None]
    assert np.array_equal(OneHot().tokens(codes), expected)
    assert np.array_equal(OneHot().tokens(torch.from_numpy(codes.copy())).numpy(), expected)


def test_too_short_and_out_of_range_are_said():
    with pytest.raises(SequenceError, match=r"2 bases are too few for 3-mers"):
        kmer_ids(encode("AC"), 3)
    for k in (0, 9):
        with pytest.raises(ConfigError, match=r"expected 1 to 8"):
            KmerTokenizer(k)


def test_a_foreign_tokenizer_file_is_refused():
    with pytest.raises(FormatError, match=r"Did you mean 'kmer'"):
        from_json('{"name": "kmers", "k": 3}')
    for text in ("", "[]", '{"k": 3}', '{"name": "kmer", "stride": 3}'):
        with pytest.raises(FormatError, match="not a tokenizer"):
            from_json(text)


def test_the_registry_names_its_tokenizers():
    assert {name: kind.name for name, kind in TOKENIZERS.items()} == {"kmer": "kmer", "one_hot": "one_hot"}
