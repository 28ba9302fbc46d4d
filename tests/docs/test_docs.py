"""README and docs are executed: code blocks marked ``run`` in order, configs parsed, commands known, links alive."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from encre.cli.main import run
from encre.config import read_toml
from encre.data.build import DatasetConfig
from encre.models.registry import model_config
from encre.sources.catalogue import find, load_catalogue
from encre.sources.references import references
from encre.train.space import TuneConfig

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
name_of = [page.name for page in PAGES]


def blocks(page: Path) -> list[tuple[str, str, str]]:
    """Language, marks and text of each fenced block."""
    return [(kind, marks.strip(), text) for kind, marks, text in FENCE.findall(page.read_text(encoding="utf-8"))]


def commands(text: str) -> list[list[str]]:
    """The words of each line, comments left out."""
    return [words for line in text.splitlines() if (words := shlex.split(line, comments=True))]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_blocks_marked_run_do_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    variables: dict[str, object] = {}
    for kind, marks, text in blocks(page):
        if marks.startswith("file="):
            Path(marks.removeprefix("file=")).write_text(text, encoding="utf-8")
        elif kind == "python":
            exec(compile(text, f"{page.name}", "exec"), variables)
        elif kind == "sh" and marks == "run":
            for words in commands(text):
                assert run(words[1:]) == 0, f"{page.name}: {' '.join(words)}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_configs_shown_are_valid(page: Path):
    for kind, _, text in blocks(page):
        if kind == "toml":
            values = tomllib.loads(text)
            if "source" in values:
                DatasetConfig.parse(values, where=page.name)
            else:
                model_config(TuneConfig.parse(values, where=page.name).model)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_shown_exist_with_their_options(page: Path, capsys: pytest.CaptureFixture[str]):
    for kind, _, text in blocks(page):
        for words in commands(text) if kind == "sh" else []:
            if "encre" not in words[:6]:
                continue
            arguments = words[words.index("encre") + 1 :]
            verb = arguments[:2] if arguments[0] == "data" else arguments[:1]
            assert run([*verb, "--help"]) == 0
            shown = capsys.readouterr().out
            for option in (word for word in arguments if word.startswith("--")):
                assert option in shown or option in ("--json", "--quiet"), f"{page.name}: {' '.join(words)}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        assert target.startswith("http") or (page.parent / target).exists(), f"{page.name} links to {target}"


EXAMPLES = sorted((ROOT / "examples").glob("*/*.toml"))


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda f: f"{f.parent.name}/{f.name}")
def test_shipped_examples_are_valid(file: Path):
    values = read_toml(file)
    if "source" in values:  # what it names with @ comes by `encre data download`, which finds it in the catalogue
        assert all(find(name, load_catalogue()) for name in references(values))
        DatasetConfig.parse(values, where=file)
    else:
        model_config(TuneConfig.from_toml(file).model)
