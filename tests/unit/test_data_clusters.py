"""Clusters of rows: near-duplicates, overlapping windows, families of repeats; and splits that keep them whole."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from encre.data.clusters import ClusterSettings, cluster_rows, overlap_links
from encre.data.rows import Rows
from encre.data.splits import split_by_cluster, split_by_fold
from encre.errors import ConfigError, DataError
from encre.ledger import Ledger
from encre.sequence.alphabet import reverse_complement
from encre.sequence.flat import offsets_of
from encre.sequence.near_duplicates import near_duplicate_pairs
from encre.tasks import Task, TaskSet

TASKS = TaskSet([Task("on", "on")])
ALONE = {"valid_fraction": 0.1, "test_fraction": 0.2, "seed": 1}


def rows_of(pieces, *, jitter=0, **columns):
    n = len(pieces)
    base = {
        "chrom": [None] * n,
        "start": [None] * n,
        "end": [None] * n,
        "ccre_class": [None] * n,
        "kind": ["element"] * n,
        "on": [1.0, 0.0] * (n // 2) + [1.0] * (n % 2),
    }
    kinds = {"chrom": pl.String, "start": pl.Int64, "end": pl.Int64, "ccre_class": pl.String}
    table = pl.DataFrame(base | columns, schema_overrides=kinds)
    codes = np.concatenate(pieces)
    return Rows(table, codes, offsets_of(np.array([len(piece) for piece in pieces])), jitter).grouped()


def random_pieces(count, seed=0, length=200):
    return list(np.random.default_rng(seed).integers(0, 4, (count, length), dtype=np.uint8))


def changed(piece, changes, rng):
    copy = piece.copy()
    places = rng.choice(len(copy), changes, replace=False)
    copy[places] = (copy[places] + 1) % 4
    return copy


def families(*sizes, alone=0, seed=0, changes=8):
    """Rows in families of similar sequences (4 % from one ancestor each), and rows on their own."""
    rng = np.random.default_rng(seed)
    ancestors = random_pieces(len(sizes), seed)
    pieces = [changed(a, changes, rng) for a, size in zip(ancestors, sizes, strict=True) for _ in range(size)]
    return [*pieces, *random_pieces(alone, seed + 1)]


def test_similar_rows_share_a_cluster_and_others_do_not():
    a, b, c = random_pieces(3)
    rng = np.random.default_rng(0)
    ledger = Ledger()
    pieces = [a, b, changed(a, 10, rng), reverse_complement(b), c, np.concatenate([a[100:], c[:40]])]
    rows = cluster_rows(rows_of(pieces), ClusterSettings(), ledger=ledger)
    assert rows.table["cluster"].to_list() == [0, 1, 0, 1, 2, 0]
    assert rows.table["cluster"].dtype == pl.Int64
    step = ledger.steps[-1]
    assert (step.rows_in, step.rows_out) == (6, 6)
    assert step.notes["clusters"] == 3
    assert step.notes["rows that are not alone in their cluster"] == 5
    assert step.notes["rows of the largest cluster"] == 3
    assert step.notes["repeat families"] == 0


def test_intervals_that_share_a_base_are_linked_directly_or_through_others():
    placed = {
        "chrom": ["chr1", "chr1", "chr1", "chr2", "chr1", None],
        "start": [0, 1000, 150, 150, 1200, None],
        "end": [200, 1200, 350, 350, 1400, None],
    }
    rows = rows_of(random_pieces(6), **placed)
    assert cluster_rows(rows, ClusterSettings(), ledger=Ledger()).table["cluster"].to_list() == [0, 1, 0, 2, 3, 4]
    # A long interval reaches over a short one to the next.
    placed = {"chrom": ["chr1"] * 3, "start": [0, 10, 100], "end": [200, 60, 300]}
    pieces = [piece[:size] for piece, size in zip(random_pieces(3), (200, 50, 200), strict=True)]
    rows = cluster_rows(rows_of(pieces, **placed), ClusterSettings(), ledger=Ledger())
    assert rows.table["cluster"].to_list() == [0, 0, 0]


def test_jitters_flanks_count_as_overlap_but_not_as_sequence():
    flanked = [
        np.concatenate([p[:20], q, p[20:40]]) for p, q in zip(random_pieces(2), random_pieces(2, 5), strict=True)
    ]
    apart = {"chrom": ["chr1"] * 2, "start": [0, 239], "end": [200, 439]}
    assert len(overlap_links(rows_of(flanked, jitter=20, **apart))) == 1
    apart |= {"start": [0, 240], "end": [200, 440]}
    assert len(overlap_links(rows_of(flanked, jitter=20, **apart))) == 0


def test_shuffles_stand_nowhere_though_they_keep_coordinates():
    placed = {"chrom": ["chr1"] * 2, "start": [0, 0], "end": [200, 200], "kind": ["element", "dinucleotide_shuffle"]}
    assert len(overlap_links(rows_of(random_pieces(2), **placed))) == 0


def test_a_family_of_repeats_is_kept_whole_and_described():
    pieces = families(30, 12, alone=5)
    share = pl.Series([0.75] * 30 + [0.5] * 12 + [0.25] * 5, dtype=pl.Float32)
    ledger = Ledger()
    rows = cluster_rows(rows_of(pieces, repeat_share=share), ClusterSettings(largest=10), ledger=ledger)
    assert rows.table["cluster"].to_list() == [0] * 30 + [1] * 12 + [2, 3, 4, 5, 6]
    notes = ledger.steps[-1].notes
    assert (notes["repeat families"], notes["rows in repeat families"]) == (2, 42)
    assert notes["repeat family 1"] == "30 rows, 75% of their bases soft-masked"
    assert notes["mean share of soft-masked bases in other rows"] == 0.25


def test_a_family_is_cut_at_the_stricter_similarity_and_other_clusters_stay():
    pieces = families(30, alone=2)
    pieces += [pieces[0], changed(pieces[-1], 10, np.random.default_rng(0))]
    placed = {
        "chrom": [None] * 3 + ["chr1"] * 2 + [None] * 29,
        "start": [None] * 3 + [0, 100] + [None] * 29,
        "end": [None] * 3 + [200, 300] + [None] * 29,
    }
    ledger = Ledger()
    settings = ClusterSettings(largest=10, repeats="cut", cut_similarity=0.98)
    labels = cluster_rows(rows_of(pieces, **placed), settings, ledger=ledger).table["cluster"].to_list()
    assert labels[0] == labels[32]  # the same sequence
    assert labels[3] == labels[4]  # overlapping intervals
    assert labels[31] == labels[33]  # no family: as before
    assert len(set(labels)) > 10
    assert ledger.steps[-1].notes["clusters"] == 3
    assert ledger.steps[-1].notes["clusters, after the cut"] == len(set(labels))


def test_families_are_dropped_and_counted():
    ledger = Ledger()
    settings = ClusterSettings(largest=10, repeats="drop")
    rows = cluster_rows(rows_of(families(30, 5, alone=3)), settings, ledger=ledger)
    assert rows.table["cluster"].to_list() == [0] * 5 + [1, 2, 3]
    assert ledger.steps[-1].dropped == {"in a repeat family": 30}
    assert (ledger.steps[-1].rows_in, ledger.steps[-1].rows_out) == (38, 8)


def test_settings_that_cut_nothing_or_lie_out_of_reach_are_refused():
    with pytest.raises(ConfigError, match="cut_similarity is below similarity"):
        ClusterSettings(repeats="cut", similarity=0.95, cut_similarity=0.9)
    with pytest.raises(ConfigError, match=r"similarity"):
        ClusterSettings(similarity=0.5)


def clustered(rows):
    return cluster_rows(rows, ClusterSettings(), ledger=Ledger())


def test_clusters_stay_whole_and_the_splits_have_their_share_of_the_rows():
    rng = np.random.default_rng(0)
    sizes = [*rng.integers(2, 30, 60).tolist(), 300]
    rows = clustered(rows_of(families(*sizes, alone=900, changes=2)))
    split = split_by_cluster(rows, TASKS, **ALONE)
    table = rows.table.with_columns(split=split)
    assert table.group_by("cluster").agg(pl.col("split").n_unique())["split"].max() == 1
    shares = {name: count / len(rows) for name, count in split.value_counts().iter_rows()}
    assert shares["test"] == pytest.approx(0.2, abs=0.002)
    assert shares["valid"] == pytest.approx(0.1, abs=0.002)
    prevalence = table.group_by("split").agg(pl.col("on").mean())["on"]
    assert prevalence.max() - prevalence.min() < 0.05
    # Clusters of every size are dealt to test, not only rows that are alone.
    many = table.filter(pl.len().over("cluster") > 1)
    assert 0.1 < (many.filter(pl.len().over("cluster") < 30)["split"] == "test").mean() < 0.3
    codes, offsets = rows.seen()
    sides = split.cast(pl.Enum(["train", "valid", "test"])).to_physical().to_numpy()
    assert len(near_duplicate_pairs(codes, offsets, sides=sides).a) == 0


def test_what_is_larger_than_a_whole_split_trains():
    rows = clustered(rows_of(families(200, 50, alone=250, changes=2)))
    for seed in range(5):
        split = split_by_cluster(rows, TASKS, valid_fraction=0.08, test_fraction=0.08, seed=seed)
        assert split[0] == "train"
        assert split[200] == "train"
        assert (split == "test").sum() == 40
        assert (split == "valid").sum() == 40


def test_a_cluster_split_depends_on_the_seed_but_not_on_the_order_of_rows():
    pieces = families(5, 3, 2, alone=200)
    order = np.random.default_rng(9).permutation(len(pieces))
    on = np.random.default_rng(1).integers(0, 2, len(pieces)).astype(float)
    split = split_by_cluster(clustered(rows_of(pieces, on=on)), TASKS, **ALONE)
    again = clustered(rows_of([pieces[i] for i in order], on=on[order]))
    assert split_by_cluster(again, TASKS, **ALONE).to_list() == split[order].to_list()
    assert split_by_cluster(again, TASKS, **(ALONE | {"seed": 2})).to_list() != split[order].to_list()


def on_chromosomes(**counts):
    chrom = [name for name, count in counts.items() for _ in range(count)]
    return rows_of([np.zeros(30, dtype=np.uint8)] * len(chrom), chrom=chrom)


def test_over_all_turns_each_chromosome_is_tested_once_in_parts_of_about_one_size():
    rows = on_chromosomes(chr1=50, chr2=40, chr3=30, chr4=20, chr5=10, chr6=10)
    tested, validated = [], []
    for fold in range(4):
        table = rows.table.with_columns(split=split_by_fold(rows, folds=4, fold=fold))
        assert table.group_by("chrom").agg(pl.col("split").n_unique())["split"].max() == 1
        tested.append(set(table.filter(pl.col("split") == "test")["chrom"]))
        validated.append(set(table.filter(pl.col("split") == "valid")["chrom"]))
        assert table["split"].n_unique() == 3
        assert 30 <= (table["split"] == "test").sum() <= 50
    assert sorted(name for part in tested for name in part) == ["chr1", "chr2", "chr3", "chr4", "chr5", "chr6"]
    assert validated == [*tested[1:], tested[0]]


def test_folds_that_cannot_be_made_are_said():
    rows = on_chromosomes(chr1=5, chr2=4)
    with pytest.raises(DataError, match=r"fewer chromosomes than folds.*at least 5.*got 2: chr1, chr2"):
        split_by_fold(rows, folds=5, fold=0)
    with pytest.raises(DataError, match=r"no such fold.*fold 5 of 5"):
        split_by_fold(rows, folds=5, fold=5)
    with pytest.raises(DataError, match=r"at least 3 folds"):
        split_by_fold(rows, folds=2, fold=0)
    with pytest.raises(DataError, match=r"1 of 2 rows have no chromosome"):
        split_by_fold(rows_of([np.zeros(30, dtype=np.uint8)] * 2, chrom=["chr1", None]), folds=3, fold=0)
