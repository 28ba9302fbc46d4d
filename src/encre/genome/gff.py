"""GFF3, GTF and GFF2, plain or gzip, read strictly.

Nine tab-separated columns, 1-based inclusive (https://github.com/The-Sequence-Ontology/Specifications/blob/master/
gff3.md); here they become 0-based half-open.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from encre.errors import FormatError, IntervalError
from encre.files import explain_damage, open_plain
from encre.genome.assembly import Assembly
from encre.genome.bed import canonical_names, check_bounds
from encre.tables import Column, first_row, place, read_rows

_COLUMNS = (
    Column("chrom", "category"),
    Column("source", "skip"),
    Column("feature", "category"),
    Column("first", "int", 1),
    Column("end", "int", 1),
    Column("score", "float"),
    Column("strand"),
    Column("phase", "skip"),
    Column("attributes"),
)

#: What names a row, the most particular first: GFF3 writes ``ID=x;``, GTF ``transcript_id "x";``.
_NAMES = ("ID", "Name", "transcript_id", "gene_id")


def read_gff(
    path: str | Path, *, assembly: Assembly | None = None, lengths: Mapping[str, int] | None = None
) -> pl.DataFrame:
    """Read a GFF3, GTF or GFF2 file.

    Comment and directive lines (``#``) are skipped.

    Parameters
    ----------
    path
        Plain or gzip.
    assembly, lengths
        As in :func:`encre.genome.bed.read_bed`.

    Returns
    -------
    pl.DataFrame
        ``chrom``, ``start``, ``end`` (0-based half-open, Int64), ``feature``, ``name`` (from the attributes; empty
        for none), ``score`` (NaN for none), ``strand``, and ``line``.

    Raises
    ------
    MissingFileError, FormatError, IntervalError, UnknownChromosomeError
        Naming file, line and column.
    """
    row = first_row(path)
    if len(row.fields) != len(_COLUMNS):
        raise FormatError(
            "this is not a GFF file",
            where=place(path, row.line),
            expected=f"{len(_COLUMNS)} columns separated by tabs",
            got=f"{len(row.fields)}",
        )
    try:
        frame = read_rows(path, columns=_COLUMNS)
    except FormatError:
        _refuse_sequences(path)
        raise
    backwards = (frame["end"] < frame["first"]).arg_true()
    if len(backwards):
        at = frame.row(backwards[0], named=True)
        raise IntervalError(
            "the end lies before the start",
            where=place(path, at["line"], column=5),
            got=f"{at['chrom']} {at['first']} {at['end']} (1-based)",
            remedy="Correct or remove the line.",
        )
    frame = canonical_names(frame, assembly).with_columns(
        pl.col("chrom", "feature").cast(pl.String),
        start=pl.col("first") - 1,
        name=pl.coalesce(*map(_attribute, _NAMES), pl.lit("")),
    )
    check_bounds(frame, lengths, where=path, columns=(1, 4, 5))
    return frame.select("chrom", "start", "end", "feature", "name", "score", "strand", "line")


def _attribute(name: str) -> pl.Expr:
    """The value of one attribute, in the way of GFF3 or of GTF; null where a row has none."""
    return pl.col("attributes").str.extract(rf'(?:^|;)\s*{name}(?:=|\s+)"?([^";]+)"?')


def _refuse_sequences(path: str | Path) -> None:
    """Say what is wrong when sequences follow the rows, as some annotation tools write them."""
    with explain_damage(path), open_plain(path) as handle:
        for number, line in enumerate(handle, start=1):
            if line.startswith(b"##FASTA"):
                raise FormatError(
                    "this GFF carries its sequences (##FASTA)",
                    where=place(path, number),
                    remedy="Put what follows that line into a FASTA of its own, and give it as the genome.",
                )
