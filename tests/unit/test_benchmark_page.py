"""Rows of a benchmark become the table of a page, missed and unmeasured ones shown as what they are."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "page.py"


@pytest.fixture(scope="module")
def page():
    spec = importlib.util.spec_from_file_location("page", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def row(value, target, met, **rest):
    return {"row": "a", "value": value, "unit": "x", "target": target, "met": met, "n": 1, "spread": [1, 2], **rest}


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (row(3.0, 2, True), "| a | 3 x | ≥ 2 x | yes | 1 |"),
        (row(1.5, 2, False), "| a | 1.5 x | ≥ 2 x | **no** | 1 |"),
        (row(1.05, 1.1, True), "| a | 1.05 x | ≤ 1.1 x | yes | 1 |"),
        (row(1.25, 1.1, False), "| a | 1.25 x | ≤ 1.1 x | **no** | 1 |"),
        (row(3.0, 2, True, n=5), "| a | 3 x | ≥ 2 x | yes | 1 to 2, 5 |"),
        (row(None, 2, None, why="no peer"), "| a | not measured: no peer | 2 x | - | |"),
    ],
)
def test_a_row_says_whether_its_target_was_met(page, given, shown):
    assert page.table_of([given]).splitlines()[-1] == shown


def test_rows_on_stdin_replace_what_stood_between_the_markers(tmp_path):
    target = tmp_path / "b.md"
    target.write_text("before\n<!-- s: begin -->\nold\n<!-- s: end -->\nafter\n")
    lines = f"a line that is no row\n{json.dumps(row(3.0, 2, True))}\n"
    command = [sys.executable, str(SCRIPT), "s", "--page", str(target)]
    subprocess.run(command, input=lines, text=True, check=True)
    text = target.read_text()
    assert "old" not in text
    assert "| a | 3 x |" in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")
