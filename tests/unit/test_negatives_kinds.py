"""Negatives of every kind on a toy genome: where they lie, what they are like, what is said when it cannot be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from encre.data.negatives import (
    NEGATIVES,
    NegativeSettings,
    check_quality,
    genomic_negatives,
    shuffled_negatives,
)
from encre.data.rows import Rows
from encre.errors import ConfigError, FormatError, GateError, IntervalError
from encre.genome.store import Genome
from encre.ledger import Ledger
from encre.tasks import Task, TaskSet

TASKS = TaskSet(
    [
        Task("enhancer", "enhancer"),
        Task("heart", "tissue", "multilabel", target="active_heart"),
        Task("brain", "tissue", "multilabel", target="active_brain"),
    ]
)
SIZES = {"chr1": 150_000, "chr2": 90_000}


def letters(size: int, rng: np.random.Generator, *, masked: bool) -> np.ndarray:
    """Sequence whose GC share wanders, with repeats in lower case and a run of N."""
    gc = np.repeat(rng.uniform(0.3, 0.6, size // 1000 + 1), 1000)[:size]
    out = np.where(rng.random(size) < gc, rng.choice(list(b"GC"), size), rng.choice(list(b"AT"), size))
    if masked:
        out = out + 32 * np.repeat(rng.random(size // 250 + 1) < 0.4, 250)[:size]
    out[: size // 50] = ord("N")
    out[size // 2 : size // 2 + 3000] = ord("N")
    return out.astype(np.uint8)


def fasta(path: Path, *, masked: bool = True) -> Path:
    rng = np.random.default_rng(3)
    with path.open("wb") as handle:
        for name, size in SIZES.items():
            handle.write(f">{name}\n".encode() + letters(size, rng, masked=masked).tobytes() + b"\n")
    return path


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> Genome:
    folder = tmp_path_factory.mktemp("toy")
    return Genome(fasta(folder / "toy.fa"), assembly="custom:toy", cache=folder / "cache")


def element_rows(genome: Genome, *, jitter: int = 0, width: int | None = None, seed: int = 0) -> Rows:
    """Elements of 100 to 200 bases every 1,500, without N: two of three are enhancers."""
    rng = np.random.default_rng(seed)
    chrom, start, end = [], [], []
    for name, size in SIZES.items():
        places = np.arange(size // 50 + 500, size - 2000, 1500)
        places = places[np.abs(places - size // 2) > 5000]
        chrom += [name] * len(places)
        start += places.tolist()
        end += (places + rng.integers(100, 201, len(places))).tolist()
    n = len(chrom)
    low, high = np.array(start), np.array(end)
    if width:
        low = (low + high) // 2 - width // 2 - jitter
        high = low + width + 2 * jitter
    codes, offsets = genome.gather(chrom, low, high)
    enhancer = np.arange(n) % 3 != 0
    table = pl.DataFrame(
        {
            "chrom": chrom,
            "start": start,
            "end": end,
            "accession": [f"E{i}" for i in range(n)],
            "ccre_class": np.where(enhancer, "dELS", "CA").tolist(),
            "kind": "element",
            "split": pl.Series([None] * n, dtype=pl.String),
            "enhancer": pl.Series(enhancer.astype(np.float32)),
            "active_heart": pl.Series((rng.random(n) < 0.5).astype(np.float32) * enhancer),
            "active_brain": pl.Series((rng.random(n) < 0.5).astype(np.float32) * enhancer),
        }
    )
    return Rows(table, codes, offsets, jitter)


def make(genome: Genome | None, rows: Rows, ledger: Ledger | None = None, **settings):
    taken = rows.table.select("chrom", "start", "end")
    wanted = NegativeSettings(**{"kinds": ("background",), **settings})
    return genomic_negatives(rows, TASKS, wanted, genome=genome, taken=taken, ledger=ledger or Ledger())


def new_of(rows: Rows, kind: str = "background") -> Rows:
    return rows.keep((rows.table["kind"] == kind).to_numpy())


def starts_file(path: Path, rng_seed: int = 5) -> Path:
    rng = np.random.default_rng(rng_seed)
    with path.open("w") as handle:
        for name, size in SIZES.items():
            for at in np.sort(rng.integers(1, size, 40)).tolist():
                handle.write(f"{name}\t{at}\t{at}\tT\t.\t+\tG\n")
    return path


def test_background_has_the_elements_lengths_and_chromosomes_and_the_targets_of_a_negative(toy):
    ledger, rows = Ledger(), element_rows(toy)
    made, (quality,) = make(toy, rows, ledger)
    new = new_of(made)
    positives = rows.table.filter(pl.col("enhancer") == 1)
    assert quality["wanted"] == positives.height
    assert quality["made"] == len(new) == len(made) - len(rows)
    assert quality["made"] + sum(quality["unmatched"].values()) == quality["wanted"]
    assert quality["made"] >= 0.9 * quality["wanted"]
    count = {name: positives.filter(pl.col("chrom") == name).height for name in SIZES}
    for name in SIZES:
        assert (new.table["chrom"] == name).sum() <= count[name]
    lengths = (new.table["end"] - new.table["start"]).to_numpy()
    assert np.array_equal(lengths, new.lengths)
    want = np.sort((positives["end"] - positives["start"]).to_numpy())
    left = list(want)
    for length in lengths.tolist():
        left.remove(length)  # each is the length of an element of its own
    assert new.table["enhancer"].to_list() == [0.0] * len(new)
    assert new.table["active_heart"].is_nan().all()
    assert new.table["accession"].null_count() == new.table["ccre_class"].null_count() == len(new)
    assert new.table["repeat_share"].null_count() == 0
    assert ledger.steps[-1].added == {"background": len(new)}


def test_the_codes_of_background_are_the_genomes(toy):
    made, _ = make(toy, element_rows(toy))
    new = new_of(made)
    codes, _ = toy.gather(new.table["chrom"], new.table["start"].to_numpy(), new.table["end"].to_numpy())
    assert np.array_equal(codes, new.codes)
    share = toy.soft_mask_share(new.table["chrom"], new.table["start"].to_numpy(), new.table["end"].to_numpy())
    assert np.allclose(new.table["repeat_share"].to_numpy(), share)


def test_windows_are_of_the_models_width_and_their_flanks_are_known_too(toy):
    made, (quality,) = make(toy, element_rows(toy, width=160, jitter=10))
    new = new_of(made)
    assert quality["made"] > 0.9 * quality["wanted"]
    assert set(np.diff(new.offsets)) == {180}
    assert not (new.codes == 4).any()
    begin, end = new.spans()
    assert np.array_equal(begin, new.table["start"].to_numpy())
    assert np.array_equal(end, new.table["end"].to_numpy())
    codes, _ = toy.gather(new.table["chrom"], begin - 10, end + 10)
    assert np.array_equal(codes, new.codes)


def test_the_same_seed_gives_the_same_background_and_another_seed_another(toy):
    rows = element_rows(toy)
    first, again, other = (make(toy, rows, seed=seed)[0].table for seed in (0, 0, 1))
    assert first.equals(again)
    assert not first.equals(other)


def test_several_of_each_element_and_what_is_not_found_is_counted_by_reason(toy):
    rows = element_rows(toy)
    made, (quality,) = make(toy, rows, per_element=20)
    assert quality["wanted"] == 20 * int((rows.table["enhancer"] == 1).sum())
    assert quality["made"] == len(made) - len(rows)
    assert quality["made"] + sum(quality["unmatched"].values()) == quality["wanted"]
    with pytest.raises(GateError, match=r"of kind 'background' could not be matched .*at most 10%.*no free window"):
        check_quality([quality], NegativeSettings())


def test_a_chromosome_without_a_free_place_is_the_reason_that_is_said(toy):
    rows = element_rows(toy)
    taken = pl.DataFrame({"chrom": ["chr2"], "start": [0], "end": [SIZES["chr2"]]})
    settings = NegativeSettings(kinds=("background",))
    made, (quality,) = genomic_negatives(rows, TASKS, settings, genome=toy, taken=taken, ledger=Ledger())
    on_two = rows.table.filter((pl.col("enhancer") == 1) & (pl.col("chrom") == "chr2")).height
    assert quality["unmatched"]["no free place of its length on its chromosome"] == on_two
    assert set(new_of(made).table["chrom"]) == {"chr1"}


def test_start_sites_are_matched_and_their_distance_becomes_a_column(toy, tmp_path):
    made, (quality,) = make(toy, element_rows(toy), tss=str(starts_file(tmp_path / "tss.bed")))
    assert made.table["tss_distance"].null_count() == 0
    smd = quality["smd"]["tss_distance"]
    assert abs(smd["after"]) < 0.1
    assert list(quality["smd"]) == ["length", "gc", "repeat_share", "tss_distance"]


def test_without_a_soft_mask_repeats_are_not_matched_and_the_ledger_says_so(tmp_path):
    genome = Genome(fasta(tmp_path / "plain.fa", masked=False), assembly="custom:toy", cache=tmp_path / "cache")
    ledger = Ledger()
    made, (quality,) = make(genome, element_rows(genome), ledger)
    assert ledger.steps[-1].notes["repeat share"] == "not matched: the genome has no soft mask"
    # It used to say that no base is a repeat, and that the match is perfect.
    assert list(quality["smd"]) == ["length", "gc"]
    assert "repeat_share" not in made.table.columns


def test_rows_without_a_place_are_counted_and_get_no_background(toy):
    rows = element_rows(toy)
    unplaced = pl.when(pl.int_range(pl.len()) < 10).then(None)
    table = rows.table.with_columns(unplaced.otherwise(pl.col(c)).alias(c) for c in ("chrom", "start", "end"))
    made, (quality,) = make(toy, replace(rows, table=table))
    lost = int((rows.table["enhancer"][:10] == 1).sum())
    assert quality["unmatched"]["the element has no place on the genome"] == lost
    assert made.table["repeat_share"].null_count() == 10


def test_no_positive_no_background(toy):
    rows = element_rows(toy)
    rows = rows.with_columns(enhancer=np.zeros(len(rows), dtype=np.float32))
    made, (quality,) = make(toy, rows)
    assert len(made) == len(rows)
    assert quality["wanted"] == quality["made"] == 0
    assert quality["smd"]["gc"] == {"before": None, "after": None}
    check_quality([quality], NegativeSettings())


def test_other_classes_are_the_sources_own_rows_under_a_name(toy):
    rows = element_rows(toy)
    made, (quality,) = make(None, rows, kinds=("other_class",))
    assert len(made) == len(rows)
    assert set(new_of(made, "other_class").table["ccre_class"]) == {"CA"}
    assert quality["made"] == int((rows.table["enhancer"] == 0).sum())
    assert not quality["matched"]


def test_other_tissues_are_enhancers_active_elsewhere_only(toy):
    rows = element_rows(toy)
    made, (quality,) = make(None, rows, kinds=("other_tissue",), tissue="heart")
    new = new_of(made, "other_tissue").table
    assert quality["made"] == new.height > 0
    assert set(new["active_heart"]) == {0.0}
    assert set(new["active_brain"]) == set(new["enhancer"]) == {1.0}
    want = rows.table.filter(
        (pl.col("active_heart") == 0) & (pl.col("active_brain") == 1) & (pl.col("enhancer") == 1)
    )
    assert sorted(new["accession"]) == sorted(want["accession"])


def test_all_kinds_together_keep_every_row_and_shuffles_are_of_positives_only(toy):
    rows, ledger = element_rows(toy), Ledger()
    settings = NegativeSettings(kinds=tuple(NEGATIVES), tissue="heart")
    taken = rows.table.select("chrom", "start", "end")
    before, quality = genomic_negatives(rows, TASKS, settings, genome=toy, taken=taken, ledger=ledger)
    split = np.where(np.arange(len(before)) % 2, "train", "test")
    before = before.grouped().with_columns(split=pl.Series(split), cluster=np.arange(len(before)))
    after, more = shuffled_negatives(before, TASKS, settings, ledger=ledger)
    assert [found["kind"] for found in quality] == ["background", "other_class", "other_tissue"]
    assert [found["kind"] for found in more] == ["dinucleotide_shuffle"]
    shuffles = new_of(after, "dinucleotide_shuffle").table
    parents = before.table.filter(pl.col("enhancer") == 1)
    assert shuffles["cluster"].to_list() == parents["cluster"].to_list()
    assert shuffles["split"].to_list() == parents["split"].to_list()
    assert more[0]["smd"]["gc"] == {"before": 0.0, "after": 0.0}
    assert sum(step.rows_out - step.rows_in for step in ledger.steps) == len(after) - len(rows)


def test_shuffles_without_a_binary_task_are_of_every_element(toy):
    rows = element_rows(toy)
    tasks = TaskSet([Task("heart", "tissue", "multilabel", target="active_heart")])
    made, (quality,) = shuffled_negatives(
        rows, tasks, NegativeSettings(kinds=("dinucleotide_shuffle",)), ledger=Ledger()
    )
    assert quality["made"] == len(made) - len(rows) == len(rows)


def test_a_sequence_with_one_arrangement_has_no_shuffle_and_is_counted(toy):
    rows = element_rows(toy).keep(np.arange(len(element_rows(toy))) < 3)
    codes = rows.codes.copy()
    codes[rows.offsets[1] : rows.offsets[2]] = 0  # row 1, an enhancer, is all A
    settings = NegativeSettings(kinds=("dinucleotide_shuffle",), max_unmatched=0.2)
    _, quality = shuffled_negatives(replace(rows, codes=codes), TASKS, settings, ledger=Ledger())
    assert quality[0]["unmatched"] == {"the sequence has one arrangement only": 1}
    check_quality(quality, settings)  # nothing was chosen badly: the gate is for what is looked for in the genome


def test_too_poor_a_match_fails_the_gate_and_names_covariate_difference_and_limit():
    found = {
        "kind": "background",
        "matched": True,
        "wanted": 10,
        "made": 10,
        "unmatched": {},
        "smd": {"length": {"before": 0.0, "after": 0.0}, "gc": {"before": 0.8, "after": -0.31}},
    }
    with pytest.raises(
        GateError, match=r"'background' differ from the positives in gc .*at most 0\.1; got 0\.310"
    ) as e:
        check_quality([found], NegativeSettings())
    assert e.value.exit_code == 3
    check_quality([found], NegativeSettings(max_smd=None))
    taken = found | {"kind": "other_tissue", "matched": False}
    check_quality([taken], NegativeSettings())
    with pytest.raises(GateError, match=r"'other_tissue' differ .*at most 0\.3; got 0\.310\).*max_smd_of_source"):
        check_quality([taken], NegativeSettings(max_smd_of_source=0.3))
    check_quality([taken], NegativeSettings(max_smd_of_source=0.4))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"kinds": ("background",)}, r"taken from a genome, and none was named.*Set genome in \[source\]"),
        ({"kinds": ("other_tissue",), "tissue": "hart"}, r"no tissue 'hart'.*Did you mean 'heart'"),
        ({"kinds": ("other_tissue",)}, r"no tissue ''.*Known: brain, heart"),
    ],
)
def test_what_the_config_lacks_is_said(toy, settings, said):
    with pytest.raises(ConfigError, match=said):
        make(None, element_rows(toy), **settings)


def test_other_class_needs_elements_of_other_classes(toy):
    rows = element_rows(toy)
    unknown = rows.with_columns(ccre_class=pl.Series([None] * len(rows), dtype=pl.String))
    enhancers = rows.keep((rows.table["enhancer"] == 1).to_numpy())  # it used to add nothing, and say nothing
    for lacking in (unknown, enhancers):
        with pytest.raises(ConfigError, match=r"no elements of another class.*Take 'other_class' out"):
            make(None, lacking, kinds=("other_class",))


@pytest.mark.parametrize(
    ("line", "error", "said"),
    [
        ("chr2\t10\t90001", IntervalError, r"list\.bed, line 2.*beyond its chromosome"),
        ("chr2\t10\t5", IntervalError, r"line 2.*the end is not beyond the start"),
        ("chr2\tx\t5", FormatError, r"line 2, column 2"),
    ],
)
def test_a_bad_exclusion_list_is_refused_by_line(toy, tmp_path, line, error, said):
    (tmp_path / "list.bed").write_text(f"chr1\t0\t100\n{line}\n")
    with pytest.raises(error, match=said):
        make(toy, element_rows(toy), exclude=str(tmp_path / "list.bed"))


def test_an_exclusion_list_of_another_genome_is_refused_and_scaffolds_in_it_are_not(toy, tmp_path):
    path = tmp_path / "list.bed"
    path.write_text("chrUn_1\t0\t100\n")
    with pytest.raises(FormatError, match=r"no chromosome of the genome .*expected chr1, chr2; got chrUn_1"):
        make(toy, element_rows(toy), exclude=str(path))
    path.write_text("chrUn_1\t0\t100\nchr1\t0\t100\n")
    assert make(toy, element_rows(toy), exclude=str(path))[1][0]["made"]
