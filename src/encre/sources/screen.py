"""The ENCODE SCREEN registry of cCREs with one file per tissue, or several biosamples folded into one.

An element is an enhancer when its class is pELS or dELS, and active in a tissue when it has one of them there.
Classes: registry V4 (The ENCODE Project Consortium, Moore et al.), and those of V2 and V3, which may carry
``,CTCF-bound``.
The forms of the files stand in :mod:`encre.sources.ccres`, biosamples in :mod:`encre.sources.biosamples`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
from pydantic import Discriminator, Field, Tag, field_serializer, field_validator

from encre.config import Config
from encre.errors import ConfigError, DataError, nearest
from encre.genome.assembly import Assembly
from encre.ledger import Ledger
from encre.progress import SILENT, Advance, Progress
from encre.sources.ahead import in_order
from encre.sources.biosamples import Activity, Biosamples, Notes, chosen_files, fold, read_activity
from encre.sources.ccres import (
    ENHANCER_CLASSES,
    LICENCE,
    REGISTRY_FORMS,
    V3_CLASSES,
    V4_CLASSES,
    Joining,
    Registry,
    checked_places,
    has_accessions,
    packed_keys,
    read_ccres,
    read_classes,
    refuse_duplicates,
)
from encre.sources.elements import Elements, arrange, describe, with_lengths
from encre.tasks import TISSUES, screen_tasks

_CLASSES = tuple(dict.fromkeys((*V4_CLASSES, *V3_CLASSES)))
_AT_ONCE = 2  # files: more would cost memory and gain little, since Arrow has threads of its own


def _kind_of(value: Any) -> str:
    return "file" if isinstance(value, str) else "biosamples"


class ScreenSettings(Config):
    """Settings of the SCREEN source.

    Parameters
    ----------
    registry
        The registry file.
    tissues
        Tissue name -> its file, or the biosamples to fold into it (a table, see
        :class:`encre.sources.biosamples.Biosamples`); an empty text for a tissue that was not measured (its targets
        are NaN).
    genome
        FASTA or 2bit of the assembly.
    assembly
        Its name.
    classes
        Keep only elements of these registry classes; empty for all.
    join
        How tissue rows find their element: by accession, by exact coordinates, or ``"auto"``: by accession where
        every row of both files has one, otherwise by coordinates.
    max_unmatched
        The share of registry rows that may lack a row in a tissue file; beyond it the file is of another version.
    """

    kind: Literal["screen"] = "screen"
    registry: str
    tissues: dict[
        str,
        Annotated[
            Annotated[str, Tag("file")] | Annotated[Biosamples, Tag("biosamples")],
            Discriminator(_kind_of),
        ],
    ] = Field(default_factory=lambda: dict.fromkeys(TISSUES, ""))
    genome: str
    assembly: str = "GRCh38"
    classes: tuple[str, ...] = ()
    join: Literal["auto", "accession", "coordinate"] = "auto"
    max_unmatched: float = Field(0.05, ge=0, le=1)

    @field_validator("tissues", mode="before")
    @classmethod
    def _readable(cls, tissues: Any) -> Any:
        """Refuse an unknown key by name; a table that only names one file is that file."""
        if not isinstance(tissues, Mapping):
            return tissues
        for name, chosen in tissues.items():
            for key in chosen if isinstance(chosen, Mapping) else ():
                if key not in Biosamples.model_fields:
                    raise ValueError(f"unknown key '{key}' of '{name}'. {nearest(key, Biosamples.model_fields)}")
        return {name: _as_file(chosen) for name, chosen in tissues.items()}

    @field_validator("classes")
    @classmethod
    def _known(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        for name in classes:
            if name not in _CLASSES:
                raise ValueError(f"there is no cCRE class '{name}'. {nearest(name, _CLASSES)}")
        return classes

    @field_serializer("tissues", when_used="json")
    def _all_alike(self, tissues: dict[str, str | Biosamples]) -> dict[str, Any]:
        """All are tables where one is: TOML writes texts before tables, and their order is that of the tasks."""
        plain = {n: c if isinstance(c, str) else c.model_dump(mode="json") for n, c in tissues.items()}
        if all(isinstance(chosen, str) for chosen in plain.values()):
            return plain
        return {n: {"files": [c]} if isinstance(c, str) else c for n, c in plain.items()}


def _as_file(chosen: Any) -> Any:
    """The path of ``{files = ["a.bed"]}``; anything else as it is."""
    alone = isinstance(chosen, Mapping) and list(chosen) == ["files"] and isinstance(chosen["files"], list | tuple)
    return chosen["files"][0] if alone and len(chosen["files"]) == 1 else chosen


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
        For a tissue file of another registry version, or when no element is of the classes to keep.
    ConfigError
        When no tissue is named, or biosamples are named that have not been downloaded.
    """
    if not settings.tissues:
        raise ConfigError("no tissue is named", remedy='Write [source.tissues] with brain = "brain.bed" and so on.')
    paths = {tissue: chosen_files(tissue, chosen) for tissue, chosen in settings.tissues.items()}
    tasks = screen_tasks(settings.tissues)
    assembly = assembly or with_lengths(settings.assembly, settings.genome, progress=progress)
    ledger, files = Ledger(), []
    with progress.track("read", 1 + sum(max(1, len(names)) for names in paths.values()), "files") as advance:
        table, registry, notes = _read_registry(settings.registry, assembly)
        ledger.add("read registry", table.height, table.height, notes=notes)
        files.append(describe(settings.registry, form=f"registry, {notes['form']}", licence=LICENCE))
        advance(1, "registry")
        joining = Joining(settings.join, settings.max_unmatched)

        def read(given: tuple[str, str]) -> tuple[Activity, dict[str, Any]]:
            activity = read_activity(given[1], registry, joining=joining, assembly=assembly)
            return activity, describe(given[1], form=f"tissue {given[0]}", licence=LICENCE)

        named = [(tissue, path) for tissue, names in paths.items() for path in names]
        reads = in_order(read, named, workers=min(_AT_ONCE, pa.cpu_count()))
        book = _Book(table.height, ledger, files, advance)
        active = [
            pl.Series(f"active_{tissue}", book.tissue(tissue, chosen, paths[tissue], reads=reads), dtype=pl.Float32)
            for tissue, chosen in settings.tissues.items()
        ]
    enhancer = table["ccre_class"].is_in(ENHANCER_CLASSES).cast(pl.Float32).alias("enhancer")
    table = arrange(table.with_columns(enhancer, *active).drop("line"), tasks)
    kept = _keep_classes(table, settings, ledger)
    return Elements(kept, tasks, ledger, files, left_out=table.filter(~_of_classes(settings)))


def _read_registry(path: str, assembly: Assembly) -> tuple[pl.DataFrame, Registry, Notes]:
    """The registry with normalised classes, every row checked; what files are joined to; and its notes."""
    frame, count = read_ccres(path, REGISTRY_FORMS, what="a SCREEN registry file")
    frame = checked_places(frame, assembly, path=path)
    classes = read_classes(frame, path=path, known=(*V4_CLASSES, *V3_CLASSES))
    has_accession = has_accessions(frame)
    if has_accession:
        refuse_duplicates(frame, path)
    found = set(classes.names)
    version = "V4" if found & set(V4_CLASSES[3:]) else "V2 or V3" if found & set(V3_CLASSES[3:]) else "not told apart"
    keys = np.sort(packed_keys(frame)[0], kind="stable")  # which is quick where they are nearly in order
    notes: Notes = {
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
    return table, Registry(table, has_accession=has_accession), notes


class _Book(NamedTuple):
    """Where every file that was read is written down."""

    rows: int
    ledger: Ledger
    files: list[dict[str, Any]]
    advance: Advance

    def tissue(
        self,
        name: str,
        chosen: str | Biosamples,
        paths: tuple[str, ...],
        *,
        reads: Iterator[tuple[Activity, dict[str, Any]]],
    ) -> np.ndarray:
        """Activity in one tissue, (N,) float32: as its file says, folded from its biosamples, or not measured."""
        if not paths:
            self._add(f"join {name}", {"not measured": self.rows})
            self.advance(1, name)
            return np.full(self.rows, np.nan, dtype=np.float32)
        if isinstance(chosen, str):
            return next(self._taken(reads, [f"join {name}"], note=name))
        steps = [f"join {name}: {Path(path).name}" for path in paths]
        folded = fold(self._taken(reads, steps, note=name), rule=chosen.rule, at_least=chosen.at_least)
        self._add(f"fold {name}", folded.notes)
        return folded.values

    def _taken(
        self, reads: Iterator[tuple[Activity, dict[str, Any]]], steps: list[str], *, note: str
    ) -> Iterator[np.ndarray]:
        for step in steps:
            activity, file = next(reads)
            self._add(step, activity.notes)
            self.files.append(file)
            self.advance(1, note)
            yield activity.values

    def _add(self, step: str, notes: Notes) -> None:
        self.ledger.add(step, self.rows, self.rows, notes=notes)


def _of_classes(settings: ScreenSettings) -> pl.Expr:
    """Whether an element is of the classes to keep."""
    return pl.col("ccre_class").is_in(settings.classes) if settings.classes else pl.lit(value=True)


def _keep_classes(table: pl.DataFrame, settings: ScreenSettings, ledger: Ledger) -> pl.DataFrame:
    """The elements of the classes to keep; the others are counted class by class."""
    if not settings.classes:
        return table
    kept = table.filter(_of_classes(settings))
    rest = table.filter(~_of_classes(settings))["ccre_class"].value_counts().sort("ccre_class")
    if not kept.height:
        raise DataError(
            f"no element is of the classes to keep ({', '.join(settings.classes)})",
            where=settings.registry,
            got=", ".join(rest["ccre_class"]),
            remedy="Another registry version names its classes otherwise: see source.classes.",
        )
    ledger.add("keep classes", table.height, kept.height, dropped=dict(rest.iter_rows()))
    return kept
