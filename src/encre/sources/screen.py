"""The ENCODE SCREEN registry of cCREs with one file per tissue.

Registry, 6 tab columns: ``chrom start end EH38D EH38E class``; portal form, 10 columns: bed9 and class. Tissue file,
11 columns: bed9, class in that tissue, a remark. An element is an enhancer when its class is pELS or dELS, and active
in a tissue when it has one of them there. Classes: registry V4 (The ENCODE Project Consortium, Moore et al.), and
those of V2 and V3, which may carry ``,CTCF-bound``.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import polars as pl
from pydantic import Field

from encre.config import Config
from encre.errors import ConfigError, DataError, FormatError, nearest
from encre.genome.assembly import Assembly
from encre.genome.bed import canonical_names, check_bounds
from encre.genome.intervals import pack
from encre.ledger import Ledger
from encre.progress import SILENT, Progress
from encre.sources.elements import Elements, arrange, describe, with_lengths
from encre.tables import Column, categories, first_row, place, read_rows
from encre.tasks import TISSUES, screen_tasks

ENHANCER_CLASSES = ("pELS", "dELS")
V4_CLASSES = ("PLS", "pELS", "dELS", "CA-H3K4me3", "CA-CTCF", "CA-TF", "CA", "TF")
V3_CLASSES = ("PLS", "pELS", "dELS", "DNase-H3K4me3", "CTCF-only")
# In a tissue file: "CA-only" is the registry's CA, "Low-DNase" is inactive; the older files also say "DNase-only".
_TISSUE_CLASSES = (*V4_CLASSES, *V3_CLASSES, "CA-only", "DNase-only", "Low-DNase")
# Without a DNase track a biosample has no class: these elements are not measured there.
_UNMEASURED = ("High-H3K4me3", "High-H3K27ac", "High-CTCF", "Unclassified")
_CTCF_SUFFIX = ",CTCF-bound"
_LICENCE = "ENCODE data use policy: free to use, cite the ENCODE Project Consortium"

_POSITION = (Column("chrom", "category"), Column("start", "int", 0), Column("end", "int", 0))
_SKIP = tuple(Column(f"_{i}", "skip") for i in range(5))
_CLASS = Column("class", "category")
_REGISTRY_FORMS = {
    6: (*_POSITION, Column("EH38D", "skip"), Column("accession"), _CLASS),
    10: (*_POSITION, Column("accession"), *_SKIP, _CLASS),
}
_TISSUE_FORMS = {
    10: _REGISTRY_FORMS[10],
    11: (*_REGISTRY_FORMS[10], Column("remark", "skip")),
}


class ScreenSettings(Config):
    """Settings of the SCREEN source.

    Parameters
    ----------
    registry
        The registry file.
    tissues
        Tissue name -> its file; an empty text for a tissue that was not measured (its targets are NaN).
    genome
        FASTA or 2bit of the assembly.
    assembly
        Its name.
    join
        How tissue rows find their element: by accession, by exact coordinates, or ``"auto"``: by accession where
        every row of both files has one, otherwise by coordinates.
    max_unmatched
        The share of registry rows that may lack a row in a tissue file; beyond it the file is of another version.
    """

    kind: Literal["screen"] = "screen"
    registry: str
    tissues: dict[str, str] = Field(default_factory=lambda: dict.fromkeys(TISSUES, ""))
    genome: str
    assembly: str = "GRCh38"
    join: Literal["auto", "accession", "coordinate"] = "auto"
    max_unmatched: float = Field(0.05, ge=0, le=1)


class _Registry(NamedTuple):
    table: pl.DataFrame
    has_accession: bool
    notes: dict[str, int | float | str]


def read_screen(
    settings: ScreenSettings, *, assembly: Assembly | None = None, progress: Progress = SILENT
) -> Elements:
    """Read a registry and its tissue files.

    Parameters
    ----------
    settings
        What to read and how to join.
    assembly
        Chromosome names and lengths to check against, instead of those that the settings name.
    progress
        Follows the files.

    Returns
    -------
    Elements
        Targets ``enhancer`` and ``active_<tissue>`` (1 pELS or dELS there, 0 another class, NaN not measured), and a
        column ``ctcf_bound`` (null where the registry does not say).

    Raises
    ------
    FormatError
        For a bad line, an unknown class or a duplicate accession, naming file and line.
    DataError
        For a tissue file of another registry version.
    """
    if not settings.tissues:
        raise ConfigError("no tissue is named", remedy='Write [source.tissues] with brain = "brain.bed" and so on.')
    tasks = screen_tasks(settings.tissues)
    assembly = assembly or with_lengths(settings.assembly, settings.genome, progress=progress)
    ledger, files = Ledger(), []
    with progress.track("read", 1 + len(settings.tissues), "files") as advance:
        registry = _read_registry(settings.registry, assembly)
        table = registry.table
        ledger.add("read registry", table.height, table.height, notes=registry.notes)
        files.append(describe(settings.registry, form=f"registry, {registry.notes['form']}", licence=_LICENCE))
        advance(1, "registry")
        active = []
        for tissue, path in settings.tissues.items():
            if path:
                values, notes = _join_tissue(path, registry, settings=settings, assembly=assembly)
                files.append(describe(path, form=f"tissue {tissue}", licence=_LICENCE))
            else:
                values = np.full(table.height, np.nan, dtype=np.float32)
                notes = {"not measured": table.height}
            ledger.add(f"join {tissue}", table.height, table.height, notes=notes)
            active.append(pl.Series(f"active_{tissue}", values, dtype=pl.Float32))
            advance(1, tissue)
    enhancer = table["ccre_class"].is_in(ENHANCER_CLASSES).cast(pl.Float32).alias("enhancer")
    table = arrange(table.with_columns(enhancer, *active).drop("line"), tasks)
    return Elements(table, tasks, ledger, files)


def _read_registry(path: str, assembly: Assembly) -> _Registry:
    """The registry with normalised classes; every row is checked."""
    frame, count = _read(path, _REGISTRY_FORMS, assembly, what="a SCREEN registry file")
    classes = _classes(frame, path=path, known=(*V4_CLASSES, *V3_CLASSES))
    has_accession = _has_accessions(frame)
    if has_accession:
        _refuse_duplicates(frame, path)
    found = set(classes.names)
    version = "V4" if found & set(V4_CLASSES[3:]) else "V2 or V3" if found & set(V3_CLASSES[3:]) else "not told apart"
    keys = np.sort(_keys(frame)[0])
    notes: dict[str, int | float | str] = {
        "form": f"{count} columns",
        "version by its classes": version,
        "rows with coordinates of an earlier row": int((keys[1:] == keys[:-1]).sum()),
    }
    # Without a single suffix the file does not tell about CTCF (in V4 it stands in a file of its own).
    bound = pl.Series(classes.bound if any(classes.bound) else [None] * len(classes.bound), dtype=pl.Boolean)
    table = frame.select("chrom", "start", "end", "line").with_columns(
        (frame["accession"] if has_accession else pl.lit(None, dtype=pl.String)).alias("accession"),
        pl.Series("ccre_class", classes.names, dtype=pl.String).gather(classes.rows),
        bound.gather(classes.rows).alias("ctcf_bound"),
    )
    return _Registry(table, has_accession, notes)


def _join_tissue(
    path: str, registry: _Registry, *, settings: ScreenSettings, assembly: Assembly
) -> tuple[np.ndarray, dict[str, int | float | str]]:
    """Activity of every registry element in one tissue: (N,) float32, and the counts for the ledger."""
    frame, _ = _read(path, _TISSUE_FORMS, assembly, what="a SCREEN tissue file")
    known = (*_TISSUE_CLASSES, *_UNMEASURED)
    classes = _classes(frame, path=path, known=known, lists=_UNMEASURED)
    meaning = [np.nan if name in _UNMEASURED else float(name in ENHANCER_CLASSES) for name in classes.names]
    values = np.array(meaning, dtype=np.float32)[classes.rows]
    by_accession = _choose_join(settings.join, registry.has_accession, _has_accessions(frame), path)
    match = _match_accessions(registry.table, frame) if by_accession else _match_keys(registry.table, frame)
    hit = match.rows >= 0
    missing = int((~hit).sum())
    named = "accession" if by_accession else "coordinates"
    _refuse_other_version(missing, hit, settings.max_unmatched, f"have no row in it by {named}", path=path)
    active = np.full(len(hit), np.nan, dtype=np.float32)
    active[hit] = values[match.rows[hit]]
    rows = match.rows[hit]
    used = np.zeros(frame.height, dtype=bool)
    used[rows] = True
    moved = 0 if _same_places(registry.table, frame) else _count_moved(registry.table, frame, match.rows)
    _refuse_other_version(moved, hit, settings.max_unmatched, "have other coordinates in it", path=path)
    return active, {
        "joined on": named,
        "rows in the file": frame.height,
        "unmatched registry rows": missing,
        "unmatched rows of the file": frame.height - match.duplicates - int(used.sum()),
        "duplicate rows (first kept)": match.duplicates,
        "reordered rows": 0 if (np.diff(rows) > 0).all() else int((rows != np.sort(rows)).sum()),
        "rows with other coordinates": moved,
        "active": int((active == 1).sum()),
        "not measured": int(np.isnan(active).sum()),
    }


def _refuse_other_version(count: int, rows: np.ndarray, most: float, what: str, *, path: str) -> None:
    if count <= most * len(rows):
        return
    raise DataError(
        f"this is a tissue file of another registry version: {count:,} of {len(rows):,} registry rows {what}",
        where=path,
        expected=f"at most {most:.0%}",
        remedy="Take registry and tissue files of one version, or raise source.max_unmatched.",
    )


class _Match(NamedTuple):
    rows: np.ndarray
    """Row of the tissue file for each registry row (N,), -1 for none."""
    duplicates: int
    """Rows of the tissue file that repeat an earlier one."""


def _match_accessions(registry: pl.DataFrame, tissue: pl.DataFrame) -> _Match:
    if registry.height == tissue.height and registry["accession"].equals(tissue["accession"]):
        return _Match(np.arange(registry.height), 0)
    numbered = tissue.select("accession").with_row_index("row").unique("accession", keep="first")
    joined = registry.select("accession").join(numbered, on="accession", how="left", maintain_order="left")
    rows = joined["row"].cast(pl.Int64).fill_null(-1).to_numpy()
    return _Match(rows, tissue.height - numbered.height)


def _match_keys(registry: pl.DataFrame, tissue: pl.DataFrame) -> _Match:
    if _same_places(registry, tissue):
        return _Match(np.arange(registry.height), 0)
    wanted, have = _keys(registry, tissue)
    keys, first = np.unique(have, return_index=True)
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return _Match(np.where(keys[at] == wanted, first[at], -1), len(have) - len(keys))


def _same_places(registry: pl.DataFrame, tissue: pl.DataFrame) -> bool:
    """Whether both have the same intervals in the same order (the usual case, told without packing keys)."""
    if registry.height != tissue.height:
        return False
    if not all(registry[name].equals(tissue[name]) for name in ("start", "end")):
        return False
    (ours, names), (theirs, other) = categories(registry["chrom"]), categories(tissue["chrom"])
    position = {name: i for i, name in enumerate(names)}
    return bool((np.array([position.get(name, -1) for name in other])[theirs] == ours).all())


def _count_moved(registry: pl.DataFrame, tissue: pl.DataFrame, rows: np.ndarray) -> int:
    """Registry rows whose match (N,) in the tissue file stands at other coordinates."""
    ours, theirs = _keys(registry, tissue)
    hit = rows >= 0
    return int((ours[hit] != theirs[rows[hit]]).sum())


def _keys(*frames: pl.DataFrame) -> list[np.ndarray]:
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


def _read(
    path: str, forms: dict[int, tuple[Column, ...]], assembly: Assembly, *, what: str
) -> tuple[pl.DataFrame, int]:
    """Rows of a file whose form is told by its column count, with canonical chromosome names, all in bounds."""
    row = first_row(path)
    count = len(row.fields)
    if count not in forms:
        raise FormatError(
            f"this is not {what}",
            where=place(path, row.line),
            expected=f"{' or '.join(map(str, forms))} tab-separated columns",
            got=f"{count}: '{' | '.join(row.fields)[:60]}'",
        )
    frame = canonical_names(read_rows(path, columns=forms[count]), assembly)
    check_bounds(frame, assembly.lengths, where=path)
    return frame, count


def _has_accessions(frame: pl.DataFrame) -> bool:
    accession = frame["accession"]
    return not bool(accession.is_in([".", ""]).any())


def _refuse_duplicates(frame: pl.DataFrame, path: str) -> None:
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


class _Classes(NamedTuple):
    """The class column: which of the written classes each row has (N,), and what each of them means."""

    rows: np.ndarray
    names: list[str]
    """Without the CTCF suffix."""
    bound: list[bool]
    """Whether it had the suffix."""


def _classes(frame: pl.DataFrame, *, path: str, known: tuple[str, ...], lists: tuple[str, ...] = ()) -> _Classes:
    """Take the class column apart; a class that is not known is refused, naming its line.

    Parameters
    ----------
    frame
        Rows with ``class`` and ``line``.
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
    return _Classes(rows, names, [text.strip().endswith(_CTCF_SUFFIX) for text in written])
