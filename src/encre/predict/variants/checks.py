"""What can be scored: an allele is a change of the genome, or has a reason why it is none. REF must be the genome."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from encre.errors import (
    AssemblyMismatchError,
    EncreError,
    FormatError,
    IntervalError,
    UnknownChromosomeError,
    nearest,
)
from encre.genome.store import Genome
from encre.genome.stretches import Axis
from encre.predict.variants.inputs import VariantSource
from encre.sequence.alphabet import decode_many, encode_many
from encre.sequence.flat import offsets_of, take_flat

KINDS = ("SNV", "MNV", "insertion", "deletion", "delins")
MISMATCH, SWAPPED = "REF differs from the genome", "REF and ALT look swapped"
_UNKNOWN_CHROMOSOME, _POSITION, _EDGE = (
    "the genome lacks the chromosome",
    "the position lies before the first base",
    "REF reaches beyond the end of the chromosome",
)


class Changes(NamedTuple):
    """P changes of the genome, trimmed to the bases that differ.

    Parameters
    ----------
    chrom
        (P,) number of the chromosome in the genome's order.
    start, end
        (P,) bases that go, 0-based half-open; empty for an insertion.
    codes, offsets
        What comes instead: flat codes and offsets (P + 1,).
    """

    chrom: np.ndarray
    start: np.ndarray
    end: np.ndarray
    codes: np.ndarray
    offsets: np.ndarray

    @property
    def added(self) -> np.ndarray:
        """Bases that come (P,)."""
        return np.diff(self.offsets)

    @property
    def kind(self) -> np.ndarray:
        """Place in :data:`KINDS` (P,) int64."""
        gone, added = self.end - self.start, self.added
        unequal = np.where(gone == 0, 2, np.where(added == 0, 3, 4))
        return np.where(gone == added, np.where(gone == 1, 0, 1), unequal)

    def take(self, rows: np.ndarray) -> Changes:
        """Some of them, in that order."""
        codes, offsets = take_flat(self.codes, self.offsets, rows)
        return Changes(self.chrom[rows], self.start[rows], self.end[rows], codes, offsets)

    @classmethod
    def joined(cls, parts: Sequence[Changes]) -> Changes:
        """Several, one after the other."""
        chrom, start, end, codes = (
            np.concatenate(arrays) for arrays in zip(*(part[:4] for part in parts), strict=True)
        )
        return cls(chrom, start, end, codes, offsets_of(np.concatenate([part.added for part in parts])))


class Checked(NamedTuple):
    """The alleles of a file, judged.

    Parameters
    ----------
    table
        (N rows) as read, with ``reason`` (why it is not scored; null when it is) and ``genome`` (the genome's bases
        where REF differs, otherwise null).
    scored
        Rows that are scored (P,).
    changes
        Those, as changes of the genome.
    """

    table: pl.DataFrame
    scored: np.ndarray
    changes: Changes

    @property
    def reasons(self) -> dict[str, int]:
        """Why alleles are not scored, and how many."""
        found = self.table["reason"].drop_nulls().value_counts(sort=True)
        return dict(found.iter_rows())


def names_of(numbers: np.ndarray, genome: Genome) -> np.ndarray:
    """Chromosome names (P,) of their numbers (P,) in the genome's order."""
    return np.array(list(genome.lengths), dtype=object)[numbers]


def check_variants(
    source: VariantSource,
    genome: Genome,
    *,
    width: int,
    skip_mismatched: bool = False,
    skip_unsupported: bool = False,
) -> Checked:
    """Judge every allele against the genome.

    Parameters
    ----------
    source
        What was read.
    genome
        What REF must equal, whatever the case.
    width
        Bases of the model's window; an allele longer than half of it has no context left.
    skip_mismatched, skip_unsupported
        Give a reason to alleles whose REF differs, or that no sequence can be made of, instead of an error.

    Raises
    ------
    FormatError, AssemblyMismatchError, IntervalError, UnknownChromosomeError
        Naming the first such line, and how many there are.
    """
    axis = Axis(genome)
    upper = source.table.with_columns(pl.col("ref", "alt").str.to_uppercase())
    numbers = axis.numbers(upper["chrom"])
    length = np.diff(axis.edges)[numbers]
    upper = upper.with_columns(pl.Series("length", np.where(numbers < 0, -1, length)))
    table = source.table.with_columns(upper.select(_reason(width).alias("reason"))["reason"])
    if not skip_unsupported:
        _refuse_unsupported(table, source, genome)
    sound = table["reason"].is_null().to_numpy()
    rows = np.flatnonzero(sound)
    wrong, found = _compare(upper[rows], axis.chroms(numbers[rows]), genome)
    found = found.with_columns(pl.Series("row", rows[wrong], dtype=pl.UInt32))
    table = table.with_row_index("row").join(found, on="row", how="left", maintain_order="left")
    table = table.with_columns(pl.coalesce("reason", "found").alias("reason")).drop("row", "found")
    if not skip_mismatched:
        _refuse_mismatched(table, len(rows), source, genome)
    scored = np.flatnonzero(table["reason"].is_null().to_numpy())
    return Checked(table, scored, _trimmed(upper[scored], numbers[scored]))


def _reason(width: int) -> pl.Expr:
    """Why a row cannot be scored, as far as the row itself and the chromosome's length tell."""
    pos, ref, alt, length = (pl.col(name) for name in ("pos", "ref", "alt", "length"))
    longest = pl.max_horizontal(ref.str.len_bytes(), alt.str.len_bytes())
    return (
        pl.when(length < 0).then(pl.lit(_UNKNOWN_CHROMOSOME))
        .when(pos < 1).then(pl.lit(_POSITION))
        .when(alt.is_in(["", "."])).then(pl.lit("there is no alternative allele"))
        .when(alt == "*").then(pl.lit("'*' stands for a deletion that another record describes"))
        .when(alt.str.starts_with("<")).then(pl.lit("a symbolic allele has no sequence"))
        .when(alt.str.contains(r"[\[\]]|^\.|\.$")).then(pl.lit("a breakend joins two places"))
        .when(ref.is_in(["", ".", "-"])).then(pl.lit("an insertion needs the base before it in REF and ALT"))
        .when(~ref.str.contains("^[ACGT]+$") | ~alt.str.contains("^([ACGT]+|-)$"))
        .then(pl.lit("an allele has letters other than A, C, G and T"))
        .when(pos - 1 + ref.str.len_bytes() > length).then(pl.lit(_EDGE))
        .when(ref == alt).then(pl.lit("ALT equals REF"))
        .when(longest > width // 2)
        .then(pl.lit(f"the allele is longer than half of the model's window of {width:,} bp"))
        .otherwise(None)
    )  # fmt: skip


def _compare(rows: pl.DataFrame, chrom: pl.Series, genome: Genome) -> tuple[np.ndarray, pl.DataFrame]:
    """Which alleles (P rows) have a REF that is not the genome's, what is wrong with each, and the genome's bases."""
    start = rows["pos"].to_numpy() - 1
    there, offsets = genome.gather(chrom, start, start + rows["ref"].str.len_bytes().to_numpy())
    given, _ = encode_many(rows["ref"].to_list())
    wrong = np.flatnonzero(_differs(there, given, offsets))
    alt = rows["alt"][wrong]
    start = start[wrong]
    as_alt, alt_offsets = genome.gather(chrom[wrong], start, start + alt.str.len_bytes().to_numpy(), pad="N")
    swapped = ~_differs(as_alt, encode_many(alt.to_list())[0], alt_offsets) & (alt != "-").to_numpy()
    found = {
        "found": np.where(swapped, SWAPPED, MISMATCH).tolist(),
        "genome": decode_many(*take_flat(there, offsets, wrong)),
    }
    return wrong, pl.DataFrame(found, schema={"found": pl.String, "genome": pl.String})


def _differs(codes: np.ndarray, other: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Which sequences (N,) of two flat arrays differ."""
    if len(offsets) == 1:
        return np.zeros(0, dtype=bool)
    return np.add.reduceat(codes != other, offsets[:-1], dtype=np.int64) > 0


def _trimmed(rows: pl.DataFrame, chrom: np.ndarray) -> Changes:
    """Alleles without the bases that REF and ALT share: from the right first, then from the left."""
    ref, alt = rows["ref"].to_list(), rows["alt"].str.replace("-", "", literal=True).to_list()
    start = rows["pos"].to_numpy().astype(np.int64) - 1
    end = start + rows["ref"].str.len_bytes().to_numpy()
    longer = (rows["ref"].str.len_bytes() > 1) | (rows["alt"].str.len_bytes() > 1) | (rows["alt"] == "-")
    for row in longer.arg_true().to_list():
        first, last, alt[row] = _trim(ref[row], alt[row])
        start[row], end[row] = start[row] + first, start[row] + last
    codes, offsets = encode_many(alt)
    return Changes(chrom, start, end, codes, offsets)


def _trim(ref: str, alt: str) -> tuple[int, int, str]:
    """Which bases of ``ref`` go (first, last, half-open) and what comes instead."""
    last, other = len(ref), len(alt)
    while last and other and ref[last - 1] == alt[other - 1]:
        last, other = last - 1, other - 1
    first = 0
    while first < min(last, other) and ref[first] == alt[first]:
        first += 1
    return first, last, alt[first:other]


def _place_of(row: dict[str, object], source: VariantSource) -> str:
    """Where an allele stands: ``x.vcf, line 12 (chr1:1,234 A>G)``."""
    line = f", line {row['line']:,}" if row["line"] is not None else ""
    return f"{source.path}{line} ({row['chrom']}:{row['pos']:,} {row['ref']}>{row['alt']})"


def _refuse_unsupported(table: pl.DataFrame, source: VariantSource, genome: Genome) -> None:
    bad = table.filter(pl.col("reason").is_not_null())
    if not bad.height:
        return
    row = bad.row(0, named=True)
    reason, more = row["reason"], bad.height - 1
    kinds: dict[str, type[EncreError]] = {
        _UNKNOWN_CHROMOSOME: UnknownChromosomeError, _POSITION: IntervalError, _EDGE: IntervalError,
    }  # fmt: skip
    hint = nearest(row["chrom"], list(genome.lengths)[:30]) + " " if reason == _UNKNOWN_CHROMOSOME else ""
    rest = f" ({more:,} more of {table.height:,} alleles cannot be scored.)" if more else ""
    raise kinds.get(reason, FormatError)(
        reason,
        where=_place_of(row, source),
        remedy=f"{hint}Remove the allele, or list all such apart with --skip-unsupported.{rest}",
    )


def _refuse_mismatched(table: pl.DataFrame, compared: int, source: VariantSource, genome: Genome) -> None:
    bad = table.filter(pl.col("reason").is_in([MISMATCH, SWAPPED]))
    if not bad.height:
        return
    row = bad.row(0, named=True)
    swapped = bad.filter(pl.col("reason") == SWAPPED).height
    unknown = bad.filter(pl.col("genome").str.contains("N", literal=True)).height
    if unknown * 2 > bad.height:
        kind, guess = FormatError, f"In {unknown:,} of them the genome has N: is {genome.path.name} complete?"
    elif swapped * 2 > bad.height:
        kind, guess = FormatError, f"In {swapped:,} of them ALT is what the genome has: the alleles look swapped."
    elif (shifted := _shifted(bad, genome)) * 2 > bad.height and bad.height > 1:
        kind, guess = FormatError, f"In {shifted:,} of them REF stands one base further: positions look 0-based."
    elif bad.height * 20 > compared:
        kind, guess = AssemblyMismatchError, f"Is the file of another assembly than {genome.assembly.name}?"
    else:
        kind, guess = FormatError, "The others agree, so the assembly seems right."
    raise kind(
        f"{bad.height:,} of {compared:,} reference alleles differ from the genome, this one first",
        where=_place_of(row, source),
        expected=f"REF {row['genome']}, as in {genome.path.name}",
        got=row["ref"],
        remedy=f"{guess} Correct the file, or list such alleles apart with --skip-mismatched.",
    )


def _shifted(bad: pl.DataFrame, genome: Genome) -> int:
    """In how many alleles REF is what stands one base to the right."""
    start = bad["pos"].to_numpy()
    codes, offsets = genome.gather(bad["chrom"], start, start + bad["ref"].str.len_bytes().to_numpy(), pad="N")
    return int((~_differs(codes, encode_many(bad["ref"].to_list())[0], offsets)).sum())
