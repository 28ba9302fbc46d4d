"""What can be scored: FASTA, BED, narrowPeak, GFF, tables, or region strings -> :class:`Records`.

Regions need a genome; they are checked against its chromosomes before anything is scored. What a region becomes is
said in :mod:`encre.predict.policy`.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from encre.errors import ConfigError, EncreError, FormatError, MissingFileError, SequenceError
from encre.files import explain_full_disk
from encre.predict.forms import REGION, form_of
from encre.predict.table_input import read_any_table
from encre.progress import SILENT, Progress
from encre.sequence.flat import take_flat
from encre.tables import categories, place

if TYPE_CHECKING:
    from encre.genome.intervals import Interval
    from encre.genome.store import Genome

STDIN = "-"


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
    padded
        (N,) how many of a row's bases lie off its chromosome's ends and are N for that, or None.
    peaks
        (N,) lines of the narrowPeak file that the rows come from, or None.
    """

    names: Sequence[str]
    codes: np.ndarray
    offsets: np.ndarray
    chrom: Sequence[str] | None = None
    start: np.ndarray | None = None
    end: np.ndarray | None = None
    source: str = "the sequences"
    padded: np.ndarray | None = None
    peaks: pl.Series | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def first(self) -> np.ndarray | None:
        """(N,) where each row's first base lies on its chromosome, 0-based, below 0 when widened over the beginning.

        What was fetched has the centre of the interval that was asked for. None without coordinates.
        """
        if self.chrom is None or self.start is None or self.end is None:
            return None
        return (self.start + self.end) // 2 - np.diff(self.offsets) // 2

    def take(self, rows: np.ndarray) -> Records:
        """Some of the rows (B,), in that order."""
        codes, offsets = take_flat(self.codes, self.offsets, rows)
        kept = {
            name: None if value is None else value[rows]
            for name, value in (("start", self.start), ("end", self.end), ("padded", self.padded))
        }
        chrom = None if self.chrom is None else [self.chrom[row] for row in rows]
        peaks = None if self.peaks is None else self.peaks.gather(rows)
        names = [self.names[row] for row in rows]
        return replace(self, names=names, codes=codes, offsets=offsets, chrom=chrom, peaks=peaks, **kept)

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
        A file (FASTA, BED, narrowPeak, broadPeak, GFF, GTF, CSV, TSV, Parquet, or region strings, one a line; plain
        or gzip), ``"-"`` for stdin, or a 1-based inclusive region such as ``"chr1:1,001-2,000"``.
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
    check_source(source)
    if str(source) == STDIN:
        with _stdin_as_file() as path:
            return replace(_read(path, genome, assembly=assembly, width=width, progress=progress), source="stdin")
    if Path(source).exists():
        return _read(Path(source), genome, assembly=assembly, width=width, progress=progress)
    from encre.genome.intervals import Interval

    interval = Interval.from_region(str(source))
    opened = open_genome(genome, assembly=assembly, why=f"the region {source}", progress=progress)
    return from_intervals([interval], opened, width=width, source=str(source))


def _read(
    path: Path, genome: str | Path | Genome | None, *, assembly: str, width: int | None, progress: Progress
) -> Records:
    form = form_of(path)
    if form == "fasta":
        return read_fasta(path)
    if form in ("table", "parquet"):
        table = read_any_table(path, parquet=form == "parquet")
        if table.has_sequences:
            names = [name or f"row_{row}" for row, name in enumerate(table.names().to_list(), start=1)]
            return Records.from_sequences(table.sequences(), names, source=str(path))
    from encre.predict.regions import read_regions

    opened = open_genome(genome, assembly=assembly, why=f"the regions of {path}", progress=progress)
    return read_regions(path, opened, width=width)


def check_source(source: str | Path) -> None:
    """Refuse a source that is neither a file nor stdin nor reads as a region."""
    if str(source) == STDIN:
        return
    if Path(source).is_dir():
        raise MissingFileError("a folder stands where a file was expected", where=source)
    if not Path(source).exists() and not REGION.fullmatch(str(source)):
        raise MissingFileError(
            "there is no such file, and it does not read as a region",
            where=source,
            remedy="Give a FASTA, BED, GFF, CSV, TSV or Parquet file, a region such as chr1:1000-2000, or - (stdin).",
        )


@contextlib.contextmanager
def _stdin_as_file() -> Iterator[Path]:
    """What comes in on stdin, as a file for as long as it is read; messages call it ``stdin``."""
    with tempfile.TemporaryDirectory(prefix="encre-stdin-") as folder:
        path = Path(folder) / "stdin"
        with explain_full_disk(path), path.open("wb") as handle:
            shutil.copyfileobj(sys.stdin.buffer, handle)
        try:
            yield path
        except EncreError as error:
            what, where = (str(text).replace(str(path), "stdin") for text in (error.what, error.where))
            raise retold(error, what=what, where=where) from None


def retold(error: EncreError, *, where: object, what: str = "") -> EncreError:
    """The same message, said of another place."""
    said = {"expected": error.expected, "got": error.got, "remedy": error.remedy}
    return type(error)(what or error.what, where=where, **said)


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
    first, last, padded = start, end, np.zeros(len(start), np.int64)
    if width is not None:
        narrow = (end - start) <= width
        centred = (start + end) // 2 - width // 2
        first, last = np.where(narrow, centred, start), np.where(narrow, centred + width, end)
        (numbers, found), lengths = categories(pl.Series(chrom, dtype=pl.String)), genome.lengths
        length = np.array([lengths[genome.name_of(name) or name] for name in found], np.int64)[numbers]
        padded = np.maximum(-first, 0) + np.maximum(last - length, 0)
    codes, offsets = genome.gather(chrom, first, last, pad="N")
    if names is None:
        names = [f"{c}:{s + 1}-{e}" for c, s, e in zip(chrom, start, end, strict=True)]
    return Records(names, codes, offsets, chrom, start, end, source, padded)


def read_fasta(path: Path) -> Records:
    """Read a FASTA, plain or gzip; names are the first words of the headers.

    Raises
    ------
    FormatError
        As :func:`encre.genome.fasta.read_fasta`, and when a name stands twice: rows could not be told apart.
    """
    from encre.genome import fasta

    found = fasta.read_fasta(path)
    if len(set(found.names)) < len(found.names):
        seen: dict[str, int] = {}
        for name, line in zip(found.names, found.lines, strict=True):
            if name in seen:
                raise FormatError(
                    f"the name '{name}' stands twice",
                    where=place(path, line),
                    got=f"first in line {seen[name]:,}",
                    remedy="A name is the header's first word; rename one of the records.",
                )
            seen[name] = line
    return Records(found.names, found.codes, found.offsets, source=str(path))


def _encode(texts: list[str], source: str) -> tuple[np.ndarray, np.ndarray]:
    """Flat codes and offsets; a letter that is none is an error that names the input."""
    from encre.sequence.alphabet import encode_many

    try:
        return encode_many(texts)
    except SequenceError as error:
        raise retold(error, where=source) from None
