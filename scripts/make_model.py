"""Train the default model that the package ships, and put it into src/encre/assets/default_model.

    make model                                      train, judge, ship (or: python scripts/make_model.py)
    python scripts/make_model.py --judge            judge the shipped weights again, without training

The data is the shipped DHS table with its shuffles, the settings examples/default_model/cnn.toml. What is needed to
score with the model and to judge it is kept (weights, calibration, evaluation, card); predictions and the state for
resuming are not. The folder must stay under 3 MB. --judge is for when `encre evaluate` stores more than it did:
the dataset is built again, must have the digest that the model was trained on, and the weights stay the same bytes.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import encre
from encre.files import read_json, write_json
from encre.models.registry import model_config
from encre.progress import for_terminal
from encre.report.cards import write_model_card
from encre.train.settings import RunConfig

ROOT = Path(__file__).resolve().parents[1]
ASSETS = ROOT / "src" / "encre" / "assets"
LEFT_OUT = ("predictions", "state", "tensorboard")
LIMIT = 3_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judge", action="store_true", help="judge the shipped weights again, without training")
    judge_only = parser.parse_args().judge
    progress = for_terminal()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        recipe = encre.DatasetConfig.from_toml(ASSETS / "quickstart" / "dataset.toml")
        data = encre.build_dataset(recipe, out=work / "dhs", progress=progress)
        run = work / "run"
        if judge_only:
            shutil.copytree(ASSETS / "default_model", run)
        else:
            config = RunConfig.from_toml(ROOT / "examples" / "default_model" / "cnn.toml")
            encre.fit(model_config(config.model), data, config.train, out=run, progress=progress)
        ship(run, data=data.path)  # refuses a dataset of another digest than the run's


def ship(run: Path, *, data: Path) -> None:
    """Judge a run and put what scoring needs of it into the package."""
    encre.evaluate(run, data=data, progress=for_terminal())
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
