"""Regions of a genome: read a BED, check it against the genome, score it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from encre.predict.inputs import Records, gather, open_genome
from encre.progress import SILENT, Progress

if TYPE_CHECKING:
    from encre.genome.store import Genome
    from encre.predict.predictor import Predictor


def read_regions(path: str | Path, genome: Genome, *, width: int | None = None) -> Records:
    """Read a BED or narrowPeak and fetch its intervals.

    Parameters
    ----------
    path
        BED3 to BED12 or narrowPeak, plain or gzip; 0-based half-open.
    genome
        Where the bases come from; every interval must lie inside one of its chromosomes.
    width
        Widen intervals that are no longer than this to windows of this many bases around their centre.

    Raises
    ------
    FormatError, IntervalError, UnknownChromosomeError
        Naming the file and the line.
    """
    from encre.genome.bed import read_bed

    frame = read_bed(path, assembly=genome.assembly, lengths=genome.lengths)
    region = pl.concat_str(pl.col("chrom"), pl.lit(":"), pl.col("start") + 1, pl.lit("-"), pl.col("end"))
    unnamed = pl.col("name").is_in(["", "."])
    names = frame.select(pl.when(unnamed).then(region).otherwise(pl.col("name")).alias("name"))["name"].to_list()
    chrom = frame["chrom"].to_list()
    start, end = frame["start"].to_numpy(), frame["end"].to_numpy()
    return gather(genome, chrom, start, end=end, width=width, names=names, source=str(path))


def predict_regions(
    model: Predictor, bed: str | Path, genome: Genome | str | Path, *, progress: Progress = SILENT
) -> pl.DataFrame:
    """Score every interval of a BED or narrowPeak.

    Parameters
    ----------
    model
        From :func:`encre.load`.
    bed
        BED or narrowPeak file, plain or gzip; 0-based half-open.
    genome
        An open genome, or the FASTA or 2bit file of GRCh38.

    Returns
    -------
    pl.DataFrame
        One row an interval; see :meth:`encre.predict.predictor.Predictor.predict`.
    """
    opened = open_genome(genome, assembly="GRCh38", why=f"the regions of {bed}", progress=progress)
    return model.predict(read_regions(bed, opened, width=model.region_width), progress=progress)
