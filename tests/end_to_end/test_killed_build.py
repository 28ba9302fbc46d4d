"""A build that is killed and started again gives the bytes of an unbroken one, and no leftover passes for whole."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest


def command(toy, out: Path, cache: Path) -> tuple[list[str], dict[str, str]]:
    words = [sys.executable, "-m", "encre", "data", "build", str(toy.config), "--out", str(out)]
    return words, os.environ | {"ENCRE_CACHE": str(cache), "SOURCE_DATE_EPOCH": "1700000000"}


def build(toy, out: Path, cache: Path) -> None:
    words, environment = command(toy, out, cache)
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("moment", ["reading source", "taking their sequences", "auditing", "partial"])
def test_a_killed_build_started_again_is_the_unbroken_one(toy, tmp_path, moment):
    whole, out = tmp_path / "whole", tmp_path / "broken" / "set"
    build(toy, whole, tmp_path / "cache-whole")
    words, environment = command(toy, out, tmp_path / "cache")
    with subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True) as killed:
        assert killed.stderr is not None
        if moment == "partial":  # in the middle of writing the folder
            deadline = time.monotonic() + 60
            while not list(out.parent.glob(".set.*.partial/*")) and time.monotonic() < deadline:
                pass
        else:
            next(line for line in killed.stderr if moment in line)
        killed.kill()
    assert killed.returncode != 0
    assert not out.exists()
    build(toy, out, tmp_path / "cache")
    assert content(out) == content(whole)
    assert [path.name for path in out.parent.iterdir()] == ["set"]
    assert not list(tmp_path.rglob("*.partial"))
