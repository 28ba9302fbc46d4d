"""Regions of a genome: read their file, check it against the genome, score it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from encre.errors import FormatError, IntervalError
from encre.files import read_bytes
from encre.predict.forms import form_of
from encre.predict.inputs import Records, gather, open_genome, retold
from encre.predict.table_input import read_any_table
from encre.progress import SILENT, Progress
from encre.tables import place

if TYPE_CHECKING:
    from encre.evaluation.calibration import BaseRate
    from encre.genome.store import Genome
    from encre.models.device import Precision
    from encre.predict.predictor import Predictor
    from encre.predict.scores import Combine


def read_regions(path: str | Path, genome: Genome, *, width: int | None = None) -> Records:
    """Read a file of intervals and fetch their bases.

    Parameters
    ----------
    path
        BED3 to BED12, narrowPeak, broadPeak, or a table with ``chrom``, ``start`` and ``end`` (0-based half-open);
        GFF, GTF, or region strings (1-based inclusive), one a line. Plain or gzip.
    genome
        Where the bases come from; every interval must lie inside one of its chromosomes.
    width
        Widen intervals that are no longer than this to windows of this many bases around their centre.

    Returns
    -------
    Records
        Named by the file: a BED's name, a GFF's ``feature:name``; without one by their region.

    Raises
    ------
    FormatError, IntervalError, UnknownChromosomeError
        Naming the file and the line.
    """
    path = Path(path)
    frame = read_intervals(path, genome)
    region = pl.concat_str(pl.col("chrom"), pl.lit(":"), pl.col("start") + 1, pl.lit("-"), pl.col("end"))
    name = pl.when(pl.col("name").is_in(["", "."])).then(region).otherwise(pl.col("name"))
    if "feature" in frame.columns:
        name = pl.concat_str(pl.col("feature"), pl.lit(":"), name)
    names = frame.select(name.alias("name"))["name"].to_list()
    start, end = frame["start"].to_numpy(), frame["end"].to_numpy()
    records = gather(genome, frame["chrom"].to_list(), start, end=end, width=width, names=names, source=str(path))
    return replace(records, peaks=_lines(path, frame["line"])) if "peak" in frame.columns else records


def read_intervals(path: str | Path, genome: Genome) -> pl.DataFrame:
    """The intervals of a file, without their bases: ``chrom``, ``start``, ``end`` (0-based half-open), ``name`` …

    Parameters and errors are those of :func:`read_regions`.
    """
    path = Path(path)
    form = form_of(path)
    if form == "fasta":
        raise FormatError("these are sequences, not intervals", where=path, expected="BED, GFF, or region strings")
    return _INTERVALS[form](path, genome)


def _bed(path: Path, genome: Genome) -> pl.DataFrame:
    from encre.genome.bed import read_bed

    return read_bed(path, assembly=genome.assembly, lengths=genome.lengths, places=True)


def _gff(path: Path, genome: Genome) -> pl.DataFrame:
    from encre.genome.gff import read_gff

    return read_gff(path, assembly=genome.assembly, lengths=genome.lengths)


def _table(path: Path, genome: Genome) -> pl.DataFrame:
    return _checked(read_any_table(path, parquet=form_of(path) == "parquet").intervals(), genome, path)


def _region_strings(path: Path, genome: Genome) -> pl.DataFrame:
    from encre.genome.intervals import Interval

    rows: list[tuple[str, int, int, int]] = []
    for number, line in enumerate(read_bytes(path).decode("utf-8", "replace").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            found = Interval.from_region(line)
        except IntervalError as error:
            raise retold(error, where=place(path, number)) from None
        rows.append((found.chrom, found.start, found.end, number))
    frame = pl.DataFrame(rows, schema=["chrom", "start", "end", "line"], orient="row")
    return _checked(frame.with_columns(name=pl.lit("")), genome, path)


def _checked(frame: pl.DataFrame, genome: Genome, path: Path) -> pl.DataFrame:
    from encre.genome.bed import canonical_names, check_bounds

    frame = canonical_names(frame, genome.assembly)
    check_bounds(frame, genome.lengths, where=path, columns=None)
    return frame


_INTERVALS: dict[str, Callable[[Path, Genome], pl.DataFrame]] = {
    "bed": _bed,
    "gff": _gff,
    "table": _table,
    "parquet": _table,
    "regions": _region_strings,
}


def _lines(path: Path, numbers: pl.Series) -> pl.Series:
    """The lines of a file with these 1-based numbers (N,), as they stand there."""
    text = read_bytes(path).decode("utf-8", "replace")
    return pl.Series("line", text.split("\n"), dtype=pl.String).gather(numbers - 1).str.strip_chars_end("\r")


def predict_regions(
    model: Predictor,
    bed: str | Path,
    genome: Genome | str | Path,
    *,
    combine: Combine = "mean",
    precision: Precision = "fp32",
    base_rate: BaseRate | None = None,
    progress: Progress = SILENT,
) -> pl.DataFrame:
    """Score every interval of a file.

    Parameters
    ----------
    model
        From :func:`encre.load`.
    bed
        BED, narrowPeak, GFF, or what else :func:`read_regions` takes.
    genome
        An open genome, or the FASTA or 2bit file of GRCh38.
    combine, precision, base_rate
        As in :class:`encre.predict.scores.Scoring`.

    Returns
    -------
    pl.DataFrame
        One row an interval; see :meth:`encre.predict.predictor.Predictor.score`.
    """
    opened = open_genome(genome, assembly="GRCh38", why=f"the regions of {bed}", progress=progress)
    records = read_regions(bed, opened, width=model.region_width)
    return model.predict(records, combine=combine, precision=precision, base_rate=base_rate, progress=progress)
