"""Matching, balance, stretches and composition against slow and obvious ways; background checked base by base."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from encre.data.matching import match, standardised_mean_difference
from encre.data.negatives import NegativeSettings, check_quality, genomic_negatives
from encre.genome.store import TILE, Genome
from encre.genome.stretches import merged
from encre.ledger import Ledger

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))
from test_negatives_kinds import SIZES, TASKS, element_rows, fasta, starts_file


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> Genome:
    folder = tmp_path_factory.mktemp("toy")
    return Genome(fasta(folder / "toy.fa"), assembly="custom:toy", cache=folder / "cache")


def plain(genome: Genome) -> dict[str, np.ndarray]:
    """Each chromosome's letters, as in the file."""
    lines = genome.path.read_bytes().split(b"\n")
    return {lines[i][1:].decode(): np.frombuffer(lines[i + 1], np.uint8) for i in range(0, len(lines) - 1, 2)}


def test_standardised_mean_difference_is_the_formula():
    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b = rng.normal(rng.normal(), 2, 50), rng.normal(0, rng.random() + 0.1, 80)
        spread = math.sqrt((sum((x - a.mean()) ** 2 for x in a) / 49 + sum((x - b.mean()) ** 2 for x in b) / 79) / 2)
        assert standardised_mean_difference(a, b) == pytest.approx((sum(a) / 50 - sum(b) / 80) / spread)
    same = np.full(7, 0.1)
    assert standardised_mean_difference(same, np.full(9, 0.1)) == 0.0
    assert standardised_mean_difference(same, np.full(9, 0.2)) == -math.inf
    assert math.isnan(standardised_mean_difference(same, np.array([np.nan])))


def test_matching_pairs_as_many_as_greed_does_and_only_within_cells():
    rng = np.random.default_rng(1)
    for seed in range(20):
        wanted = np.column_stack([rng.integers(0, 3, 60), rng.integers(0, 8, 60) + 0.5]).astype(float)
        pool = np.column_stack([rng.integers(0, 3, 80), rng.integers(0, 8, 80) + 0.5]).astype(float)
        found = match(wanted, pool, widths=np.array([0, 1e-9]), rng=np.random.default_rng(seed))
        left, count = [tuple(row) for row in pool], 0
        for row in wanted:
            if tuple(row) in left:
                left.remove(tuple(row))
                count += 1
        hit = found >= 0
        assert hit.sum() == count
        assert len(set(found[hit])) == hit.sum()
        assert np.array_equal(wanted[hit], pool[found[hit]])


def test_wider_cells_take_what_is_left_and_never_beyond_their_width():
    rng = np.random.default_rng(2)
    wanted, pool = rng.random((200, 3)) * 9, rng.random((300, 3)) * 9
    widths = np.array([1.0, 1.0, 1.0])
    narrow, wide = (match(wanted, pool, widths=widths, rng=np.random.default_rng(0), widen=w) for w in ((1,), (1, 3)))
    assert (wide >= 0).sum() > (narrow >= 0).sum()
    assert np.array_equal(wide[narrow >= 0], narrow[narrow >= 0])
    for found, width in ((narrow, 1), (wide, 3)):
        hit = found >= 0
        assert np.abs(wanted[hit] - pool[found[hit]]).max() < width


def test_nothing_to_match_is_fine():
    none = np.empty((0, 2))
    some = np.ones((3, 2))
    rng = np.random.default_rng(0)
    assert match(none, some, widths=np.ones(2), rng=rng).tolist() == []
    assert match(some, none, widths=np.ones(2), rng=rng).tolist() == [-1, -1, -1]


def test_many_cells_do_not_overflow():
    rng = np.random.default_rng(0)
    values = rng.random((50, 12)) * 1e6
    found = match(values, values[::-1], widths=np.full(12, 1e-3), rng=rng)
    assert np.array_equal(found, np.arange(50)[::-1])


def test_stretches_are_sets_of_bases():
    rng = np.random.default_rng(4)

    def bases(begin, end):
        return {p for b, e in zip(begin, end, strict=True) for p in range(b, e)}

    for _ in range(50):
        begin, other = rng.integers(0, 150, 8), rng.integers(0, 150, 6)
        end, stop = begin + rng.integers(1, 25, 8), other + rng.integers(1, 25, 6)
        one, two = merged(begin, end), merged(other, stop)
        assert bases(*one) == bases(begin, end)
        assert (one.begin[1:] > one.end[:-1]).all()
        rest = one.without(two)
        assert bases(*rest) == bases(begin, end) - bases(other, stop)
        low = rng.integers(0, 180, 40)
        high = low + rng.integers(1, 15, 40)
        want = [set(range(a, b)) <= bases(*rest) for a, b in zip(low, high, strict=True)]
        assert rest.hold(low, high).tolist() == want
    empty = merged(low[:0], high[:0])
    assert not empty.hold(low, high).any()
    assert bases(*one.without(empty)) == bases(*one)
    assert bases(*empty.without(one)) == set()


def test_composition_known_stretches_and_tiles_are_counts_of_letters(toy):
    text = plain(toy)
    rng = np.random.default_rng(5)
    chrom = rng.choice(list(SIZES), 300)
    start = np.array([rng.integers(-50, SIZES[c]) for c in chrom])
    end = start + rng.integers(1, 400, 300)
    counts = toy.composition(chrom, start, end)
    share = toy.soft_mask_share(chrom, start, end)
    for i, (c, a, b) in enumerate(zip(chrom, start, end, strict=True)):
        piece = text[c][max(a, 0) : max(b, 0)].tobytes().decode()
        assert counts.gc[i] == sum(x in "GCgc" for x in piece)
        assert counts.unknown[i] == sum(x in "Nn" for x in piece)
        assert counts.soft_masked[i] == sum(x.islower() for x in piece)
        assert share[i] == pytest.approx(sum(x.islower() for x in piece) / (b - a))
    whole = np.concatenate(list(text.values())) & 0xDF
    known = np.zeros(len(whole), dtype=bool)
    for a, b in zip(*toy.known(), strict=True):
        assert not known[a:b].any()
        assert not a < SIZES["chr1"] < b
        known[a:b] = True
    assert np.array_equal(known, whole != ord("N"))
    tiles = toy.tiles()
    for i in range(0, len(tiles.gc), 7):
        piece = whole[i * TILE : (i + 1) * TILE]
        assert tiles.gc[i] == np.isin(piece, list(b"GC")).sum()
        assert tiles.unknown[i] == (piece == ord("N")).sum()


@pytest.mark.parametrize("jitter", [0, 15])
def test_background_touches_nothing_base_by_base(toy, tmp_path, jitter):
    """No base of it, flanks included, is N, excluded, near an element, or of another background window."""
    rng = np.random.default_rng(6)
    rows = element_rows(toy, width=150 if jitter else None, jitter=jitter)
    taken = rows.table.select("chrom", "start", "end").vstack(  # elements that are no rows count as well
        pl.DataFrame({"chrom": ["chr1", "chr2"], "start": [20_000, 60_000], "end": [24_000, 66_000]})
    )
    with (tmp_path / "exclude.bed").open("w") as handle:
        for name, size in SIZES.items():
            for at in rng.integers(0, size - 2000, 5).tolist():
                handle.write(f"{name}\t{at}\t{at + 2000}\tHigh Signal Region\n")
    settings = NegativeSettings(
        kinds=("background",),
        exclude=str(tmp_path / "exclude.bed"),
        tss=str(starts_file(tmp_path / "t.bed")),
        distance=70,
    )
    made, _ = genomic_negatives(rows, TASKS, settings, genome=toy, taken=taken, ledger=Ledger())
    free = {name: (letters & 0xDF) != ord("N") for name, letters in plain(toy).items()}
    for chrom, start, end in taken.iter_rows():
        free[chrom][max(start - 70, 0) : end + 70] = False
    for line in (tmp_path / "exclude.bed").read_text().splitlines():
        chrom, start, end, _ = line.split("\t")
        free[chrom][int(start) : int(end)] = False
    begin, end = rows.spans()
    for chrom, a, b in zip(rows.table["chrom"], begin - jitter, end + jitter, strict=True):
        free[chrom][max(a, 0) : b] = False
    new = made.table.filter(pl.col("kind") == "background")
    assert new.height > 50
    for chrom, a, b in new.select("chrom", "start", "end").iter_rows():
        assert a >= jitter
        assert free[chrom][a - jitter : b + jitter].all()
        assert b + jitter <= SIZES[chrom]
        free[chrom][a - jitter : b + jitter] = False


@pytest.mark.data
def test_start_site_distances_are_those_of_the_provenance_table(data):
    from encre.genome.assembly import GRCH38
    from encre.genome.tss import nearest_tss_distance, read_tss, tss_keys

    table = pl.read_csv(data / "screen_like/element_provenance.tsv.gz", separator="\t")
    names = list(GRCH38.lengths)
    keys = tss_keys(read_tss(data / "annotation/GENCODE24_TSS.Basic.bed.gz", assembly=GRCH38), names)
    chrom = table["chrom"].replace_strict({name: i for i, name in enumerate(names)}).to_numpy()
    centre = (table["start"] + table["end"]).to_numpy() // 2
    ours = nearest_tss_distance(chrom, centre, keys)
    assert np.abs(ours - table["tss_distance"].to_numpy()).max() <= 1  # they may round the centre otherwise


@pytest.mark.data
@pytest.mark.slow
def test_background_of_real_sequence_is_balanced_in_every_covariate(data, tmp_path):
    from encre.data.extract import drop_unusable, extract
    from encre.data.settings import SequenceSettings
    from encre.sources.screen import ScreenSettings, read_screen

    genome_file = str(data / "genome/hg38.sparse.fa.gz")
    source = ScreenSettings(
        registry=str(data / "screen_like/GRCh38-cCREs.bed.gz"),
        genome=genome_file,
        tissues={"heart": str(data / "screen_like/heart.noccl.cCREs.bed.gz")},
    )
    elements, genome, ledger = read_screen(source), Genome(genome_file), Ledger()
    rows = drop_unusable(
        extract(elements, SequenceSettings(), genome, ledger=ledger), SequenceSettings(), ledger=ledger
    )
    settings = NegativeSettings(
        kinds=("background",),
        exclude=str(data / "annotation/hg38-blacklist.v2.bed.gz"),
        tss=str(data / "annotation/GENCODE24_TSS.Basic.bed.gz"),
    )
    taken = elements.table.select("chrom", "start", "end")
    made, quality = genomic_negatives(rows, elements.tasks, settings, genome=genome, taken=taken, ledger=ledger)
    check_quality(quality, settings)
    (found,) = quality
    assert found["smd"]["gc"]["before"] > 0.5  # what random negatives give away
    assert all(abs(smd["after"]) < 0.05 for smd in found["smd"].values())
    assert found["made"] > 0.98 * found["wanted"]
    new = made.keep((made.table["kind"] == "background").to_numpy())
    assert not (new.codes == 4).any()
