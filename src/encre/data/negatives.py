"""Rows made to tell the elements from, each kind under its name in ``NEGATIVES``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl

from encre.data.rows import Rows
from encre.ledger import Ledger
from encre.reproducibility import stream
from encre.sequence.edits import dinucleotide_shuffle
from encre.tasks import TaskSet


def shuffled(rows: Rows, rng: np.random.Generator) -> Rows:
    """Each row's own dinucleotide-preserving shuffle; a sequence with one arrangement only has none.

    The control of DART-Eval (Patel et al., 2024): length, GC and every dinucleotide are the element's own.
    """
    codes = dinucleotide_shuffle(rows.codes, rows.offsets, rng)
    changed = np.concatenate([[0], np.cumsum(codes != rows.codes)])[rows.offsets]
    return replace(rows, codes=codes).keep(np.diff(changed) > 0)


#: Name -> what makes one negative of each row.
NEGATIVES: dict[str, Callable[[Rows, np.random.Generator], Rows]] = {"dinucleotide_shuffle": shuffled}


def add_negatives(
    rows: Rows, tasks: TaskSet, *, kinds: tuple[str, ...], per_element: int, seed: int, ledger: Ledger
) -> Rows:
    """Append negatives of every kind to the rows.

    A negative keeps its element's coordinates, class, accession and split, so that it stands on the same
    side as the element. It is 0 for every binary task and not measured (NaN) for all others.
    """
    made = rows
    for kind in kinds:
        before = len(made)
        for copy in range(per_element):
            new = NEGATIVES[kind](rows, stream(seed, "negatives", kind, copy)).grouped()
            made = made.followed_by(replace(new, table=_as_negatives(new.table, tasks, kind)))
        added = len(made) - before
        ledger.add(
            f"add negatives: {kind}",
            before,
            len(made),
            added={kind: added},
            notes={"wanted but not possible": per_element * len(rows) - added},
        )
    return made


def _as_negatives(table: pl.DataFrame, tasks: TaskSet, kind: str) -> pl.DataFrame:
    targets = {
        task.target: pl.lit(0.0 if task.kind == "binary" else float("nan"), dtype=pl.Float32) for task in tasks
    }
    return table.with_columns(kind=pl.lit(kind), **targets)
