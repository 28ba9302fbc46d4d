"""Train the default model that the package ships, and put it into src/encre/assets/default_model.

    make model                                      train, judge, ship (or: python scripts/make_model.py)
    python scripts/make_model.py --run RUN          judge and ship a training that was done already
    python scripts/make_model.py --judge            judge the shipped weights again, without training

The data is the shipped DHS table with its shuffles, the settings examples/default_model/residual.toml. The 16
components of the DHS vocabulary are learned beside the shipped tasks, and their heads left out. What is needed to
score with the model and to judge it is kept (weights as float16, calibration, evaluation, card); predictions and the
state for resuming are not. The folder must stay under 3 MB. --judge is for when `encre evaluate` stores more than
it did: the dataset is built again, must have the digest that the model was trained on, and the weights stay the same.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import encre
from encre.config import read_toml
from encre.files import read_json, write_json
from encre.models.checkpoint import load_model, save_model
from encre.models.model import build_model
from encre.models.registry import model_config
from encre.progress import for_terminal
from encre.report.cards import write_model_card
from encre.train.settings import RunConfig

ROOT = Path(__file__).resolve().parents[1]
ASSETS = ROOT / "src" / "encre" / "assets"
CONFIG = ROOT / "examples" / "default_model" / "residual.toml"
LEFT_OUT = ("predictions", "state", "tensorboard")
LIMIT = 3_000_000
NOTES = [
    "It knows DNase-hypersensitive sites of four cell lines, GM12878 (B lymphocytes), hESCT0 (embryonic stem cells), "
    "K562 (leukaemia) and HepG2 (liver cancer), each open in one of the four: in which of them such a site is open, "
    "and what tells a site from its own bases shuffled (`element`). The four exclude each other: a sequence that is "
    "open in none of them has a most likely one all the same, so read a cell line beside `element`.",
    "It does not know other cells and tissues, sites that are open in several of the four, whether an open site is "
    "an enhancer, what lies beyond 200 bases, or how strong a site is; a random stretch of the genome is not among "
    "its negatives. Of the effects of single bases it knows little (docs/variants.md).",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judge", action="store_true", help="judge the shipped weights again, without training")
    parser.add_argument("--run", type=Path, help="a training of the settings and data above that is done already")
    options = parser.parse_args()
    progress = for_terminal()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        recipe = ASSETS / "quickstart" / "dataset.toml"
        data = encre.build_dataset(encre.DatasetConfig.from_toml(recipe), out=work / "dhs", progress=progress)
        run = work / "run"
        if options.judge:
            shutil.copytree(ASSETS / "default_model", run)
        else:
            more = encre.DatasetConfig.from_toml(recipe, overrides=["source.components=true"])
            whole = encre.build_dataset(more, out=work / "whole", progress=progress)
            if options.run is None:
                config = RunConfig.from_toml(CONFIG)
                encre.fit(model_config(config.model), whole, config.train, out=work / "trained", progress=progress)
            keep(options.run or work / "trained", data, trained_on=whole, out=run)
        ship(run, data=data.path)  # refuses a dataset of another digest than the run's


def keep(trained: Path, data: encre.Dataset, *, trained_on: encre.Dataset, out: Path) -> None:
    """The training's model with the tasks of ``data`` alone, its matrices rounded to float16."""
    loaded = load_model(trained)
    found = loaded.manifest["dataset"]["digest"]
    assert found == trained_on.digest, f"{trained} was trained on {found[:12]}, not {trained_on.digest[:12]}"
    model = build_model(loaded.config, tasks=data.tasks)
    weights = loaded.model.state_dict()
    model.load_state_dict({name: weights[name] for name in model.state_dict()})
    manifest = {key: loaded.manifest[key] for key in ("sequence", "training", "provenance")}
    manifest["dataset"] = {"digest": data.digest, "name": data.manifest["name"], "path": str(data.path)}
    manifest["dataset"]["trained_on"] = {"digest": found, "further_tasks": "the 16 components of the DHS vocabulary"}
    manifest["notes"] = NOTES
    save_model(out, model, manifest=manifest, train=read_toml(trained / "config.toml")["train"], half=True)
    shutil.copy(trained / "history.csv", out)


def ship(run: Path, *, data: Path) -> None:
    """Judge a run and put what scoring needs of it into the package."""
    encre.evaluate(run, data=data, baselines=("nearest_neighbour", "gkm_svm"), progress=for_terminal())
    write_model_card(run)
    with tempfile.TemporaryDirectory() as name:
        kept = Path(name) / "default_model"
        shutil.copytree(run, kept, ignore=shutil.ignore_patterns(*LEFT_OUT))
        manifest = read_json(kept / "manifest.json")
        manifest["dataset"]["path"] = ""  # it lay in a temporary folder; `make demo` builds the same one
        write_json(kept / "manifest.json", manifest)
        size = sum(file.stat().st_size for file in kept.rglob("*") if file.is_file())
        assert size <= LIMIT, f"the default model is {size:,} bytes, over {LIMIT:,}"
        target = ASSETS / "default_model"
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(kept, target)
    print(f"{target.relative_to(ROOT)}: {size:,} bytes")


if __name__ == "__main__":
    main()
