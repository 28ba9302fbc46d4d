"""Peaks of a scan are what a plain merge of the windows above the threshold gives, however the work was cut."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from encre.genome.bed import read_bed
from encre.predict.scan.peaks import Call, PeakWriter

CALL = Call("probability", 0.5, 0.1)


def called(values: np.ndarray, cuts: list[int], *, window: int, stride: int) -> list[list[str]]:
    lines: list[str] = []
    writer = PeakWriter(lines.append, "heart", CALL, window=window, stride=stride)
    edges = [0, *sorted(cuts), len(values)]
    for first, last in itertools.pairwise(edges):
        writer.add("chr1", first * stride, values[first:last])
    writer.finish()
    rows = [line.split("\t") for line in lines[1:]]
    assert writer.count == len(rows)
    assert writer.bases == sum(int(row[2]) - int(row[1]) for row in rows)
    return [[word.rstrip("\n") for word in row] for row in rows]


def obvious(values: np.ndarray, *, window: int, stride: int) -> list[tuple[int, int, int]]:
    """Start, end and best window of each peak, window by window."""
    found: list[list[int]] = []
    for number in np.flatnonzero(np.nan_to_num(values) >= 0.5).tolist():
        begin = number * stride
        if found and begin <= found[-1][1]:
            found[-1][1] = begin + window
            if values[number] > values[found[-1][2]]:
                found[-1][2] = number
        else:
            found.append([begin, begin + window, number])
    return [(a, b, c) for a, b, c in found]


@given(
    st.lists(st.sampled_from([0.0, 0.3, 0.5, 0.7, 0.9, float("nan")]), min_size=1, max_size=60),
    st.lists(st.integers(0, 60), max_size=4),
    st.integers(1, 50),
    st.integers(1, 70),
)
def test_peaks_are_merged_windows(values, cuts, window, stride):
    array = np.array(values, np.float32)
    rows = called(array, [min(cut, len(array)) for cut in cuts], window=window, stride=stride)
    expected = obvious(array, window=window, stride=stride)
    assert [(int(row[1]), int(row[2])) for row in rows] == [(a, b) for a, b, _ in expected]
    for row, (start, _, best) in zip(rows, expected, strict=True):
        assert float(row[6]) == np.float32(f"{array[best]:.6g}")
        assert int(row[4]) == round(1000 * float(array[best]))
        assert start + int(row[9]) == best * stride + window // 2  # the first of equals


def test_peaks_do_not_run_over_chromosomes_and_can_be_read(tmp_path):
    path = tmp_path / "x.narrowPeak"
    with path.open("w") as handle:
        writer = PeakWriter(handle.write, "heart", CALL, window=20, stride=10)
        writer.add("chr1", 0, np.array([0.2, 0.9]))
        writer.add("chr2", 0, np.array([0.8, 0.1]))
        writer.finish()
    assert "with a probability of 0.5 or more at a base rate of 0.1" in path.read_text().splitlines()[0]
    frame = read_bed(path)
    assert frame.select("chrom", "start", "end", "name", "score", "signal", "peak").rows() == [
        ("chr1", 10, 30, "heart_1", 900.0, 0.9, 10),
        ("chr2", 0, 20, "heart_2", 800.0, 0.8, 10),
    ]
