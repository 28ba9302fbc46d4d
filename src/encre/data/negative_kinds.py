"""The kinds of negatives: each a function from rows to rows; ``encre.data.negatives.NEGATIVES`` gives them names."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from encre.data.background import Space, Wanted, find_background
from encre.data.covariates import annotate, covariates
from encre.data.rows import Rows
from encre.errors import ConfigError, FormatError, nearest
from encre.genome.bed import check_bounds, read_bed
from encre.genome.store import Genome
from encre.genome.stretches import Axis, Stretches, merged
from encre.genome.tss import Tss, read_tss, tss_keys
from encre.progress import SILENT, Progress
from encre.reproducibility import stream
from encre.sequence.edits import dinucleotide_shuffle
from encre.tasks import TaskSet

if TYPE_CHECKING:
    from encre.data.negatives import NegativeSettings

ELEMENT = "element"


@dataclass(frozen=True)
class Request:
    """What a kind is asked for.

    Parameters
    ----------
    rows, tasks, settings
        The rows so far, what is predicted of them, and [negatives].
    genome
        Where the rows lie, or None.
    taken
        ``chrom, start, end`` of every element of the source, dropped ones too.
    progress
        Follows long searches.
    """

    rows: Rows
    tasks: TaskSet
    settings: NegativeSettings
    genome: Genome | None = None
    taken: pl.DataFrame | None = None
    progress: Progress = SILENT


@dataclass(frozen=True)
class Made:
    """What a kind made of it.

    Parameters
    ----------
    rows
        All rows, the new or renamed ones included.
    wanted
        How many negatives were wanted.
    unmatched
        Why the others were not made -> how many.
    before
        Covariates of what would have been taken without matching; None where nothing is matched.
    notes
        More for the ledger.
    """

    rows: Rows
    wanted: int
    unmatched: dict[str, int] = field(default_factory=dict)
    before: dict[str, np.ndarray] | None = None
    notes: dict[str, int | float | str] = field(default_factory=dict)


def positives(table: pl.DataFrame, tasks: TaskSet) -> np.ndarray:
    """The rows ``(N,)`` that negatives are made for: 1 in a binary task, or, without a binary task, every element."""
    binary = [task.target for task in tasks if task.kind == "binary"]
    if not binary:
        return (table["kind"] == ELEMENT).to_numpy()
    return table.select(pl.any_horizontal(pl.col(name) == 1 for name in binary)).to_series().to_numpy()


def background(ask: Request) -> Made:
    """Windows of the genome alike in length, GC, repeats and TSS distance; see :mod:`encre.data.background`."""
    rows, settings, genome = ask.rows, ask.settings, ask.genome
    if genome is None:
        raise ConfigError(
            "background negatives are taken from a genome, and none was named",
            where="[negatives]",
            remedy="Set genome in [source], or take 'background' out of kinds.",
        )
    tss = read_tss(settings.tss, assembly=genome.assembly) if settings.tss else None
    rows = annotate(rows, genome, tss=tss)
    like, values, axis = positives(rows.table, ask.tasks), covariates(rows), Axis(genome)
    begin, end = rows.spans()
    placed = begin != end
    mine = np.tile(np.flatnonzero(like & placed), settings.per_element)
    keys = tss_keys(tss, axis.names) if tss is not None else None
    space = Space(genome, _free(replace(ask, rows=rows), genome, axis), keys, rows.jitter)
    wanted = Wanted(
        axis.numbers(rows.table["chrom"].gather(mine)),
        rows.lengths[mine],
        values["gc"][mine],
        values["repeat_share"][mine],
        # Whatever stands there is not looked at without start sites.
        rows.table["tss_distance"].gather(mine).to_numpy()
        if tss is not None
        else np.zeros(len(mine), dtype=np.int64),
    )
    found = find_background(wanted, space, seed=settings.seed, progress=ask.progress)
    masked = bool(wanted.repeat_share.any() or found.candidates["repeat_share"].any())
    lost = settings.per_element * int((like & ~placed).sum())
    together = rows.followed_by(_windows(rows, mine[found.row], found.start, ask, tss))
    return Made(
        together if masked else replace(together, table=together.table.drop("repeat_share")),
        settings.per_element * int(like.sum()),
        found.reasons | ({"the element has no place on the genome": lost} if lost else {}),
        found.candidates,
        {} if masked else {"repeat share": "not matched: the genome has no soft mask"},
    )


def _free(ask: Request, genome: Genome, axis: Axis) -> Stretches:
    """Where background may lie: known, away from every element, off every row and the exclusion list."""
    begin, end = ask.rows.spans()
    placed = begin != end
    chrom = axis.numbers(ask.rows.table["chrom"].filter(pl.Series(placed)))
    blocked = [axis.cover(chrom, begin[placed], end[placed], margin=ask.rows.jitter)]
    if ask.taken is not None:
        taken = ask.taken.select("chrom", "start", "end").drop_nulls()
        start, stop = (taken[name].to_numpy() for name in ("start", "end"))
        blocked.append(axis.cover(axis.numbers(taken["chrom"]), start, stop, margin=ask.settings.distance))
    if ask.settings.exclude:
        blocked.append(read_exclusion(ask.settings.exclude, genome))
    busy = merged(*(np.concatenate(arrays) for arrays in zip(*blocked, strict=True)))
    return Stretches(*genome.known()).without(busy)


def read_exclusion(path: str, genome: Genome) -> Stretches:
    """An exclusion list (BED) on the genome's axis; chromosomes that the genome lacks are passed over.

    Raises
    ------
    FormatError, IntervalError
        For a bad line, an interval beyond its chromosome's end, or when no chromosome is the genome's.
    """
    frame = read_bed(path, assembly=genome.assembly)
    axis = Axis(genome)
    numbers = axis.numbers(frame["chrom"])
    if not (numbers >= 0).any():
        raise FormatError(
            "the exclusion list has no chromosome of the genome",
            where=path,
            expected=", ".join(axis.names[:3]),
            got=", ".join(frame["chrom"].unique().sort().to_list()[:3]),
            remedy="Is the file of another assembly?",
        )
    check_bounds(frame.filter(pl.Series(numbers >= 0)), genome.lengths, where=path)
    return axis.cover(numbers, frame["start"].to_numpy(), frame["end"].to_numpy())


def _windows(rows: Rows, of: np.ndarray, start: np.ndarray, ask: Request, tss: Tss | None) -> Rows:
    """New rows: for each element ``of`` (M,) the window of its length that begins at ``start`` (M,)."""
    assert ask.genome is not None  # background() has refused that
    end = start + rows.lengths[of]
    chrom = rows.table["chrom"].gather(of)
    codes, offsets = ask.genome.gather(chrom, start - rows.jitter, end + rows.jitter)
    empty = rows.table.clear(len(of)).with_columns(
        chrom=chrom, start=pl.Series(start), end=pl.Series(end), split=rows.table["split"].gather(of)
    )
    table = as_negatives(empty, ask.tasks, "background").select(rows.table.columns)
    new = annotate(replace(rows, table=table, codes=codes, offsets=offsets), ask.genome, tss=tss)
    return _regrouped(new)


def _regrouped(new: Rows) -> Rows:
    """New sequences with groups of their own, where rows have groups already."""
    return new.grouped() if "group" in new.table.columns else new


def other_class(ask: Request) -> Made:
    """Elements of the source whose class is not the positives': they are rows already and get the kind's name."""
    table = ask.rows.table
    classes = table["ccre_class"].is_not_null().to_numpy()
    binary = [task.target for task in ask.tasks if task.kind == "binary"]
    zero = table.select(pl.all_horizontal(pl.lit(value=bool(binary)), *(pl.col(name) == 0 for name in binary)))
    chosen = zero.to_series().to_numpy() & classes
    if not chosen.any():
        raise ConfigError(
            "there are no elements of another class to tell from",
            where="[negatives]",
            expected="a binary task, and a source that has elements of other classes ([source] classes keeps all)",
            remedy="Take 'other_class' out of kinds.",
        )
    return _renamed(ask, chosen, "other_class")


def other_tissue(ask: Request) -> Made:
    """Positives that are active in another tissue but not in ``tissue``: they are rows already and get the name."""
    table, tissue = ask.rows.table, ask.settings.tissue
    tissues = {task.name: task.target for task in ask.tasks if task.kind == "multilabel"}
    if tissue not in tissues:
        raise ConfigError(
            f"there is no tissue '{tissue}' for negatives of kind 'other_tissue'",
            where="[negatives]",
            remedy=f"Set tissue. {nearest(tissue, tissues)}",
        )
    others = [target for name, target in tissues.items() if name != tissue]
    elsewhere = pl.any_horizontal(pl.lit(value=False), *(pl.col(name) == 1 for name in others))
    inactive = pl.col(tissues[tissue]) == 0
    chosen = table.select(inactive & elsewhere).to_series().to_numpy() & positives(table, ask.tasks)
    return _renamed(ask, chosen, "other_tissue")


def active_in(table: pl.DataFrame, tasks: TaskSet, tissue: str) -> np.ndarray:
    """The rows ``(N,)`` that are active in the tissue."""
    target = next(task.target for task in tasks if task.name == tissue)
    return (table[target] == 1).to_numpy()


def _renamed(ask: Request, chosen: np.ndarray, kind: str) -> Made:
    """The same rows, of which the chosen elements (N,) are now of this kind."""
    chosen = chosen & (ask.rows.table["kind"] == ELEMENT).to_numpy()
    name = pl.when(pl.Series(chosen)).then(pl.lit(kind)).otherwise(pl.col("kind")).alias("kind")
    return Made(replace(ask.rows, table=ask.rows.table.with_columns(name)), int(chosen.sum()))


def dinucleotide_shuffle_of(ask: Request) -> Made:
    """Each positive's own dinucleotide-preserving shuffle; a sequence with one arrangement only has none.

    The control of DART-Eval (Patel et al., 2024): length, GC and every dinucleotide are the element's own. A shuffle
    keeps its element's place, split and cluster, so that it stands on the same side.
    """
    kind = "dinucleotide_shuffle"
    rows, like = ask.rows, positives(ask.rows.table, ask.tasks)
    source, wanted = rows.keep(like), ask.settings.per_element * int(like.sum())
    for copy in range(ask.settings.per_element):
        new = _regrouped(shuffled(source, stream(ask.settings.seed, "negatives", kind, copy)))
        rows = rows.followed_by(replace(new, table=as_negatives(new.table, ask.tasks, kind)))
    made = len(rows) - len(ask.rows)
    reasons = {"the sequence has one arrangement only": wanted - made} if made < wanted else {}
    return Made(rows, wanted, reasons)


def shuffled(rows: Rows, rng: np.random.Generator) -> Rows:
    """Each row's shuffle, without those that came out as they were."""
    codes = dinucleotide_shuffle(rows.codes, rows.offsets, rng)
    changed = np.concatenate([[0], np.cumsum(codes != rows.codes)])[rows.offsets]
    return replace(rows, codes=codes).keep(np.diff(changed) > 0)


def as_negatives(table: pl.DataFrame, tasks: TaskSet, kind: str) -> pl.DataFrame:
    """The table with targets of negatives: 0 for every binary task, not measured (NaN) for all others."""
    targets = {
        task.target: pl.lit(0.0 if task.kind == "binary" else float("nan"), dtype=pl.Float32) for task in tasks
    }
    return table.with_columns(kind=pl.lit(kind), **targets)
