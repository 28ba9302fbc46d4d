"""Who trains, who validates, who tests: by chromosome, by sequence group, or as the source says."""

from __future__ import annotations

import numpy as np
import polars as pl

from encre.data.rows import Rows
from encre.errors import DataError
from encre.ledger import Ledger
from encre.reproducibility import stream
from encre.tasks import TaskSet

SPLITS = ("train", "valid", "test")


def split_by_chromosome(rows: Rows, *, valid: tuple[str, ...], test: tuple[str, ...]) -> pl.Series:
    """``(N,)`` split names: the chromosomes named in ``valid`` and ``test``; the others train.

    Raises
    ------
    DataError
        When a row has no chromosome, or none of the chromosomes named for a split has a row.
    """
    chrom = rows.table["chrom"]
    if missing := chrom.null_count():
        raise DataError(
            f"{missing:,} of {len(rows):,} rows have no chromosome, so they cannot be split by it",
            remedy='Set [split] by = "group", or "column" with a split column in the source.',
        )
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
    pattern = [_pattern(task.target, regression=task.kind == "regression") for task in tasks]
    groups = (
        rows.table.select("group", pl.concat_str([*pattern, pl.col("ccre_class").fill_null("")]).alias("stratum"))
        .group_by("group")
        .agg(pl.col("stratum").min())
        .sort("stratum", "group")
    )
    shuffle = stream(seed, "splits", "group").random(groups.height)
    dealt = groups.with_columns(draw=pl.Series(shuffle)).sort("stratum", "draw", maintain_order=True)
    # Dealing at even steps through the sorted strata gives each stratum its share to within one group.
    place = np.arange(dealt.height)
    is_test = np.diff(np.floor(np.append(place, dealt.height) * test_fraction + 0.5)) > 0
    rest = np.cumsum(~is_test)
    share = valid_fraction / (1 - test_fraction)
    is_valid = ~is_test & (np.diff(np.floor(np.append([0], rest) * share + 0.5)) > 0)
    names = np.where(is_test, "test", np.where(is_valid, "valid", "train"))
    known = dealt.select("group").with_columns(split=pl.Series(names))
    return rows.table.select("group").join(known, on="group", how="left", maintain_order="left")["split"]


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
