"""Rows of cCRE files: their forms, their classes, and which row of one file is which row of the registry.

Registry, 6 tab columns: ``chrom start end EH38D EH38E class``; portal form, 10 columns: bed9 and class. Tissue and
biosample files, 10 or 11 columns: bed9, class in that tissue or biosample, a remark. Mouse has EM10D and EM10E.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import polars as pl

from encre.errors import DataError, FormatError, nearest
from encre.genome.assembly import Assembly
from encre.genome.bed import canonical_names, check_bounds
from encre.genome.intervals import pack
from encre.tables import Column, categories, first_row, place, read_rows

ENHANCER_CLASSES = ("pELS", "dELS")
V4_CLASSES = ("PLS", "pELS", "dELS", "CA-H3K4me3", "CA-CTCF", "CA-TF", "CA", "TF")
V3_CLASSES = ("PLS", "pELS", "dELS", "DNase-H3K4me3", "CTCF-only")
LICENCE = "ENCODE data use policy: free to use, cite the ENCODE Project Consortium"
_CTCF_SUFFIX = ",CTCF-bound"

_POSITION = (Column("chrom", "category"), Column("start", "int", 0), Column("end", "int", 0))
_SKIP = tuple(Column(f"_{i}", "skip") for i in range(5))
_CLASS = Column("class", "category")
_BED9_CLASS = (*_POSITION, Column("accession"), *_SKIP, _CLASS)

#: Column count -> columns.
Forms = dict[int, tuple[Column, ...]]
REGISTRY_FORMS: Forms = {6: (*_POSITION, Column("EH38D", "skip"), Column("accession"), _CLASS), 10: _BED9_CLASS}
AGGREGATE_FORMS: Forms = {10: _BED9_CLASS, 11: (*_BED9_CLASS, Column("remark", "skip"))}
ACTIVITY_FORMS: Forms = {10: _BED9_CLASS, 11: (*_BED9_CLASS, Column("remark", "category"))}


class Joining(NamedTuple):
    """How rows of a file find their element, and how many elements may find none."""

    by: Literal["auto", "accession", "coordinate"] = "auto"
    max_unmatched: float = 0.05


class Registry:
    """The elements that files are joined to.

    Parameters
    ----------
    table
        ``chrom`` (categorical), ``start``, ``end`` (0-based half-open), ``accession``, N rows.
    has_accession
        Whether every row has an accession.
    """

    def __init__(self, table: pl.DataFrame, *, has_accession: bool) -> None:
        self.table, self.has_accession = table, has_accession
        self._chrom, self._names = categories(table["chrom"])

    def __len__(self) -> int:
        return self.table.height

    def has_places_of(self, frame: pl.DataFrame, assembly: Assembly) -> bool:
        """Whether a file has these intervals in this order: the usual case, told without packing keys."""
        if len(self) != frame.height or not all(self.table[name].equals(frame[name]) for name in ("start", "end")):
            return False
        number = {name: i for i, name in enumerate(self._names)}
        theirs, names = categories(frame["chrom"])
        renamed = np.array([number.get(assembly.canonical(name) or name, -1) for name in names])
        return bool((renamed[theirs] == self._chrom).all())

    def has_accessions_of(self, frame: pl.DataFrame) -> bool:
        """Whether a file has these accessions in this order."""
        return self.has_accession and self.table["accession"].equals(frame["accession"])


class Match(NamedTuple):
    """Where each element stands in a file."""

    rows: np.ndarray
    """Row of the file for each element (N,), -1 for none."""
    notes: dict[str, int | float | str]
    """Counts for the ledger."""


def read_ccres(path: str, forms: Forms, *, what: str) -> tuple[pl.DataFrame, int]:
    """Rows of a file whose form is told by its column count, as they are written, and that count."""
    row = first_row(path)
    count = len(row.fields)
    if count not in forms:
        raise FormatError(
            f"this is not {what}",
            where=place(path, row.line),
            expected=f"{' or '.join(map(str, forms))} tab-separated columns",
            got=f"{count}: '{' | '.join(row.fields)[:60]}'",
        )
    return read_rows(path, columns=forms[count]), count


def checked_places(frame: pl.DataFrame, assembly: Assembly, *, path: str) -> pl.DataFrame:
    """The rows with the assembly's chromosome names; one that is out of bounds is refused, naming its line."""
    frame = canonical_names(frame, assembly)
    check_bounds(frame, assembly.lengths, where=path)
    return frame


def match_rows(registry: Registry, frame: pl.DataFrame, joining: Joining, *, assembly: Assembly, path: str) -> Match:
    """Find each element's row in a file, by accession or by coordinates.

    Raises
    ------
    IntervalError, UnknownChromosomeError
        For a row that is out of the assembly's bounds.
    DataError
        When too many elements have no row or other coordinates in it: it is of another registry version.
    """
    same = registry.has_places_of(frame, assembly)
    if not same:  # rows that are the registry's are in bounds, as the registry's were
        frame = checked_places(frame, assembly, path=path)
    elif joining.by != "coordinate" and registry.has_accessions_of(frame):
        return Match(np.arange(frame.height), _notes(np.arange(frame.height), frame, by_accession=True))
    by_accession = _choose_join(joining.by, registry.has_accession, has_accessions(frame), path)
    if same and not by_accession:
        return Match(np.arange(frame.height), _notes(np.arange(frame.height), frame, by_accession=False))
    rows, repeats = (_match_accessions if by_accession else _match_keys)(registry.table, frame)
    hit = rows >= 0
    named = "accession" if by_accession else "coordinates"
    _refuse_other_version(int((~hit).sum()), hit, joining, f"have no row in it by {named}", path=path)
    moved = _count_moved(registry.table, frame, rows)
    _refuse_other_version(moved, hit, joining, "have other coordinates in it", path=path)
    return Match(rows, _notes(rows, frame, by_accession=by_accession, repeats=repeats, moved=moved))


def _notes(
    rows: np.ndarray, frame: pl.DataFrame, *, by_accession: bool, repeats: int = 0, moved: int = 0
) -> dict[str, int | float | str]:
    hit = rows[rows >= 0]
    in_order = bool((hit[1:] > hit[:-1]).all())
    used = np.zeros(frame.height, dtype=bool)
    used[hit] = True
    return {
        "joined on": "accession" if by_accession else "coordinates",
        "rows in the file": frame.height,
        "unmatched registry rows": len(rows) - len(hit),
        "unmatched rows of the file": frame.height - repeats - int(used.sum()),
        "duplicate rows (first kept)": repeats,
        "reordered rows": 0 if in_order else int((hit != np.sort(hit)).sum()),
        "rows with other coordinates": moved,
    }


def _refuse_other_version(count: int, rows: np.ndarray, joining: Joining, what: str, *, path: str) -> None:
    if count <= joining.max_unmatched * len(rows):
        return
    raise DataError(
        f"this is a tissue file of another registry version: {count:,} of {len(rows):,} registry rows {what}",
        where=path,
        expected=f"at most {joining.max_unmatched:.0%}",
        remedy="Take registry and tissue files of one version, or raise source.max_unmatched.",
    )


def _match_accessions(registry: pl.DataFrame, tissue: pl.DataFrame) -> tuple[np.ndarray, int]:
    """Row of the file for each element, and how many rows of the file repeat an earlier one."""
    numbered = tissue.select("accession").with_row_index("row").unique("accession", keep="first")
    joined = registry.select("accession").join(numbered, on="accession", how="left", maintain_order="left")
    rows = joined["row"].cast(pl.Int64).fill_null(-1).to_numpy()
    return rows, tissue.height - numbered.height


def _match_keys(registry: pl.DataFrame, tissue: pl.DataFrame) -> tuple[np.ndarray, int]:
    wanted, have = packed_keys(registry, tissue)
    keys, first = np.unique(have, return_index=True)
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, first[at], -1), len(have) - len(keys)


def _count_moved(registry: pl.DataFrame, tissue: pl.DataFrame, rows: np.ndarray) -> int:
    """Registry rows whose match (N,) in the tissue file stands at other coordinates."""
    ours, theirs = packed_keys(registry, tissue)
    hit = rows >= 0
    return int((ours[hit] != theirs[rows[hit]]).sum())


def packed_keys(*frames: pl.DataFrame) -> list[np.ndarray]:
    """Packed (chrom, start, end) of every row of each frame, (N,) int64, comparable between them."""
    columns = [categories(frame["chrom"]) for frame in frames]
    number = {name: i for i, name in enumerate(sorted({name for _, names in columns for name in names}))}
    return [
        pack(
            np.array([number[name] for name in names], dtype=np.int64)[rows],
            frame["start"].to_numpy(),
            frame["end"].to_numpy(),
        )
        for frame, (rows, names) in zip(frames, columns, strict=True)
    ]


def _choose_join(join: str, registry: bool, tissue: bool, path: str) -> bool:
    """Whether to join on accession."""
    if join == "accession" and not (registry and tissue):
        raise DataError(
            "the files cannot be joined on accession: not every row has one",
            where=path,
            remedy='Write join = "coordinate" or "auto".',
        )
    return join != "coordinate" and registry and tissue


def has_accessions(frame: pl.DataFrame) -> bool:
    """Whether every row has an accession."""
    return not bool(frame["accession"].is_in([".", ""]).any())


def refuse_duplicates(frame: pl.DataFrame, path: str) -> None:
    """Refuse an accession that stands twice, naming both lines."""
    again = ~frame["accession"].is_first_distinct()
    if not again.any():
        return
    row = again.arg_max() or 0
    accession = frame["accession"][row]
    first = frame["line"][(frame["accession"] == accession).arg_max() or 0]
    raise FormatError(
        f"the accession {accession} stands twice",
        where=place(path, int(frame["line"][row]), name="accession"),
        got=f"the first time in line {first:,}; {int(again.sum()):,} duplicate rows in all",
        remedy="A registry has every accession once: download it again, or remove the copies.",
    )


class Classes(NamedTuple):
    """The class column: which of the written classes each row has (N,), and what each of them means."""

    rows: np.ndarray
    names: list[str]
    """Without the CTCF suffix."""
    bound: list[bool]
    """Whether it had the suffix."""


def read_classes(frame: pl.DataFrame, *, path: str, known: tuple[str, ...], lists: tuple[str, ...] = ()) -> Classes:
    """Take the class column apart; a class that is not known is refused, naming its line.

    Parameters
    ----------
    frame
        Rows with ``class`` and ``line``.
    path
        The file, for the message.
    known
        Every class that may stand there.
    lists
        Classes that may stand together, separated by commas; the first one stands for all.
    """
    rows, written = categories(frame["class"])
    names = []
    for number, text in enumerate(written):
        bare = text.strip().removesuffix(_CTCF_SUFFIX)
        parts = bare.split(",")
        bare = parts[0] if set(parts) <= set(lists) else bare
        if bare not in known:
            line = int(frame["line"][int(np.argmax(rows == number))])
            raise FormatError(
                "no registry version knows this class",
                where=place(path, line, name="class"),
                got=f"'{text}'",
                remedy=nearest(bare, known),
            )
        names.append(bare)
    return Classes(rows, names, [text.strip().endswith(_CTCF_SUFFIX) for text in written])
