"""The door: help at once, global options anywhere, exit codes, Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from encre.cli import main as door
from encre.cli.main import globals_first
from encre.errors import FolderError, GateError

ENCRE = [sys.executable, "-m", "encre"]


def test_help_lists_every_verb_and_loads_neither_torch_nor_polars() -> None:
    watched = "import sys; from encre.cli.main import run; code = run(['--help']); print([m for m in "
    watched += "('torch', 'polars', 'numpy', 'pydantic', 'rich') if m in sys.modules], code)"
    done = subprocess.run([sys.executable, "-c", watched], capture_output=True, text=True, check=True)
    for verb in ("quickstart", "data", "train", "evaluate", "compare", "report", "predict", "info", "doctor"):
        assert f"  {verb} " in done.stdout
    assert done.stdout.rstrip().endswith("[] 0")


def test_help_is_quick() -> None:
    # processor time, not wall time: other work on the machine must not decide a test
    times = []
    for _ in range(3):
        before = os.times()
        subprocess.run([*ENCRE, "--help"], capture_output=True, check=True)
        after = os.times()
        times.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert statistics.median(times) < 0.5


def test_version(encre) -> None:
    outcome = encre("--version")
    assert (outcome.code, outcome.out.startswith("encre ")) == (0, True)


@pytest.mark.parametrize(
    ("words", "moved"),
    [
        (["info", "x", "--json"], ["--json", "info", "x"]),
        (["train", "--seed=3", "c"], ["--seed=3", "train", "c"]),
        (["train", "c", "--seed", "3", "-q"], ["--seed", "3", "-q", "train", "c"]),
        (["predict", "--", "--json"], ["predict", "--", "--json"]),
        (["train", "c", "--seed"], ["--seed", "train", "c"]),
    ],
)
def test_global_options_may_stand_anywhere(words: list[str], moved: list[str]) -> None:
    assert globals_first(words) == moved


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trian"], "'train'"),
        (["data", "biuld"], "'build'"),
        (["info"], "--help"),
        (["predict", "x.fa", "--modle", "m"], "--model"),
        (["info", "x", "--threads", "0"], "threads"),
        (["info", "x", "--seed", "-1"], "seed"),
    ],
)
def test_wrong_words_are_one_paragraph_and_code_2(encre, words: list[str], said: str) -> None:
    outcome = encre(*words)
    assert outcome.code == 2
    assert outcome.err.startswith("UsageError: ")
    assert said in outcome.err
    assert outcome.err.count("\n") == 1
    assert outcome.out == ""


def test_no_verb_shows_the_help(encre) -> None:
    outcome = encre()
    assert outcome.code == 2
    assert outcome.err.startswith("Usage: encre")


def _verb_that_raises(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fails() -> None:
        raise error

    monkeypatch.setattr("encre.doctor.examine", fails)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (FolderError("in the way", where="x"), 2, "FolderError: x: in the way."),
        (GateError("too much leakage"), 3, "GateError: too much leakage."),
        (MemoryError("8 GiB"), 2, "out of memory"),
        (PermissionError(13, "Permission denied", "/x/y"), 2, "/x/y: Permission denied"),
        (KeyboardInterrupt(), 130, "Interrupted: stopped cleanly; nothing half-written passes for whole."),
    ],
)
def test_what_goes_wrong_is_one_line_with_its_code(
    encre, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, said: str
) -> None:
    _verb_that_raises(monkeypatch, error)
    outcome = encre("doctor")
    assert outcome.code == code
    assert said in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_bug_keeps_its_traceback_and_says_so(encre, monkeypatch: pytest.MonkeyPatch) -> None:
    _verb_that_raises(monkeypatch, ZeroDivisionError("oh"))
    outcome = encre("doctor")
    assert outcome.code == 1
    assert "Traceback" in outcome.err
    assert "bug in encre" in outcome.err


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    # the quickstart writes folder after folder: interrupted, it removes them all
    out = tmp_path / "out"
    command = [*ENCRE, "quickstart", "--out", str(out)]
    # a shell's background job ignores Ctrl-C, and so would what it starts
    heard = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    started = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **heard)
    assert started.stderr is not None
    first = started.stderr.readline()
    assert "Building" in first
    time.sleep(0.3)
    started.send_signal(signal.SIGINT)
    out_text, err_text = started.communicate(timeout=60)
    assert started.returncode == 130
    assert err_text.splitlines()[-1] == "Interrupted: stopped cleanly; nothing half-written passes for whole."
    assert "Traceback" not in err_text
    assert list(tmp_path.iterdir()) == []
    assert out_text == ""


def test_doctor_says_devices_and_versions(encre, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("encre.doctor.training_rate", lambda config, *, batch: 1000.0)
    outcome = encre("doctor", "--json")
    found = json.loads(outcome.out)
    assert outcome.code == 0
    assert found["versions"]["torch"] != "not installed"
    assert found["devices"]["precision"] in ("fp32", "bf16")
    assert found["processor"]["threads"] >= 1
    assert found["disk"]["writable"] is True
    assert isinstance(found["advice"], list)
    drawn = encre("doctor").out
    assert "devices: precision" in drawn


def test_slow_machine_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    from encre import doctor

    monkeypatch.setattr("encre.doctor.training_rate", lambda config, *, batch: 10.0)
    advice = doctor.examine()["advice"]
    assert any("transformer" in line and "days" in line for line in advice)


def test_a_containers_share_of_the_processors(tmp_path: Path) -> None:
    from encre.doctor import cpu_quota

    limited, free = tmp_path / "limited", tmp_path / "free"
    limited.write_text("150000 100000\n")
    free.write_text("max 100000\n")
    assert cpu_quota(limited) == 1.5
    assert cpu_quota(free) is None
    assert cpu_quota(tmp_path / "absent") is None


def test_threads_reach_the_libraries() -> None:
    program = (
        "from encre.cli.main import run; run(['info', '/nowhere', '--threads', '1']); import torch, polars, numba;"
        "print(torch.get_num_threads(), polars.thread_pool_size(), numba.get_num_threads())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "1", "1"]


def test_main_ends_cleanly_on_sigterm() -> None:
    with pytest.raises(SystemExit) as raised:
        door._end_on_sigterm(signal.SIGTERM, None)
    assert raised.value.code == 143
