"""The bigWig writer: what other libraries read back is what was written, on gaps, edges, zooms and full disks."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyBigWig
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encre.errors import IntervalError, ResourceError
from encre.files import staged_file
from encre.genome.bigwig import BigWigWriter
from encre.genome.signal import SignalTrack

LENGTHS = {"chr2": 90_000, "chr10": 1_000_000, "chr1": 5_000}  # in an order that is not the names'


def write(path: Path, pieces: list[tuple[str, int, np.ndarray]], *, width: int = 10) -> Path:
    with staged_file(path) as staged, BigWigWriter(staged, LENGTHS, bin=width) as writer:
        for chrom, start, values in pieces:
            writer.add(chrom, start, values)
    return path


def test_other_readers_find_every_value(tmp_path):
    rng = np.random.default_rng(0)
    first, second, third = (rng.normal(size=n).astype(np.float32) for n in (3_000, 70_000, 5))
    first[100:120] = np.nan
    path = write(tmp_path / "x.bw", [("chr2", 7, first), ("chr10", 0, second), ("chr10", 800_000, third)])
    with pyBigWig.open(str(path)) as reader:
        assert reader.chroms() == LENGTHS
        assert reader.isBigWig()
        np.testing.assert_array_equal(
            reader.values("chr2", 7, 30_007, numpy=True).reshape(-1, 10), first[:, None] * np.ones(10)
        )
        np.testing.assert_array_equal(reader.values("chr10", 0, 700_000, numpy=True)[::10], second)
        np.testing.assert_array_equal(reader.values("chr10", 800_000, 800_050, numpy=True)[::10], third)
        assert reader.intervals("chr10", 700_000, 800_000) is None
        assert reader.intervals("chr1") is None
        assert reader.header()["nBasesCovered"] == 10 * (3_000 - 20 + 70_000 + 5)
    track = SignalTrack(path, assembly=None)
    found = track.windows(["chr2", "chr10"], np.array([1_000, 0]), np.array([1_200, 200]), bin=1)
    np.testing.assert_array_equal(found[0, 7::10], first[100:120])
    np.testing.assert_array_equal(found[1, ::10], second[:20])


def test_zoom_levels_sum_up_what_lies_below(tmp_path):
    values = np.random.default_rng(1).random(100_000).astype(np.float32)
    path = write(tmp_path / "x.bw", [("chr10", 0, values)])
    with pyBigWig.open(str(path)) as reader:
        assert reader.header()["nLevels"] == 7  # 160, 640 … 655,360: below the longest chromosome
        tenths = values.reshape(8, -1)
        found = {kind: reader.stats("chr10", 0, 1_000_000, nBins=8, type=kind) for kind in ("mean", "max", "min")}
        np.testing.assert_allclose(found["mean"], tenths.mean(axis=1), rtol=0.02)
        assert max(found["max"]) == values.max()
        assert min(found["min"]) == values.min()


def test_many_blocks_make_a_tree_of_several_levels(tmp_path):
    path = tmp_path / "x.bw"
    starts = np.arange(0, 1_000_000, 1_000)
    write(path, [("chr10", int(at), np.full(1, at, np.float32)) for at in starts], width=10)
    with pyBigWig.open(str(path)) as reader:
        for at in (0, 1_000, 255_000, 256_000, 257_000, 999_000):
            assert reader.values("chr10", int(at), int(at) + 10) == [at] * 10
        assert [i[0] for i in reader.intervals("chr10")] == starts.tolist()


def test_bins_are_cut_at_the_chromosome(tmp_path):
    path = write(tmp_path / "x.bw", [("chr1", -3, np.arange(501, dtype=np.float32))])
    with pyBigWig.open(str(path)) as reader:
        intervals = reader.intervals("chr1")
    assert intervals[0] == (0, 7, 0.0)
    assert intervals[1] == (7, 17, 1.0)
    assert intervals[-1] == (4_997, 5_000, 500.0)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 2_100), st.booleans()), min_size=1, max_size=8))
def test_cutting_the_work_elsewhere_changes_no_value(tmp_path_factory, parts):
    """The same bins in one call or in many are the same track."""
    folder = tmp_path_factory.mktemp("bw")
    rng = np.random.default_rng(0)
    at, pieces = 0, []
    for gap, count, hole in parts:
        at += gap * 10
        values = rng.normal(size=count).astype(np.float32)
        values[: count // 2] = np.where(hole, np.nan, values[: count // 2])
        pieces.append(("chr10", at, values))
        at += count * 10
    whole = np.full(100_000, np.nan, np.float32)
    for _, start, values in pieces:
        whole[start // 10 : start // 10 + len(values)] = values
    cut, one = write(folder / "cut.bw", pieces), write(folder / "one.bw", [("chr10", 0, whole)])
    with pyBigWig.open(str(cut)) as a, pyBigWig.open(str(one)) as b:
        assert a.intervals("chr10") == b.intervals("chr10")
    assert write(folder / "again.bw", pieces).read_bytes() == cut.read_bytes()


def test_an_empty_track_can_be_opened(tmp_path):
    with pyBigWig.open(str(write(tmp_path / "x.bw", [("chr2", 0, np.full(5, np.nan))]))) as reader:
        assert reader.intervals("chr2") is None
        assert reader.header()["nBasesCovered"] == 0


def test_values_out_of_order_or_off_the_chromosome_are_refused(tmp_path):
    for pieces in ([("chr2", 100, np.ones(3)), ("chr2", 90, np.ones(1))], [("chr1", 5_000, np.ones(1))]):
        with pytest.raises(IntervalError, match="in order"):
            write(tmp_path / "x.bw", pieces)
    assert not list(tmp_path.iterdir())


FULL = """
import resource, signal, sys
import numpy as np
from encre.files import staged_file
from encre.genome.bigwig import BigWigWriter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
with staged_file(sys.argv[1]) as staged, BigWigWriter(staged, {"chr1": 10_000_000}, bin=10) as writer:
    for at in range(0, 1_000_000, 10_000):
        writer.add("chr1", at * 10, np.random.default_rng(at).random(10_000))
"""


@pytest.mark.parametrize("limit", [100, 1_000_000, 3_800_000, 4_000_000])
def test_a_full_disk_is_said_and_nothing_is_left(tmp_path, limit):
    """Full in the header, in the values, at the index and in the zoom levels."""
    done = subprocess.run(
        [sys.executable, "-c", FULL, tmp_path / "x.bw", str(limit)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert f"{ResourceError.__name__}: {tmp_path / 'x.bw'}: the disk filled up while writing" in done.stderr
    assert not list(tmp_path.iterdir())
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != limit
