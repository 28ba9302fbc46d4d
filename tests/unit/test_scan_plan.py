"""Which windows a scan scores, which bases they stand for, and how they are cut into shards."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encre.errors import FormatError, IntervalError, MissingFileError, UnknownChromosomeError
from encre.genome.store import Genome
from encre.predict.scan import plan as scan_plan
from encre.predict.scan.plan import bin_shift, plan_scan, read_scan_regions
from toy_scans import write_fasta


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plan")
    texts = {"chrA": "ACGT" * 500, "tiny": "ACGTA" * 5, "chrB": "CA" * 450}
    return Genome(write_fasta(folder / "toy.fa", texts), assembly="custom:toy", cache=folder)


def begins(plan, chrom: str) -> list[int]:
    runs = [run for shard in plan.shards if shard.chrom == chrom for run in shard.runs.tolist()]
    return [k * plan.stride for first, last in runs for k in range(first, last)]


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 120),
    st.integers(1, 150),
    st.lists(st.tuples(st.integers(0, 1_990), st.integers(1, 300)), min_size=1, max_size=4),
    st.integers(50, 3_000),
)
def test_every_base_of_a_region_has_the_window_centred_nearest(genome, window, stride, places, shard):
    """The slow, obvious way: look at every window of the chromosome."""
    regions = read_scan_regions([f"chrA:{at + 1}-{min(at + width, 2_000)}" for at, width in places], genome)
    wanted = []
    for k in range((2_000 - window) // stride + 1):
        begin = k * stride + bin_shift(window, stride)
        if any(at < begin + stride and begin < min(at + width, 2_000) for at, width in places):
            wanted.append(k * stride)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan_plan, "SHARD", shard)
        if not wanted:
            with pytest.raises(IntervalError, match="no region has room"):
                plan_scan(regions, genome, window=window, stride=stride)
            return
        plan = plan_scan(regions, genome, window=window, stride=stride)
    assert begins(plan, "chrA") == wanted
    assert plan.windows == len(wanted)
    for part in plan.shards:
        tiles = np.unique(np.stack([part.runs[:, 0], part.runs[:, 1] - 1]) // max(shard // stride, 1))
        assert len(tiles) == 1


def test_words_become_intervals(genome, tmp_path):
    bed = tmp_path / "x.bed"
    bed.write_text("chrB\t10\t20\nchrA\t0\t5\n")
    gff = tmp_path / "x.gff3"
    gff.write_text("##gff-version 3\nchrA\t.\tenhancer\t11\t20\t.\t+\t.\tID=e1\n")
    frame = read_scan_regions(["chrA", bed, gff, "chrB:1-100"], genome)
    assert frame.rows() == [("chrA", 0, 2_000), ("chrB", 10, 20), ("chrA", 0, 5), ("chrA", 10, 20), ("chrB", 0, 100)]
    assert read_scan_regions("genome", genome)["chrom"].to_list() == ["chrA", "tiny", "chrB"]


def test_genome_order_and_regions_without_a_window(genome):
    plan = plan_scan(read_scan_regions(["chrB", "genome", "tiny:1-3"], genome), genome, window=100, stride=10)
    assert [shard.chrom for shard in plan.shards] == ["chrA", "chrB"]
    assert begins(plan, "chrB") == list(range(0, 801, 10))
    assert plan.regions == 5
    assert plan.without == ["tiny:1-25", "tiny:1-3"]


@pytest.mark.parametrize(
    ("word", "error", "said"),
    [
        ("chrQ", MissingFileError, "no chromosome of the genome, no region, and no file"),
        ("chrQ:1-10", UnknownChromosomeError, "chrQ"),
        ("chrA:1-3000", IntervalError, "reaches beyond its chromosome"),
        ("chrA:10-1", IntervalError, "lies before its first"),
        ("chrA:0-10", IntervalError, "from 1"),
        ("chrA:1-99999999999999999999", IntervalError, "no chromosome is as long"),
        ("chrA:x", IntervalError, "not a region"),
        ("tiny", IntervalError, "no region has room"),
    ],
)
def test_what_is_no_region_is_said(genome, word, error, said):
    with pytest.raises(error, match=said):
        plan_scan(read_scan_regions(word, genome), genome, window=100, stride=10)


def test_sequences_are_no_regions(genome, tmp_path):
    with pytest.raises(FormatError, match="these are sequences, not intervals"):
        read_scan_regions(write_fasta(tmp_path / "x.fa", {"a": "ACGT"}), genome)
