"""Where variants come from: VCF and BCF, tables with chrom, pos, ref and alt, or every base of a BED."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from encre.errors import FormatError
from encre.genome.bed import check_bounds, read_bed
from encre.genome.intervals import Interval
from encre.genome.store import Genome
from encre.genome.vcf import Vcf, is_vcf, split_alleles
from encre.shapes import CODE_LETTERS, N_CODE
from encre.tables import Column, read_table, table_header

#: Spellings of each column of a table, any case; the first that the file has is taken.
_SPELLINGS = {
    "chrom": ("chrom", "chr", "chromosome", "contig", "seqname", "seqnames"),
    "pos": ("pos", "position", "bp", "base_pair_location"),
    "ref": ("ref", "reference", "ref_allele", "reference_allele"),
    "alt": ("alt", "alternate", "alternative", "alt_allele", "alternate_allele"),
    "id": ("id", "rsid", "snp", "snpid", "variant_id", "variant", "name"),
}


@dataclass(frozen=True)
class VariantSource:
    """Variants as they were given.

    Parameters
    ----------
    path
        The file.
    table
        One row an allele, as :meth:`encre.genome.vcf.Vcf.table` has it.
    vcf
        The VCF or BCF that it came from, whose records an annotated VCF keeps; None for a table or a BED.
    window
        (N,) where the window of each allele begins, 0-based, when windows are shared; None for a window around each.
    unknown
        Bases N of a BED that have no variant.
    """

    path: Path
    table: pl.DataFrame
    vcf: Vcf | None = None
    window: np.ndarray | None = None
    unknown: int = 0


def read_variants(path: str | Path, genome: Genome, *, region: Interval | None = None) -> VariantSource:
    """Read a VCF, a BCF, or a CSV, TSV or Parquet table of variants.

    Parameters
    ----------
    path
        Plain or gzip. A table has a column each for chromosome, position (1-based), reference and alternative allele,
        in one of the usual spellings, and may have an identifier; ``-`` as alternative deletes the reference allele.
    genome
        Names the chromosomes.
    region
        Only records whose reference allele touches it, 0-based half-open; by the index where a VCF has one.

    Raises
    ------
    MissingFileError, FormatError
        Naming the file and the line.
    """
    region = _named(region, genome)
    if is_vcf(path):
        vcf = Vcf(path, region=region, name_of=genome.name_of)
        return VariantSource(Path(path), _some(vcf.table(), path, region), vcf)
    table = _read_variant_table(Path(path))
    return VariantSource(Path(path), _some(_within(table, region, genome), path, region))


def read_saturation(path: str | Path, genome: Genome, *, width: int, region: Interval | None = None) -> VariantSource:
    """Every single-nucleotide variant of every base of a BED, interval after interval.

    An interval is cut into equal tiles of at most half a window, and all variants of a tile share the window around
    its middle: each stands within the window's central half.

    Parameters
    ----------
    path
        BED, plain or gzip; the name column becomes the identifier.
    genome
        Where the reference bases come from.
    width
        Bases of a window.
    region
        Only bases within it.

    Raises
    ------
    MissingFileError, FormatError, IntervalError, UnknownChromosomeError
        Naming the file and the line.
    """
    frame = read_bed(path, assembly=genome.assembly, lengths=genome.lengths)
    start, end = frame["start"].to_numpy(), frame["end"].to_numpy()
    length = end - start
    row = np.repeat(np.arange(len(start)), length)
    place = np.arange(len(row)) - np.repeat(np.cumsum(length) - length, length)
    codes, _ = genome.gather(frame["chrom"], start, end)
    known = codes < N_CODE
    lost = frame.select("chrom")[row[~known]].with_columns(pl.Series("pos", (start[row] + place)[~known] + 1))
    row, place, codes = row[known], place[known], codes[known]
    tile = _tile_widths(length, width // 2)[row]
    first = start[row] + place // tile * tile
    window = (first + np.minimum(first + tile, end[row])) // 2 - width // 2
    letters = pl.Series(list(CODE_LETTERS[:4]))
    alternatives = np.nonzero(np.arange(4) != codes[:, None])[1]
    base = pl.DataFrame({"row": row, "pos": start[row] + place + 1, "ref": letters.gather(codes)})
    order = np.repeat(np.arange(len(row)), 3)
    name = pl.when(pl.col("name") == "").then(pl.lit(".")).otherwise(pl.col("name"))
    of_row = frame.select("line", "chrom", name.alias("id"))[base["row"]]
    table = pl.concat([of_row, base], how="horizontal")[order].with_columns(
        pl.Series("record", np.arange(len(order))),
        pl.lit(1, pl.Int64).alias("allele"),
        letters.gather(alternatives).alias("alt"),
    )
    table = table.select("line", "record", "allele", "chrom", "pos", "id", "ref", "alt")
    named = _named(region, genome)
    kept = _some(_within(table.with_columns(pl.Series("window", np.repeat(window, 3))), named, genome), path, region)
    lost = _within(lost.with_columns(pl.lit("N").alias("ref"), pl.lit(0).alias("record")), named, genome)
    return VariantSource(Path(path), kept.drop("window"), window=kept["window"].to_numpy(), unknown=lost.height)


def _tile_widths(length: np.ndarray, most: int) -> np.ndarray:
    """Bases of a tile (N,), at most ``most``, so that equal tiles cover each length (N,)."""
    count = -(-length // max(most, 1))
    return -(-length // count)


def _named(region: Interval | None, genome: Genome) -> Interval | None:
    """The region under the genome's name of its chromosome; one that the genome lacks is an error."""
    if region is None:
        return None
    home = genome.name_of(region.chrom) or region.chrom
    bounds = pl.DataFrame({"chrom": [home], "start": [region.start], "end": [region.end]})
    check_bounds(bounds, genome.lengths, where=f"the region {region.region}")
    return Interval(home, region.start, region.end)


def _within(table: pl.DataFrame, region: Interval | None, genome: Genome) -> pl.DataFrame:
    """Rows whose reference allele touches the region, numbered anew."""
    if region is None:
        return table
    names = [name for name in table["chrom"].unique().to_list() if genome.name_of(name) == region.chrom]
    start = pl.col("pos") - 1
    inside = (start < region.end) & (start + pl.col("ref").str.len_bytes() > region.start)
    kept = table.filter(pl.col("chrom").is_in(names) & inside)
    return kept.with_columns((pl.col("record").rank("dense").cast(pl.Int64) - 1).alias("record"))


def _some(table: pl.DataFrame, path: str | Path, region: Interval | None) -> pl.DataFrame:
    if not table.height:
        what = f"the region {region.region} holds no variant" if region else "there is no variant in the file"
        raise FormatError(what, where=path)
    return table


def _read_variant_table(path: Path) -> pl.DataFrame:
    header = table_header(path)
    by_lower = {name.lower(): name for name in reversed(header)}
    found = {
        wanted: by_lower[name]
        for wanted, spellings in _SPELLINGS.items()
        if (name := next((s for s in spellings if s in by_lower), None))
    }
    for wanted in ("chrom", "pos", "ref", "alt"):
        if wanted not in found:
            raise FormatError(
                f"the table of variants has no column '{wanted}'",
                where=path,
                expected=f"one of {', '.join(_SPELLINGS[wanted])} (any case; positions are 1-based)",
                got=f"columns {', '.join(header[:20])}",
                remedy="Name the column so; the bases of a BED are scored with --saturate.",
            )
    kinds = [Column(name, "int" if wanted == "pos" else "text") for wanted, name in found.items()]
    table = read_table(path, columns=kinds).rename({name: wanted for wanted, name in found.items()})
    if "id" not in found:
        table = table.with_columns(pl.lit(".").alias("id"))
    text = pl.col("chrom", "id", "ref", "alt").fill_null("").str.strip_chars()
    return split_alleles(table.with_columns(text).with_row_index("record").cast({"record": pl.Int64}))
