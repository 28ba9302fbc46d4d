"""Scored variants as VCF or BCF with INFO fields, or as a table; what was not scored is listed beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from encre.errors import ConfigError, FolderError
from encre.genome.intervals import Interval
from encre.genome.store import Genome
from encre.genome.vcf import SUFFIXES, Definition, Vcf, extended_header, new_header, with_info, write_vcf
from encre.predict.outputs import with_model, write_table
from encre.predict.variants.effects import VariantScores
from encre.sequence.alphabet import decode

_TABLES = (".tsv", ".csv", ".parquet")
_ROWS = 10_000  # alleles that are made text at a time
_FIELDS = {
    "DL": ("delta_logit_", "delta logit of {} (alternative minus reference)"),
    "DP": ("delta_probability_", "difference of the calibrated probability of {}"),
    "P": ("p_", "empirical two-sided p of the delta logit of {} among random changes of the same kind"),
    "Q": ("q_", "Benjamini-Hochberg q of {} over the file"),
}
_FOR_VCF = ["line", "record", "allele", "reason", "genome"]


def check_variant_output(path: str | Path | None) -> None:
    """Refuse an output that cannot be written, before any work is done.

    Parameters
    ----------
    path
        ``.vcf``, ``.vcf.gz``, ``.bcf``, ``.tsv``, ``.csv`` or ``.parquet``; None for stdout.

    Raises
    ------
    ConfigError, FolderError
        An unknown ending, or a folder in its place.
    """
    if path is None:
        return
    if not str(path).lower().endswith((*_TABLES, *SUFFIXES)):
        raise ConfigError(f"the output '{path}' has no known form", expected=", ".join((*SUFFIXES, *_TABLES)))
    if Path(path).is_dir():
        raise FolderError("a folder stands where the output file should go", where=path, remedy="Name a file.")


def for_people(scores: VariantScores) -> pl.DataFrame:
    """The scored rows with the model's name, without the columns that only a writer of VCF needs."""
    scored = scores.table.filter(pl.col("reason").is_null())
    return with_model(scored.drop(_FOR_VCF), scores.model)


def not_scored(table: pl.DataFrame) -> pl.DataFrame:
    """The other rows: where they stand, the reason, and what the genome has where REF differs."""
    columns = ("line", "chrom", "pos", "id", "ref", "alt", "reason", "genome")
    return table.filter(pl.col("reason").is_not_null()).select(columns)


def write_scores(scores: VariantScores, path: str | Path, genome: Genome) -> Path | None:
    """Write the scored variants in the form that the ending names.

    A VCF that came from a VCF keeps its header, records and samples, the alleles that were not scored included
    (their values are missing); one that came from a table or a BED has a record an allele.

    Returns
    -------
    Path or None
        ``<path>.skipped.tsv``, where the alleles that were not scored are listed with the reason; None if there is
        none (one that an earlier run left is removed).
    """
    path = Path(path)
    if str(path).lower().endswith(_TABLES):
        write_table(for_people(scores), path)
    else:
        _write_vcf(scores, path, genome)
    beside = path.with_name(f"{path.name}.skipped.tsv")
    apart = not_scored(scores.table)
    if not apart.height:
        beside.unlink(missing_ok=True)
        return None
    write_table(apart, beside)
    return beside


def info_fields(columns: Sequence[str]) -> dict[str, Definition]:
    """INFO field by column: ``ENCRE_DL_<task>`` and its kin, with letters that VCF does not allow as ``_``."""
    found: dict[str, Definition] = {}
    used: set[str] = set()
    for kind, (prefix, words) in _FIELDS.items():
        for column in columns:
            if column.startswith(prefix):
                task = column.removeprefix(prefix)
                name = f"ENCRE_{kind}_" + re.sub(r"[^A-Za-z0-9_.]", "_", task)
                while name in used:
                    name += "_"
                used.add(name)
                said = words.format(task).replace("\\", "\\\\").replace('"', '\\"')
                found[column] = Definition(name, f"encre: {said}")
    return found


def _write_vcf(scores: VariantScores, path: Path, genome: Genome) -> None:
    table, vcf = scores.table, scores.source.vcf
    fields = info_fields([name for name in table.columns if table[name].null_count() < table.height])
    names = table["chrom"].unique(maintain_order=True).to_list()
    contigs = {name: genome.lengths[home] for name in names if (home := genome.name_of(name))}
    lines = vcf.header if vcf else new_header()
    header = extended_header(lines, contigs, list(fields.values()), f"##encre_model={scores.model}")
    write_vcf(path, header, _annotated(vcf, table, fields) if vcf else _new_records(table, fields, genome))


def _annotated(vcf: Vcf, table: pl.DataFrame, fields: dict[str, Definition]) -> Iterator[str]:
    """The records of a VCF, each with the values of its alleles; one without a scored allele stays as it is."""
    ours = {definition.id for definition in fields.values()}
    lines = vcf.records()
    for part in _parts(table):
        by_record = part.group_by("record", maintain_order=True).agg(
            pl.col("reason").is_null().any().alias("any"), *(_text(column).str.join(",") for column in fields)
        )
        text = _joined({column: pl.col(column) for column in fields}, fields)
        for info in by_record.select(pl.when("any").then(text).otherwise(pl.lit("")))[:, 0]:
            yield with_info(next(lines)[1], info, ours)


def _new_records(table: pl.DataFrame, fields: dict[str, Definition], genome: Genome) -> Iterator[str]:
    """A record a scored allele, for variants that came from a table or a BED."""
    for part in _parts(table.filter(pl.col("reason").is_null())):
        info = _joined({column: _text(column) for column in fields}, fields)
        columns = _with_anchors(part, genome).select("chrom", "pos", "id", "ref", "alt", info.alias("info"))
        for chrom, pos, name, ref, alt, text in columns.iter_rows():
            yield f"{chrom}\t{pos}\t{name or '.'}\t{ref}\t{alt}\t.\t.\t{text or '.'}"


def _parts(table: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Rows in order, some records at a time: their text takes many times the memory of their numbers."""
    record = table["record"].to_numpy()
    first = 0
    while first < len(record):
        last = min(first + _ROWS, len(record))
        last = int(np.searchsorted(record, record[last - 1], side="right"))
        yield table[first:last]
        first = last


def _text(column: str) -> pl.Expr:
    """Values as they stand in a VCF: six significant digits, a point where there is none."""
    return pl.col(column).round_sig_figs(6).cast(pl.String).fill_null(".")


def _joined(values: dict[str, pl.Expr], fields: dict[str, Definition]) -> pl.Expr:
    parts = [pl.lit(f"{definition.id}=") + values[column] for column, definition in fields.items()]
    return pl.concat_str(parts, separator=";") if parts else pl.lit("")


def _with_anchors(table: pl.DataFrame, genome: Genome) -> pl.DataFrame:
    """Deletions written as ``-`` with the base before them, as in a VCF (at a chromosome's start, behind them)."""
    rows = (table["alt"] == "-").arg_true().to_list()
    pos, ref, alt = (table[name].to_list() for name in ("pos", "ref", "alt"))
    for row in rows:
        at = pos[row] - 2 if pos[row] > 1 else len(ref[row])
        alt[row] = decode(genome.fetch(Interval(table["chrom"][row], at, at + 1)))
        ref[row] = alt[row] + ref[row] if pos[row] > 1 else ref[row] + alt[row]
        pos[row] = max(pos[row] - 1, 1)
    return table.with_columns(pl.Series("pos", pos), pl.Series("ref", ref), pl.Series("alt", alt))
