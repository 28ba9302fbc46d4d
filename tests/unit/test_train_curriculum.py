"""Easy sequences first: which are easy, when the others come, and that the work stays the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from encre.data.dataset import Dataset
from encre.train.curriculum import curriculum_rows, difficulty
from encre.train.feed import Feed
from encre.train.settings import TrainConfig
from toy_words import built, texts


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Of the positives, every fourth has no word, so that nothing tells it from the negatives."""
    sequences, plain = texts(), texts(seed=5)
    for row in range(1, 360, 8):
        sequences[row] = plain[row - 1]
    return built(tmp_path_factory.mktemp("words"), sequences)


def config(**values: object) -> TrainConfig:
    return TrainConfig.parse({"epochs": 10, "curriculum": "margin", "curriculum_begin": 0.4, **values})


def test_what_a_simple_model_is_sure_of_comes_first(dataset: Dataset):
    train = dataset.train
    hard = difficulty(train, config())
    assert hard is not None
    positive = train.targets[:, 0] > 0.5
    unlike = np.array(["GGTCAAACC" not in text for text in _texts(dataset)])
    assert np.median(hard[positive & unlike]) > np.median(hard[positive & ~unlike]) + 0.2
    for rows in (positive, ~positive):
        assert (hard[rows].min(), hard[rows].max()) == (0, 1)
    assert difficulty(train, config(curriculum="none")) is None
    by_length = difficulty(train, config(curriculum="length"))
    assert by_length is not None
    assert train.length[by_length == 0].max() <= 37


def _texts(dataset: Dataset) -> list[str]:
    from encre.sequence.alphabet import decode_many

    return decode_many(dataset.train.codes, dataset.train.offsets)


def test_the_share_grows_and_an_epoch_stays_as_long_as_it_is(dataset: Dataset):
    hard = np.linspace(0, 1, 100)
    rows = np.random.default_rng(0).permutation(100)
    shown = [curriculum_rows(rows, hard, config(), epoch=epoch) for epoch in range(10)]
    assert [len(found) for found in shown] == [100] * 10
    assert [len(np.unique(found)) for found in shown] == [40, 52, 64, 76, 88, 100, 100, 100, 100, 100]
    assert hard[shown[0]].max() <= 0.4
    assert np.bincount(shown[0]).max() - np.bincount(shown[0])[np.unique(shown[0])].min() <= 1
    assert np.array_equal(shown[9], rows)
    assert curriculum_rows(rows, None, config(), epoch=0) is rows


def test_a_training_takes_as_many_steps_with_it_and_keeps_the_classes(dataset: Dataset):
    plain, easy = (Feed(dataset, config(curriculum=name), tracks=[]) for name in ("none", "margin"))
    assert plain.steps == easy.steps
    first = np.concatenate(easy.batches(0))
    assert len(first) == len(dataset.train)
    assert abs((dataset.train.targets[first, 0] > 0.5).mean() - 0.5) < 0.08
    assert len(np.unique(first)) < 0.5 * len(first)
    assert np.array_equal(np.sort(np.concatenate(easy.batches(9))), np.arange(len(dataset.train)))


def test_without_classes_there_is_no_margin(tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch):
    from encre.errors import ConfigError
    from encre.tasks import Task, TaskSet

    monkeypatch.setattr(dataset, "tasks", TaskSet([Task("enhancer", "enhancer", kind="regression")]))
    with pytest.raises(ConfigError, match="needs a task with classes"):
        difficulty(dataset.train, config())
