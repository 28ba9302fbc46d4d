"""A model whose answer is obvious: it counts G, so every row of the table can be worked out by hand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from encre.errors import ConfigError, MissingFileError, SequenceError
from encre.evaluation.calibration import Calibration
from encre.predict import predictor as predictor_module
from encre.predict.predictor import Predictor, load
from encre.progress import Progress
from encre.tasks import Task, TaskSet

TASKS = TaskSet([Task("g", "count"), Task("half_g", "count", "regression")])


class CountsG(torch.nn.Module):
    """Logits: the number of G, and half of it; the other strand counts C."""

    def __init__(self) -> None:
        super().__init__()
        self.one = torch.nn.Parameter(torch.ones(()))
        self.tasks = TASKS
        self.config = SimpleNamespace(shortest=3, longest=None)

    def check_lengths(self, length: np.ndarray, *, where: str = "") -> None:
        pass

    def forward(self, codes: torch.Tensor, length: torch.Tensor, signals: Any = None) -> torch.Tensor:
        count = (codes == 2).sum(1).float() * self.one
        return torch.stack([count, count / 2], 1)


def counting(*, calibration: Calibration | None = None, **sequence: Any) -> Predictor:
    shape = {"mode": "element", "width": None, "min_length": 5, "max_length": 10} | sequence
    manifest = {"model": "counts", "parameters": 1, "dataset": {"name": "toy"}, "sequence": shape}
    return Predictor(CountsG(), TASKS, calibration, manifest, Path("toy"))  # type: ignore[arg-type]


class Heard(Progress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def test_both_strands_are_averaged_and_columns_are_in_order() -> None:
    table = counting().predict(["GGGGAA", "CCTTAA", "GCAAA"], names=["x", "y", "z"])
    assert table.columns == [
        "name", "length", "n_share", "windows", "logit_g", "logit_half_g", "probability_g", "percentile_g",
        "percentile_half_g",
    ]  # fmt: skip
    assert table["name"].to_list() == ["x", "y", "z"]
    assert table["logit_g"].to_list() == [2.0, 1.0, 1.0]
    assert table["logit_half_g"].to_list() == [1.0, 0.5, 0.5]


def test_one_string_is_one_sequence() -> None:
    assert counting().predict("GGGGG")["logit_g"].to_list() == [2.5]


def test_probability_is_calibrated_or_empty() -> None:
    assert counting().predict(["GGGGAA"])["probability_g"].to_list() == [None]
    fitted = Calibration({"g": 2.0, "half_g": 1.0}, {"g": 0.5}, biases={"g": 1.0})
    value = counting(calibration=fitted).predict(["GGGGAA"])["probability_g"][0]
    assert value == pytest.approx(1 / (1 + np.exp(-2.0)), rel=1e-6)
    unfitted = Calibration({"g": 1.0}, {"g": 0.5}, reasons={"g": "no positive in valid"})
    without = counting(calibration=unfitted)
    assert without.predict(["GGGGAA"])["probability_g"].to_list() == [None]
    assert "No calibration for g" in " ".join(without.introduction)


def test_long_sequences_are_tiled_and_it_is_said() -> None:
    heard = Heard()
    long = "G" * 10 + "A" * 10
    table = counting().predict([long, "GGGGGG"], progress=heard)
    # windows 0-10, 5-15, 10-20 hold 10, 5 and 0 G; the other strand's C count nothing
    assert table["windows"].to_list() == [3, 1]
    assert table["logit_g"].to_list() == [2.5, 3.0]
    assert table["length"].to_list() == [20, 6]
    assert any("1 of 2 sequences are longer than the model's 10 bp" in line for line in heard.lines)
    assert counting().predict([long], combine="max")["logit_g"].to_list() == [5.0]


def test_blocks_do_not_change_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    sequences = ["".join(rng.choice(list("ACGT"), n)) for n in rng.integers(3, 40, 30)]
    whole = counting().predict(sequences)
    monkeypatch.setattr(predictor_module, "_BLOCK_BASES", 25)
    assert counting().predict(sequences).equals(whole)


def test_sequences_shorter_than_those_of_training_are_mentioned() -> None:
    heard = Heard()
    counting().predict(["GGGG", "GGGGGG"], progress=heard)
    assert any("1 of 2 sequences are shorter than the 5 bp" in line for line in heard.lines)


@pytest.mark.parametrize(
    ("sequences", "words"),
    [
        (["GGGGG", "GG"], ["'sequence_2'", "shorter", "3 bases or more", "got 2"]),
        (["NNNNN", "GGGGG", "NNNNNN"], ["'sequence_1'", "only N", "1 more"]),
        (["GGGGG", ""], ["'sequence_2'", "empty"]),
    ],
)
def test_what_cannot_be_scored_is_named(sequences: list[str], words: list[str]) -> None:
    with pytest.raises(SequenceError) as raised:
        counting().predict(sequences)
    for word in words:
        assert word in str(raised.value)


def test_unknown_way_of_combining() -> None:
    with pytest.raises(ConfigError, match="mean or max"):
        counting().predict(["GGGGG"], combine="median")


def test_a_window_model_asks_for_centred_windows() -> None:
    assert counting().region_width is None
    assert counting(mode="window", width=8).region_width == 8
    assert counting(mode="window", width=8).window == 8


def test_without_a_path_the_shipped_model_or_its_absence_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(predictor_module, "DEFAULT_MODEL", tmp_path / "absent")
    with pytest.raises(MissingFileError, match="ships no default model"):
        load()


def test_table_types() -> None:
    table = counting().predict(["GGGGA"])
    assert table.schema["logit_g"] == pl.Float32
    assert table.schema["probability_g"] == pl.Float32
    assert table.schema["length"] == pl.Int64
