"""A dataset with signals trains a model that takes none exactly as the same dataset without them."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyBigWig

from encre.data.build import build_from_elements
from encre.data.settings import DatasetConfig
from encre.ledger import Ledger
from encre.models.registry import model_config
from encre.sequence.alphabet import encode_many
from encre.sources.elements import Elements, arrange
from encre.tasks import Task, TaskSet
from encre.train.loop import fit
from encre.train.settings import TrainConfig

CONFIG = """
source = {kind = "table", file = "-", tasks = {enhancer = ["enhancer"]}}
split = {by = "column"}
sequence = {mode = "window", width = 24, jitter = 4}
[signals]
bin = 8
[signals.tracks]
x = {path = "x.bw", tissue = "heart", assay = "DNase"}
"""


def test_training_ignores_signals(tmp_path):
    rng = np.random.default_rng(0)
    tasks = TaskSet([Task("enhancer", "enhancer")])
    n, width, jitter = 60, 24, 4
    codes, offsets = encode_many(["".join(rng.choice(list("ACGT"), width + 2 * jitter)) for _ in range(n)])
    start = np.arange(n) * 50 + 100
    columns = {"chrom": "one", "start": start, "end": start + width + 2 * jitter}
    columns |= {"enhancer": [1.0, 0.0] * (n // 2), "split": ["train", "train", "valid", "valid", "test", "test"] * 10}
    table = arrange(pl.DataFrame(columns), tasks)
    with pyBigWig.open(str(tmp_path / "x.bw"), "w") as out:
        out.addHeader([("one", 5000)])
        out.addEntries("one", 0, values=rng.gamma(1, 1, 3000), span=1, step=1)
    elements = Elements(table, tasks, Ledger(), [], codes, offsets)
    (tmp_path / "rich.toml").write_text(CONFIG)
    (tmp_path / "plain.toml").write_text(CONFIG.partition("[signals]")[0])
    rich, plain = (
        build_from_elements(elements, DatasetConfig.from_toml(tmp_path / f"{name}.toml"), out=tmp_path / name)
        for name in ("rich", "plain")
    )
    batch = rich.train.batch(np.arange(4))
    assert batch.signals is not None
    assert [rich.tracks[0][key] for key in ("name", "tissue", "assay")] == ["x", "heart", "DNase"]
    assert batch.signals.shape == (4, 1, 3)

    cnn = model_config({"name": "cnn", "channels": [4, 4], "pools": [2, 1], "embedding": 3})
    how = TrainConfig(epochs=1, batch_size=10, seed=1)
    histories = []
    for name, dataset in (("plain", plain), ("rich", rich)):
        fit(cnn, dataset, how, out=tmp_path / f"run-{name}")
        histories.append(pl.read_csv(tmp_path / f"run-{name}" / "history.csv"))
    assert histories[0]["train_loss"].to_list() == histories[1]["train_loss"].to_list()
    assert histories[0]["valid_auprc"].to_list() == histories[1]["valid_auprc"].to_list()
