"""The report's motifs: a table with logos when the run has them, nothing when it has not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_report_page import TASKS, Reader, make_run

from encre.errors import FolderError
from encre.report.html import write_report
from encre.report.logo import logo

PWM = [[0.97, 0.01, 0.01, 0.01], [0.25, 0.25, 0.25, 0.25], [0.01, 0.01, 0.97, 0.01]]


def motif_values(*, matters: bool = True, motifs: int = 1) -> dict:
    effects = {task: {"mean": 1.5 - k, "low": 1.2 - k, "high": 1.8 - k} for k, task in enumerate(TASKS.names)}
    one = {
        "name": "enhancer.pos_0", "task": "enhancer", "sign": 1, "called": "<i>JUN", "consensus": "ANG",
        "seqlets": 1234, "hits": 56, "pwm": PWM, "contribution": [[0.4, 0, 0, 0], [0, 0, 0, -0.1], [0, 0, 0.5, 0]],
        "matches": [{"name": "MA1.1", "label": "JUN", "p_value": 1e-8, "q_value": 2e-6, "strand": "+"}],
        "effects": effects,
    }  # fmt: skip
    spacing = {
        "left": "JUN", "right": "GATA", "orientation": "same", "task": "enhancer", "gaps": [0, 5, 10],
        "beyond": [0.0, 1.0, 0.1], "low": [-0.1, 0.8, 0.0], "high": [0.1, 1.2, 0.2], "together": [2.0, 3.0, 2.1],
        "p_value": 0.001, "q_value": 0.002, "matters": matters,
        "statement": "JUN and GATA (same strand), enhancer: distance matters",
    }  # fmt: skip
    counts = {
        "task": "enhancer",
        "positive": 2000,
        "negative": 12,
        "in_patterns": 1234,
        "note": "12 seqlets lower it",
    }
    return {
        "format": {"kind": "motifs", "version": 1}, "model": {"tasks": list(TASKS.names)}, "sequences": 400,
        "tasks": ["enhancer"],
        "database": "JASPAR.meme", "motifs": [one] * motifs, "seqlets": [counts], "notes": [], "spacing": [spacing],
    }  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "run", "cnn", skill=2.0, noise=1)


def page_of(run: Path, values: dict | None) -> str:
    place = run / "motifs" / "motifs.json"
    place.parent.mkdir(exist_ok=True)
    place.unlink(missing_ok=True)
    if values is not None:
        place.write_text(json.dumps(values))
    return write_report(run).read_text(encoding="utf-8")


def test_the_table_stands_there_with_logos_names_and_effects(run):
    page = page_of(run, motif_values())
    text = Reader(page).text
    for words in ("<i>JUN", "MA1.1 JUN", "2e-06", "1,234", "56", "+1.50", "+1.20 to +1.80", "12 seqlets lower it"):
        assert words in text, words
    assert page.count('class="logo"') == 2
    assert page.count('id="glyph-A"') == 1
    assert 'href="#motifs"' in page
    assert "JUN and GATA (same strand), enhancer: distance matters" in text
    assert "In 1 of 1 combinations of pair, orientation and task it does" in text
    assert "<i>JUN" not in page  # what a file says cannot break the page


def test_without_motifs_there_is_no_section(run):
    page = page_of(run, None)
    assert "motifs" not in page.split("</style>")[1].lower()


def test_no_motif_and_no_effect_of_distance_are_said(run):
    text = Reader(page_of(run, motif_values(matters=False, motifs=0))).text
    assert "No motif: too few seqlets" in text
    assert "No effect of distance was seen" in text


def test_another_format_is_refused_with_the_remedy(run):
    with pytest.raises(FolderError, match="encre motifs"):
        page_of(run, {"format": {"kind": "motifs", "version": 9}})


def test_letters_are_stacked_by_height_and_negative_ones_hang_below():
    drawn = str(logo([[1.0, 0.5, 0, 0], [0, 0, 0, -1.0]], top=2.0, label="x"))
    assert drawn.count("<use") == 3
    assert drawn.index("#glyph-C") < drawn.index("#glyph-A") < drawn.index("#glyph-T")
