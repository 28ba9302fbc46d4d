"""Models and baselines against slow, obvious versions."""

from __future__ import annotations

import collections
import itertools
import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from encre.models.baselines import Kmer4, Linear, kmer_frequencies
from encre.models.cnn import CNNConfig
from encre.models.cnn_lstm import CNNLSTMConfig
from encre.models.inference import padded, predict_logits
from encre.models.layers import Extent
from encre.models.model import build_model
from encre.models.transformer import Layer, TransformerConfig
from encre.sequence.alphabet import decode, encode_many
from encre.tasks import screen_tasks


@pytest.mark.parametrize("lengths", [[7, 7], [7, 3]])
def test_attention_equals_a_dense_one(lengths: list[int]):
    torch.manual_seed(0)
    layer = Layer(TransformerConfig(width=12, heads=3, feed_forward=8)).eval()
    x = torch.randn(2, 7, 12)
    extent = Extent.of(torch.tensor(lengths), 7, x.device)
    found = extent.unpack(layer.attend(extent.pack(x), extent))
    for b, n in enumerate(lengths):
        query, key, value = layer.query_key_value(x[b, :n]).split(12, dim=1)
        mixed = torch.zeros(n, 12)
        for head in range(3):
            at = slice(4 * head, 4 * head + 4)
            for i in range(n):
                weights = torch.stack([query[i, at] @ key[j, at] / math.sqrt(4) for j in range(n)]).softmax(0)
                mixed[i, at] = sum(weights[j] * value[j, at] for j in range(n))
        torch.testing.assert_close(found[b, :n], layer.output(mixed), atol=1e-5, rtol=1e-4)
        assert not found[b, n:].any()


def test_cnn_equals_plain_conv1d():
    torch.manual_seed(0)
    model = build_model(CNNConfig(channels=(6, 5)), tasks=screen_tasks(["brain"])).eval()
    codes = torch.randint(0, 4, (2, 25), dtype=torch.uint8)
    ids = codes[:, :-2].long() * 16 + codes[:, 1:-1].long() * 4 + codes[:, 2:].long()
    x = model.trunk.input.embedding.weight[ids].transpose(1, 2)
    for block in model.trunk.blocks:
        x = torch.nn.functional.conv1d(x, block.conv.weight[:, :, 0], block.conv.bias, padding=2).relu()
    vector = x.max(-1).values
    expected = torch.cat([model.heads["enhancer"](vector), model.heads["tissue"](vector)], 1)
    torch.testing.assert_close(model(codes, torch.tensor([25, 25])), expected, atol=1e-5, rtol=1e-4)


def test_padded_rows_equal_a_loop():
    texts = ["ACGTN", "GG", "TTTACG"]
    codes, offsets = encode_many(texts)
    rows = np.array([2, 0, 0, 1])
    assert [decode(row) for row in padded(codes, offsets, rows)] == ["TTTACG", "ACGTNN", "ACGTNN", "GGNNNN"]
    turned = [decode(row) for row in padded(codes, offsets, rows, reverse=True)]
    assert turned == ["CGTAAA", "NACGTN", "NACGTN", "CCNNNN"]


def test_kmer_frequencies_equal_a_loop():
    texts = ["ACGTACGGTNACGT", "AAAA", "ACG", "TTTTT"]
    codes, offsets = encode_many(texts)
    found = kmer_frequencies(codes, offsets, 4)
    assert found.shape == (4, 136)
    swap = str.maketrans("ACGT", "TGCA")
    for row, text in enumerate(texts):
        words = [text[i : i + 4] for i in range(len(text) - 3)]
        words = [min(w, w.translate(swap)[::-1]) for w in words if "N" not in w]
        counts = sorted(collections.Counter(words).values())
        expected = np.sqrt(np.array(counts) / max(1, len(words)))
        np.testing.assert_allclose(np.sort(found[row][found[row] > 0]), expected, rtol=1e-6)
    assert found[1].argmax() == found[3].argmax(), "AAAA and TTTT are one feature"


def test_logistic_regression_equals_scikit_learn():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 6)).astype(np.float32) * [1, 2, 3, 1, 1, 1]

    class Given(Linear):
        strength = 0.05

        def features(self, codes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
            return features.astype(np.float32)

    y = (features[:, 0] + rng.normal(size=300) > 0.3).astype(np.float32)
    mask = rng.random((300, 1)) < 0.8
    ours = Given().fit(np.empty(0, np.uint8), np.zeros(301, int), y[:, None], mask)
    x = (features - features.mean(0)) / features.std(0)
    theirs = LogisticRegression(C=0.05, tol=1e-8).fit(x[mask[:, 0]], y[mask[:, 0]])
    logits = ours.logits(np.empty(0, np.uint8), np.zeros(301, int))[:, 0]
    np.testing.assert_allclose(logits, theirs.decision_function(x), atol=2e-3)


def test_a_kmer_baseline_finds_a_planted_word_on_either_strand():
    rng = np.random.default_rng(0)
    texts, y = [], []
    for i in range(400):
        text = "".join(rng.choice(list("ACGT"), 60))
        y.append(i % 2)
        texts.append(text[:20] + ("TGACTCAT" if i % 4 == 1 else "ATGAGTCA") + text[28:] if i % 2 else text)
    codes, offsets = encode_many(texts)
    targets = np.array(y, np.float32)[:, None]
    logits = Kmer4().fit(codes, offsets, targets, np.ones((400, 1), bool)).logits(codes, offsets)[:, 0]
    assert logits[targets[:, 0] == 1].mean() > logits[targets[:, 0] == 0].mean() + 0.3


def test_predicting_equals_one_sequence_at_a_time():
    torch.manual_seed(0)
    model = build_model(CNNConfig(channels=(6,), kernel_sizes=(3,), pools=(1,)), tasks=screen_tasks([])).eval()
    texts = ["ACGTACGTAA", "CCCCGGGTTTAACC", "AGC", "NNNNACGTTTGA"]
    codes, offsets = encode_many(texts)
    swap = str.maketrans("ACGTN", "TGCAN")
    for row, text in enumerate(texts):
        both = [encode_many([t])[0] for t in (text, text.translate(swap)[::-1])]
        with torch.no_grad():
            expected = sum(model(torch.tensor(c)[None], torch.tensor([len(c)])) for c in both) / 2
        np.testing.assert_allclose(predict_logits(model, codes, offsets)[row], expected[0], atol=1e-5)


def test_the_two_directions_equal_a_packed_bidirectional_lstm():
    torch.manual_seed(0)
    config = CNNLSTMConfig(channels=(8, 8), kernel_sizes=(3, 3), pools=(1, 1), lstm=5)
    model = build_model(config, tasks=screen_tasks())
    trunk = model.eval().trunk
    oracle = torch.nn.LSTM(8, 5, batch_first=True, bidirectional=True)
    for name, ours in trunk.rightward.named_parameters():
        getattr(oracle, name).data = ours.data
    for name, ours in trunk.leftward.named_parameters():
        getattr(oracle, f"{name}_reverse").data = ours.data
    length = torch.tensor([20, 7, 13])
    codes = torch.randint(0, 4, (3, 20), dtype=torch.uint8)
    codes[torch.arange(20) >= length[:, None]] = 4
    steps, extent = trunk.convolutions(codes, length)
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        steps.transpose(1, 2), extent.length, batch_first=True, enforce_sorted=False
    )
    expected = torch.nn.utils.rnn.pad_packed_sequence(oracle(packed)[0], batch_first=True)[0]
    torch.testing.assert_close(trunk(codes, length)[0].transpose(1, 2), expected)


def test_bf16_attention_reads_each_sequence_at_its_own_length():
    """It goes another way than fp32, one sequence after the other: padding must not reach it there either."""
    torch.manual_seed(0)
    config = TransformerConfig(width=32, layers=2, heads=4, feed_forward=64)
    model = build_model(config, tasks=screen_tasks()).eval()
    rng = np.random.default_rng(0)
    length = np.array([40, 200, 3, 117, 200, 64])
    offsets = np.append(0, np.cumsum(length))
    codes = rng.integers(0, 4, int(offsets[-1]), dtype=np.uint8)
    together = predict_logits(model, codes, offsets, precision="bf16")
    alone = [
        predict_logits(model, codes[a:b], np.array([0, b - a]), precision="bf16")[0]
        for a, b in itertools.pairwise(offsets)
    ]
    np.testing.assert_allclose(together, np.stack(alone), atol=1e-3)
    np.testing.assert_allclose(together, predict_logits(model, codes, offsets), atol=5e-3)
