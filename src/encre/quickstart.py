"""The main job on the data that encre ships, in minutes: dataset -> three models -> evaluation -> report.

assets/quickstart/dataset.toml -> data/ -> cnn.toml, cnn_lstm.toml, transformer.toml -> runs/ -> report.html
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from encre.files import read_json, refuse_occupied
from encre.progress import SILENT, Progress

if TYPE_CHECKING:
    from encre.data.dataset import Dataset

CONFIGS = Path(__file__).resolve().parent / "assets" / "quickstart"

MODELS = ("cnn", "cnn_lstm", "transformer")

#: ``--fast`` takes every 100th site and overrides the models: enough to see the form, not to learn.
FAST_EVERY = 100
FAST_TRAIN = ("train.epochs=1",)
FAST_MODELS = {
    "cnn": ("model.channels=[8, 8, 8]",),
    "cnn_lstm": ("model.channels=[8, 8, 8]", "model.lstm=8"),
    "transformer": ("model.k=3", "model.width=8", "model.layers=1", "model.heads=2", "model.feed_forward=16"),
}


_ABOUT_BUDGETS = (
    "These are small budgets, so that the whole quickstart takes minutes on two processor cores: the models are "
    "smaller and see the data fewer times than in the full set-ups (examples/screen_v4), and the CNN gets most of "
    "the time. Longer training would move every figure, those of the CNN+LSTM and the Transformer most of all."
)


@dataclass(frozen=True)
class Quickstart:
    """What :func:`quickstart` made.

    Parameters
    ----------
    data
        The dataset folder.
    runs
        Model name -> run folder.
    evaluations
        Model name -> its ``evaluation.json``.
    report
        The HTML page.
    sentences
        Budgets and outcome in words.
    seconds
        Wall time of everything.
    """

    data: Path
    runs: dict[str, Path]
    evaluations: dict[str, Any]
    report: Path
    sentences: list[str]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for machine-readable output."""
        return {
            "data": str(self.data),
            "runs": {name: str(run) for name, run in self.runs.items()},
            "evaluations": self.evaluations,
            "report": str(self.report),
            "sentences": self.sentences,
            "seconds": round(self.seconds, 1),
        }


def quickstart(
    out: str | Path = "encre-quickstart",
    *,
    fast: bool = False,
    seed: int | None = None,
    device: str | None = None,
    progress: Progress = SILENT,
) -> Quickstart:
    """Build the shipped dataset, train three models on small budgets, judge them, write the report.

    Parameters
    ----------
    out
        New folder; if anything fails or is interrupted on the way, it is removed again.
    fast
        Tiny data, models and budgets, to see the form (and for tests); no skill is to be expected.
    seed, device
        Instead of those in the configs.

    Raises
    ------
    FolderError
        When ``out`` exists and is not empty.
    """
    out = Path(out)
    refuse_occupied(out)
    begun = time.monotonic()
    try:
        return _quickstart(out, fast=fast, overrides=_overrides(seed, device), begun=begun, progress=progress)
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)
        raise


def _overrides(seed: int | None, device: str | None) -> list[str]:
    found = [] if seed is None else [f"train.seed={seed}"]
    return found if device is None else [*found, f'train.device="{device}"']


def _quickstart(out: Path, *, fast: bool, overrides: Sequence[str], begun: float, progress: Progress) -> Quickstart:
    from encre.report.cards import write_model_card
    from encre.report.html import write_report
    from encre.train.assess import evaluate

    progress.say("1 of 4  Building the dataset from the DHS table that encre ships")
    dataset = _build(out / "data", fast=fast, progress=progress)
    progress.say(f"2 of 4  Training {len(MODELS)} models ({_split_sizes(dataset)})")
    runs = {}
    for name in MODELS:
        extra = [*overrides, *(FAST_TRAIN + FAST_MODELS[name] if fast else ())]
        runs[name] = _train(name, dataset, out / "runs" / name, overrides=extra, progress=progress)
    progress.say("3 of 4  Judging them beside the baselines on the test chromosome")
    found = evaluate(list(runs.values()), data=dataset.path, progress=progress)
    evaluations = dict(zip(runs, found if isinstance(found, list) else [found], strict=True))
    for run in runs.values():
        write_model_card(run)
    progress.say("4 of 4  Writing the report")
    sentences = [budget_in_words(name, run) for name, run in runs.items()] + [_ABOUT_BUDGETS]
    report = write_report(list(runs.values()), out=out / "report.html", notes=[_ABOUT_BUDGETS])
    return Quickstart(dataset.path, runs, evaluations, report, sentences, time.monotonic() - begun)


def _build(out: Path, *, fast: bool, progress: Progress) -> Dataset:
    from encre.data.build import DatasetConfig, build_dataset, build_from_elements
    from encre.ledger import Ledger
    from encre.sequence.flat import take_flat
    from encre.sources.dhs import read_dhs

    config = DatasetConfig.from_toml(CONFIGS / "dataset.toml")
    if not fast:
        return build_dataset(config, out=out, progress=progress)
    whole = read_dhs()
    assert whole.codes is not None and whole.offsets is not None  # noqa: PT018
    rows = np.arange(0, whole.table.height, FAST_EVERY)
    codes, offsets = take_flat(whole.codes, whole.offsets, rows)
    ledger = Ledger(list(whole.ledger.steps))
    left = {f"a quick look takes every {FAST_EVERY}th site": whole.table.height - len(rows)}
    ledger.add("thin out (--fast)", whole.table.height, len(rows), dropped=left)
    few = replace(whole, table=whole.table[rows], codes=codes, offsets=offsets, ledger=ledger)
    return build_from_elements(few, config, out=out, progress=progress)


def _train(name: str, dataset: Dataset, out: Path, *, overrides: Sequence[str], progress: Progress) -> Path:
    from encre.models.registry import model_config
    from encre.train.loop import fit
    from encre.train.settings import RunConfig

    config = RunConfig.from_toml(CONFIGS / f"{name}.toml", overrides=overrides)
    fit(model_config(config.model), dataset, config.train, out=out, progress=progress)
    return out


def _split_sizes(dataset: Dataset) -> str:
    return ", ".join(f"{split['rows']:,} {name}" for name, split in dataset.manifest["splits"].items())


def budget_in_words(name: str, run: Path) -> str:
    """One sentence about how much a run was trained, from its manifest.

    Parameters
    ----------
    name
        What to call it.
    run
        The run folder.
    """
    manifest = read_json(run / "manifest.json")
    training = manifest.get("training", {})
    sequences, seconds = training.get("sequences"), training.get("seconds")
    text = f"{name}: {manifest.get('parameters', 0):,} parameters"
    if sequences:
        text += f", trained on {sequences:,} sequences"
    if seconds:
        text += f" in {seconds:,.0f} s"
    return f"{text}."
