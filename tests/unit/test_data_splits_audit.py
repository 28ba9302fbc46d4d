"""Splits, leakage and shortcuts on tables small enough to count by hand."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from encre.data.leakage import leakage
from encre.data.rows import Rows
from encre.data.shortcuts import auroc, beyond, shortcut_scores
from encre.data.splits import check_splits, split_by_chromosome, split_by_column, split_by_group
from encre.errors import DataError
from encre.sequence.alphabet import encode_many
from encre.tasks import Task, TaskSet

TASKS = TaskSet([Task("on", "on"), Task("heart", "tissue", "multilabel")])


def rows_of(texts, **columns):
    codes, offsets = encode_many(texts)
    n = len(texts)
    base = {
        "chrom": ["chr1"] * n,
        "start": [0] * n,
        "end": [0] * n,
        "accession": [None] * n,
        "ccre_class": [None] * n,
        "kind": ["element"] * n,
        "split": [None] * n,
        "on": [1.0] * n,
        "heart": [float("nan")] * n,
    }
    frame = pl.DataFrame(
        base | columns, schema_overrides={"ccre_class": pl.String, "split": pl.String, "accession": pl.String}
    )
    return Rows(frame, codes, offsets).grouped()


def test_chromosomes_go_where_they_were_sent_and_the_rest_trains():
    rows = rows_of(["A"] * 4, chrom=["chr1", "chr5", "chr6", "chrX"])
    assert split_by_chromosome(rows, valid=("chr6",), test=("chr5",)).to_list() == ["train", "test", "valid", "train"]


def test_a_split_without_rows_on_its_chromosomes_is_said():
    rows = rows_of(["A"] * 2, chrom=["chr1", "chr5"])
    with pytest.raises(DataError, match=r"the valid split is empty: no row lies on chr6.*rows on chr1, chr5"):
        split_by_chromosome(rows, valid=("chr6",), test=("chr5",))


def test_rows_without_a_chromosome_cannot_be_split_by_it():
    with pytest.raises(DataError, match=r"1 of 2 rows have no chromosome.*\"group\""):
        split_by_chromosome(rows_of(["A"] * 2, chrom=["chr5", None]), valid=("chr6",), test=("chr5",))


def test_the_sources_own_split_must_be_there_and_known():
    assert split_by_column(rows_of(["A", "C"], split=["train", "test"])).to_list() == ["train", "test"]
    with pytest.raises(DataError, match="names no split"):
        split_by_column(rows_of(["A", "C"]))
    with pytest.raises(DataError, match=r"1 of 2 rows have no split"):
        split_by_column(rows_of(["A", "C"], split=["train", None]))
    with pytest.raises(DataError, match=r"got holdout"):
        split_by_column(rows_of(["A", "C"], split=["train", "holdout"]))


def random_rows(n, seed=0):
    rng = np.random.default_rng(seed)
    texts = ["".join(rng.choice(list("ACGT"), 12)) for _ in range(n)]
    texts[n // 2 :] = [t.translate(str.maketrans("ACGT", "TGCA"))[::-1] for t in texts[: n - n // 2]]
    on = (rng.random(n) < 0.2).astype(np.float32)
    heart = np.where(rng.random(n) < 0.5, np.nan, rng.random(n) < 0.1).astype(np.float32)
    return rows_of(texts, on=on, heart=heart)


def test_groups_stay_together_and_fractions_and_prevalence_hold():
    rows = random_rows(4000)
    split = split_by_group(rows, TASKS, valid_fraction=0.1, test_fraction=0.2, seed=1)
    table = rows.table.with_columns(split=split)
    assert table.group_by("group").agg(pl.col("split").n_unique())["split"].max() == 1
    sizes = dict(split.value_counts().iter_rows())
    assert abs(sizes["test"] - 800) <= 8
    assert abs(sizes["valid"] - 400) <= 8
    prevalence = table.group_by("split").agg(pl.col("on").mean())["on"]
    assert prevalence.max() - prevalence.min() < 0.03


def test_a_group_split_depends_on_the_seed_but_not_on_the_order_of_rows():
    rows = random_rows(500)
    order = np.random.default_rng(9).permutation(500)
    shuffled = Rows(rows.table[order], rows.codes, rows.offsets)
    settings = {"valid_fraction": 0.1, "test_fraction": 0.1}
    split = split_by_group(rows, TASKS, seed=1, **settings)
    assert split_by_group(shuffled, TASKS, seed=1, **settings).to_list() == split[order].to_list()
    assert split_by_group(rows, TASKS, seed=2, **settings).to_list() != split.to_list()


def test_a_split_without_one_side_of_a_task_is_refused_by_name():
    table = rows_of(
        ["A"] * 6, split=["train", "train", "valid", "valid", "test", "test"], on=[1, 0, 1, 0, 1, 1]
    ).table
    with pytest.raises(
        DataError, match=r"the test split has no negative of task 'on' \(got 2 positive, 0 negative\)"
    ):
        check_splits(table, TASKS)
    good = table.with_columns(on=pl.Series([1.0, 0, 1, 0, 1, 0]))
    assert check_splits(good, TASKS)["test"]["on"] == {"positive": 1, "negative": 1, "not_measured": 0}
    assert check_splits(good, TASKS)["test"]["heart"]["not_measured"] == 2  # measured nowhere: masked, not refused


def test_only_positives_anywhere_points_to_negatives():
    table = rows_of(["A"] * 3, split=["train", "valid", "test"]).table
    with pytest.raises(DataError, match=r"no negative of task 'on'.*dinucleotide_shuffle"):
        check_splits(table, TASKS)


def test_leakage_counts_pairs_across_splits_on_either_strand():
    texts = ["AACC", "AACC", "GGTT", "AACC", "ACGT", "ACGT", "TTTT", "TTTT"]
    split = ["train", "train", "test", "valid", "train", "test", "train", "train"]
    found = leakage(rows_of(texts, split=split))
    # AACC: 2 train x 1 valid exact; 2 train x 1 test and 1 valid x 1 test reversed. ACGT: 1 train x 1 test exact.
    assert (found["pairs"], found["exact"], found["reverse_complement"], found["groups"]) == (6, 3, 3, 2)
    assert found["by_splits"] == {"train-valid": 2, "train-test": 3, "valid-test": 1}
    assert found["rows"] == {"train": 3, "valid": 1, "test": 2}
    assert [row["row"] for row in found["examples"][0]["rows"]] == [0, 2, 3]


def test_no_leakage_is_zero():
    rows = rows_of(["AAAA", "TTTT", "CCCC"], split=["train", "train", "test"])
    found = leakage(rows)
    assert found["pairs"] == 0
    assert found["examples"] == []


def test_shortcuts_say_what_length_and_gc_alone_reach():
    rows = rows_of(["GGGGGG", "GGGG", "AAA", "AAT", "C"], split=["test"] * 4 + ["train"], on=[1, 1, 0, 0, 1])
    found = shortcut_scores(rows, TASKS)
    known = {key: value for key, value in found["tasks"]["on"].items() if value is not None}
    assert known == {"length": 1.0, "gc": 1.0, "cpg": 0.5, "n_share": 0.5, "positives": 2, "negatives": 2}
    assert found["tasks"]["heart"]["gc"] is None
    assert found["tasks"]["heart"]["reason"]
    assert [item["auroc"] for item in found["flagged"]] == [1.0, 1.0]


def test_a_shortcut_counts_in_either_direction():
    rows = rows_of(["A", "A", "GGG", "GGG"], split=["test"] * 4, on=[1, 1, 0, 0])
    assert beyond(shortcut_scores(rows, TASKS), 0.9) == [
        {"task": "on", "feature": "length", "kind": None, "auroc": 0.0},
        {"task": "on", "feature": "gc", "kind": None, "auroc": 0.0},
    ]


def test_auroc_is_scikit_learns_ties_included():
    rng = np.random.default_rng(0)
    score, positive = rng.integers(0, 20, 500).astype(float), rng.random(500) < 0.3
    assert auroc(score, positive) == pytest.approx(roc_auc_score(positive, score))
    assert auroc(score, np.ones(500, dtype=bool)) is None
