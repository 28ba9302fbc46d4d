"""Train the default model that the package ships, and put it into src/encre/assets/default_model.

    make model            (or: python scripts/make_model.py)

The data is the shipped DHS table with its shuffles, the settings examples/default_model/cnn.toml. What is needed to
score with the model and to judge it is kept (weights, calibration, evaluation, card); predictions and the state for
resuming are not. The folder must stay under 3 MB.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import encre
from encre.models.registry import model_config
from encre.progress import for_terminal
from encre.report.cards import write_model_card
from encre.train.settings import RunConfig

ROOT = Path(__file__).resolve().parents[1]
ASSETS = ROOT / "src" / "encre" / "assets"
LEFT_OUT = ("predictions", "state", "tensorboard")
LIMIT = 3_000_000


def main() -> None:
    progress = for_terminal()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        recipe = encre.DatasetConfig.from_toml(ASSETS / "quickstart" / "dataset.toml")
        data = encre.build_dataset(recipe, out=work / "dhs", progress=progress)
        config = RunConfig.from_toml(ROOT / "examples" / "default_model" / "cnn.toml")
        run = work / "run"
        encre.fit(model_config(config.model), data, config.train, out=run, progress=progress)
        encre.evaluate(run, data=data.path, progress=progress)
        write_model_card(run)
        for part in LEFT_OUT:
            shutil.rmtree(run / part, ignore_errors=True)
        size = sum(file.stat().st_size for file in run.rglob("*") if file.is_file())
        assert size <= LIMIT, f"the default model is {size:,} bytes, over {LIMIT:,}"
        target = ASSETS / "default_model"
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(run, target)
        print(f"{target.relative_to(ROOT)}: {size:,} bytes")


if __name__ == "__main__":
    main()
