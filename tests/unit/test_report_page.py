"""The report and the model card, from fabricated run folders: what stands there, and what is refused."""

from __future__ import annotations

import csv
import itertools
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from encre.errors import DataError, FolderError
from encre.evaluation.comparison import compare_judged
from encre.evaluation.judgement import judge
from encre.evaluation.runs import FORMAT, compare_runs, run_names
from encre.report import svg
from encre.report.cards import write_model_card
from encre.report.html import write_report
from encre.tasks import Task, TaskSet

TASKS = TaskSet([Task("enhancer", "enhancer"), Task("large_intestine", "tissue"), Task("<b>&odd", "tissue")])
ROWS = 300


def table(skill: float, noise: int, *, dead: str = "") -> pl.DataFrame:
    rng, own = np.random.default_rng(0), np.random.default_rng(noise)
    enhancer = rng.random(ROWS) < 0.5
    targets = np.column_stack([enhancer, *((rng.random(ROWS) < 0.4) & enhancer for _ in range(2))]).astype(float)
    logits = skill * targets + own.normal(size=targets.shape)
    columns = {
        "index": np.arange(ROWS),
        "chrom": ["chr1"] * ROWS,
        "start": rng.integers(0, 200_000_000, ROWS),
        "end": np.zeros(ROWS, int),
        "ccre_class": np.where(enhancer, "dELS", "PLS"),
        "kind": ["element"] * ROWS,
        "group": [str(i) for i in range(ROWS)],
        "length": np.full(ROWS, 200),
    }
    columns |= {f"target_{n}": targets[:, k] * (n != dead) for k, n in enumerate(TASKS.names)}
    columns |= {f"logit_{n}": logits[:, k] for k, n in enumerate(TASKS.names)}
    return pl.DataFrame(columns)


DATASET = {
    "name": "toy data",
    "assembly": "GRCh38",
    "digest": "d" * 64,
    "kinds": {"element": ROWS},
    "sequence": {"mode": "element", "min_length": 150, "max_length": 350},
    "splits": {
        split: {"rows": 10, "tasks": {n: {"positive": 4, "negative": 6} for n in TASKS.names}}
        for split in ("train", "test")
    },
    "sources": [{"name": "cCREs.bed", "sha256": "a" * 64, "licence": "CC0"}],
    "ledger": [
        {"name": "drop N", "rows_in": 320, "rows_out": 300, "dropped": {"too many N": 20}, "added": {}, "notes": {}}
    ],
    "audit": {
        "leakage": {
            "pairs": 7, "exact": 5, "reverse_complement": 2, "by_splits": {"train-test": 7}, "rows": {"test": 6},
        },
        "shortcuts": {"split": "test", "tasks": {"enhancer": {"length": 0.71, "gc": 0.5, "n_share": None}}},
    },
}  # fmt: skip


def make_run(folder: Path, model: str, *, skill: float, noise: int, dead: str = "") -> Path:
    (folder / "predictions").mkdir(parents=True)
    tables = {
        "": (table(skill, noise), table(skill, noise + 1, dead=dead)),
        "baseline.kmer5.": (table(0.6, 50), table(0.6, 51, dead=dead)),
    }
    judged = {}
    for prefix, (valid, test) in tables.items():
        valid.write_parquet(folder / "predictions" / f"{prefix}valid.parquet")
        test.write_parquet(folder / "predictions" / f"{prefix}test.parquet")
        judged[prefix] = judge(valid, test, TASKS, resamples=100)
    own, baseline = judged.values()
    own.calibration.write(folder / "calibration.json")
    (folder / "tasks.json").write_text(TASKS.to_json())
    evaluation = {
        "format": FORMAT, "run": folder.name, "model": model, "split": "test", **own.values,
        "baselines": {"kmer5": baseline.values}, "differences": {"kmer5": compare_judged(own, baseline)},
    }  # fmt: skip
    manifest = {
        "format": {"kind": "run", "version": 1}, "model": model, "parameters": 12345, "tasks": list(TASKS.names),
        "dataset": {"digest": DATASET["digest"], "name": "toy data"},
        "sequence": DATASET["sequence"],
        "training": {"seconds": 119.0, "epochs": 3, "best_epoch": 2, "seed": 0, "device": "cpu", "sequences": 900},
        "provenance": {"encre": "0.1.0", "python": "3.11", "versions": {"torch": "2.9"}},
    }  # fmt: skip
    for name, values in (("evaluation", evaluation), ("manifest", manifest), ("dataset", DATASET)):
        (folder / f"{name}.json").write_text(json.dumps(values))
    (folder / "config.toml").write_text(f'[model]\nname = "{model}"\n[train]\nepochs = 20\nmax_minutes = 2.0\n')
    with (folder / "history.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["epoch", "train_loss", "valid_loss", "valid_auprc"])
        writer.writerows([[1, 0.7, 0.71, 0.4], [2, 0.6, 0.65, 0.5], [3, 0.5, 0.66, ""]])
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    base = tmp_path_factory.mktemp("runs")
    return [
        make_run(base / "a", "cnn", skill=2.0, noise=1, dead="large_intestine"),
        make_run(base / "b", "transformer", skill=0.8, noise=3, dead="large_intestine"),
    ]


@pytest.fixture(scope="module")
def page(runs: list[Path]) -> str:
    return write_report(runs, notes=["A note by the caller."]).read_text(encoding="utf-8")


class Reader(HTMLParser):
    """Visible text, balanced tags, and every address that a browser would fetch."""

    VOID = frozenset({"meta", "link", "br", "img", "input", "hr"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.addresses: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)
        self.addresses += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def test_the_page_is_whole_and_fetches_nothing(page):
    reader = Reader(page)
    assert reader.open == []
    assert all(address.startswith(("#", "data:,")) for address in reader.addresses)
    assert "<script" not in page
    assert "url(" not in page
    assert len(page) < 1_000_000


def test_every_link_inside_the_page_has_its_place(page):
    for address in Reader(page).addresses:
        if address.startswith("#"):
            assert f'id="{address[1:]}"' in page


def test_the_key_numbers_stand_there(page, runs):
    text = Reader(page).text
    evaluation = json.loads((runs[0] / "evaluation.json").read_text())
    for task in evaluation["tasks"].values():
        for metric in ("auroc", "auprc", "mcc", "f1"):
            value = task["metrics"][metric]["value"]
            assert value is None or f"{value:.3f}" in text
    for words in ("CNN", "Transformer", "5-mer", "toy data", "too many N", "12,345", "torch 2.9", "GRCh38"):
        assert words in text


def test_the_page_says_what_speaks_against_the_result(page):
    text = Reader(page).text
    assert "Undefined, and left out of the means: large intestine (no positive among 300 measured rows)" in text
    assert "7 pairs of identical or reverse-complement sequences stand in two splits" in text
    assert "A shortcut is open: the strongest is length on enhancer with an AUROC of 0.710" in text
    assert "Trained on a limited time budget: CNN (2 min, 3 of at most 20 epochs)" in text
    assert "A note by the caller." in text
    assert "mean over 1 of 2 tasks" in text


def test_names_from_files_cannot_break_the_page(page):
    assert "<b>&odd" not in page
    assert "&lt;b&gt;&amp;odd" in page


def test_a_single_run_without_history_or_dataset_makes_a_page(tmp_path):
    run = make_run(tmp_path / "run", "cnn", skill=2.0, noise=1)
    for name in ("history.csv", "dataset.json", "config.toml"):
        (run / name).unlink()
    place = write_report(run, out=tmp_path / "deep" / "page.html")
    text = Reader(place.read_text(encoding="utf-8")).text
    assert place == tmp_path / "deep" / "page.html"
    assert "Learning curves" not in text
    assert "Skill, beside what needs no model" in text


def test_a_run_that_was_not_evaluated_is_refused_with_the_remedy(tmp_path):
    run = make_run(tmp_path / "run", "cnn", skill=2.0, noise=1)
    (run / "evaluation.json").unlink()
    with pytest.raises(FolderError, match="encre evaluate run"):
        write_report(run)
    assert not (run / "report.html").exists()


def test_runs_over_different_datasets_are_refused(tmp_path, runs):
    other = make_run(tmp_path / "other", "cnn", skill=2.0, noise=1)
    manifest = json.loads((other / "manifest.json").read_text())
    manifest["dataset"]["digest"] = "e" * 64
    (other / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match="different datasets"):
        write_report([runs[0], other])
    with pytest.raises(DataError, match="no run"):
        write_report([])


def test_a_damaged_prediction_table_is_named(tmp_path):
    run = make_run(tmp_path / "run", "cnn", skill=2.0, noise=1)
    (run / "predictions" / "test.parquet").write_bytes(b"PAR1 rubbish")
    with pytest.raises(FolderError, match=r"test\.parquet: the prediction table is damaged"):
        write_report(run)


def test_compare_runs_gives_each_pair_once(runs):
    found = compare_runs(runs, resamples=50)
    assert found["runs"] == ["a", "b"]
    (pair,) = found["pairs"]
    assert (pair["a"], pair["b"]) == ("a", "b")
    assert pair["differences"]["all"]["enhancer"]["auroc"]["low"] > 0


def test_runs_of_one_name_are_told_apart_by_their_parents():
    assert run_names(["x/cnn", "y/cnn"]) == ["x/cnn", "y/cnn"]


def test_the_model_card_holds_the_numbers_and_the_limits(runs):
    card = write_model_card(runs[0]).read_text(encoding="utf-8")
    auroc = json.loads((runs[0] / "evaluation.json").read_text())["tasks"]["enhancer"]["metrics"]["auroc"]["value"]
    assert card.startswith("# CNN, trained on toy data\n")
    assert f"{auroc:.3f}" in card
    assert "7 pairs of identical" in card
    assert "sigmoid(logit / temperature + bias)" in card


def test_the_model_card_of_an_unevaluated_run_says_so(tmp_path):
    run = make_run(tmp_path / "run", "cnn", skill=2.0, noise=1)
    (run / "evaluation.json").unlink()
    assert "Not evaluated yet" in write_model_card(run).read_text(encoding="utf-8")


def test_the_report_and_evaluation_never_load_torch():
    modules = "encre.report.html, encre.report.cards, encre.evaluation.runs"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.5, 0.93), (1, 3), (-0.02, 0.4), (0, 12345)])
def test_ticks_are_round_and_inside(low, high):
    found = svg.ticks(low, high)
    assert 2 <= len(found) <= 8
    assert all(low - 1e-9 <= value <= high + 1e-9 for value in found)
    assert len({round(b - a, 9) for a, b in itertools.pairwise(found)}) == 1


def test_thinned_lines_keep_their_ends_and_stay_close():
    x = np.linspace(0, 100, 2000)
    points = np.column_stack([x, 30 * np.sin(x / 9)])
    kept = svg.thin(points, 0.3)
    assert len(kept) < 300
    assert (kept[[0, -1]] == points[[0, -1]]).all()
    assert np.abs(np.interp(x, kept[:, 0], kept[:, 1]) - points[:, 1]).max() < 1.1  # 0.3 across a line this steep


CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --disable-extensions --enable-logging=stderr --log-level=0"
    " --allow-file-access-from-files"
)


FRAME = """<iframe id=f style="width:390px;height:3000px;border:0" src="PAGE"></iframe><p id=w></p><script>
f.onload = () => {
  const requests = f.contentWindow.performance.getEntriesByType("resource").length
  w.textContent = `width ${f.contentDocument.documentElement.scrollWidth}, requests ${requests}`
}
</script>"""


def browse(page: Path, folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM is not None
    command = [
        CHROMIUM,
        *FLAGS.split(),
        "--host-resolver-rules=MAP * ~NOTFOUND",
        f"--user-data-dir={folder / 'profile'}",
        *flags,
        page.as_uri(),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=True)


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome on PATH")
class TestInABrowser:
    def test_the_page_opens_without_errors_and_shows_the_numbers(self, runs, page, tmp_path):
        shot = tmp_path / "shot.png"
        done = browse(runs[0] / "report.html", tmp_path, "--dump-dom")
        assert "CONSOLE" not in done.stderr
        auroc = json.loads((runs[0] / "evaluation.json").read_text())["tasks"]["enhancer"]["metrics"]["auroc"]
        assert f"{auroc['value']:.3f}" in Reader(done.stdout).text
        assert done.stdout.count("<svg") == page.count("<svg")
        browse(runs[0] / "report.html", tmp_path, f"--screenshot={shot}", "--window-size=1200,1600")
        assert shot.stat().st_size > 50_000

    def test_the_page_fits_a_phone_and_asks_for_nothing(self, runs, page, tmp_path):
        """Seen from a frame 390 pixels wide, because headless windows are never that narrow."""
        frame = tmp_path / "frame.html"
        frame.write_text(FRAME.replace("PAGE", (runs[0] / "report.html").as_uri()), encoding="utf-8")
        done = browse(frame, tmp_path, "--dump-dom")
        found = re.search(r"width (\d+), requests (\d+)", done.stdout)
        assert found is not None
        assert int(found[1]) <= 390
        assert int(found[2]) == 0
