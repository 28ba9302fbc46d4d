"""A student learns from a teacher's probabilities as well as from what was measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from encre.data.dataset import Dataset
from encre.errors import DataError
from encre.models.checkpoint import load_model
from encre.models.inference import predict_logits
from encre.models.registry import model_config
from encre.train.distillation import TAUGHT, softened_targets
from encre.train.loop import fit
from encre.train.settings import TrainConfig
from encre.train.team import Team
from interrupted import interrupt_at
from toy_datasets import build_words

CNN = model_config({"name": "cnn", "channels": [12, 16], "pools": [2, 1], "embedding": 6})
ALONE = Team(0, 1, torch.device("cpu"))


def config(**values: object) -> TrainConfig:
    known = {"epochs": 2, "batch_size": 16, "learning_rate": 0.01, "device": "cpu", "precision": "fp32"}
    return TrainConfig(**{**known, **values})


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return build_words(tmp_path_factory.mktemp("words"))


@pytest.fixture(scope="module")
def teacher(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fit(CNN, dataset, config(seed=5, epochs=6), out=tmp_path_factory.mktemp("teacher") / "run").path


def test_targets_are_mixed_and_what_nobody_measured_stays_masked(dataset: Dataset, teacher: Path, tmp_path: Path):
    train = dataset.train
    logits = predict_logits(load_model(teacher).model, train.codes, train.offsets)
    said = 1 / (1 + np.exp(-logits))
    settings = config(teacher=str(teacher), teacher_weight=0.25)
    found = softened_targets(dataset, settings, out=tmp_path, team=ALONE)
    assert found is not None
    real = train.target_mask
    assert not real.all()
    np.testing.assert_array_equal(found.mask, real)
    np.testing.assert_allclose(found.targets[real], (0.75 * train.targets + 0.25 * said)[real], atol=1e-6)
    filled = softened_targets(dataset, config(teacher=str(teacher), teacher_fills=True), out=tmp_path, team=ALONE)
    assert filled is not None
    assert filled.mask.all()
    np.testing.assert_allclose(filled.targets[~real], said[~real], atol=1e-6)
    assert softened_targets(dataset, config(), out=tmp_path, team=ALONE) is None


def test_a_calibrated_teacher_gives_its_calibrated_probabilities(dataset: Dataset, teacher: Path, tmp_path: Path):
    from shutil import copytree

    from encre.evaluation.calibration import Calibration

    warm = copytree(teacher, tmp_path / "warm")
    names = dataset.tasks.names
    Calibration(dict.fromkeys(names, 4.0), dict.fromkeys(names, 0.5), dict.fromkeys(names, 0.0)).write(
        warm / "calibration.json"
    )
    settings = config(teacher_weight=1.0)
    cold, hot = (
        softened_targets(
            dataset, settings.model_copy(update={"teacher": str(path)}), out=tmp_path / path.name, team=ALONE
        )
        for path in (teacher, warm)
    )
    assert cold is not None
    assert hot is not None
    real = cold.mask
    assert (np.abs(hot.targets - 0.5)[real] <= np.abs(cold.targets - 0.5)[real]).all()


def test_a_student_comes_near_its_teacher_and_names_it(dataset: Dataset, teacher: Path, tmp_path: Path):
    settings = config(epochs=8, teacher=str(teacher), teacher_weight=1.0, class_weights="none")
    run = fit(CNN, dataset, settings, out=tmp_path / "student")
    weights = load_model(teacher).manifest["files"]["weights.safetensors"]
    assert run.manifest["training"]["teacher"] == {"run": teacher.name, "weights": weights}
    valid = dataset.valid
    of_student, of_teacher = (
        predict_logits(load_model(path).model, valid.codes, valid.offsets)[:, 0] for path in (run.path, teacher)
    )
    assert np.corrcoef(of_student, of_teacher)[0, 1] > 0.9


def test_interrupted_and_resumed_equals_unbroken(
    dataset: Dataset, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Broken off in the first epoch, before any state but what the teacher said; it is not asked again."""
    settings = config(teacher=str(teacher))
    whole = fit(CNN, dataset, settings, out=tmp_path / "whole").path
    with monkeypatch.context() as patch:
        interrupt_at(patch, 1)
        with pytest.raises(KeyboardInterrupt):
            fit(CNN, dataset, settings, out=tmp_path / "broken")
    assert (tmp_path / "broken" / TAUGHT).is_file()
    monkeypatch.setattr("encre.train.distillation.predict_logits", None)
    broken = fit(CNN, dataset, settings, out=tmp_path / "broken", resume=True).path
    one, other = (load_model(path).model.state_dict() for path in (whole, broken))
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_another_teacher_is_refused(dataset: Dataset, teacher: Path, tmp_path: Path):
    other = build_words(tmp_path, rows=80)
    with pytest.raises(DataError, match="trained on another dataset"):
        fit(CNN, other, config(teacher=str(teacher)), out=tmp_path / "run")
    second = fit(CNN, dataset, config(seed=6, epochs=1), out=tmp_path / "second").path
    softened_targets(dataset, config(teacher=str(teacher)), out=tmp_path / "begun", team=ALONE)
    with pytest.raises(DataError, match="no longer the one"):
        softened_targets(dataset, config(teacher=str(second)), out=tmp_path / "begun", team=ALONE)
