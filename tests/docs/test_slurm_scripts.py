"""The SLURM scripts are valid bash, and what they tell encre to do is what encre can do."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from encre.cli.main import run
from encre.train.settings import TrainConfig

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted((ROOT / "examples" / "slurm").glob("*.sbatch"))


def test_there_are_scripts():
    assert [script.name for script in SCRIPTS] == ["train_nodes.sbatch", "train_one_gpu.sbatch"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_bash_that_encre_understands(script: Path, capsys: pytest.CaptureFixture[str]):
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash here")
    assert subprocess.run([bash, "-n", script], check=False).returncode == 0
    text = script.read_text(encoding="utf-8")
    command = text[text.index("encre train") :]
    assert run(["train", "--help"]) == 0
    options = capsys.readouterr().out
    assert all(option in options for option in re.findall(r"\s(--\w+)", command))
    assert set(re.findall(r"--set train\.(\w+)=", command)) <= set(TrainConfig.model_fields)
    for path in re.findall(r"examples/\S+", text):
        assert (ROOT / path).is_file(), path
