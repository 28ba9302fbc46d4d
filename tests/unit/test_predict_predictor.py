"""A model whose answer is obvious: it counts G, so every row of the table can be worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from encre.errors import ConfigError, MissingFileError, SequenceError
from encre.evaluation.background import Background
from encre.evaluation.calibration import Calibration
from encre.predict import predictor as predictor_module
from encre.predict.inputs import Records
from encre.predict.predictor import DEFAULT_MODEL, Predictor, load
from encre.predict.scores import Scoring
from encre.progress import Progress
from encre.tasks import Task, TaskSet

TASKS = TaskSet([Task("g", "count"), Task("half_g", "count", "regression")])


class CountsG(torch.nn.Module):
    """Logits: the number of G, and half of it; the other strand counts C."""

    def __init__(self) -> None:
        super().__init__()
        self.one = torch.nn.Parameter(torch.ones(()))
        self.tasks = TASKS
        self.config = SimpleNamespace(shortest=3, longest=None, widest=1, strand_symmetric=False, signals=None)

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


FITTED = Calibration(
    {"g": 1.0, "half_g": 1.0},
    {"g": 0.5},
    reasons={"half_g": "a regression task has no probability"},
    prevalence={"g": 0.5},
    background=Background({"g": [0.0, 1.0, 2.0, 3.0, 4.0]}, {"g": 500, "half_g": 3}),
)


def test_percentiles_are_taken_among_the_background_or_are_empty() -> None:
    table = counting(calibration=FITTED).predict(["GGGGAA", "GGAAAAA"])
    assert table["percentile_g"].to_list() == [50.0, 25.0]
    assert table["percentile_half_g"].to_list() == [None, None]
    bare = counting(calibration=Calibration({"g": 1.0}, {"g": 0.5}))
    assert bare.predict(["GGGGAA"])["percentile_g"].to_list() == [None]
    said = " ".join(bare.introduction)
    assert "No background" in said
    assert "encre evaluate" in said
    assert not any("No background" in line for line in counting(calibration=FITTED).introduction)
    assert counting(calibration=FITTED).describe()["background"]["rows"]["g"] == 500


def test_a_base_rate_moves_probabilities_alone() -> None:
    model, heard = counting(calibration=FITTED), Heard()
    plain, moved = (
        model.predict(["GGGGAA"], base_rate=rate, progress=heard).row(0, named=True) for rate in (None, 0.1)
    )
    assert plain["probability_g"] == pytest.approx(1 / (1 + np.exp(-2)))
    assert moved["probability_g"] == pytest.approx(1 / (1 + 9 * np.exp(-2)))
    assert {k: v for k, v in plain.items() if k != "probability_g"} == {
        k: v for k, v in moved.items() if k != "probability_g"
    }
    assert heard.lines == ["Probabilities are corrected to a base rate of 0.1."]
    logits = np.array([[2.0, 1.0]], np.float32)
    assert model.probabilities(logits, base_rate={"g": 0.1})[0, 0] == pytest.approx(moved["probability_g"])
    assert np.isnan(model.probabilities(logits)[0, 1])
    for rate, said in ((1.5, "below 1"), ({"half_g": 0.1}, "no probability")):
        with pytest.raises(ConfigError, match=said):
            model.predict(["GGGGAA"], base_rate=rate)
    with pytest.raises(ConfigError, match="no calibrated probability"):
        counting().predict(["GGGGAA"], base_rate=0.1)


def test_unscorable_rows_are_listed_apart_and_counted_when_asked() -> None:
    heard = Heard()
    records = Records.from_sequences(["NNNNNN", "GGGGAA", "GG", "GGNNNN"], ["n", "a", "short", "b"])
    scores = counting().score(records, Scoring(skip_unscorable=True), progress=heard)
    assert scores.table["name"].to_list() == ["a", "b"]
    assert scores.table["logit_g"].to_list() == [2.0, 1.0]
    assert scores.unscorable.rows() == [
        ("n", 6, "only N (no A, C, G or T)"),
        ("short", 2, "shorter than the model can read"),
    ]
    assert (scores.counts.rows, scores.counts.scored, scores.counts.unscorable, scores.counts.n_rich) == (4, 2, 2, 1)
    assert "2 of 4 rows cannot be scored" in heard.lines[-1]
    assert "1 of 2 rows hold more than 10% N" in heard.lines[0]
    with pytest.raises(SequenceError, match="--skip-unscorable"):
        counting().score(records)
    with pytest.raises(SequenceError, match="only N"):  # a table without a row is no answer
        counting().score(records.take(np.array([0])), Scoring(skip_unscorable=True))


def test_what_became_of_regions_is_counted() -> None:
    sequence = Records.from_sequences(["GGGGGGGG", "NNGGGGGG", "GGGGGGGGGGGG"])
    start, end = np.array([2, 0, 20]), np.array([6, 6, 32])
    records = Records(
        sequence.names, sequence.codes, sequence.offsets, ["chr1"] * 3, start, end, padded=np.array([0, 2, 0])
    )
    heard = Heard()
    windowed = counting(mode="window", width=8, min_length=8)
    counts = windowed.score(records, progress=heard).counts
    assert counts._asdict() == {
        "rows": 3, "scored": 3, "unscorable": 0, "widened": 2, "padded": 1, "tiled": 1, "short": 0, "n_rich": 1,
    }  # fmt: skip
    assert "2 of 3 regions are narrower than 8 bp" in heard.lines[0]
    assert "1 of 3 windows reach off a chromosome's end" in heard.lines[1]
    assert any("windows of 8 bp" in line for line in windowed.introduction)
    assert counting().score(records).counts.widened == 0
    assert any("5 to 10 bp" in line for line in counting().introduction)


def test_precision_is_checked_and_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def fake(model: Any, codes: np.ndarray, offsets: np.ndarray, *, precision: str, **_: Any) -> np.ndarray:
        asked.append(precision)
        return np.zeros((len(offsets) - 1, 2), np.float32)

    monkeypatch.setattr("encre.models.ensemble.predict_logits", fake)
    counting().predict(["GGGGG"])
    counting().predict(["GGGGG"], precision="bf16")
    assert asked == ["fp32", "bf16"]
    with pytest.raises(ConfigError, match="fp32, bf16 or auto"):
        counting().predict(["GGGGG"], precision="fp16")  # type: ignore[arg-type]


def test_the_shipped_model_carries_a_background_of_the_data_that_it_was_trained_on() -> None:
    model = load(device="cpu")
    assert model.ranked == list(model.tasks.names)
    background = model.describe()["background"]
    assert all(rows > 2000 for rows in background["rows"].values())
    assert set(model.calibration.prevalence) == set(model.tasks.names)  # type: ignore[union-attr]
    judged_on = json.loads((DEFAULT_MODEL / "dataset.json").read_text())["digest"]
    assert model.manifest["dataset"]["digest"] == judged_on
