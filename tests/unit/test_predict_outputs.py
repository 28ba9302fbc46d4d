"""Scores as BED and as annotated narrowPeak."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from encre.errors import ConfigError, FolderError
from encre.genome.bed import read_bed
from encre.predict.inputs import Records
from encre.predict.outputs import check_output
from encre.predict.policy import Counts
from encre.predict.region_outputs import FORMS, bed_task, check_regions, write_scores, write_unscorable
from encre.predict.scores import Scores, Scoring

PEAKS = ["chr1\t5\t9\ta\t0\t.\t1.50\t-1\t-1\t2", "chr2\t0\t4\tb\t0\t.\t2\t-1\t-1\t0"]


def model(calibrated: list[str]) -> Any:
    return SimpleNamespace(name="toy", calibrated=calibrated, tasks=SimpleNamespace(names=("heart", "signal")))


def scores(*, peaks: bool = True, base_rate: float | None = None) -> Scores:
    records = Records(
        ["a", "b\tc"],
        np.zeros(8, np.uint8),
        np.array([0, 4, 8]),
        ["chr1", "chr2"],
        np.array([5, 0]),
        np.array([9, 4]),
        peaks=pl.Series(PEAKS) if peaks else None,
    )
    table = pl.DataFrame(
        {
            "name": records.names,
            "chrom": records.chrom,
            "start": records.start,
            "end": records.end,
            "length": [4, 4],
            "logit_heart": pl.Series([1.5, -20.0], dtype=pl.Float32),
            "logit_signal": pl.Series([0.1234567, 2.0], dtype=pl.Float32),
            "probability_heart": pl.Series([0.8175745, 2e-9], dtype=pl.Float32),
            "percentile_heart": pl.Series([None, None], dtype=pl.Float32),
        }
    )
    return Scores(table, table.head(0), Counts(2, 2, 0, 0, 0, 0, 0, 0), records, Scoring(base_rate=base_rate))


def test_bed_has_the_probability_as_its_score_and_reads_back(tmp_path: Path) -> None:
    out = tmp_path / "x.bed"
    write_scores(scores(base_rate=0.01), out, predictor=model(["heart"]), task="heart")
    about, header, *rows = out.read_text().splitlines()
    assert about == (
        "# encre predict, model toy, probabilities at a base rate of 0.01; score = 1000 x probability_heart"
    )
    assert header.split("\t") == [
        "#chrom", "start", "end", "name", "score", "strand", "logit_heart", "logit_signal", "probability_heart",
        "percentile_heart",
    ]  # fmt: skip
    assert rows[0] == "chr1\t5\t9\ta\t818\t.\t1.5\t0.123457\t0.817575\t."
    assert rows[1].startswith("chr2\t0\t4\tb_c\t0\t.\t-20.0\t")
    assert read_bed(out, places=True).select("chrom", "start", "end").rows() == [("chr1", 5, 9), ("chr2", 0, 4)]


def test_a_narrow_peak_is_annotated_behind_its_own_columns(tmp_path: Path) -> None:
    out = tmp_path / "x.narrowPeak"
    write_scores(scores(), out, predictor=model(["heart"]), task=None)
    about, header, *rows = out.read_text().splitlines()
    assert about == "# encre predict, model toy"
    assert header.split("\t")[9:] == ["peak", "probability_heart", "logit_signal"]
    assert [row.rsplit("\t", 2)[0] for row in rows] == PEAKS
    assert rows[0].split("\t")[10:] == ["0.817575", "0.123457"]


def test_the_score_of_a_bed_needs_a_calibrated_task() -> None:
    bed = Path("x.bed")
    assert bed_task(model(["heart", "brain"]), None, bed) == "heart"
    assert bed_task(model(["heart", "brain"]), "brain", bed) == "brain"
    assert bed_task(model([]), None, Path("x.tsv")) is None
    for known, task, out, said in (
        ([], None, bed, "encre evaluate"),
        (["heart"], "haert", bed, "Did you mean 'heart'"),
        (["heart"], "heart", Path("x.tsv"), "--out FILE.bed"),
        (["heart"], "heart", None, "--out FILE.bed"),
    ):
        with pytest.raises(ConfigError, match=said):
            bed_task(model(known), task, out)


def test_sequences_have_no_place_in_a_bed_and_a_bed_is_no_narrow_peak() -> None:
    sequences = Records.from_sequences(["ACGT"])
    for records, out, said in (
        (sequences, "x.bed", "no place in a genome"),
        (sequences, "x.narrowPeak", "only a narrowPeak"),
        (scores(peaks=False).records, "x.narrowPeak", "only a narrowPeak"),
    ):
        with pytest.raises(ConfigError, match=said):
            check_regions(records, Path(out))
    check_regions(sequences, None)
    check_regions(scores().records, Path("x.narrowPeak"))


def test_an_unknown_ending_or_a_folder_is_refused(tmp_path: Path) -> None:
    check_output("x.narrowpeak", forms=FORMS)
    for name in ("x.bed", "x.xlsx", "x"):
        with pytest.raises(ConfigError, match="no known form"):
            check_output(name)
    (tmp_path / "x.bed").mkdir()
    with pytest.raises(FolderError):
        check_output(tmp_path / "x.bed", forms=FORMS)


def test_an_older_list_of_unscorable_rows_does_not_stay_beside_a_new_output(tmp_path: Path) -> None:
    out = tmp_path / "x.tsv"
    listed = scores()._replace(unscorable=pl.DataFrame({"name": ["n"], "length": [4], "reason": ["only N"]}))
    assert write_unscorable(listed, out) == f"{out}.unscorable.tsv"
    assert (tmp_path / "x.tsv.unscorable.tsv").read_text() == "name\tlength\treason\nn\t4\tonly N\n"
    assert write_unscorable(scores(), out) is None
    assert not list(tmp_path.iterdir())
