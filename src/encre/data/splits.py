"""Who trains, who validates, who tests: by chromosome, group, cluster or fold, or as the source says."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from encre.data.rows import Rows
from encre.errors import DataError
from encre.ledger import Ledger
from encre.reproducibility import stream
from encre.tasks import TaskSet

if TYPE_CHECKING:
    from encre.data.settings import SplitSettings

SPLITS = ("train", "valid", "test")


def split_by_chromosome(rows: Rows, *, valid: tuple[str, ...], test: tuple[str, ...]) -> pl.Series:
    """``(N,)`` split names: the chromosomes named in ``valid`` and ``test``; the others train.

    Raises
    ------
    DataError
        When a row has no chromosome, or none of the chromosomes named for a split has a row.
    """
    chrom = _chromosomes(rows)
    here = set(chrom.unique().to_list())
    for name, wanted in (("valid", valid), ("test", test)):
        if not here & set(wanted):
            raise DataError(
                f"the {name} split is empty: no row lies on {', '.join(wanted) or 'any chromosome'}",
                got=f"rows on {', '.join(sorted(here)[:6])}{' …' if len(here) > 6 else ''}",
                remedy=f"Name other chromosomes in [split] {name}, or split by group.",
            )
    return rows.table.select(
        pl.when(pl.col("chrom").is_in(list(valid)))
        .then(pl.lit("valid"))
        .when(pl.col("chrom").is_in(list(test)))
        .then(pl.lit("test"))
        .otherwise(pl.lit("train"))
        .alias("split")
    )["split"]


def _chromosomes(rows: Rows) -> pl.Series:
    """The chromosome of every row; refused when one has none."""
    chrom = rows.table["chrom"]
    if missing := chrom.null_count():
        raise DataError(
            f"{missing:,} of {len(rows):,} rows have no chromosome, so they cannot be split by it",
            remedy='Set [split] by = "group", or "column" with a split column in the source.',
        )
    return chrom


def split_by_fold(rows: Rows, *, folds: int, fold: int) -> pl.Series:
    """``(N,)`` split names for one turn of a cross-validation by whole chromosomes.

    Chromosomes are shared out to ``folds`` parts of about as many rows each (the one with most rows first, to the
    part that has fewest). Part ``fold`` (from 0) tests, the next one (after the last: the first) validates, the
    rest trains; so over all turns every row is tested once.

    Raises
    ------
    DataError
        When a row has no chromosome, there are fewer chromosomes than folds, fewer than 3 folds, or no such fold.
    """
    if folds < 3 or not 0 <= fold < folds:
        raise DataError(
            "there is no such fold",
            expected="at least 3 folds (train, valid, test), and a fold from 0 to one less than their number",
            got=f"fold {fold} of {folds}",
        )
    counts = (
        rows.table.select(_chromosomes(rows)).group_by("chrom").len().sort("len", "chrom", descending=[True, False])
    )
    if counts.height < folds:
        raise DataError(
            "there are fewer chromosomes than folds",
            expected=f"at least {folds:,} ([split] folds)",
            got=f"{counts.height:,}: {', '.join(sorted(counts['chrom'].to_list()))}",
            remedy="Ask for fewer folds, or split by cluster or group.",
        )
    held = [0] * folds
    names: dict[str, str] = {}
    for chrom, size in counts.iter_rows():
        part = held.index(min(held))
        held[part] += size
        names[chrom] = {fold: "test", (fold + 1) % folds: "valid"}.get(part, "train")
    return rows.table["chrom"].replace_strict(names, return_dtype=pl.String).alias("split")


def split_by_column(rows: Rows) -> pl.Series:
    """``(N,)`` split names as the source gave them.

    Raises
    ------
    DataError
        When the source gave none, or some rows have none, or a name is not train, valid or test.
    """
    split = rows.table["split"]
    if split.null_count() == len(rows):
        raise DataError(
            "the source names no split for its rows",
            remedy='Set split_column in [source], or [split] by = "chromosome" or "group".',
        )
    if missing := split.null_count():
        raise DataError(f"{missing:,} of {len(rows):,} rows have no split", remedy="Fill the split column.")
    if odd := sorted(set(split.unique().to_list()) - set(SPLITS)):
        raise DataError("a split has an unknown name", expected=", ".join(SPLITS), got=", ".join(odd[:5]))
    return split


def split_by_group(
    rows: Rows, tasks: TaskSet, *, valid_fraction: float, test_fraction: float, seed: int
) -> pl.Series:
    """``(N,)`` split names at random, whole groups at a time, stratified by targets and class.

    A group is a sequence with its reverse complement and all their copies. Within each stratum (the
    pattern of targets and the class of a group's first row) groups are dealt out in the stated
    fractions. The result depends on the seed and the sequences, not on the order of the rows.
    """
    keys = (
        rows.table.select("group", stratum=_stratum(tasks))
        .group_by("group")
        .agg(pl.col("stratum").min(), size=pl.lit(1, dtype=pl.Int64))
        .sort("stratum", "group")
    )
    draws = stream(seed, "splits", "group").random(keys.height)
    dealt = _deal(keys.with_columns(draw=draws), valid_fraction=valid_fraction, test_fraction=test_fraction)
    return rows.table.select("group").join(dealt, on="group", how="left", maintain_order="left")["split"]


def split_by_cluster(
    rows: Rows, tasks: TaskSet, *, valid_fraction: float, test_fraction: float, seed: int
) -> pl.Series:
    """``(N,)`` split names at random, whole clusters at a time, stratified by size, targets and class.

    So no two rows that are near-duplicates, or whose intervals overlap (``data.clusters``), stand in two splits.
    Among clusters of one size, each stratum (the first pattern of targets and class that a cluster has) is dealt
    out in the stated fractions; what large clusters leave uneven is made up by smaller ones, so that the splits
    have their share of the rows. A cluster with more rows than a whole split should have is not dealt to it, and
    one with more than either trains. The result depends on the seed and the sequences, not on the order of the
    rows.
    """
    keys = (
        rows.table.select("cluster", "group", stratum=_stratum(tasks))
        .group_by("cluster")
        .agg(pl.col("group").min(), pl.col("stratum").min(), size=pl.len().cast(pl.Int64))
        .sort("size", "stratum", "group")
    )
    draws = stream(seed, "splits", "cluster").random(keys.height)
    dealt = _deal(keys.with_columns(draw=draws), valid_fraction=valid_fraction, test_fraction=test_fraction)
    return rows.table.select("cluster").join(dealt, on="cluster", how="left", maintain_order="left")["split"]


def _deal(keys: pl.DataFrame, *, valid_fraction: float, test_fraction: float) -> pl.DataFrame:
    """Give each key of ``stratum, size (rows), draw`` its ``split``, the largest first; within a size by even steps.

    Dealing at even steps through the sorted strata gives each stratum its share to within one key. The steps of a
    size are made longer or shorter by what the sizes before have left over or want.
    """
    keys = keys.sort("size", "stratum", "draw", descending=[True, False, False], maintain_order=True)
    sizes = keys["size"].to_numpy()
    share = valid_fraction / (1 - test_fraction)
    names = np.full(len(sizes), "train")
    rows, test, valid = 0, 0, 0
    edges = np.append(np.flatnonzero(np.diff(sizes, prepend=-1)), len(sizes))
    for first, last in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        size, count = int(sizes[first]), last - first
        fits_test, fits_valid = (size == 1 or size <= f * sizes.sum() for f in (test_fraction, valid_fraction))
        is_test = _steps(np.arange(count + 1), test_fraction, wanted=(test_fraction * rows - test) / size) & fits_test
        rest = np.append(0, np.cumsum(~is_test))
        is_valid = _steps(rest, share, wanted=(share * (rows - test) - valid) / size) & ~is_test & fits_valid
        names[first:last] = np.where(is_test, "test", np.where(is_valid, "valid", "train"))
        rows += size * count
        test += size * int(is_test.sum())
        valid += size * int(is_valid.sum())
    return keys.with_columns(split=pl.Series(names))


def _steps(places: np.ndarray, fraction: float, *, wanted: float) -> np.ndarray:
    """Where ``places (C + 1,)`` passes an even step of ``fraction``, and ``wanted`` more in all, ``(C,)`` bool."""
    rate = min(max(fraction + wanted / max(int(places[-1]), 1), 0.0), 1.0)
    return np.diff(np.floor(places * rate + 0.5)) > 0


def _stratum(tasks: TaskSet) -> pl.Expr:
    """The stratum of a row: one letter a target, then the class."""
    pattern = [_pattern(task.target, regression=task.kind == "regression") for task in tasks]
    return pl.concat_str([*pattern, pl.col("ccre_class").fill_null("")])


def _pattern(target: str, *, regression: bool) -> pl.Expr:
    """A target as one letter of a stratum's name: 0, 1 or '-'; for a regression only whether it was measured."""
    value = pl.col(target)
    measured = value.is_not_nan() & value.is_not_null()
    shown = pl.lit("+") if regression else pl.when(value > 0.5).then(pl.lit("1")).otherwise(pl.lit("0"))
    return pl.when(measured).then(shown).otherwise(pl.lit("-"))


def check_splits(table: pl.DataFrame, tasks: TaskSet) -> dict[str, dict[str, dict[str, int]]]:
    """Count positives and negatives, and refuse a split in which a task cannot be judged.

    Returns
    -------
    dict
        split -> task -> ``{"positive", "negative", "not_measured"}`` (``{"measured", …}`` for a regression).

    Raises
    ------
    DataError
        When a split is empty, or has no positive or no negative of a task that is measured anywhere.
    """
    counts: dict[str, dict[str, dict[str, int]]] = {}
    for split in SPLITS:
        part = table.filter(pl.col("split") == split)
        if not part.height:
            raise DataError(f"the {split} split is empty", remedy="Change [split]; each of the three needs rows.")
        counts[split] = {task.name: _count(part[task.target], task.kind) for task in tasks}
    for task in tasks:
        if task.kind == "regression" or not any(_measured(counts[split][task.name]) for split in SPLITS):
            continue
        for split in SPLITS:
            for side in ("positive", "negative"):
                if not counts[split][task.name][side]:
                    raise DataError(
                        f"the {split} split has no {side} of task '{task.name}'",
                        got=f"{counts[split][task.name]['positive']:,} positive, "
                        f"{counts[split][task.name]['negative']:,} negative",
                        remedy=_remedy(side, counts, task.name),
                    )
    return counts


def _remedy(side: str, counts: dict[str, dict[str, dict[str, int]]], task: str) -> str:
    nowhere = not any(counts[split][task][side] for split in SPLITS)
    if nowhere and side == "negative":
        return 'Add rows that are 0 for it, or ask for [negatives] kinds = ["dinucleotide_shuffle"].'
    return "Move rows into that split with [split], or leave the task out." if not nowhere else "Check its column."


def _count(values: pl.Series, kind: str) -> dict[str, int]:
    array = values.cast(pl.Float32).fill_null(float("nan")).to_numpy()
    missing = int(np.isnan(array).sum())
    if kind == "regression":
        return {"measured": len(array) - missing, "not_measured": missing}
    positive = int((array > 0.5).sum())
    return {"positive": positive, "negative": len(array) - missing - positive, "not_measured": missing}


def _measured(counts: dict[str, int]) -> int:
    return counts.get("positive", 0) + counts.get("negative", 0)


def record(table: pl.DataFrame, by: str, ledger: Ledger) -> None:
    """Write the sizes of the splits into the ledger."""
    sizes = {name: int((table["split"] == name).sum()) for name in SPLITS}
    ledger.add(f"split by {by}", table.height, table.height, notes=sizes)


#: [split] by -> who gives every row its split.
SPLITTERS: dict[str, Callable[[Rows, TaskSet, SplitSettings], pl.Series]] = {
    "chromosome": lambda rows, _, ask: split_by_chromosome(rows, valid=ask.valid, test=ask.test),
    "fold": lambda rows, _, ask: split_by_fold(rows, folds=ask.folds, fold=ask.fold),
    "cluster": lambda rows, tasks, ask: split_by_cluster(
        rows, tasks, valid_fraction=ask.valid_fraction, test_fraction=ask.test_fraction, seed=ask.seed
    ),
    "group": lambda rows, tasks, ask: split_by_group(
        rows, tasks, valid_fraction=ask.valid_fraction, test_fraction=ask.test_fraction, seed=ask.seed
    ),
    "column": lambda rows, *_: split_by_column(rows),
}
