"""The shipped matched config on real sequence: background, other classes and shuffles, no near-duplicate apart."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from encre.cli.main import run
from encre.data.dataset import Dataset

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.data
@pytest.mark.slow
def test_the_matched_config_gives_negatives_that_length_and_gc_cannot_tell(data: Path, tmp_path: Path):
    os.environ.setdefault("ENCRE_CACHE", str(tmp_path / "cache"))
    screen, annotation = data / "screen_like", data / "annotation"
    chosen = {
        "source.registry": screen / "GRCh38-cCREs.bed.gz",
        "source.genome": data / "genome" / "hg38.sparse.fa.gz",
        "source.tissues.brain": screen / "brain.noccl.cCREs.bed.gz",
        "source.tissues.heart": screen / "heart.noccl.cCREs.bed.gz",
        "negatives.tss": annotation / "GENCODE24_TSS.Basic.bed.gz",
        "negatives.exclude": annotation / "hg38-blacklist.v2.bed.gz",
    }
    words = [word for key, path in chosen.items() for word in ("--set", f"{key}={path}")]
    config = ROOT / "examples" / "screen_v4" / "matched.toml"
    assert run(["-q", "data", "build", str(config), "--out", str(tmp_path / "set"), *words]) == 0
    dataset = Dataset.open(tmp_path / "set", verify=True)
    table = dataset.elements
    assert set(table["kind"]) == {"element", "background", "other_class", "dinucleotide_shuffle"}
    assert table.group_by("cluster").agg(pl.col("split").n_unique())["split"].max() == 1
    quality = {found["kind"]: found for found in dataset.manifest["negatives"]}["background"]
    assert quality["made"] >= 0.9 * quality["wanted"]
    for name in ("length", "gc", "tss_distance"):
        assert abs(quality["smd"][name]["after"]) < 0.1
    assert abs(quality["smd"]["gc"]["before"]) > 0.2  # what is placed at random is no match
    against = dataset.audit["shortcuts"]["by_kind"]["enhancer"]["background"]
    assert abs(against["gc"] - 0.5) < 0.05
    assert abs(against["length"] - 0.5) < 0.05
    placed = table.filter(table["kind"].is_in(["element", "other_class"]))
    for row in table.filter(table["kind"] == "background")[::50].iter_rows(named=True):
        near = placed.filter(placed["chrom"] == row["chrom"])
        gap = np.maximum(near["start"] - row["end"], row["start"] - near["end"])
        assert gap.min() is None or gap.min() >= 200
