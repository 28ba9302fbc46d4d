"""What does accessibility add beyond sequence? Open sites of chr22, four cell lines, the tracks of three.

    python benchmarks/signals.py [--quick] [--json]

858 DNase sites of 200 bp (Meuleman et al. 2020), each open in one of K562, GM12878, HepG2 and hESCT0, with the
accessibility of K562, GM12878 and MCF7 over them, as ``examples/signals`` says. Stretches of 1 Mb are dealt to train,
valid and test in turn. The same CNN reads the sequence alone, or the tracks as well in each of the three ways; as a
control, tracks that were shuffled between the rows. Test logits are means over the seeds; intervals are paired, over
5 Mb blocks.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from rows import Rows, arguments

from encre.data.build import build_dataset
from encre.data.dataset import Dataset
from encre.data.settings import DatasetConfig
from encre.errors import EncreError
from encre.evaluation.comparison import compare_judged
from encre.evaluation.judgement import Judgement, judge
from encre.files import write_json
from encre.models.checkpoint import load_model
from encre.models.registry import model_config
from encre.reproducibility import sha256_file
from encre.train.beyond import beyond_sequence
from encre.train.loop import fit
from encre.train.predictions import Tables, predicted
from encre.train.settings import RunConfig

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("ENCRE_DATA", ROOT.parent / "shared" / "data"))
EXAMPLE = ROOT / "examples" / "signals"
CELLS = {"K562": "K562", "GM12878": "GM12878", "HepG2": "HepG2", "hESCT0": "hESCT0"}
STRETCH = 1_000_000
WAYS = ("none", "early", "late", "cross_attention")
#: How much the best way must add to the macro AUPRC of sequence alone, and how little shuffled tracks may.
LEAST, NOTHING = 0.05, 0.05


class Found(NamedTuple):
    """A way's judgement on test, and that of the same models with their tracks hidden (itself without tracks)."""

    judged: Judgement
    hidden: Judgement | None
    alone: Judgement | None


def elements(data: Path) -> pl.DataFrame:
    """The sites of chr22, a column a cell line, and the split by stretches of 1 Mb: 3 train, 1 valid, 1 test."""
    table = pl.read_csv(data / "dhs" / "dhs_200bp_4celltypes_hg38.tsv.gz", separator="\t")
    cell = pl.col("TAG").str.extract("^([^_]+)_")
    turn = (pl.col("seq_start") // STRETCH) % 5
    return table.filter(pl.col("chr") == "chr22").select(
        chrom="chr",
        start="seq_start",
        end="seq_end",
        sequence="sequence",
        split=pl.when(turn < 3).then(pl.lit("train")).when(turn == 3).then(pl.lit("valid")).otherwise(pl.lit("test")),
        **{name: (cell == tag).cast(pl.Int8) for name, tag in CELLS.items()},
    )


def build(data: Path, out: Path) -> Dataset:
    """The dataset of ``examples/signals`` over those sites."""
    table = out / "elements.tsv"
    elements(data).write_csv(table, separator="\t")
    cells = ("K562", "GM12878", "MCF7")
    paths = [f"signals.tracks.acc_{name}.path={data / 'signals' / f'acc.{name}.chr22.bw'}" for name in cells]
    config = DatasetConfig.from_toml(EXAMPLE / "dataset.toml", overrides=[f"source.file={table}", *paths])
    return build_dataset(config, out=out / "dataset")


def shuffled(dataset: Dataset, out: Path) -> Dataset:
    """The same dataset, its signals dealt to other rows: what a model could make of tracks that say nothing."""
    import shutil

    shutil.copytree(dataset.path, out)
    signals = np.load(out / "signals.npy")
    np.save(out / "signals.npy", signals[np.random.default_rng(0).permutation(len(signals))])
    manifest = dict(dataset.manifest)
    manifest["files"] = manifest["files"] | {"signals.npy": sha256_file(out / "signals.npy")}
    write_json(out / "manifest.json", manifest)
    return Dataset.open(out)


def judged(dataset: Dataset, way: str, *, seeds: int, epochs: int, out: Path) -> Found:
    """Train one way with several seeds, and judge the mean of their logits."""
    overrides = [f"model.signals.fusion={way}", f"train.epochs={epochs}"]
    settings = RunConfig.from_toml(EXAMPLE / "cnn.toml", overrides=overrides)
    whole, hidden, alone = [], [], None
    for seed in range(seeds):
        train = settings.train.model_copy(update={"seed": seed})
        run = fit(model_config(settings.model), dataset, train, out=out / f"{way}-{seed}")
        loaded = load_model(run.path)
        tables = predicted(loaded, dataset, split="test")
        whole.append(tables)
        _, more = beyond_sequence(loaded, dataset, judge(*tables, dataset.tasks, resamples=0), split="test")
        if more:
            hidden.append(more["hidden"])
            alone = judge(*more["signal_only"], dataset.tasks)
    return Found(
        judge(*mean_of(whole), dataset.tasks), judge(*mean_of(hidden), dataset.tasks) if hidden else None, alone
    )


def mean_of(tables: list[Tables]) -> Tables:
    """The tables of several runs as one, their logits averaged."""
    logits = [name for name in tables[0].valid.columns if name.startswith("logit_")]

    def joined(frames: list[pl.DataFrame]) -> pl.DataFrame:
        return frames[0].with_columns(
            pl.Series(name, np.mean([frame[name].to_numpy() for frame in frames], axis=0)) for name in logits
        )

    return Tables(joined([table.valid for table in tables]), joined([table.judged for table in tables]))


def macro(found: Judgement) -> dict:
    """AUPRC over the four cell lines, with its interval."""
    return found.values["groups"]["cell_line"]["macro"]["auprc"]


def difference(a: Judgement, b: Judgement) -> dict:
    """The paired difference in it."""
    return compare_judged(a, b)["all"]["cell_line/macro"]["auprc"]


def said(value: dict) -> str:
    """A value with its interval."""
    low, high = value.get("low"), value.get("high")
    return f"{value['value']:.3f}" + (f" ({low:.3f} to {high:.3f})" if low is not None else "")


def main() -> None:
    """Print the table, and a row a claim."""
    given = arguments(__doc__.splitlines()[0])
    rows = Rows(given.json)
    if not DATA.is_dir():
        rows.skip("accessibility beyond sequence", "macro AUPRC", LEAST, f"no data at {DATA}")
        rows.close()
        return
    seeds, epochs = (1, 10) if given.quick else (3, 30)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        dataset = build(DATA, out)
        found = {way: judged(dataset, way, seeds=seeds, epochs=epochs, out=out) for way in WAYS}
        control = judged(shuffled(dataset, out / "shuffled"), "late", seeds=seeds, epochs=epochs, out=out / "control")
    plain = found["none"].judged
    print(f"{'way':<18}{'macro AUPRC':<26}{'beyond sequence':<26}tracks hidden", file=sys.stderr)
    for way, each in {**found, "late, shuffled": control}.items():
        beyond = "" if way == "none" else said(difference(each.judged, plain))
        without = said(macro(each.hidden)) if each.hidden else ""
        print(f"{way:<18}{said(macro(each.judged)):<26}{beyond:<26}{without}", file=sys.stderr)
    if (alone := found["late"].alone) is not None:
        print(f"{'tracks alone':<18}{said(macro(alone))}", file=sys.stderr)
    for way in WAYS[1:]:
        gain = difference(found[way].judged, plain)
        rows.add(f"{way}: accessibility beyond sequence", [gain["value"]], "macro AUPRC", target=LEAST)
        rows.add(f"{way}: lower end of its interval", [gain["low"]], "macro AUPRC", target=0)
    nothing = difference(control.judged, plain)["value"]
    rows.add("shuffled tracks beyond sequence: gain", [nothing], "macro AUPRC", target=NOTHING, at_most=True)
    rows.close()


if __name__ == "__main__":
    try:
        main()
    except EncreError as error:
        raise SystemExit(f"{error}") from None
