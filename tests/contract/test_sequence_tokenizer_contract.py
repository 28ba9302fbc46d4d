"""What every tokenizer of the registry must do."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from encre.sequence.tokenizers import TOKENIZERS, from_json


@pytest.fixture(params=sorted(TOKENIZERS))
def tokenizer(request):
    return TOKENIZERS[request.param]()


def test_it_comes_back_from_its_own_file(tokenizer):
    assert from_json(tokenizer.to_json()) == tokenizer


def test_numpy_and_torch_give_the_same_and_shapes_fit_lengths(tokenizer):
    codes = np.random.default_rng(0).integers(0, 5, (3, 20), dtype=np.uint8)
    tokens = tokenizer.tokens(codes)
    assert np.array_equal(tokens, tokenizer.tokens(torch.from_numpy(codes)).numpy())
    assert tokens.shape[:2] == (3, int(tokenizer.lengths(np.array([20]))[0]))


def test_padding_looks_like_n_and_moves_no_other_token(tokenizer):
    codes = np.random.default_rng(1).integers(0, 4, (1, 20), dtype=np.uint8)
    longer = np.concatenate([codes, np.full((1, 7), 4, dtype=np.uint8)], axis=1)
    tokens = tokenizer.tokens(codes)
    assert np.array_equal(tokenizer.tokens(longer)[:, : tokens.shape[1]], tokens)


def test_words_are_as_many_as_the_vocabulary(tokenizer):
    assert len(set(tokenizer.words())) == tokenizer.vocabulary_size
