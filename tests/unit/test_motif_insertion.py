"""Motifs in backgrounds: equal to writing them in and scoring whole; pairs tell whether distance matters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from encre.errors import SequenceError
from encre.interpret.motifs.insertion import (
    Backgrounds,
    Insertion,
    given_backgrounds,
    marginal_effects,
    mean_interval,
    shuffled_backgrounds,
)
from encre.interpret.motifs.pairs import NamedCodes, pair_spacing, permutation_p
from encre.models.cnn import CNNConfig
from encre.models.cnn_lstm import CNNLSTMConfig
from encre.models.inference import predict_logits
from encre.models.model import EnhancerModel, build_model
from encre.models.transformer import TransformerConfig
from encre.predict.inputs import Records
from encre.sequence.alphabet import encode
from encre.tasks import TaskSet
from toy_models import MOTIFS, motif_model, motif_tasks

SMALL = {"channels": (8,), "kernel_sizes": (5,), "pools": (1,)}
CONFIGS = [
    CNNConfig(input="one_hot", **SMALL),
    CNNConfig(input="kmer", k=3, **SMALL),
    CNNLSTMConfig(input="one_hot", lstm=4, **SMALL),
    TransformerConfig(width=8, layers=1, heads=2, feed_forward=8),
]


@dataclass
class Stub:
    """What a predictor is to insertions: a network and its tasks."""

    model: EnhancerModel

    @property
    def tasks(self) -> TaskSet:
        return self.model.tasks


def stub(model: EnhancerModel) -> Any:
    return Stub(model.eval())


def random_codes(count: int, length: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4, (count, length)).astype(np.uint8)


def logits(model: EnhancerModel, codes: np.ndarray) -> np.ndarray:
    offsets = np.arange(len(codes) + 1, dtype=np.int64) * codes.shape[1]
    return predict_logits(model.eval(), codes.reshape(-1), offsets)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.name}-{c.input}")
def test_marginalisation_equals_writing_the_motif_in(config):
    torch.manual_seed(0)
    model = build_model(config, tasks=motif_tasks())
    backgrounds, motifs = random_codes(6, 60), [encode("TGACTCAGC"), encode("GGAAG"), encode("GGAAT")]
    found = marginal_effects(Backgrounds(stub(model), backgrounds), motifs)
    for row, motif in enumerate(motifs):
        written = backgrounds.copy()
        start = (60 - len(motif)) // 2
        written[:, start : start + len(motif)] = motif
        delta = logits(model, written) - logits(model, backgrounds)
        np.testing.assert_allclose(found.mean[row], delta.mean(axis=0), atol=2e-5)
        half = 2.5706 * delta.std(axis=0, ddof=1) / np.sqrt(6)  # Student's t, 5 degrees of freedom
        np.testing.assert_allclose(found.high[row] - found.mean[row], half, rtol=1e-3, atol=2e-5)


def test_a_motif_raises_its_own_task_alone_and_a_too_wide_one_is_left_empty():
    found = marginal_effects(
        Backgrounds(stub(motif_model()), random_codes(20, 60)), [encode(MOTIFS["heart"]), np.zeros(61, np.uint8)]
    )
    assert found.low[0, 0] > 2
    assert abs(found.mean[0, 1]) < 0.6
    assert np.isnan(found.mean[1]).all()


def test_insertions_of_several_widths_keep_their_order():
    model, backgrounds = motif_model(), random_codes(4, 40)
    wide, narrow = Insertion(3, random_codes(4, 12, 1)), Insertion(20, random_codes(4, 5, 2))
    both = Backgrounds(stub(model), backgrounds).changes([wide, narrow, wide])
    alone = Backgrounds(stub(model), backgrounds).changes([narrow])
    np.testing.assert_allclose(both[1], alone[0], atol=1e-5)
    np.testing.assert_array_equal(both[0], both[2])


def test_shuffles_keep_length_and_dinucleotides_and_avoid_n():
    codes = random_codes(5, 50)
    codes[0, 45:] = 4  # shorter than the others
    codes[1, 20] = 4  # an N inside
    made = shuffled_backgrounds(codes, 30, np.random.default_rng(0))
    assert made.shape == (30, 50)
    assert made.max() < 4
    pairs = [np.bincount(row[:-1] * 4 + row[1:], minlength=16).tolist() for row in codes[2:].astype(int)]
    assert all(np.bincount(row[:-1] * 4 + row[1:], minlength=16).tolist() in pairs for row in made.astype(int))
    np.testing.assert_array_equal(made, shuffled_backgrounds(codes, 30, np.random.default_rng(0)))


def test_backgrounds_of_several_lengths_are_refused():
    with pytest.raises(SequenceError, match="one length"):
        given_backgrounds(Records.from_sequences(["ACGTACGTACGT", "ACGT", "ACGTA"]), stub(motif_model()))
    with pytest.raises(SequenceError, match="three or more"):
        given_backgrounds(Records.from_sequences(["ACGTACGTACGT"]), stub(motif_model()))


def test_the_interval_is_students():
    mean, low, high = mean_interval(np.array([[1.0, 2.0, 3.0]]), axis=1)
    np.testing.assert_allclose([mean[0], high[0] - 2, 2 - low[0]], [2, 2.4841, 2.4841], rtol=1e-4)


def spaced_model(gap: int = 5) -> EnhancerModel:
    """Heart rises only where its motif is followed by brain's, ``gap`` bases behind it, on either strand."""
    config = CNNConfig(input="one_hot", channels=(4, 2), kernel_sizes=(9, 41), pools=(1, 1), pooling="max")
    model = build_model(config, tasks=motif_tasks()).eval()
    detect = motif_model().trunk.blocks[0].conv
    first, second = (block.conv for block in model.trunk.blocks)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        first.weight.copy_(detect.weight)
        first.bias.fill_(-8.0)  # a whole match gives 1, anything less 0
        for feature, (motif, other, offset) in enumerate(((0, 2, 9 + gap), (1, 3, -9 - gap))):
            second.weight[feature, motif, 0, 20] = 1.0
            second.weight[feature, other, 0, 20 + offset] = 1.0
        second.bias.fill_(-1.0)
        model.heads["tissue"].weight[0] = 3.0
    return model


NAMED = [NamedCodes(name, encode(text)) for name, text in MOTIFS.items()]


def test_independent_motifs_show_no_effect_of_distance():
    model = stub(motif_model())
    found = pair_spacing(
        Backgrounds(model, random_codes(40, 80, 3)), NAMED, gaps=(0, 2, 5, 9, 15, 25), tasks=("heart", "brain")
    )
    assert len(found) == 3 * 2 * 2
    # Heart beside itself spells a site of its other strand (GCTGACTCA), which does make the distance 0 another thing.
    independent = [spacing for spacing in found if spacing.left != spacing.right]
    assert not [spacing.statement for spacing in independent if spacing.matters]
    assert all("no effect of distance" in spacing.statement for spacing in independent)


def test_a_distance_that_matters_is_found_with_its_place():
    found = pair_spacing(
        Backgrounds(stub(spaced_model()), random_codes(20, 80)), NAMED, gaps=(0, 2, 5, 9, 15, 25), tasks=("heart",)
    )
    (hit,) = [spacing for spacing in found if spacing.matters]
    assert (hit.left, hit.right, hit.orientation) == ("heart", "brain", "same")
    assert hit.gaps[hit.beyond.argmax()] == 5
    np.testing.assert_allclose(hit.beyond.max(), 3.0, atol=0.01)
    assert "distance matters" in hit.statement
    assert "at 5 bp" in hit.statement


def test_gaps_that_do_not_fit_are_left_out():
    found = pair_spacing(
        Backgrounds(stub(motif_model()), random_codes(5, 30)), NAMED, gaps=(0, 5, 12, 40), tasks=("heart",)
    )
    assert all(spacing.gaps.tolist() == [0, 5, 12] for spacing in found)
    assert (
        pair_spacing(Backgrounds(stub(motif_model()), random_codes(5, 10)), NAMED, gaps=(0, 5), tasks=("heart",))
        == []
    )


def test_permutation_p_is_uniform_enough_and_finds_a_shift():
    rng = np.random.default_rng(0)
    chance = [permutation_p(rng.normal(size=(6, 20)), rng, permutations=99) for _ in range(60)]
    assert 0.3 < np.mean(chance) < 0.7
    shifted = rng.normal(size=(6, 20)) + np.array([0, 0, 0, 1.5, 0, 0])[:, None]
    assert permutation_p(shifted, rng) <= 0.002
    assert permutation_p(np.ones((6, 20)), rng) == 1.0
