"""What can be scored: FASTA, BED, narrowPeak, CSV, TSV, Parquet, or a region string -> :class:`Records`.

The form is told from the content first (``>`` is FASTA, ``PAR1`` is Parquet) and from the name second.
Regions need a genome; they are checked against its chromosomes before anything is scored.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from encre.errors import ConfigError, FormatError, MissingFileError, SequenceError, nearest
from encre.files import explain_damage, open_plain, read_bytes
from encre.progress import SILENT, Progress

if TYPE_CHECKING:
    from encre.genome.intervals import Interval
    from encre.genome.store import Genome

_REGION = re.compile(r"^[^\s:/\\]+:[\d,]+-[\d,]+(:[+-])?$")
_NAME_COLUMNS = ("name", "id", "accession", "element")
_SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": "\t", ".tab": "\t"}


@dataclass(frozen=True)
class Records:
    """Sequences to score, with their names and, where known, their coordinates.

    Parameters
    ----------
    names
        (N,) names for the output table.
    codes, offsets
        Flat codes (sum of lengths,) ``uint8`` and offsets (N + 1,) ``int64``.
    chrom, start, end
        (N,) the intervals that were asked for, 0-based half-open, or None.
    source
        What error messages call the input.
    """

    names: Sequence[str]
    codes: np.ndarray
    offsets: np.ndarray
    chrom: Sequence[str] | None = None
    start: np.ndarray | None = None
    end: np.ndarray | None = None
    source: str = "the sequences"

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @classmethod
    def from_sequences(
        cls, sequences: Iterable[str], names: Sequence[str] | None = None, *, source: str = "the sequences"
    ) -> Records:
        """Records of plain strings; names are ``sequence_1`` … unless given.

        Raises
        ------
        SequenceError
            When there is none, or one is empty.
        """
        texts = list(sequences)
        names = list(names) if names is not None else [f"sequence_{i + 1}" for i in range(len(texts))]
        if not texts:
            raise SequenceError("there is no sequence to score", where=source)
        for name, text in zip(names, texts, strict=True):
            if not text:
                raise SequenceError(f"the sequence of '{name}' is empty", where=source)
        codes, offsets = _encode(texts, source)
        return cls(names, codes, offsets, source=source)


def read_inputs(
    source: str | Path,
    *,
    genome: str | Path | Genome | None = None,
    assembly: str = "GRCh38",
    width: int | None = None,
    progress: Progress = SILENT,
) -> Records:
    """Read whatever the user wants scored.

    Parameters
    ----------
    source
        A file (FASTA, BED, narrowPeak, CSV, TSV, Parquet; plain or gzip) or a 1-based inclusive region
        such as ``"chr1:1,001-2,000"``.
    genome
        FASTA or 2bit file, or an open genome; needed for regions.
    assembly
        What the genome is said to be.
    width
        Regions no longer than this become windows of this many bases around their centre (for models
        that were trained on fixed windows); None takes regions as they are.

    Raises
    ------
    MissingFileError, FormatError, IntervalError, UnknownChromosomeError, SequenceError
        Naming the file and, where there is one, the line.
    """
    path = Path(source)
    check_source(source)
    if not path.exists():
        from encre.genome.intervals import Interval

        interval = Interval.from_region(str(source))
        opened = open_genome(genome, assembly=assembly, why=f"the region {source}", progress=progress)
        return from_intervals([interval], opened, width=width, source=str(source))
    form = form_of(path)
    if form == "fasta":
        return read_fasta(path)
    if form == "table":
        return read_sequence_table(path)
    from encre.predict.regions import read_regions

    opened = open_genome(genome, assembly=assembly, why=f"the regions of {path}", progress=progress)
    return read_regions(path, opened, width=width)


def check_source(source: str | Path) -> None:
    """Refuse a source that is neither a file nor reads as a region."""
    if Path(source).is_dir():
        raise MissingFileError("a folder stands where a file was expected", where=source)
    if not Path(source).exists() and not _REGION.match(str(source)):
        raise MissingFileError(
            "there is no such file, and it does not read as a region",
            where=source,
            remedy="Give a FASTA, BED, CSV, TSV or Parquet file, or a region such as chr1:1000-2000.",
        )


def form_of(path: Path) -> str:
    """``"fasta"``, ``"table"`` or ``"bed"``, told from the first bytes and the name.

    Raises
    ------
    FormatError
        When the file is empty, or nothing fits.
    """
    with explain_damage(path), open_plain(path) as handle:
        start = handle.read(65536)
    if not start.strip():
        raise FormatError("the file is empty", where=path, remedy="Check that it was written or downloaded whole.")
    if start[:4] == b"PAR1":
        return "table"
    suffixes = [s.lower() for s in path.suffixes if s.lower() not in (".gz", ".bgz")]
    suffix = suffixes[-1] if suffixes else ""
    if start.lstrip()[:1] in b">;" or suffix in (".fa", ".fasta", ".fna"):
        return "fasta"
    if suffix in (".bed", ".narrowpeak", ".broadpeak"):
        return "bed"
    if b"\0" in start:
        raise _not_readable(path)
    first = start.splitlines()[0].decode("utf-8", "replace").lower()
    if "sequence" in re.split(r"[,\t;]", first.strip()):
        return "table"
    if re.match(r"^(chrom\t|track |browser |#)|^\S+\t\d+\t\d+", first):
        return "bed"
    if suffix in _SEPARATORS:
        return "table"
    raise _not_readable(path)


def _not_readable(path: Path) -> FormatError:
    return FormatError(
        "this is none of the forms that can be scored",
        where=path,
        expected="FASTA, BED, narrowPeak, or CSV/TSV/Parquet with a column 'sequence'",
    )


def open_genome(genome: str | Path | Genome | None, *, assembly: str, why: str, progress: Progress) -> Genome:
    """The genome that regions need; without one, say which option gives it."""
    from encre.genome.store import Genome

    if genome is None:
        raise ConfigError(f"{why} can only be read with a genome", remedy="Give --genome FILE (FASTA or 2bit).")
    return genome if isinstance(genome, Genome) else Genome(genome, assembly=assembly, progress=progress)


def from_intervals(
    intervals: Sequence[Interval],
    genome: Genome,
    *,
    width: int | None,
    source: str,
    names: Sequence[str] | None = None,
) -> Records:
    """Fetch intervals from a genome; windows around the centre may reach over an end (filled with N)."""
    chrom = [genome.name_of(interval.chrom) or interval.chrom for interval in intervals]
    start = np.array([interval.start for interval in intervals], np.int64)
    end = np.array([interval.end for interval in intervals], np.int64)
    for interval in intervals:
        genome.fetch(interval)  # names an unknown chromosome or an end beyond it, before any window is centred
    return gather(genome, chrom, start, end=end, width=width, names=names, source=source)


def gather(
    genome: Genome,
    chrom: Sequence[str],
    start: np.ndarray,
    *,
    end: np.ndarray,
    width: int | None,
    names: Sequence[str] | None,
    source: str,
) -> Records:
    """Records of checked intervals (N,), each widened to ``width`` around its centre where it is narrower."""
    first, last = start, end
    if width is not None:
        narrow = (end - start) <= width
        centred = (start + end) // 2 - width // 2
        first, last = np.where(narrow, centred, start), np.where(narrow, centred + width, end)
    codes, offsets = genome.gather(chrom, first, last, pad="N")
    if names is None:
        names = [f"{c}:{s + 1}-{e}" for c, s, e in zip(chrom, start, end, strict=True)]
    return Records(names, codes, offsets, chrom, start, end, source)


def read_fasta(path: Path) -> Records:
    """Read a FASTA, plain or gzip; names are the first words of the headers."""
    from encre.genome import fasta

    found = fasta.read_fasta(path)
    return Records(found.names, found.codes, found.offsets, source=str(path))


def _encode(texts: list[str], source: str) -> tuple[np.ndarray, np.ndarray]:
    """Flat codes and offsets; a letter that is none is an error that names the input."""
    from encre.sequence.alphabet import encode_many

    try:
        return encode_many(texts)
    except SequenceError as error:
        said = {"expected": error.expected, "got": error.got, "remedy": error.remedy}
        raise SequenceError(error.what, where=source, **said) from None


def read_sequence_table(path: Path) -> Records:
    """Read a CSV, TSV or Parquet with a column ``sequence`` and, if it has one, ``name`` or ``id``."""
    frame = _read_parquet(path) if read_magic(path) == b"PAR1" else _read_text_table(path)
    by_lower = {column.lower(): column for column in frame.columns}
    if "sequence" not in by_lower:
        raise FormatError(
            "the table has no column 'sequence'", where=path, got=f"columns {', '.join(frame.columns)}",
            remedy=nearest("sequence", frame.columns) if len(frame.columns) < 20 else "",
        )  # fmt: skip
    if frame.height == 0:
        raise FormatError("the table has a header and no rows", where=path)
    sequences = frame[by_lower["sequence"]].cast(pl.String)
    empty = (sequences.is_null() | (sequences.str.len_bytes() == 0)).arg_true()
    if len(empty):
        raise SequenceError("the sequence is empty", where=f"{path}, row {int(empty[0]) + 1} after the header")
    named = next((by_lower[c] for c in _NAME_COLUMNS if c in by_lower), None)
    names = frame[named].cast(pl.String).fill_null("").to_list() if named else None
    if names is None:
        names = [f"row_{i + 1}" for i in range(frame.height)]
    return Records.from_sequences(sequences.str.strip_chars().to_list(), names, source=str(path))


def read_magic(path: Path) -> bytes:
    """The first four bytes as they lie on disk."""
    with path.open("rb") as handle:
        return handle.read(4)


def _read_parquet(path: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise FormatError(f"the Parquet file cannot be read ({error})", where=path) from error


def _read_text_table(path: Path) -> pl.DataFrame:
    """A delimited text table, every column as text; a wrong column count names its line."""
    content = read_bytes(path)
    try:
        head = content[: content.find(b"\n") + 1 or None].decode("utf-8")
    except UnicodeDecodeError:
        raise _not_readable(path) from None
    separator = "\t" if "\t" in head else ","
    try:
        return pl.read_csv(content, separator=separator, infer_schema=False)
    except pl.exceptions.PolarsError as error:
        raise _first_ragged_line(path, content, separator) or FormatError(
            f"not a table ({str(error).splitlines()[0]})", where=path
        ) from error


def _first_ragged_line(path: Path, content: bytes, separator: str) -> FormatError | None:
    rows = csv.reader(io.StringIO(content.decode("utf-8", "replace"), newline=""), delimiter=separator)
    expected = len(next(rows, []))
    for row in rows:
        if row and len(row) != expected:
            return FormatError(
                "wrong number of columns",
                where=f"{path}, line {rows.line_num}",
                expected=f"{expected} as in the header",
                got=f"{len(row)}",
            )
    return None
