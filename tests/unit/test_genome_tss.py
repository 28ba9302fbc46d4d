"""Transcription start sites: two forms of file, the nearest one, and what is refused; stretches and composition."""

from __future__ import annotations

import numpy as np
import pytest

from encre.errors import FormatError, IntervalError
from encre.genome.assembly import Assembly
from encre.genome.tss import FAR, nearest_tss_distance, read_tss, tss_keys

TOY = Assembly("toy", {"chr1": 1000, "chr2": 500}, {"1": "chr1"})


def test_one_based_positions_and_bed_rows_name_the_same_base(tmp_path):
    path = tmp_path / "tss.bed"
    path.write_text("#comment\n1\t100\t100\tT1\t.\t+\tG1\nchr1\t99\t100\tT2\t.\t-\tG2\nchr2\t1\t1\tT3\t.\t+\tG3\n")
    tss = read_tss(path, assembly=TOY)
    assert tss.chrom.cast(str).to_list() == ["chr1", "chr1", "chr2"]
    assert tss.position.tolist() == [99, 99, 0]


@pytest.mark.parametrize(
    ("line", "error", "said"),
    [
        ("chr1\t100\t300", FormatError, r"line 2, column 3.*one base.*Give the 5' end"),
        ("chr1\t300\t100", FormatError, r"line 2.*one base"),
        ("chr1\t0\t0", IntervalError, r"line 2.*off its chromosome.*1 to 1,000"),
        ("chr2\t600\t600", IntervalError, r"line 2.*expected 1 to 500; got chr2 600 600.*another assembly"),
        ("chr2\t-1\t-1", FormatError, r"line 2, column 2.*negative"),
        ("chr2\tx\t1", FormatError, r"line 2, column 2.*not a number"),
        ("chr2\t5", FormatError, r"line 2.*wrong number of columns"),
    ],
)
def test_a_bad_row_is_refused_by_line(tmp_path, line, error, said):
    (tmp_path / "tss.bed").write_text(f"chr1\t5\t5\n{line}\n")
    with pytest.raises(error, match=said):
        read_tss(tmp_path / "tss.bed", assembly=TOY)


def test_a_file_of_another_form_is_refused(tmp_path):
    (tmp_path / "genes.txt").write_text("BRCA1 chr17\n")
    with pytest.raises(FormatError, match=r"not a file of transcription start sites"):
        read_tss(tmp_path / "genes.txt")


def test_distance_is_to_the_nearest_of_the_same_chromosome(tmp_path):
    path = tmp_path / "tss.bed"
    path.write_text("chr1\t100\t101\nchr1\t900\t901\nchr3\t5\t6\n")
    keys = tss_keys(read_tss(path), ["chr1", "chr2", "chr3"])
    chrom = np.array([0, 0, 0, 0, 1, 2])
    centre = np.array([100, 450, 600, 2000, 100, 0])
    assert nearest_tss_distance(chrom, centre, keys).tolist() == [0, 350, 300, 1100, FAR, 5]
    assert nearest_tss_distance(chrom, centre, keys[:0]).tolist() == [FAR] * 6
