"""Intervals, assemblies and their names."""

from __future__ import annotations

import numpy as np
import pytest

from encre.errors import AssemblyMismatchError, ConfigError, IntervalError
from encre.genome.assembly import (
    ASSEMBLIES,
    GRCH38,
    HG19,
    check_lengths,
    check_some_known,
    get_assembly,
    recognise,
)
from encre.genome.intervals import Interval, overlaps, pack


class TestInterval:
    def test_region_is_one_based_inclusive(self):
        interval = Interval.from_region("chr1:1,001-2,000")
        assert interval == Interval("chr1", 1000, 2000)
        assert interval.width == 1000
        assert interval.region == "chr1:1,001-2,000"

    @pytest.mark.parametrize("text", ["chr1:1001-2000", " chr1:1001..2000 ", "chr1:1,001-2,000:+"])
    def test_other_spellings(self, text):
        assert Interval.from_region(text) == Interval("chr1", 1000, 2000)

    def test_one_base(self):
        assert Interval.from_region("chrX:5-5") == Interval("chrX", 4, 5)

    @pytest.mark.parametrize("text", ["chr1", "chr1:5", "chr1:a-b", "1-2", "chr1:10-5", "chr1:0-5", "chr1:1.5-9", ""])
    def test_bad_region(self, text):
        with pytest.raises(IntervalError):
            Interval.from_region(text)

    @pytest.mark.parametrize(("start", "end"), [(-1, 5), (5, 5), (6, 5)])
    def test_bad_positions(self, start, end):
        with pytest.raises(IntervalError, match="chr1"):
            Interval("chr1", start, end)


class TestPackAndOverlaps:
    def test_keys_sort_as_intervals_do(self):
        rng = np.random.default_rng(0)
        chrom, start = rng.integers(0, 3, 200), rng.integers(0, 50, 200)
        end = start + rng.integers(1, 9, 200)
        expected = sorted(zip(chrom.tolist(), start.tolist(), end.tolist(), strict=True))
        order = np.argsort(pack(chrom, start, end), kind="stable")
        assert list(zip(chrom[order].tolist(), start[order].tolist(), end[order].tolist(), strict=True)) == expected

    def test_too_wide_to_pack(self):
        with pytest.raises(IntervalError, match="width"):
            pack(np.array([0]), np.array([0]), np.array([1 << 20]))

    def test_overlaps_against_every_pair(self):
        rng = np.random.default_rng(1)
        a, b = ((rng.integers(0, 3, n), rng.integers(0, 300, n)) for n in (150, 40))
        a_end, b_end = a[1] + rng.integers(1, 20, 150), b[1] + rng.integers(1, 40, 40)
        expected = [
            any(c == d and s < f and g < e for d, g, f in zip(*b, b_end, strict=True))
            for c, s, e in zip(*a, a_end, strict=True)
        ]
        assert overlaps(*a, a_end, with_=(*b, b_end)).tolist() == expected

    def test_touching_is_not_overlapping(self):
        one = (np.array([0]), np.array([10]), np.array([20]))
        assert not overlaps(np.array([0]), np.array([20]), np.array([30]), with_=one).any()
        assert not overlaps(np.array([1]), np.array([10]), np.array([20]), with_=one).any()
        assert not overlaps(*one, with_=(np.zeros(0),) * 3).any()


class TestAssembly:
    @pytest.mark.parametrize(
        ("name", "home"),
        [
            ("chr1", "chr1"),
            ("1", "chr1"),
            ("NC_000001.11", "chr1"),
            ("CM000663.2", "chr1"),
            ("NC_000023.11", "chrX"),
            ("NC_000022.11", "chr22"),
            ("MT", "chrM"),
            ("NC_012920.1", "chrM"),
            ("NC_000001.10", None),
            ("chr1_KI270706v1_random", None),
            ("chrEBV", None),
        ],
    )
    def test_names_of_grch38(self, name, home):
        assert GRCH38.canonical(name) == home

    def test_every_assembly_has_its_accessions_once(self):
        for assembly in ASSEMBLIES.values():
            homes = list(assembly.aliases.values())
            assert set(homes) <= set(assembly.lengths)
            assert homes.count("chr1") == 3  # plain, RefSeq, GenBank

    def test_get_assembly(self):
        assert get_assembly("hg38") is get_assembly("grch38") is GRCH38
        assert get_assembly("custom:axolotl").is_custom
        assert get_assembly(None).canonical("contig_7") == "contig_7"
        with pytest.raises(ConfigError, match=r"Did you mean 'GRCh38'.*custom:GRCh83"):
            get_assembly("GRCh83")

    def test_recognise(self):
        assert recognise({"chr1": 248956422}) is GRCH38
        assert recognise({"chr1": 249250621}) is HG19
        assert recognise({"1": 249250621}) is get_assembly("GRCh37")
        assert recognise({"chr1": 195471971}) is get_assembly("mm10")
        assert recognise({"chr1": 5}) is None

    def test_wrong_assembly_is_named_with_both_lengths(self):
        with pytest.raises(AssemblyMismatchError) as error:
            check_lengths({"chr1": 249250621}, GRCH38, where="hg19.fa")
        for part in ("hg19.fa", "249,250,621", "248,956,422", "looks like hg19", "plausible numbers"):
            assert part in str(error.value)

    def test_accession_of_another_assembly(self):
        with pytest.raises(AssemblyMismatchError, match="NC_000001.10 is an accession of GRCh37"):
            check_lengths({"NC_000001.10": 249250621}, GRCH38, where="x.fa")

    def test_lacking_chromosomes_and_scaffolds_are_fine(self):
        check_lengths({"chr21": 46709983, "scaffold_1": 5}, GRCH38, where="x.fa")
        with pytest.raises(AssemblyMismatchError, match="none of its 1 sequences"):
            check_some_known(["scaffold_1"], GRCH38, where="x.fa")
