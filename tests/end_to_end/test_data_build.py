"""Datasets from the data that the package ships, a user's table, and files in SCREEN's forms."""

from __future__ import annotations

import errno
import resource
import subprocess
import sys
import time

import numpy as np
import polars as pl
import pytest

from encre.data.build import DatasetConfig, build_dataset
from encre.data.dataset import Dataset
from encre.errors import GateError, ResourceError
from encre.sequence.alphabet import encode, encode_many, gc_share, reverse_complement

DHS = {
    "name": "dhs",
    "source": {"kind": "dhs"},
    "negatives": {"kinds": ["dinucleotide_shuffle"]},
    "split": {"by": "column"},
    "audit": {"max_exact_leakage": 0},
}


@pytest.fixture(scope="module")
def dhs(tmp_path_factory) -> tuple[Dataset, float]:
    begun = time.process_time()
    dataset = build_dataset(DatasetConfig.parse(DHS), out=tmp_path_factory.mktemp("dhs") / "set")
    return dataset, time.process_time() - begun


def test_the_shipped_sites_and_their_shuffles_build_in_seconds(dhs):
    dataset, seconds = dhs
    assert seconds < 15
    assert len(dataset) == 2 * 47_872
    assert {name: len(dataset.subset(name)) for name in ("train", "valid", "test")} == {
        "train": 78_508,
        "valid": 8_106,
        "test": 9_130,
    }
    assert set(dataset.test.elements["chrom"]) == {"chr1"}
    assert set(dataset.valid.elements["chrom"]) == {"chr2"}


def test_a_shuffle_has_its_elements_dinucleotides_so_that_gc_alone_is_blind(dhs):
    dataset, _ = dhs
    half = len(dataset) // 2
    rows = dataset.codes.reshape(len(dataset), 200)
    pairs = rows[:, :-1] * np.uint8(4) + rows[:, 1:]
    for row in range(0, half, 997):
        assert np.array_equal(np.bincount(pairs[row], minlength=16), np.bincount(pairs[half + row], minlength=16))
        assert not np.array_equal(rows[row], rows[half + row])
    scores = dataset.audit["shortcuts"]["tasks"]
    assert scores["element"]["gc"] == pytest.approx(0.5)
    assert scores["element"]["length"] == pytest.approx(0.5)
    assert 0.55 < scores["K562"]["gc"] < 0.65


def test_the_card_says_splits_sources_ledger_and_audit(dhs):
    dataset, _ = dhs
    card = (dataset.path / "README.md").read_text()
    for part in ("# Dataset: dhs", "47,872 dinucleotide_shuffle", "K562", "MIT", "add negatives", dataset.digest):
        assert part in card


def test_a_thousand_batches_in_random_order_hold_the_same_sequences_as_the_arrays(dhs):
    train = dhs[0].train
    order = np.random.default_rng(0).permutation(len(train))
    codes = train.codes.reshape(len(train), 200)
    for first in range(0, len(train), 997):
        rows = order[first : first + 997]
        assert np.array_equal(train.batch(rows).codes, codes[rows])


def leaky(path) -> None:
    """A table in which one test sequence stands in training, read on the other strand."""
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("ACGT"), 40)) for _ in range(12)]
    texts[9] = "".join("ACGT"[c] for c in reverse_complement(encode(texts[1])))
    split = ["train"] * 4 + ["valid"] * 4 + ["test"] * 4
    pl.DataFrame({"sequence": texts, "on": [0, 1] * 6, "split": split}).write_csv(path)


def own_table(folder) -> dict:
    return {"kind": "table", "file": str(folder / "own.csv"), "tasks": {"on": ["on"]}, "split_column": "split"}


@pytest.mark.parametrize("by", ["column", "group"])
def test_leakage_fails_the_build_when_limited_and_grouping_mends_it(tmp_path, by):
    leaky(tmp_path / "own.csv")
    values = {
        "source": {
            "kind": "table",
            "file": str(tmp_path / "own.csv"),
            "tasks": {"on": ["on"]},
            "split_column": "split",
        },
        "split": {"by": by, "valid_fraction": 0.3, "test_fraction": 0.3},
        "audit": {"max_exact_leakage": 0},
    }
    out = tmp_path / "set"
    if by == "group":
        assert build_dataset(DatasetConfig.parse(values), out=out).audit["leakage"]["pairs"] == 0
        return
    with pytest.raises(GateError, match=r"1 pairs.*1 reverse complement"):
        build_dataset(DatasetConfig.parse(values), out=out)
    assert [p.name for p in tmp_path.iterdir()] == ["own.csv"]


def test_a_disk_that_fills_up_leaves_nothing_behind(tmp_path):
    leaky(tmp_path / "own.csv")
    config = DatasetConfig.parse({"source": own_table(tmp_path), "split": {"by": "column"}})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        for size in (100, 300, 500, 4000):  # a write beyond so many bytes fails, as on a full disk
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
            with pytest.raises(ResourceError, match="the disk filled up"):
                build_dataset(config, out=tmp_path / "set")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [p.name for p in tmp_path.iterdir()] == ["own.csv"]


def test_no_space_left_is_said_whichever_file_it_meets(tmp_path, monkeypatch):
    leaky(tmp_path / "own.csv")
    config = DatasetConfig.parse({"source": own_table(tmp_path), "split": {"by": "column"}})

    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", full)  # the manifest, written last
    with pytest.raises(ResourceError, match="Free some space"):
        build_dataset(config, out=tmp_path / "set")
    assert [p.name for p in tmp_path.iterdir()] == ["own.csv"]


def test_building_and_reading_never_load_torch_or_pandas():
    code = (
        "import sys, encre.data.build, encre.sequence.tokenizers, encre.sequence.edits; "
        "print(sorted({'torch', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


TISSUES = ("brain", "blood", "muscle", "skin", "lung", "embryo", "large_intestine", "heart", "kidney")


@pytest.fixture(scope="module")
def screen_source(request) -> dict:
    data = request.getfixturevalue("data")
    files = {t: str(data / "screen_like" / f"{t}.noccl.cCREs.bed.gz") for t in TISSUES}
    return {
        "kind": "screen",
        "registry": str(data / "screen_like" / "GRCh38-cCREs.bed.gz"),
        "tissues": files | {"kidney": ""},
        "genome": str(data / "genome" / "hg38.sparse.fa.gz"),
    }


@pytest.mark.slow
@pytest.mark.data
def test_screen_files_become_a_dataset_with_a_masked_tissue(tmp_path, screen_source):
    config = DatasetConfig.parse({"name": "screen", "source": screen_source})
    dataset = build_dataset(config, out=tmp_path / "set")
    assert len(dataset) == 7_219  # 2,000 rows are N only
    dropped = {k: v for step in dataset.ledger.steps for k, v in step.dropped.items()}
    assert dropped == {"more than 50% N": 2_000}
    assert set(dataset.test.elements["chrom"]) <= {"chr5", "chr10", "chr14", "chr18", "chr20", "chr22"}
    assert not dataset.train.target_mask[:, dataset.tasks.index("kidney")].any()
    width = dataset.elements["end"] - dataset.elements["start"]
    assert np.diff(dataset.offsets).tolist() == width.to_list()
    # Labels of the registry's classes are synthetic: composition must not tell them.
    assert abs(dataset.audit["shortcuts"]["tasks"]["enhancer"]["gc"] - 0.5) < 0.05
    _check_against_pysam(dataset, screen_source["genome"])


def _check_against_pysam(dataset: Dataset, fasta: str) -> None:
    import pysam

    with pysam.FastaFile(fasta) as genome:
        for row in range(0, len(dataset), 211):
            chrom, start, end = dataset.elements.select("chrom", "start", "end").row(row)
            codes, _ = encode_many([genome.fetch(chrom, start, end)])
            assert np.array_equal(dataset.codes[dataset.offsets[row] : dataset.offsets[row + 1]], codes)


@pytest.mark.data
def test_published_leaks_are_found(tmp_path, data):
    """All 100 'strong' test sequences of iEnhancer-2L are exact copies of training sequences."""
    table = pl.read_csv(data / "benchmarks" / "iEnhancer2L.csv")
    table = table.with_columns(
        split=pl.when((pl.int_range(pl.len()) % 10 == 0) & (pl.col("split") == "train"))
        .then(pl.lit("valid"))
        .otherwise(pl.col("split"))
    )
    table.write_csv(tmp_path / "own.csv")
    source = {"kind": "table", "file": str(tmp_path / "own.csv"), "tasks": {"on": ["label"]}, "split_column": "split"}
    dataset = build_dataset(DatasetConfig.parse({"source": source, "split": {"by": "column"}}), out=tmp_path / "set")
    assert dataset.audit["leakage"]["rows"]["test"] == 100
    assert dataset.audit["leakage"]["exact"] >= 100
    assert dataset.audit["shortcuts"]["tasks"]["label"]["gc"] > 0.7


def test_background_keeps_its_distance_from_elements_of_the_classes_that_were_left_out(toy, encre, tmp_path):
    """It used to know only the rows that were kept, and put a quarter of the background on other elements."""
    words = ["--set", 'source.classes=["dELS", "CA-CTCF"]', "--set", 'negatives.kinds=["background"]']
    words += [
        "--set",
        "negatives.per_element=3",
        "--set",
        "negatives.max_unmatched=1",
        "--set",
        "negatives.distance=20",
    ]
    done = encre("data", "build", toy.config, "--out", tmp_path / "set", "-q", *words, "--set", "negatives.max_smd=9")
    assert done.code == 0, done.err
    table = pl.read_parquet(tmp_path / "set" / "elements.parquet")
    new = table.filter(pl.col("kind") == "background")
    assert new.height > 50
    registry = pl.DataFrame([(c, int(s), int(e)) for c, s, e, *_ in toy.rows], ["c", "s", "e"], orient="row")
    pairs = new.join(registry, left_on="chrom", right_on="c")
    assert not pairs.filter((pl.col("start") < pl.col("e") + 20) & (pl.col("s") - 20 < pl.col("end"))).height


def test_the_balance_of_background_is_that_of_the_rows_that_are_left(toy, tmp_path, monkeypatch):
    """Dropping families of repeats takes more of background than of elements; its quality used to be from before."""

    def without_the_gc_rich(rows, settings, **_):
        poor = gc_share(rows.codes, rows.offsets) < 0.5
        rows = rows.keep(poor | (rows.table["kind"] == "element").to_numpy())
        return rows.with_columns(cluster=np.arange(len(rows)))

    overrides = ['negatives.kinds=["background"]', "negatives.max_unmatched=1", "negatives.max_smd=9"]
    config = DatasetConfig.from_toml(toy.config, overrides=overrides)
    before = build_dataset(config, out=tmp_path / "all").manifest["negatives"][0]
    monkeypatch.setattr("encre.data.build.cluster_rows", without_the_gc_rich)
    config = DatasetConfig.from_toml(toy.config, overrides=[*overrides, 'clusters.repeats="drop"'])
    dataset = build_dataset(config, out=tmp_path / "left")
    (after,) = dataset.manifest["negatives"]
    assert (after["made"], after["kept"]) == (before["made"], int((dataset.elements["kind"] == "background").sum()))
    assert after["kept"] < before["kept"] == before["made"]
    assert after["smd"]["gc"]["after"] > before["smd"]["gc"]["after"] + 0.5
    assert f"{after['kept']:,}" in (tmp_path / "left" / "README.md").read_text()
    strict = DatasetConfig.from_toml(toy.config, overrides=[*overrides[:2], 'clusters.repeats="drop"'])
    with pytest.raises(GateError, match="differ from the positives in gc"):
        build_dataset(strict, out=tmp_path / "strict")
