"""Byte-pair subwords: the ids of `tokenizers` itself, N, learning that repeats, what is refused."""

from __future__ import annotations

import copy
import json
import sys

import numpy as np
import pytest
import torch

from encre.errors import ConfigError, FormatError, MissingExtraError
from encre.models.cnn import CNNConfig
from encre.models.model import build_model
from encre.sequence.alphabet import encode
from encre.sequence.bpe import PIECE, BytePairs, padded_ids, texts_of, train_byte_pairs
from encre.sequence.tokenizers import from_json, make_tokenizer
from encre.tasks import screen_tasks


def random_texts(count: int, length: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list("ACGT"), length)) for _ in range(count)]


@pytest.fixture(scope="module")
def pairs() -> BytePairs:
    return train_byte_pairs(random_texts(40, 300), vocabulary_size=64)


@pytest.mark.data
def test_ids_are_those_of_the_package_on_dnabert2s_file(data):
    import tokenizers

    path = data / "tokenizers" / "dnabert2_tokenizer.json"
    own = make_tokenizer("bpe", k=3, vocabulary=path)
    other = tokenizers.Tokenizer.from_file(str(path))
    texts = [*random_texts(30, 200), "ACGTNNACGT", "N" * 8]
    assert own.encode(texts) == [other.encode(text, add_special_tokens=False).ids for text in texts]
    assert own.encode(texts[:2], specials=True) == [other.encode(text).ids for text in texts[:2]]
    assert own.encode(["ACNNG"])[0].count(0) == 2  # [UNK] for each N, as its file has it
    long = random_texts(1, 9_000)
    assert sum(len(own.words()[i]) for i in own.encode(long)[0]) == 9_000  # its file would cut at 636 tokens
    assert (own.vocabulary_size, own.padding_id) == (4096, 3)
    assert own.to_json() == path.read_text()


def test_the_same_texts_give_the_same_file_and_every_base_is_kept(pairs):
    again = train_byte_pairs(random_texts(40, 300), vocabulary_size=64)
    assert again == pairs
    assert train_byte_pairs(random_texts(40, 300, seed=1), vocabulary_size=64) != pairs
    assert pairs.vocabulary_size == len(set(pairs.words())) == 64
    assert pairs.words()[:9] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "A", "C", "G", "T"]
    text = random_texts(1, 100, seed=2)[0]
    assert "".join(pairs.words()[i] for i in pairs.encode([text])[0]) == text


def test_a_run_of_n_is_one_unknown_token_and_no_pair_reaches_over_it(pairs):
    ids = pairs.encode(["ACGNNNNACG", "ACG", "NN"])
    assert ids == [[*ids[1], 1, *ids[1]], ids[1], [1]]
    learned = train_byte_pairs(["ACGTN" * 200], vocabulary_size=12)
    assert not any("N" in word for word in learned.words()[5:])
    assert "".join(learned.words()[i] for i in learned.encode(["ACGTACGT"])[0]) == "ACGTACGT"


def test_tokens_are_no_longer_than_a_piece():
    found = train_byte_pairs(["A" * 4_000], vocabulary_size=16)
    assert found.longest_word == PIECE


def test_a_batch_is_cut_by_its_real_lengths(pairs):
    codes = np.stack([encode("ACGTACGTAA"), encode("GGTANNNNNN")])
    texts = texts_of(codes, np.array([10, 5]))
    assert texts == ["ACGTACGTAA", "GGTAN"]
    ids, count = padded_ids(pairs.encode(texts), 0)
    assert ids.shape == (2, count.max())
    assert [row[:n].tolist() for row, n in zip(ids, count, strict=True)] == pairs.encode(texts)
    assert not ids[1, count[1] :].any()


def test_a_model_on_byte_pairs_reads_its_vocabulary_once_and_can_be_copied(pairs, tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text(pairs.to_json())
    model = build_model(CNNConfig(input="bpe", vocabulary=str(path), channels=(4, 4)), tasks=screen_tasks(["heart"]))
    path.unlink()
    codes, length = torch.from_numpy(encode("ACGTACGTAAN")[None].copy()), torch.tensor([11])
    copied = copy.deepcopy(model.eval())
    assert torch.equal(copied(codes, length), model(codes, length))
    assert model.config.files() == {"tokenizer.json": pairs.to_json()}
    assert model.trunk.input.embedding.weight.shape == (64, 16)


def test_it_comes_back_from_its_file_and_another_is_refused(pairs, tmp_path):
    assert from_json(pairs.to_json()) == pairs
    path = tmp_path / "own.json"
    path.write_text('{"version": "9.0", "model": {}}')
    with pytest.raises(FormatError, match=r"own.json: not a tokenizer"):
        make_tokenizer("bpe", k=3, vocabulary=path)
    path.write_text('{"name": "kmer", "k": 3}')
    with pytest.raises(ConfigError, match=r"of other tokens \(expected bpe; got 3-mers\)"):
        make_tokenizer("bpe", k=3, vocabulary=path)
    without = json.loads(pairs.to_json())
    without["model"]["unk_token"] = None
    path.write_text(json.dumps(without))
    with pytest.raises(FormatError, match=r"makes no token of a base.*encre data tokenizer"):
        make_tokenizer("bpe", k=3, vocabulary=path)
    with pytest.raises(ConfigError, match=r"too few for so many tokens.*expected 4,096"):
        train_byte_pairs(["ACGT" * 30])


def test_the_keys_of_one_input_do_not_go_with_another():
    for values, said in (
        ({"input": "bpe"}, "needs a vocabulary"),
        ({"input": "one_hot", "stride": 2}, "a stride goes with k-mers"),
        ({"input": "canonical_kmer", "vocabulary": "x"}, "a vocabulary goes with"),
    ):
        with pytest.raises(ConfigError, match=said):
            CNNConfig(**values)


def test_without_the_package_the_extra_is_named(monkeypatch, pairs):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'encre\[tokenizers\]'"):
        from_json(pairs.to_json())
