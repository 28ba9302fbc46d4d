"""A dataset that a small model learns in seconds: a planted word tells the positives."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from encre.data.build import DatasetConfig, build_dataset
from encre.data.dataset import Dataset


def texts(seed: int = 0, rows: int = 360) -> list[str]:
    """Every other sequence holds a planted word; lengths differ."""
    rng = np.random.default_rng(seed)
    plain = ["".join(rng.choice(list("ACGT"), rng.integers(36, 61))) for _ in range(rows)]
    return [text[:12] + "GGTCAAACC" + text[21:] if row % 2 else text for row, text in enumerate(plain)]


def built(folder: Path, sequences: list[str], task: str = "enhancer") -> Dataset:
    """Half of the sequences train; those with the word are positive."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "words.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["sequence", task, "split"])
        for row, text in enumerate(sequences):
            writer.writerow([text, row % 2, ("train", "train", "valid", "test")[row // 2 % 4]])
    source = {"kind": "table", "file": str(folder / "words.csv"), "tasks": {"enhancer": [task]}}
    config = DatasetConfig.parse({"source": source | {"split_column": "split"}, "split": {"by": "column"}})
    return build_dataset(config, out=folder / "dataset")
