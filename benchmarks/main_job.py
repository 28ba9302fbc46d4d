"""The main job, measured side by side in one run.

    python benchmarks/main_job.py [--quick] [--json] [--only TEXT]

Rows: dataset build against the straightforward pandas way (CPU time an element, and bytes on disk), batches a second,
what feeding costs a training step, bf16 against fp32, the Transformer against Hugging Face's BertModel, length
buckets against none, the CNN against the 5-mer baseline on the published split of the DHS data, and how quickly the
command line answers.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from rows import Rows, arguments, in_turn
from straightforward import build as straightforward_build
from straightforward import read_genome
from synthetic import TISSUES, make

import encre
from encre.data.dataset import Dataset
from encre.evaluation.comparison import compare_tables
from encre.evaluation.table import prediction_table
from encre.models.baselines import BASELINES
from encre.models.device import has_bf16
from encre.models.inference import predict_logits
from encre.models.settings import ModelConfig
from encre.sequence.tokenizers import kmer_ids
from encre.train import sampling
from encre.train.loop import Training
from encre.train.team import Team

REPOSITORY = Path(__file__).resolve().parents[1]
QUICK_CNN = encre.CNNConfig(
    input="one_hot", channels=(96, 128, 256), kernel_sizes=(11, 7, 5), pools=(4, 4, 1), norm="batch"
)


def folder_size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def dataset_build(rows: Rows, work: Path, *, quick: bool) -> Dataset:
    """CPU seconds an element, both from files of the same kind; both read their genome within their time."""
    ours, theirs, times = (60_000, 3_000, 2) if quick else (300_000, 4_000, 3)
    config = make(work / "synthetic", ours).config
    small = make(work / "small", theirs).config.parent
    tissues = {t: small / f"{t}.bed" for t in TISSUES}
    ratios, sizes, built = [], [], None
    warm = encre.DatasetConfig.from_toml(
        make(work / "warm", 3_000).config
    )  # imports and thread pools come before the clock
    encre.build_dataset(warm, out=work / "warm-built")
    for turn in range(times):
        os.environ["ENCRE_CACHE"] = str(work / f"cache{turn}")  # the genome is imported anew in every turn
        t0 = time.process_time()
        built = encre.build_dataset(encre.DatasetConfig.from_toml(config), out=work / f"built{turn}")
        t1 = time.process_time()
        table = straightforward_build(
            small / "registry.bed", tissues, read_genome(small / "genome.fa"), work / "table.csv", rows=theirs
        )
        t2 = time.process_time()
        ratios.append(((t2 - t1) / theirs) / ((t1 - t0) / ours))
        sizes.append((table / theirs) / (folder_size(work / f"built{turn}") / ours))
    rows.add("build: CPU time an element, pandas way / encre", ratios, "x", target=50)
    rows.add("build: bytes an element, text table / encre", sizes, "x", target=7)
    assert built is not None
    return built


def batches(rows: Rows, data: Dataset, *, quick: bool) -> None:
    """Sequences a second a core out of the dataset, random order."""
    subset = data.train
    rng = np.random.default_rng(0)
    rates = []
    for _ in range(3 if quick else 5):
        order = rng.permutation(len(subset))
        begun = time.process_time()
        for at in range(0, len(order), 256):
            subset.batch(order[at : at + 256])
        rates.append(len(order) / (time.process_time() - begun))
    rows.add(f"batches of 256 from {len(data.elements):,} elements, a core", rates, "seq/s", target=1e6)


def training_of(data: Dataset, model: ModelConfig, out: Path, **settings: object) -> Training:
    """A training that has begun and takes steps as we ask."""
    config = encre.TrainConfig(epochs=1000, patience=None, precision="fp32", **settings)  # pyright: ignore[reportArgumentType]
    team = Team(0, 1, torch.device("cpu"))
    return Training(model, data, config, out=out, team=team)


def feeding(rows: Rows, data: Dataset, work: Path, *, quick: bool) -> None:
    """The same steps of the quickstart's CNN, on batches drawn from the dataset and on batches already in memory."""
    training = training_of(data, QUICK_CNN, work / "feeding", batch_size=64)
    training.model.train()
    order = sampling.batches(np.arange(len(data.train)), data.train.length, training.config, epoch=0)
    order = order[: 12 if quick else 60]
    memory = [data.train.batch(batch) for batch in order]

    def drawn() -> None:
        for batch in order:
            training.step(data.train.batch(batch))

    def ready() -> None:
        for batch in memory:
            training.step(batch)

    ratios = [1 / ratio for ratio in in_turn(drawn, ready, times=5 if quick else 7)]
    rows.add("training step: batches drawn / batches in memory", ratios, "x", target=1.05, at_most=True)


def precision(rows: Rows, data: Dataset, work: Path, *, quick: bool) -> None:
    """CNN training in bf16 against fp32, where the CPU computes in bf16."""
    name, target = "CNN training: bf16 / fp32", 1.7
    if not has_bf16(torch.device("cpu")):
        rows.skip(name, "x", target, "this CPU does not compute in bf16")
        return
    config = encre.CNNConfig()
    batches = [data.train.batch(np.arange(i, i + 64)) for i in range(0, 64 * (5 if quick else 15), 64)]
    sides = []
    for kind in ("bf16", "fp32"):
        training = training_of(data, config, work / kind, batch_size=64)
        training.precision = kind
        sides.append(lambda training=training: [training.step(batch) for batch in batches])
    rows.add(name, in_turn(*sides, times=3), "x", target=target)


def bert_ratios(*, shortest: int, attention_dropout: float, quick: bool) -> list[float]:
    """Seconds of a BertModel training step over seconds of ours, on one batch of ``shortest`` to 350 bp."""
    from transformers import BertConfig, BertModel

    sequences, rng = (4 if quick else 16), np.random.default_rng(0)
    sizes = {"hidden_size": 256, "num_hidden_layers": 6, "num_attention_heads": 4, "intermediate_size": 1024}
    config = BertConfig(
        vocab_size=65, max_position_embeddings=348, attention_probs_dropout_prob=attention_dropout, **sizes
    )
    ours = encre.build_model(encre.TransformerConfig(), tasks=encre.screen_tasks()).train()
    theirs, head = BertModel(config, add_pooling_layer=False).train(), torch.nn.Linear(256, 10)
    mine = torch.optim.AdamW(ours.parameters(), lr=1e-4, fused=True)
    other = torch.optim.AdamW([*theirs.parameters(), *head.parameters()], lr=1e-4, fused=True)
    length = torch.from_numpy(rng.integers(shortest, 351, sequences))
    length[0] = 350
    codes = torch.randint(0, 4, (sequences, 350), dtype=torch.uint8)
    codes[torch.arange(350) >= length[:, None]] = 4
    real = torch.arange(348) < (length - 2)[:, None]
    ids, share = kmer_ids(codes.long(), 3), real / real.sum(1, keepdim=True)
    mask, wanted = None if real.all() else real.long(), torch.randint(0, 2, (sequences, 10)).float()

    def step(optimizer: torch.optim.Optimizer, logits: torch.Tensor) -> None:
        torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted).backward()
        optimizer.step()
        optimizer.zero_grad()

    def bert() -> torch.Tensor:
        hidden = theirs(input_ids=ids, attention_mask=mask).last_hidden_state
        return head((hidden * share[..., None]).sum(1))

    return in_turn(lambda: step(mine, ours(codes, length)), lambda: step(other, bert()), times=2 if quick else 9)


def transformer(rows: Rows, *, quick: bool) -> None:
    """Training steps on the same batch, same sizes, fp32, fused AdamW on both sides.

    encre's default has no dropout on the attention weights; BertModel's has. Both ways are shown, and a batch of
    150-350 bp as SCREEN has them, padded.
    """
    cases = (
        ("350 bp, BertModel as it comes", 350, 0.1),
        ("150-350 bp padded, no attention dropout in either", 150, 0.0),
        ("350 bp, no attention dropout in either", 350, 0.0),
    )
    for name, shortest, dropout in cases:
        row = f"Transformer step, BertModel / encre: {name}"
        try:
            ratios = bert_ratios(shortest=shortest, attention_dropout=dropout, quick=quick)
        except ImportError:
            rows.skip(row, "x", 1.15, "transformers is not installed (make benchmark installs it)")
        else:
            rows.add(row, ratios, "x", target=1.15)


def buckets(rows: Rows, data: Dataset, work: Path, *, quick: bool) -> None:
    """Elements of 150-350 bp: batches of like length against random batches of the same rows.

    The Transformer's layers work on real tokens alone, so that padding costs it only attention: buckets give it less.
    """
    lstm, full = encre.CNNLSTMConfig(), encre.TransformerConfig()
    models = {"CNN": (encre.CNNConfig(), 16), "CNN+LSTM": (lstm, 4), "Transformer": (full, 4)}
    for name, (config, count) in models.items():
        row = f"length buckets, {name}: random batches / buckets"
        if quick and name != "CNN":
            rows.skip(row, "x", 1.15, "takes minutes: run without --quick")
            continue
        training = training_of(data, config, work / f"buckets {name}", batch_size=8 if quick else 32)
        training.model.train()
        chosen = np.random.default_rng(0).permutation(len(data.train))[: 8 * count if quick else 64 * count]

        def epoch(bucketing: bool, training: Training = training, chosen: np.ndarray = chosen) -> None:
            settings = training.config.model_copy(update={"bucketing": bucketing})
            for batch in sampling.batches(chosen, data.train.length, settings, epoch=0):
                training.step(data.train.batch(batch))

        ratios = in_turn(lambda epoch=epoch: epoch(True), lambda epoch=epoch: epoch(False), times=2 if quick else 4)
        rows.add(row, ratios, "x", target=1.15)


def skill(rows: Rows, work: Path, *, quick: bool) -> None:
    """A CNN against the 5-mer regression, test chr1: least lower end of the four intervals of the difference.

    The quickstart's CNN, trained here; with ``--quick`` the model that the package ships.
    """
    name = "CNN - 5-mer AUROC, lowest interval end of 4 cell lines"
    folder = os.environ.get("ENCRE_DATA", str(REPOSITORY.parent / "shared" / "data"))
    if not Path(folder, "dhs").is_dir():
        rows.skip(name, "AUROC", 0.0, f"no development data at {folder} (set ENCRE_DATA)")
        return
    table = pl.read_csv(Path(folder, "dhs", "dhs_200bp_4celltypes_hg38.tsv.gz"), separator="\t")
    lines = {c: c.split("_")[0] for c in table.columns if "_ENCL" in c}
    names = {"chr": "chrom", "seq_start": "start", "seq_end": "end", **lines}
    splits = {"training": "train", "validation": "valid", "test": "test"}
    table = table.rename(names).with_columns(split=pl.col("data_label").replace_strict(splits))
    table.select(*names.values(), "split", "sequence").write_csv(work / "dhs.tsv", separator="\t")
    config = encre.DatasetConfig.parse(
        {
            "source": {
                "kind": "table",
                "file": str(work / "dhs.tsv"),
                "tasks": {"cell_line": list(lines.values())},
                "split_column": "split",
            },
            "split": {"by": "column"},
        }
    )
    data = encre.build_dataset(config, out=work / "dhs")
    if quick:
        differences = shipped_model_against_kmers(data)
    else:
        run = work / "cnn"
        encre.fit(QUICK_CNN, data, encre.TrainConfig(epochs=6, learning_rate=3e-3), out=run)
        differences = encre.evaluate(run)["differences"]["kmer5"]["all"]
    ends = [differences[line]["auroc"]["low"] for line in lines.values()]
    rows.add(name, [min(ends)], "AUROC", target=0.0)


def shipped_model_against_kmers(data: Dataset) -> dict[str, Any]:
    """Paired differences on test without training a network: the shipped model and a 5-mer regression."""
    train, test, predictor = data.train, data.test, encre.load()
    fitted = BASELINES["kmer5"]().fit(train.codes, train.offsets, np.nan_to_num(train.targets), train.target_mask)
    at = [predictor.tasks.index(task) for task in data.tasks.names]
    scores = (
        predict_logits(predictor.model, test.codes, test.offsets)[:, at],
        fitted.logits(test.codes, test.offsets),
    )
    same = {"index": test.index, "length": test.length, "targets": test.targets, "mask": test.target_mask}
    tables = [prediction_table(test.elements, data.tasks, columns={**same, "logits": found}) for found in scores]
    return compare_tables(*tables, data.tasks)["all"]


def answers(rows: Rows, *, quick: bool) -> None:
    """Seconds of a whole process: the command line's help, and the import (which must not load torch)."""
    commands = {
        "encre --help": ([sys.executable, "-m", "encre", "--help"], 0.3),
        "import encre": ([sys.executable, "-c", "import encre, sys; assert 'torch' not in sys.modules"], 0.5),
    }
    for name, (command, target) in commands.items():
        seconds = []
        for _ in range(6 if quick else 15):
            begun = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            seconds.append(time.perf_counter() - begun)
        rows.add(name, seconds[1:], "s", target=target, at_most=True)


def main() -> None:
    options = arguments(__doc__ or "")
    rows, quick = Rows(json_only=options.json), options.quick
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        os.environ["ENCRE_CACHE"] = str(work / "cache")
        fresh: list[Dataset] = []

        def data() -> Dataset:
            """Synthetic elements of 150-350 bp; those of the build row when it has run."""
            if not fresh:
                config = encre.DatasetConfig.from_toml(make(work / "elements", 30_000).config)
                fresh.append(encre.build_dataset(config, out=work / "elements-built"))
            return fresh[0]

        parts = {
            "answers": lambda: answers(rows, quick=quick),
            "transformer": lambda: transformer(rows, quick=quick),
            "build": lambda: fresh.append(dataset_build(rows, work, quick=quick)),
            "batches": lambda: batches(rows, data(), quick=quick),
            "feeding": lambda: feeding(rows, data(), work, quick=quick),
            "precision": lambda: precision(rows, data(), work, quick=quick),
            "buckets": lambda: buckets(rows, data(), work, quick=quick),
            "skill": lambda: skill(rows, work, quick=quick),
        }
        for part, measure in parts.items():
            if options.only in part:
                measure()
    rows.close()


if __name__ == "__main__":
    main()
