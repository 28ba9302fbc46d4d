"""Datasets that a small CNN learns in seconds."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from encre.data.build import DatasetConfig, build_dataset
from encre.data.dataset import Dataset

WORD = "GGTCAAACC"


def build_words(folder: Path, *, rows: int = 240, regression: bool = False) -> Dataset:
    """Half of the sequences (40 bases) hold a planted word and are enhancers; 'heart' is measured for some only.

    With ``regression`` there is a task 'level' as well: 1 where the word stands, and noise.
    """
    rng = np.random.default_rng(0)
    table = folder / "words.csv"
    with table.open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["sequence", "enhancer", "heart", "level", "split"])
        for row in range(rows):
            text = "".join(rng.choice(list("ACGT"), 40))
            enhancer = row % 2
            text = text[:12] + WORD + text[21:] if enhancer else text
            heart = "" if rng.random() < 0.3 else int(rng.random() < (0.7 if enhancer else 0.2))
            level = round(enhancer + 0.3 * rng.standard_normal(), 3)
            writer.writerow([text, enhancer, heart, level, ("train", "train", "valid", "test")[row // 2 % 4]])
    source = {
        "kind": "table",
        "file": str(table),
        "tasks": {"enhancer": ["enhancer"], "tissue": ["heart"]},
        **({"regression": {"level": ["level"]}} if regression else {}),
        "split_column": "split",
    }
    config = DatasetConfig.parse({"source": source, "split": {"by": "column"}})
    return build_dataset(config, out=folder / "dataset")
