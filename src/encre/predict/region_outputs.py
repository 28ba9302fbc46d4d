"""Scores in the forms that genome browsers and peak tools read: BED with a score, and narrowPeak annotated."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from encre.errors import ConfigError, nearest
from encre.files import staged_file
from encre.predict.base_rate import said_base_rate
from encre.predict.inputs import Records
from encre.predict.outputs import TABLES, check_output, rounded, with_model, write_table
from encre.predict.scores import Scores

if TYPE_CHECKING:
    from encre.predict.predictor import Predictor

FORMS = (*TABLES, ".bed", ".narrowPeak")

_NARROW_PEAK = ["#chrom", "start", "end", "name", "score", "strand", "signalValue", "pValue", "qValue", "peak"]


def bed_task(predictor: Predictor, task: str | None, out: Path | None) -> str | None:
    """The task whose probability becomes a BED's score: the one that is named, or the first calibrated one.

    Raises
    ------
    ConfigError
        When the output is no BED and a task is named, or the model has no calibrated probability for it.
    """
    if out is None or out.suffix.lower() != ".bed":
        if task is not None:
            raise ConfigError(
                "--task says which probability becomes the score of a BED", remedy="Give --out FILE.bed."
            )
        return None
    known = predictor.calibrated
    if not known or task not in (None, *known):
        missing = f"'{task}'" if task else "any task"
        raise ConfigError(
            f"the score of a BED is a calibrated probability, and '{predictor.name}' has none for {missing}",
            remedy=nearest(str(task), known) if known else "Run `encre evaluate RUN` first, or write a table.",
        )
    return task or known[0]


def check_regions(records: Records, out: Path | None) -> None:
    """Refuse to write sequences without a place as BED, or anything but a narrowPeak as narrowPeak."""
    form = out.suffix.lower() if out else ""
    if form == ".bed" and records.start is None:
        raise ConfigError(
            "sequences have no place in a genome that a BED could hold", where=records.source, remedy="Write a table."
        )
    if form == ".narrowpeak" and records.peaks is None:
        raise ConfigError(
            "only a narrowPeak can be annotated as one",
            where=records.source,
            expected="ten tab-separated columns, as peak callers write them",
            remedy="Write a BED or a table instead.",
        )


def write_scores(scores: Scores, out: Path, *, predictor: Predictor, task: str | None) -> None:
    """Write scores in the form that the ending names (:data:`FORMS`).

    BED is ``chrom, start, end, name, score, strand`` and then every column of scores, with a commented header; the
    score is 1,000 times the calibrated probability of ``task``. An annotated narrowPeak is the input's lines
    unchanged and then one column a task: its probability, or its logit where it has none.
    """
    check_output(out, forms=FORMS)
    form = out.suffix.lower()
    rate = scores.how.base_rate
    about = predictor.name if rate is None else f"{predictor.name}, probabilities at {said_base_rate(rate)}"
    if form == ".bed":
        _write_lines(_bed(scores, str(task)), out, f"{about}; score = 1000 x probability_{task}")
    elif form == ".narrowpeak":
        _write_lines(_peaks(scores, predictor), out, about)
    else:
        write_table(with_model(scores.table, predictor.name), out)


def write_unscorable(scores: Scores, out: Path) -> str | None:
    """List the rows that could not be scored in ``OUT.unscorable.tsv`` and name that file; None without such rows.

    A list that an earlier command left beside the same output is removed: it would be taken for this one's.
    """
    listing = out.with_name(f"{out.name}.unscorable.tsv")
    if scores.unscorable.height:
        write_table(scores.unscorable, listing)
        return str(listing)
    listing.unlink(missing_ok=True)
    return None


def _bed(scores: Scores, task: str) -> pl.DataFrame:
    score = (pl.col(f"probability_{task}") * 1000).round().cast(pl.Int64)
    values = pl.col("^(logit|probability|percentile)_.*$")
    name = pl.col("name").str.replace_all(r"[\t\r\n]+", "_")
    table = scores.table.select(
        "chrom", "start", "end", name, score.alias("score"), pl.lit(".").alias("strand"), values
    )
    return table.rename({"chrom": "#chrom"})


def _peaks(scores: Scores, predictor: Predictor) -> pl.DataFrame:
    known = predictor.calibrated
    columns = [f"{'probability' if name in known else 'logit'}_{name}" for name in predictor.tasks.names]
    assert scores.records.peaks is not None  # what `check_regions` found
    return scores.table.select(scores.records.peaks.alias("\t".join(_NARROW_PEAK)), *columns)


def _write_lines(table: pl.DataFrame, out: Path, about: str) -> None:
    """Tab-separated rows under a comment and a commented header; nothing is quoted, ``.`` stands for no value."""
    with staged_file(out) as staged, staged.open("w", encoding="utf-8") as handle:
        handle.write(f"# encre predict, model {about}\n")
        handle.write("\t".join(table.columns) + "\n")
        text = rounded(table).write_csv(separator="\t", include_header=False, quote_style="never", null_value=".")
        handle.write(text)
