"""Which form a file is in, told from its content first and from its name second."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from encre.errors import FormatError
from encre.files import explain_damage, open_plain

Form = Literal["fasta", "parquet", "table", "bed", "gff", "regions"]

#: What a column may be called in a table of intervals (0-based half-open), in lower case.
CHROM = ("chrom", "#chrom", "chr", "chromosome", "seqnames", "seqid")
START = ("start", "chromstart")
END = ("end", "chromend", "stop")

#: ``chr1:1,001-2,000``, 1-based inclusive, commas optional; ``..`` for ``-`` as some browsers write it.
REGION = re.compile(r"[^\s:/\\]+:[\d,]+(-|\.\.)[\d,]+(:[+-])?")

_SUFFIXES: dict[str, Form] = {
    **dict.fromkeys((".fa", ".fasta", ".fna"), "fasta"),
    **dict.fromkeys((".bed", ".narrowpeak", ".broadpeak"), "bed"),
    **dict.fromkeys((".gff", ".gff3", ".gff2", ".gtf"), "gff"),
}
_TABLES = (".csv", ".tsv", ".txt", ".tab")
_GFF_LINE = re.compile(r"[^\t]+\t[^\t]*\t[^\t]+\t\d+\t\d+\t[^\t]+\t[-+.?]\t[.012]\t")
_BED_LINE = re.compile(r"\S+[\t ]+-?\d+[\t ]+-?\d+(\s|$)")
_COMMENTS = ("#", "track ", "track\t", "browser ", "browser\t")


def form_of(path: Path) -> Form:
    """What form a file is in.

    Raises
    ------
    FormatError
        When the file is empty, nothing fits, or another verb is the one for it.
    """
    with explain_damage(path), open_plain(path) as handle:
        head = handle.read(1 << 16)
    if not head.strip():
        raise FormatError("the file is empty", where=path, remedy="Check that it was written or downloaded whole.")
    if head[:4] == b"PAR1":
        return "parquet"
    suffixes = [s.lower() for s in path.suffixes if s.lower() not in (".gz", ".bgz")]
    suffix = suffixes[-1] if suffixes else ""
    if head.startswith(b"##fileformat=VCF") or suffix in (".vcf", ".bcf"):
        raise FormatError(
            "these are variants, not sequences or regions", where=path, remedy="Score them with `encre variants`."
        )
    if head.lstrip()[:1] in b">;":
        return "fasta"
    found = _SUFFIXES.get(suffix) or (
        None if b"\0" in head else _form_of_text(head.decode("utf-8", "replace"), suffix)
    )
    if found:
        return found
    if suffix in _TABLES and b"\0" not in head:
        return "table"
    raise not_readable(path)


def _form_of_text(text: str, suffix: str) -> Form | None:
    lines = text.removeprefix("\ufeff").splitlines() or [""]
    if lines[0].startswith("##gff-version"):
        return "gff"
    if suffix in _TABLES or not lines[0].startswith("#"):  # a BED may have its column names in a comment
        columns = {column.strip().strip('"') for column in re.split(r"[,\t;]", lines[0].lower())}
        if "sequence" in columns or all(columns.intersection(names) for names in (CHROM, START, END)):
            return "table"
    first = next((line for line in lines if line.strip() and not line.startswith(_COMMENTS)), "")
    if REGION.fullmatch(first.strip()):
        return "regions"
    if _GFF_LINE.match(first):
        return "gff"
    return "bed" if _BED_LINE.match(first) else None


def not_readable(path: Path) -> FormatError:
    """The error for a file that is in none of the forms."""
    return FormatError(
        "this is none of the forms that can be scored",
        where=path,
        expected="FASTA, BED, narrowPeak, broadPeak, GFF, GTF, region strings, or CSV/TSV/Parquet with a column "
        "'sequence' or columns 'chrom', 'start' and 'end'",
    )
