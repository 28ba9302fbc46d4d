"""A dataset with signals trains a model that takes none exactly as the same dataset without them."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyBigWig

from encre.data.build import build_from_elements
from encre.data.dataset import Dataset
from encre.data.rows import Rows
from encre.data.settings import DatasetConfig
from encre.data.signals import SignalSettings, read_signals
from encre.data.writing import write_dataset
from encre.ledger import Ledger
from encre.models.registry import model_config
from encre.sequence.alphabet import encode_many
from encre.sources.elements import Elements, arrange
from encre.tasks import Task, TaskSet
from encre.train.loop import fit
from encre.train.settings import TrainConfig


def test_training_ignores_signals(tmp_path):
    rng = np.random.default_rng(0)
    tasks = TaskSet([Task("enhancer", "enhancer")])
    n, width, jitter = 60, 24, 4
    codes, offsets = encode_many(["".join(rng.choice(list("ACGT"), width + 2 * jitter)) for _ in range(n)])
    start = np.arange(n) * 50 + 100
    columns = {"chrom": "one", "start": start, "end": start + width + 2 * jitter}
    columns |= {"enhancer": [1.0, 0.0] * (n // 2), "split": ["train", "train", "valid", "valid", "test", "test"] * 10}
    table = arrange(pl.DataFrame(columns), tasks)
    wide = {"mode": "window", "width": width, "jitter": jitter}
    config = DatasetConfig.parse({"source": {"kind": "dhs"}, "split": {"by": "column"}, "sequence": wide})
    plain = build_from_elements(Elements(table, tasks, Ledger(), [], codes, offsets), config, out=tmp_path / "plain")

    with pyBigWig.open(str(tmp_path / "x.bw"), "w") as out:
        out.addHeader([("one", 5000)])
        out.addEntries("one", 0, values=rng.gamma(1, 1, 3000), span=1, step=1)
    rows = Rows(plain.elements, np.array(plain.codes), plain.offsets, jitter)
    settings = SignalSettings.parse({"bin": 8, "tracks": {"x": str(tmp_path / "x.bw")}})
    train = (rows.table["split"] == "train").to_numpy()
    signals = read_signals(rows, settings, train_mask=train, assembly="custom:toy")
    (tmp_path / "signals").mkdir()
    kept = {k: v for k, v in plain.manifest.items() if k not in ("format", "digest", "files", "sizes", "provenance")}
    write_dataset(tmp_path / "signals", rows, tasks, config_toml="", about=kept, signals=signals)
    rich = Dataset.open(tmp_path / "signals", verify=True)
    batch = rich.train.batch(np.arange(4))
    assert batch.signals is not None
    assert batch.signals.shape == (4, 1, 3)

    cnn = model_config({"name": "cnn", "channels": [4, 4], "pools": [2, 1], "embedding": 3})
    how = TrainConfig(epochs=1, batch_size=10, seed=1)
    histories = []
    for name, dataset in (("plain", plain), ("signals", rich)):
        fit(cnn, dataset, how, out=tmp_path / f"run-{name}")
        histories.append(pl.read_csv(tmp_path / f"run-{name}" / "history.csv"))
    assert histories[0]["train_loss"].to_list() == histories[1]["train_loss"].to_list()
    assert histories[0]["valid_auprc"].to_list() == histories[1]["valid_auprc"].to_list()
