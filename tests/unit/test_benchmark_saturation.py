"""The table of measured effects: a planted motif is found where it is, and the page keeps one copy."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

import encre
from encre.sequence.alphabet import encode
from toy_models import MOTIFS, random_text, save_motif_run


def _script():
    folder = Path(__file__).resolve().parents[2] / "benchmarks"
    spec = importlib.util.spec_from_file_location("saturation", folder / "saturation.py")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(folder))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
    return module


saturation = _script()


def planted(length: int = 160, at: int = 70) -> saturation.Element:
    """An element of HEL cells whose measured effects are: every change of the heart motif costs 1."""
    codes = encode(random_text(length, 5, planted={at: MOTIFS["heart"]}))
    place = np.repeat(np.arange(length), 3)
    base = ((codes[place] + np.tile([1, 2, 3], length)) % 4).astype(np.uint8)
    inside = (place >= at) & (place < at + len(MOTIFS["heart"]))
    noise = np.random.default_rng(0).normal(0, 0.05, len(place))
    return saturation.Element("HBB", codes, place, base, noise - inside)


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    return encre.load(save_motif_run(tmp_path_factory.mktemp("toy") / "run"), device="cpu")


def test_windows_hold_the_substitution_and_stay_inside():
    element = planted()
    rows, changes = saturation.windows_of(element, 100)
    assert rows.shape[1] == 100
    assert len(rows) == 61  # as many as fit; near the ends several positions share one
    assert (rows[changes.row, changes.start] == element.codes[element.place]).all()
    middle = (element.place >= 50) & (element.place <= 110)
    assert (changes.start[middle] == 50).all()


def test_an_element_shorter_than_the_window_stands_in_the_middle_of_n():
    element = planted(60, 20)
    rows, changes = saturation.windows_of(element, 101)
    assert rows.shape == (1, 101)
    assert (rows[0] == 4).sum() == 41
    assert (rows[0, changes.start] == element.codes[element.place]).all()


def test_the_planted_motif_is_found_by_its_task_alone(predictor, monkeypatch):
    monkeypatch.setattr(saturation, "BLOCK", 1)  # one motif lies in one block of ten, which a resample may miss
    (judged,) = saturation.judge(predictor, [planted()], None)
    right, wrong = judged.by_task["heart"].pearson, judged.by_task["brain"].pearson
    assert right.value > 0.85
    assert abs(wrong.value) < 0.1
    low, high = np.quantile(right.draws, [0.025, 0.975])
    assert low < right.value < high + 0.01
    assert low > 0.7


def test_rank_and_linear_correlation_are_the_usual_ones(predictor):
    from scipy.stats import pearsonr, spearmanr

    element = planted()
    predicted = saturation.effects_of(predictor, element)[:, 0]
    found = saturation.agreement(element, predicted)
    assert found.pearson.value == pytest.approx(pearsonr(element.measured, predicted).statistic)
    assert found.spearman.value == pytest.approx(spearmanr(element.measured, predicted).statistic)


def test_matching_cells_are_compared_with_the_wrong_ones(predictor, monkeypatch):
    monkeypatch.setattr(saturation, "STANDS_FOR", {"HEL 92.1.7": ("heart",)})
    monkeypatch.setattr(saturation, "BLOCK", 1)
    judged = saturation.judge(predictor, [planted()], None)
    summary = saturation.summarise(judged, saturation.cells_of(predictor))
    assert summary.matching.value == judged[0].by_task["heart"].pearson.value
    assert summary.wrong.value == judged[0].by_task["brain"].pearson.value
    assert "above zero" in saturation.in_words(summary)
    assert "not shown" not in saturation.in_words(summary)


def test_only_groups_that_hold_a_stand_in_are_wrong_cells(predictor, monkeypatch):
    monkeypatch.setattr(saturation, "STANDS_FOR", {"HEL 92.1.7": ("heart",)})
    assert saturation.cells_of(predictor) == ["heart", "brain"]
    monkeypatch.setattr(saturation, "STANDS_FOR", {"HEL 92.1.7": ("K562",)})
    assert saturation.cells_of(predictor) == []


def test_models_stand_beside_each_other(predictor, monkeypatch):
    monkeypatch.setattr(saturation, "STANDS_FOR", {"HEL 92.1.7": ("heart",)})
    summary = saturation.summarise(saturation.judge(predictor, [planted()], None), saturation.cells_of(predictor))
    knows, knows_not = saturation.models_table({"ours": summary, "theirs": None}).splitlines()[2:]
    assert knows.startswith(f"| ours | {saturation.shown(summary.matching)} |")
    assert "no task stands for" in knows_not


def test_without_a_matching_task_it_says_so(predictor):
    judged = saturation.judge(predictor, [planted()], None)
    assert saturation.summarise(judged, saturation.cells_of(predictor)) is None
    text = saturation.section_of(predictor, judged)
    assert "nothing to match" in text
    assert "| HBB | HEL 92.1.7 | 480 |" in text


def test_the_page_keeps_one_copy_and_what_stands_around_it(tmp_path):
    page = tmp_path / "variants.md"
    page.write_text("# Variants\n\nFirst.\n")
    saturation.put("old table", page, "measured", heading="## Against measured effects")
    page.write_text(page.read_text() + "\n## Later\n\nLast.\n")
    saturation.put("new table", page, "measured", heading="## Against measured effects")
    text = page.read_text()
    assert text.count("## Against measured effects") == 1
    assert "old table" not in text
    assert text.startswith("# Variants\n\nFirst.\n")
    assert text.endswith("## Later\n\nLast.\n")


@pytest.mark.data
def test_the_real_elements_are_read_with_their_own_bases(data):
    elements = saturation.read_elements(data / "benchmarks" / "saturation_mutagenesis_dev")
    assert {element.name for element in elements} == set(saturation.MEASURED_IN)
    assert all(len(element.measured) > 500 for element in elements)
    assert saturation.repeated(elements) > 0.6
