"""VCF and BCF (https://samtools.github.io/hts-specs/VCFv4.3.pdf): records as text, and back with INFO added.

Text records are read and written as text, so that every byte of them survives and a message can name the line; pysam
reads BCF and indices, and writes BCF. Positions are 1-based, as in the file.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import re
import struct
import tempfile
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from encre.errors import FormatError
from encre.files import explain_damage, open_plain, staged_file
from encre.genome.intervals import Interval
from encre.tables import BGZIP_END, place, refuse_cut_bgzip

COLUMNS = ("#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO")
SUFFIXES = (".vcf", ".vcf.gz", ".vcf.bgz", ".bcf")

_BATCH = 50_000  # records that become one piece of the table
_MOST_DIGITS = 18  # of a position, so that it fits 64 bits
_BLOCK = 0xFF00  # bytes of text a block of BGZF, as htslib has it
#: Bytes that are no UTF-8 come back as they were.
_TEXT: dict[str, Any] = {"encoding": "utf-8", "errors": "surrogateescape", "newline": "\n"}
_DEFINED = re.compile(r"##(INFO|FORMAT|FILTER|contig)=<ID=([^,>]+)")
_SCHEMA = {
    "line": pl.UInt32, "record": pl.Int64, "chrom": pl.String, "pos": pl.Int64, "id": pl.String,
    "ref": pl.String, "alt": pl.String,
}  # fmt: skip


class Definition(NamedTuple):
    """An INFO field of one float an alternative allele."""

    id: str
    description: str

    @property
    def line(self) -> str:
        """As it stands in a header."""
        return f'##INFO=<ID={self.id},Number=A,Type=Float,Description="{self.description}">'


def is_vcf(path: str | Path) -> bool:
    """Whether a file is VCF or BCF, told from its first bytes, or called so."""
    if str(path).lower().endswith(SUFFIXES):
        return True
    with explain_damage(path), open_plain(path) as handle:
        return handle.read(16).removeprefix(b"\xef\xbb\xbf").startswith((b"##fileformat=VCF", b"BCF\2"))


class Vcf:
    """A VCF or BCF file, plain, gzip or bgzip, to be read one record after the other, as often as needed.

    Parameters
    ----------
    path
        The file. An index (``.tbi``, ``.csi``) beside it is used for ``region`` when there is one.
    region
        Leave out records whose REF does not touch this interval, 0-based half-open.
    name_of
        Brings a chromosome name of the file to the naming of ``region``; None for one that has none.

    Raises
    ------
    MissingFileError, FormatError
        No file, not VCF, damaged, or a header without ``##fileformat`` or ``#CHROM`` line.
    """

    def __init__(
        self, path: str | Path, *, region: Interval | None = None, name_of: Callable[[str], str | None] = str
    ) -> None:
        self.path, self.region, self.name_of = Path(path), region, name_of
        with explain_damage(path), open_plain(path) as handle:
            self.is_bcf = handle.read(4).startswith(b"BCF")
        refuse_cut_bgzip(path)
        self.header: list[str] = self._binary_header() if self.is_bcf else self._text_header()
        """Lines up to and with ``#CHROM``, without line ends."""

    @property
    def has_index(self) -> bool:
        """Whether an index lies beside the file."""
        return any(Path(f"{self.path}{ending}").exists() for ending in (".tbi", ".csi"))

    def records(self) -> Iterator[tuple[int | None, str]]:
        """Every record as a line of text without its end, with its 1-based line (None where it has none)."""
        if self.is_bcf:
            found = self._binary_records()
        elif self.region and self.has_index:
            found = self._indexed_records()
        else:
            found = self._text_records()
        return (pair for pair in found if self._touches(pair[1]))

    def table(self) -> pl.DataFrame:
        """Every alternative allele, in the order of the file.

        Returns
        -------
        pl.DataFrame
            ``line`` (1-based; null where unknown), ``record`` (0-based, in the order of :meth:`records`), ``allele``
            (1-based, within ALT), ``chrom``, ``pos`` (1-based), ``id``, ``ref``, ``alt``, as the file has them.

        Raises
        ------
        FormatError
            Naming the first line with fewer than eight columns, or with a position that is no number.
        """
        records = enumerate(self.records())
        parts = [pl.DataFrame(schema=_SCHEMA)]
        while batch := list(itertools.islice(records, _BATCH)):
            rows = [self._row(number, line, text) for number, (line, text) in batch]
            parts.append(pl.DataFrame(rows, schema=_SCHEMA, orient="row"))
        return split_alleles(pl.concat(parts, rechunk=True))

    def _row(self, number: int, line: int | None, text: str) -> tuple[Any, ...]:
        text = _readable(text)
        fields = text.split("\t", 8)
        if len(fields) < len(COLUMNS):
            raise FormatError(
                "this is not a record of a VCF",
                where=place(self.path, line),
                expected="at least 8 columns separated by tabs",
                got=f"{len(fields)}: '{text[:60]}'",
                remedy="Its fields stand between spaces: put tabs between them." if len(text.split()) > 7 else "",
            )
        if not (fields[1].isascii() and fields[1].isdigit() and len(fields[1]) <= _MOST_DIGITS):
            where = place(self.path, line, column=2)
            raise FormatError("the position is not a whole number", where=where, got=f"'{fields[1][:40]}'")
        return (line, number, fields[0], int(fields[1]), fields[2], fields[3], fields[4])

    def _touches(self, text: str) -> bool:
        fields, region = text.split("\t", 4), self.region
        if region is None or len(fields) < 5 or not fields[1].isdigit():
            return True  # the table says what is wrong with it
        start = int(fields[1]) - 1
        inside = start < region.end and start + len(fields[3]) > region.start
        return inside and self.name_of(fields[0]) == region.chrom

    def _text_lines(self) -> Iterator[tuple[int, str]]:
        with explain_damage(self.path), open_plain(self.path) as raw, io.TextIOWrapper(raw, **_TEXT) as handle:
            for number, line in enumerate(handle, start=1):
                yield number, line.removeprefix("\ufeff").rstrip("\r\n")

    def _text_header(self) -> list[str]:
        header: list[str] = []
        for number, line in self._text_lines():
            if not line.startswith("##") and not (header and line.startswith("#CHROM")):
                self._refuse_header(number, line)
            header.append(line)
            if line.startswith("#CHROM"):
                break
            if number == 1 and not line.startswith("##fileformat=VCF"):
                self._refuse_header(number, line)
        if not header:
            raise FormatError("the file is empty", where=self.path, remedy="Check that it was written whole.")
        names = header[-1].split("\t")
        if tuple(names[:8]) != COLUMNS:
            self._refuse_header(len(header), header[-1])
        return header

    def _refuse_header(self, number: int, line: str) -> None:
        columns = " ".join(COLUMNS)
        if number == 1:
            what, expected = "the VCF has no header", "##fileformat=VCFv4.2 or another version in the first line"
        elif line.startswith("#CHROM"):
            what, expected = "the VCF's column names are not those of a VCF", f"{columns}, separated by tabs"
        else:
            what, expected = "the VCF's header ends without its line of column names", columns
        raise FormatError(
            what,
            where=place(self.path, number),
            expected=expected,
            got=f"'{_readable(line[:60])}'",
            remedy="Put the original header back, or give a table (.tsv) with the columns chrom, pos, ref and alt.",
        )

    def _text_records(self) -> Iterator[tuple[int, str]]:
        skipped = len(self.header)
        return (pair for pair in itertools.islice(self._text_lines(), skipped, None) if pair[1].strip())

    def _indexed_records(self) -> Iterator[tuple[None, str]]:
        import pysam

        region = self.region
        assert region is not None
        with self._htslib(), pysam.TabixFile(str(self.path), encoding="utf-8") as handle:
            for chrom in map(str, handle.contigs):
                if self.name_of(chrom) == region.chrom:
                    yield from ((None, line.rstrip("\r\n")) for line in handle.fetch(chrom, region.start, region.end))

    def _binary_header(self) -> list[str]:
        import pysam

        with self._htslib(), pysam.VariantFile(str(self.path)) as handle:
            return str(handle.header).splitlines()

    def _binary_records(self) -> Iterator[tuple[None, str]]:
        import pysam

        with self._htslib(), pysam.VariantFile(str(self.path)) as handle:
            if self.region and self.has_index:
                names = [str(name) for name in handle.header.contigs if self.name_of(str(name)) == self.region.chrom]
                found = itertools.chain.from_iterable(
                    handle.fetch(name, self.region.start, self.region.end) for name in names
                )
            else:
                found = iter(handle)
            for record in found:
                yield None, str(record).rstrip("\n")

    @contextlib.contextmanager
    def _htslib(self) -> Iterator[None]:
        """What htslib would print beside our messages is kept back; what it refuses is said in our words."""
        import pysam

        before = pysam.set_verbosity(0)
        try:
            yield
        except (OSError, ValueError) as error:
            raise FormatError(
                f"the file cannot be read as {'BCF' if self.is_bcf else 'an indexed VCF'} ({error})",
                where=self.path,
                remedy="Check that it is whole, and that its index is of this file (bcftools index -f).",
            ) from error
        finally:
            pysam.set_verbosity(before)


def _readable(text: str) -> str:
    """Text with a mark for each byte that is no UTF-8: a table and a message hold none; a record written keeps it."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def split_alleles(table: pl.DataFrame) -> pl.DataFrame:
    """One row an alternative allele, of rows whose ``alt`` may hold several between commas; adds ``allele``."""
    alts = pl.col("alt").str.split(",")
    listed = table.with_columns(alts, pl.int_ranges(1, alts.list.len() + 1).alias("allele"))
    return listed.explode("alt", "allele").select(
        "line", "record", "allele", "chrom", "pos", "id", "ref", "alt"
    )  # fmt: skip


def new_header() -> list[str]:
    """The header of a VCF without samples."""
    return ["##fileformat=VCFv4.3", "\t".join(COLUMNS)]


def extended_header(
    header: Sequence[str], contigs: Mapping[str, int], definitions: Sequence[Definition], *more: str
) -> list[str]:
    """A header with INFO fields declared, contigs added, and other lines.

    Parameters
    ----------
    header
        Lines with ``#CHROM`` last; of a kind that is added, a line of the same name goes.
    contigs
        Name -> length in bases; those that the header has stay as they are.
    definitions
        What is declared.
    more
        Lines ``##name=value``.
    """
    ours = {definition.id for definition in definitions}
    names = tuple(line.partition("=")[0] + "=" for line in more)
    found = [(line, match.groups() if (match := _DEFINED.match(line)) else ("", "")) for line in header[:-1]]
    kept = [
        line for line, (kind, name) in found if not (kind == "INFO" and name in ours) and not line.startswith(names)
    ]
    known = {name for _, (kind, name) in found if kind == "contig"}
    added = [f"##contig=<ID={name},length={length}>" for name, length in contigs.items() if name not in known]
    return [*kept, *added, *(definition.line for definition in definitions), *more, header[-1]]


def with_info(record: str, text: str, ours: Collection[str]) -> str:
    """A record's line with ``text`` at the end of its INFO column; fields that it had of the same names go."""
    fields = record.split("\t", 8)
    kept = [entry for entry in fields[7].split(";") if entry.partition("=")[0] not in {*ours, ".", ""}]
    fields[7] = ";".join([*kept, text] if text else kept) or "."
    return "\t".join(fields)


def write_vcf(path: str | Path, header: Sequence[str], records: Iterable[str]) -> None:
    """Write a VCF (``.vcf``; ``.gz`` and ``.bgz`` as BGZF, so that tabix can index it) or BCF, renamed into place.

    Parameters
    ----------
    path
        Its ending names the form.
    header
        Lines with ``#CHROM`` last, without line ends.
    records
        Lines without line ends.

    Raises
    ------
    FormatError
        When a BCF is asked for and a record uses a key that the header does not define.
    ResourceError
        When the disk fills up; nothing is left behind.
    """
    path = Path(path)
    with staged_file(path) as staged:
        if path.suffix.lower() != ".bcf":
            _write_text(staged, header, records, packed=path.suffix.lower() != ".vcf")
            return
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as beside:
            text = Path(beside) / "whole.vcf"
            _write_text(text, header, _all_defined(records, header, path))
            _pack_binary(text, staged, path)


def _write_text(path: Path, header: Sequence[str], records: Iterable[str], *, packed: bool = False) -> None:
    with path.open("wb") as handle:
        lines = itertools.chain(header, records)
        while batch := list(itertools.islice(lines, 4096)):
            text = ("\n".join(batch) + "\n").encode("utf-8", "surrogateescape")
            handle.write(_bgzip(text) if packed else text)
        if packed:
            handle.write(BGZIP_END)


def _bgzip(text: bytes) -> bytes:
    """Blocks of BGZF (SAM specification, section 4.1); pysam's own writer does not say when the disk is full."""
    blocks = []
    for at in range(0, len(text), _BLOCK):
        part = text[at : at + _BLOCK]
        body = zlib.compress(part, wbits=-15)
        head = BGZIP_END[:16] + struct.pack("<H", len(body) + 25)  # the size of the whole block, less 1
        blocks.append(head + body + struct.pack("<II", zlib.crc32(part), len(part)))
    return b"".join(blocks)


def _pack_binary(text: Path, binary: Path, path: Path) -> None:
    import pysam
    from pysam import bcftools  # pysam's own writer adds an undeclared END to records with symbolic alleles

    before = pysam.set_verbosity(0)
    try:
        bcftools.view("--no-version", "-Ob", "-o", str(binary), str(text), catch_stdout=False)
    except pysam.SamtoolsError as error:
        raise FormatError(
            "htslib refuses to write these records as BCF", where=path, remedy="Write .vcf.gz instead."
        ) from error
    finally:
        pysam.set_verbosity(before)


def _all_defined(records: Iterable[str], header: Sequence[str], path: Path) -> Iterator[str]:
    """The records as they are, each checked: htslib ends the whole process at a key that the header lacks."""
    known = {match.groups() for line in header if (match := _DEFINED.match(line))}
    known |= {("FILTER", "PASS"), ("FILTER", "."), ("INFO", "."), ("FORMAT", ".")}
    for record in records:
        fields = record.split("\t", 9)
        used = {("FILTER", name) for name in fields[6].split(";")}
        used |= {("INFO", entry.partition("=")[0]) for entry in fields[7].split(";")}
        used |= {("FORMAT", name) for name in fields[8].split(":")} if len(fields) > 8 else set()
        if missing := sorted(used - known):
            kind, name = missing[0]
            raise FormatError(
                f"the header does not define {kind} '{name}', which a BCF must have",
                where=f"{path}, record {fields[0]}:{fields[1]}",
                remedy="Write .vcf.gz, or add the definition to the header (bcftools annotate -h).",
            )
        yield record
