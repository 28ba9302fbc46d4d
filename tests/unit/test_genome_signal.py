"""Windows of a bigWig, with answers counted by hand; and what is said of files that cannot be used."""

from __future__ import annotations

import numpy as np
import pyBigWig
import pytest

from encre.errors import AssemblyMismatchError, ConfigError, FormatError, IntervalError, MissingFileError
from encre.genome import signal
from encre.genome.assembly import GRCH38
from encre.genome.signal import SignalTrack

NAN = float("nan")


def bigwig(path, runs, lengths):
    """A bigWig of ``chrom -> [(start, end, value), …]``."""
    with pyBigWig.open(str(path), "w") as out:
        out.addHeader(list(lengths.items()))
        for chrom, steps in runs.items():
            start, end, value = (list(column) for column in zip(*steps, strict=True))
            out.addEntries([chrom] * len(steps), start, ends=end, values=[float(v) for v in value])
    return path


@pytest.fixture
def track(tmp_path):
    runs = {"one": [(0, 4, 1), (4, 6, 3), (8, 10, 5), (95, 100, 2)], "two": [(10, 20, -1)]}
    path = bigwig(tmp_path / "toy.bw", runs, {"one": 100, "two": 50, "three": 30})
    return SignalTrack(path, "custom:toy")


def windows(track, places, **how):
    chrom, start, end = (list(column) for column in zip(*places, strict=True))
    return track.windows(chrom, np.array(start), np.array(end), **how)


def test_values_of_single_bases(track):
    found = windows(track, [("one", 2, 10), ("two", 8, 16)])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [[1, 1, 3, 3, NAN, NAN, 5, 5], [NAN, NAN, -1, -1, -1, -1, -1, -1]])


def test_a_bin_is_reduced_over_the_bases_that_have_a_value(track):
    place = [("one", 2, 14)]
    np.testing.assert_array_equal(windows(track, place, bin=4), [[2, 5, NAN]])
    np.testing.assert_array_equal(windows(track, place, bin=4, reduce="max"), [[3, 5, NAN]])
    np.testing.assert_allclose(windows(track, place, bin=6), [[(1 + 1 + 3 + 3) / 4, 5]][:1])


def test_missing_bases_can_count_as_zero_but_not_off_the_chromosome(track):
    place = [("one", 92, 104)]
    np.testing.assert_array_equal(windows(track, place, bin=4, missing=0.0), [[0.5, 2, NAN]])
    np.testing.assert_array_equal(windows(track, place, bin=4), [[2, 2, NAN]])
    np.testing.assert_array_equal(windows(track, [("one", -4, 4)], bin=4, missing=0.0), [[NAN, 1]])
    assert np.isnan(windows(track, [("one", 200, 208), ("one", -20, -12)], missing=0.0)).all()


def test_a_chromosome_without_values_or_unknown_to_the_track_is_missing(track):
    assert track.has("two")
    assert not track.has("three")
    assert not track.has("four")
    found = windows(track, [("three", 0, 4), ("four", 0, 4), ("one", 0, 4)], missing=0.0)
    np.testing.assert_array_equal(found, [[NAN] * 4, [NAN] * 4, [1] * 4])
    assert windows(track, [("four", 0, 4)]).shape == (1, 4)


def test_shorter_windows_are_filled_up_and_end_in_part_of_a_bin(track):
    found = windows(track, [("one", 2, 10), ("one", 2, 7), ("one", 4, 5)], bin=4, width=8)
    np.testing.assert_array_equal(found, [[2, 5], [2, NAN], [3, NAN]])


def test_rows_come_back_in_their_order_whatever_the_blocks(track, monkeypatch):
    rng = np.random.default_rng(0)
    chrom = rng.choice(["one", "two"], 200).tolist()
    start = rng.integers(-12, 110, 200)
    whole = track.windows(chrom, start, start + 8, bin=2)
    alone = [
        track.windows([c], np.array([s]), np.array([s + 8]), bin=2)[0] for c, s in zip(chrom, start, strict=True)
    ]
    np.testing.assert_array_equal(whole, alone)
    for bases, gap in ((1, 0), (24, 4), (800, 1000)):
        monkeypatch.setattr(signal, "_BASES", bases)
        monkeypatch.setattr(signal, "_GAP", gap)
        np.testing.assert_array_equal(track.windows(chrom, start, start + 8, bin=2), whole)


def test_no_windows_give_no_rows(track):
    none = np.array([], dtype=np.int64)
    assert track.windows([], none, none).shape == (0, 1)
    assert track.windows([], none, none, bin=4, width=8).shape == (0, 2)


@pytest.mark.parametrize(("style", "asked"), [("chr22", "22"), ("22", "NC_000022.11"), ("NC_000022.11", "chr22")])
def test_chromosomes_are_found_in_any_naming_style(tmp_path, style, asked):
    path = bigwig(tmp_path / "x.bw", {style: [(10, 20, 7)]}, {style: GRCH38.lengths["chr22"], "scaffold_9": 40})
    track = SignalTrack(path)
    assert track.lengths == {"chr22": GRCH38.lengths["chr22"]}
    np.testing.assert_array_equal(windows(track, [(asked, 9, 12)]), [[NAN, 7, 7]])


def test_a_track_of_another_assembly_is_refused(tmp_path):
    path = bigwig(tmp_path / "x.bw", {"chr22": [(10, 20, 7)]}, {"chr22": 51304566})
    with pytest.raises(
        AssemblyMismatchError, match=r"x\.bw: .*51,304,566 bp.* looks like .*made on GRCh38"
    ) as caught:
        SignalTrack(path)
    assert "FASTA" not in str(caught.value)
    with pytest.raises(AssemblyMismatchError, match="none of its 1 sequences"):
        SignalTrack(bigwig(tmp_path / "y.bw", {"c": [(1, 2, 1)]}, {"c": 9}))


def test_bins_and_windows_that_do_not_fit_are_refused(track):
    with pytest.raises(ConfigError, match=r"does not divide .*divisor of 8 bases; got bins of 3"):
        windows(track, [("one", 0, 8)], bin=3)
    with pytest.raises(ConfigError, match="bins of 0"):
        windows(track, [("one", 0, 8)], bin=0)
    with pytest.raises(IntervalError, match=r"5-5 .*expected 1 to 8 bases; got 0"):
        windows(track, [("one", 0, 8), ("one", 5, 5)])
    with pytest.raises(IntervalError, match="got 9"):
        windows(track, [("one", 0, 8), ("one", 5, 14)])


@pytest.mark.parametrize(
    "address", ["https://host.example/x.bw", "s3://bucket/x.bw", "http:/x.bw", "file:///x.bw", "/here/https:/h/x.bw"]
)
def test_remote_addresses_are_refused(address):
    with pytest.raises(ConfigError, match="local file"):
        SignalTrack(address)


def test_what_is_not_a_bigwig_is_said(tmp_path, track):
    for name, content in (
        ("empty.bw", b""),
        ("text.bw", b"chr1\t1\t2\t3\n"),
        ("bed.bb", b"\xeb\xf2\x89\x87" + bytes(99)),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(FormatError, match=rf"{name}: this is not a bigWig"):
            SignalTrack(path, "custom:toy")
    with pytest.raises(MissingFileError, match="no such file"):
        SignalTrack(tmp_path / "none.bw")
    other = tmp_path / "track.dat"
    other.write_bytes(track.path.read_bytes())
    with pytest.raises(FormatError, match="Rename it"):
        SignalTrack(other, "custom:toy")


def test_a_cut_or_damaged_bigwig_is_one_paragraph(tmp_path):
    rng = np.random.default_rng(1)
    steps = [(i, i + 1, v) for i, v in enumerate(rng.random(30_000).round(3).tolist())]
    whole = bigwig(tmp_path / "whole.bw", {"one": steps}, {"one": 30_000}).read_bytes()
    places = [("one", start, start + 1000) for start in range(0, 30_000, 1000)]
    for name, content in (
        ("head.bw", whole[:64]),
        ("half.bw", whole[: len(whole) // 2]),
        ("holes.bw", whole[:2000] + bytes(8000) + whole[10_000:]),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(FormatError, match=rf"{name}: the bigWig file is truncated or damaged"):
            windows(SignalTrack(path, "custom:toy"), places)
