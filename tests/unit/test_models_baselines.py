"""What the baselines that are no logistic regression do: nearest neighbour, gkm-SVM, and quantities."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.svm import LinearSVC

from encre.errors import ConfigError
from encre.models.baselines import BASELINES, Kmer4, baseline_kinds, kmer_frequencies
from encre.models.baselines.gkm import GkmSVM, Shape, Words, mismatch_weights
from encre.models.baselines.neighbour import NearestNeighbour
from encre.sequence.alphabet import complement

SMALL = Shape(6, 4, 2)


def sequences(rows: int, length: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    codes = np.random.default_rng(seed).integers(0, 4, rows * length).astype(np.uint8)
    return codes, np.arange(rows + 1) * length


def planted(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random sequences; every second one has a motif, in which the middle base may be any."""
    codes, offsets = sequences(rows, seed=seed)
    motif = np.array([2, 0, 3, 0, 1, 2, 0], np.uint8)
    rng = np.random.default_rng(seed + 1)
    for row in range(0, rows, 2):
        at = offsets[row] + rng.integers(0, 50)
        codes[at : at + 7] = motif
        codes[at + 3] = rng.integers(0, 4)
    return codes, offsets, (np.arange(rows) % 2 == 0)[:, None].astype(float)


def kernel(words: Words) -> np.ndarray:
    return np.stack([words.product(row) - 1 for row in np.eye(words.count)])


def test_the_kernel_counts_pairs_of_words_by_their_differences():
    codes, offsets = sequences(8, 20)
    codes[30] = 4  # N: no word holds it
    weights = mismatch_weights(SMALL)
    raw = np.zeros((8, 8))
    strands = [codes.reshape(8, 20), complement(codes).reshape(8, 20)[:, ::-1]]
    cut = [np.lib.stride_tricks.sliding_window_view(s, 6, axis=1) for s in strands]
    for i, j in np.ndindex(8, 8):
        for other in cut:
            differ = (cut[0][i][:, None] != other[j][None]).sum(-1)
            known = (cut[0][i] < 4).all(-1)[:, None] & (other[j] < 4).all(-1)[None]
            raw[i, j] += weights[differ][known].sum()
    own = np.sqrt(np.diag(raw))
    np.testing.assert_allclose(kernel(Words(codes, offsets, SMALL)), raw / own / own[:, None], atol=1e-5)


def test_the_kernel_is_that_of_gkmsvm_lite():
    gram = pytest.importorskip("gkmsvm.gram")
    from gkmsvm.svm import KERNEL_BUILDERS

    theirs = KERNEL_BUILDERS["gkm_esttrunc"]({"L": 11, "k": 7, "d": 3})
    np.testing.assert_allclose(mismatch_weights(Shape()), theirs._mismatch_table, atol=1e-12)
    codes, offsets = sequences(6)
    codes[60:120] = codes[:60]  # alike but for a few bases
    codes[60:70] = 0
    one_hot = np.ascontiguousarray(np.eye(4, dtype=np.float32)[codes].reshape(6, 60, 4).transpose(0, 2, 1))
    np.testing.assert_allclose(kernel(Words(codes, offsets, Shape())), gram.compute_gram(theirs, one_hot), atol=1e-6)


def test_the_machine_is_scikit_learns(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(GkmSVM, "shape", SMALL)
    codes, offsets, targets = planted(120, 3)
    other = planted(50, 5)[:2]
    found = GkmSVM().fit(codes, offsets, targets, targets >= 0).logits(*other)[:, 0]
    both = Words(np.concatenate([codes, other[0]]), np.arange(171) * 60, SMALL)
    values, vectors = np.linalg.eigh(kernel(both))  # its features, so that a linear machine can be asked
    features = vectors * np.sqrt(np.maximum(values, 0))
    asked = LinearSVC(C=1.0, loss="squared_hinge", tol=1e-8, max_iter=100_000).fit(features[:120], targets[:, 0])
    np.testing.assert_allclose(found, asked.decision_function(features[120:]), atol=0.01)


def test_a_gapped_motif_is_learnt_and_found_on_either_strand(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(GkmSVM, "shape", SMALL)
    codes, offsets, targets = planted(400, 7)
    fitted = GkmSVM().fit(codes, offsets, targets, targets >= 0)
    codes, offsets, targets = planted(200, 11)
    scores = fitted.logits(codes, offsets)[:, 0]
    assert scores[::2].mean() > scores[1::2].mean() + 0.3
    turned = np.ascontiguousarray(complement(codes).reshape(200, 60)[:, ::-1]).ravel()
    np.testing.assert_allclose(fitted.logits(turned, offsets)[:, 0], scores, atol=1e-4)


def test_the_nearest_training_sequence_gives_its_own_answer():
    codes, offsets = sequences(40, 150)
    rng = np.random.default_rng(2)
    targets = np.stack([rng.integers(0, 2, 40), rng.normal(size=40)], axis=1).astype(float)
    mask = np.ones((40, 2), bool)
    fitted = NearestNeighbour().fit(codes, offsets, targets, mask, regression=np.array([False, True]))
    nearly = codes.copy()
    nearly[offsets[:-1] + 75] = 0
    logits = fitted.logits(nearly, offsets)
    np.testing.assert_array_equal(logits[:, 0] > 0, targets[:, 0] > 0.5)
    np.testing.assert_allclose(logits[:, 1], targets[:, 1], atol=1e-6)


def test_quantities_are_ridge_regressions_and_means():
    codes, offsets = sequences(300, 80)
    y = kmer_frequencies(codes, offsets, 4)[:, :1] * 10 + 3
    mask = np.random.default_rng(0).random((300, 1)) < 0.8
    how = {"regression": np.array([True])}
    found = Kmer4().fit(codes, offsets, y, mask, **how).logits(codes, offsets)[:, 0]
    x = kmer_frequencies(codes, offsets, 4)
    x = (x - x.mean(0)) / np.maximum(x.std(0), 1e-6)
    asked = Ridge(alpha=3000).fit(x[mask[:, 0]], y[mask[:, 0], 0])
    np.testing.assert_allclose(found, asked.predict(x), atol=1e-3)
    constant = BASELINES["all_positive"]().fit(codes, offsets, y, mask, **how).logits(codes, offsets)
    np.testing.assert_allclose(constant, y[mask].mean(), rtol=1e-6)


def test_an_unknown_baseline_is_refused_with_the_nearest_name():
    assert set(baseline_kinds(["gkm_svm"])) == {*BASELINES, "gkm_svm"}
    with pytest.raises(ConfigError, match="gkm_svm"):
        baseline_kinds(["gkmsvm"])
