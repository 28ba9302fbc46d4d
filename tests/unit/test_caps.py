"""The caps that keep the code livable: 500 lines a file, 60 a function, 7 parameters."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCES = sorted((Path(__file__).resolve().parents[2] / "src").rglob("*.py"))


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_files_and_functions_stay_small(file: Path):
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 500
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            given = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
            given = [name for name in given if name not in ("self", "cls")]
            assert (node.end_lineno or 0) - node.lineno < 60, f"{node.name} has over 60 lines"
            verb = file.parent.name == "cli"  # a verb's parameters are its options
            assert len(given) <= 7 or verb, f"{node.name} has {len(given)} parameters"
