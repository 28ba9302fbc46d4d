"""k-mers and one-hot, by hand, and the same on NumPy arrays and torch tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from encre.errors import ConfigError, FormatError, SequenceError
from encre.sequence.alphabet import decode, encode, reverse_complement
from encre.sequence.tokenizers import (
    TOKENIZERS,
    CanonicalKmerTokenizer,
    KmerTokenizer,
    OneHot,
    from_json,
    kmer_ids,
    make_tokenizer,
)
from encre.sequence.vocabulary import SPECIALS


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


@pytest.mark.parametrize(("k", "stride"), [(1, 2), (3, 3), (6, 4)])
def test_strided_tokens_are_every_so_many_overlapping_ones(k, stride):
    codes = np.random.default_rng(k).integers(0, 5, (4, 41), dtype=np.uint8)
    tokenizer = KmerTokenizer(k, stride)
    assert np.array_equal(tokenizer.tokens(codes), kmer_ids(codes, k)[:, ::stride])
    assert tokenizer.lengths(np.array([41, k + stride, k, k - 1])).tolist() == [(41 - k) // stride + 1, 2, 1, 0]


@pytest.mark.parametrize("k", range(1, 9))
def test_a_canonical_kmer_shares_its_id_with_its_reverse_complement_alone(k):
    tokenizer = CanonicalKmerTokenizer(k)
    words, ids = KmerTokenizer(k).words()[:-1], tokenizer.table[:-1]
    place = {word: number for number, word in enumerate(words)}
    other = [place[word.translate(str.maketrans("ACGT", "TGCA"))[::-1]] for word in words]
    assert np.array_equal(ids, ids[other])
    assert np.bincount(ids).tolist() == [len({n, other[n]}) for n in range(len(words)) if n <= other[n]]
    palindromes = 0 if k % 2 else 4 ** (k // 2)
    assert tokenizer.vocabulary_size == (4**k + palindromes) // 2 + 1
    codes = np.random.default_rng(k).integers(0, 5, (3, 30), dtype=np.uint8)
    assert np.array_equal(tokenizer.tokens(reverse_complement(codes)), tokenizer.tokens(codes)[:, ::-1])


@pytest.mark.data
@pytest.mark.parametrize("k", [3, 6])
def test_ids_are_those_of_dnabert(k, data):
    """Against DNABERT's own way: words at every base, looked up in its file, unknown ones as [UNK]."""
    path = data / "tokenizers" / f"dnabert_k{k}.vocab.txt"
    lines = path.read_text().split("\n")[: 4**k + 5]
    assert lines[:6] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "A" * k]
    tokenizer = make_tokenizer("kmer", k=k, vocabulary=path)
    codes = np.random.default_rng(k).integers(0, 5, (20, 60), dtype=np.uint8)
    text = [decode(row) for row in codes]
    place = {word: number for number, word in enumerate(lines)}
    expected = [[place.get(row[i : i + k], 1) for i in range(61 - k)] for row in text]
    assert tokenizer.tokens(codes).tolist() == expected
    assert tokenizer.tokens(torch.from_numpy(codes)).tolist() == expected
    assert tokenizer.tokens(codes, np.full(20, k))[:, :2].tolist() == [[row[0], 0] for row in expected]
    assert tokenizer.words() == lines
    assert from_json(tokenizer.to_json()) == tokenizer


def test_a_vocabulary_of_other_kmers_is_refused_with_its_k(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join([*SPECIALS, *KmerTokenizer(2).words()[:-1]]) + "\n")
    assert make_tokenizer("kmer", k=2, vocabulary=path).vocabulary_size == 21
    with pytest.raises(ConfigError, match=r"no word 'AAA'.*all 64 3-mers.*2-mers.*Set k = 2"):
        make_tokenizer("kmer", k=3, vocabulary=path)
    path.write_text("[PAD]\n[UNK]\nA\nC\nA\n")
    with pytest.raises(FormatError, match=r"line 5: the word 'A' stands there twice"):
        make_tokenizer("kmer", k=1, vocabulary=path)


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
    for text in ("", "[]", '{"k": 3}', '{"name": "kmer", "stripe": 3}'):
        with pytest.raises(FormatError, match="not a tokenizer"):
            from_json(text)


def test_the_registry_names_its_tokenizers():
    assert [kind.name for kind in TOKENIZERS.values()] == list(TOKENIZERS) == ["kmer", "canonical_kmer", "one_hot"]
