"""Contributions against the obvious ways: mutants scored one by one, tangermeme itself, the sums that must come."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from encre.interpret.attribution import attribute
from encre.interpret.deeplift import deeplift
from encre.interpret.gradients import Pairs, integrated_gradients
from encre.interpret.mutagenesis import saturation_mutagenesis
from encre.interpret.references import make_references, one_hot
from encre.interpret.settings import AttributionSettings, possible_methods
from encre.interpret.twin import has_twin, make_twin, special_vectors
from encre.models.cnn import CNNConfig
from encre.models.cnn_lstm import CNNLSTMConfig
from encre.models.equivariant import EquivariantConfig
from encre.models.model import EnhancerModel, build_model
from encre.models.residual import ResidualConfig
from encre.models.settings import ModelConfig
from encre.models.transformer import TransformerConfig
from encre.predict.predictor import Predictor
from encre.tasks import Task, TaskSet
from toy_models import random_text

# two groups whose columns are not in group order, so that a head out of order shows
_TISSUES = [Task(name, "tissue", kind="multilabel") for name in ("heart", "brain", "skin")]
TASKS = TaskSet([_TISSUES[0], Task("enhancer", "enhancer"), *_TISSUES[1:]])
SMALL = {"channels": (6, 8), "kernel_sizes": (5, 3), "pools": (3, 1)}
TINY = {"width": 8, "heads": 2, "layers": 1, "feed_forward": 8, "positions": 60}
CNNS = {
    "max": CNNConfig(input="one_hot", **SMALL),
    "mean": CNNConfig(input="one_hot", pooling="mean", **SMALL),
    "norm max": CNNConfig(input="one_hot", norm="batch", dropout=0.1, **SMALL),
    "norm mean": CNNConfig(input="one_hot", norm="batch", pooling="mean", **SMALL),
    "attention": CNNConfig(input="one_hot", pooling="attention", **SMALL),
    "k=3": CNNConfig(k=3, embedding=5, **SMALL),
    "canonical k=3": CNNConfig(input="canonical_kmer", k=3, embedding=5, **SMALL),
    "k=4 norm attention": CNNConfig(k=4, embedding=5, norm="batch", pooling="attention", **SMALL),
    "residual": ResidualConfig(stem=6, stem_kernel=5, widths=(6, 8), blocks=(1, 1), pools=(3, 1)),
    "equivariant": EquivariantConfig(stem=6, stem_kernel=5, widths=(6, 8), blocks=(1, 1), pools=(3, 1)),
    "exclusive heads": CNNConfig(input="one_hot", head="exclusive", pooling="mean", **SMALL),
    "k=1 mean": CNNConfig(k=1, embedding=5, pooling="mean", **SMALL),
}
OTHERS: dict[str, ModelConfig] = {
    "cnn_lstm one-hot": CNNLSTMConfig(input="one_hot", lstm=4, **SMALL),
    "cnn_lstm k=3": CNNLSTMConfig(k=3, embedding=5, lstm=4, **SMALL),
    "transformer": TransformerConfig(**TINY),
    "cnn k=5": CNNConfig(k=5, embedding=5, **SMALL),
}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def predictor(config: ModelConfig) -> Predictor:
    torch.manual_seed(1)
    model = build_model(config, tasks=TASKS).eval()
    for module in model.modules():
        if hasattr(module, "running_mean"):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
        elif isinstance(module, torch.nn.Conv2d | torch.nn.Linear | torch.nn.Embedding):
            torch.nn.init.normal_(module.weight, std=0.4)
    manifest = {"sequence": {"mode": "element", "min_length": 20, "max_length": 60}}
    return Predictor(model, TASKS, None, manifest, Path("toy"))


def codes_of(rows: int, length: int, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4, (rows, length)).astype(np.uint8)


def pairs_of(model: EnhancerModel, reference: str, count: int, *, length: int = 41) -> Pairs:
    codes = codes_of(3, length)
    codes[1, 10:13] = 4  # N
    references = make_references(reference, codes, count=count, rng=np.random.default_rng(5))
    return Pairs(codes, one_hot(codes), references, np.arange(len(model.tasks)))


@pytest.mark.parametrize("name", [*CNNS, *OTHERS])
def test_saturation_mutagenesis_is_what_mutants_score(name: str):
    model = predictor((CNNS | OTHERS)[name])
    text = random_text(24, 3)
    text = text[:9] + "N" + text[10:]
    mutants = [text[:at] + base + text[at + 1 :] for base in "ACGT" for at in range(24)]
    table = model.predict([text, *mutants])
    for task in ("brain", "enhancer"):
        logits = table[f"logit_{task}"].to_numpy()
        naive = (logits[1:] - logits[0]).reshape(4, 24)
        naive[:, 9] = 0  # what N is replaced by says nothing about a base that stands there
        found = saturation_mutagenesis(model, text, task=task)
        np.testing.assert_allclose(found, naive, atol=2e-5)
    both = saturation_mutagenesis(model, text, task=["brain", "enhancer"])
    assert both.shape == (2, 4, 24)
    np.testing.assert_array_equal(both[1], found)


@pytest.mark.parametrize("name", CNNS)
@pytest.mark.parametrize("length", [20, 41, 60])
def test_the_twin_is_the_model(name: str, length: int):
    model = predictor(CNNS[name]).model
    codes = torch.from_numpy(codes_of(4, length))
    codes[1, 3:6] = 4  # N
    with torch.inference_mode():
        expected = model(codes, torch.full((4,), length))
        special = special_vectors(model, codes) or ()
        found = make_twin(model, length)(torch.from_numpy(one_hot(codes.numpy())), *special)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", CNNS)
@pytest.mark.parametrize(("reference", "count"), [("uniform", 1), ("zero", 1), ("shuffle", 3)])
def test_deeplift_sums_to_the_difference(name: str, reference: str, count: int):
    model = predictor(CNNS[name]).model
    pairs = pairs_of(model, reference, count)
    found = deeplift(model, pairs)
    assert np.abs(found.difference).max() > 0.03
    assert found.errors(pairs).max() < 1e-4
    sums = (found.hypothetical(pairs) * pairs.x[:, None]).sum((-1, -2))
    np.testing.assert_allclose(sums, found.difference, atol=1e-4)


def test_shap_is_tangermemes_own_over_both_strands():
    from tangermeme.deep_lift_shap import deep_lift_shap

    model = predictor(CNNS["norm max"]).model
    codes = codes_of(2, 40)
    x = one_hot(codes)
    references = make_references("shuffle", codes, count=4, rng=np.random.default_rng(0))
    found = deeplift(model, Pairs(codes, x, references, np.array([2, 0])))
    ours = found.hypothetical(Pairs(codes, x, references, np.array([2, 0])))
    twin, ready, given = make_twin(model, 40), torch.from_numpy(x), torch.from_numpy(references)
    for number, task in enumerate((2, 0)):
        one, other = (
            deep_lift_shap(twin, turn(ready), target=task, references=turn(given), hypothetical=True, device="cpu")
            for turn in (lambda a: a, lambda a: a.flip(-1, -2))
        )
        np.testing.assert_allclose(ours[:, number], ((one + other.flip(-1, -2)) / 2).numpy(), atol=1e-5)


@pytest.mark.parametrize("name", ["max", "norm mean", "k=3", "attention", "cnn_lstm one-hot", "transformer"])
def test_integrated_gradients_complete_to_a_thousandth(name: str):
    model = predictor((CNNS | OTHERS)[name]).model
    codes = codes_of(1, 24)
    codes[0, 10:12] = 4  # N
    references = make_references("shuffle", codes, count=2, rng=np.random.default_rng(5))
    pairs = Pairs(codes, one_hot(codes), references, np.array([1]))
    found = integrated_gradients(model, pairs, limit=1e-3, most=1 << 15)
    assert (found.errors(pairs) <= 1e-3 * np.maximum(1, np.abs(found.difference))).all()
    assert (found.hypothetical(pairs)[..., 10:12] == 0).all()


def test_integrated_gradients_double_what_is_not_yet_exact_alone():
    model = predictor(CNNS["max"]).model
    pairs = pairs_of(model, "uniform", 1)._replace(tasks=np.array([1]))
    rough, fine = (integrated_gradients(model, pairs, limit=limit, most=256) for limit in (10.0, 1e-9))
    assert (rough.steps == 32).all()  # pyright: ignore
    assert (fine.steps == 256).all()  # pyright: ignore
    assert fine.errors(pairs).mean() < rough.errors(pairs).mean()
    # every doubling keeps what was summed up: the trapezoid rule, written out
    places = np.linspace(0, 1, 33, dtype=np.float32)
    from encre.interpret.gradients import values_and_gradients

    way = pairs.x - pairs.references[:, 0]
    slopes = np.array([values_and_gradients(model, pairs.references[:, 0] + p * way, pairs)[1] for p in places])
    trapezoid = (slopes[1:] + slopes[:-1]).mean(axis=0) / 2
    np.testing.assert_allclose(rough.values[:, 0], trapezoid, atol=1e-5)


def test_a_linear_path_makes_gradients_and_deeplift_agree():
    # with mean pooling and no negative convolution output every ReLU stays open: the model is linear
    model = predictor(CNNConfig(input="one_hot", pooling="mean", channels=(6,), kernel_sizes=(5,), pools=(1,)))
    with torch.no_grad():
        model.model.trunk.blocks[0].conv.bias.fill_(50.0)
    text = random_text(30, 8)
    ways = {
        method: attribute(model, text, settings=AttributionSettings(method, reference="uniform")).hypothetical[0]
        for method in ("gradient_x_input", "integrated_gradients", "deeplift")
    }
    ism = attribute(model, text).hypothetical[0]
    for found in ways.values():
        np.testing.assert_allclose(found, ism, atol=2e-4)


@pytest.mark.parametrize("name", [*CNNS, *OTHERS])
def test_what_a_model_allows_is_what_it_can_do(name: str):
    model = predictor((CNNS | OTHERS)[name])
    possible = possible_methods(model.model)
    assert ("deeplift" in possible) == has_twin(model.model) == (name in CNNS)
    assert ("integrated_gradients" in possible) == (name != "cnn k=5")
    for method in set(possible) - {"integrated_gradients"}:  # slow, and tested above
        settings = AttributionSettings(method, shuffles=2 if method == "shap" else None)
        found = attribute(model, ["ACGTTGCATCAGNTGACCAAT", random_text(33, 2)], tasks=["brain"], settings=settings)
        assert [values.shape for values in found.hypothetical] == [(1, 4, 21), (1, 4, 33)]
        assert (found.hypothetical[0][:, :, 12] == 0).all()  # the N
