"""The same sequence in two splits, on either strand: counted, and shown by example."""

from __future__ import annotations

import itertools
from typing import Any

import polars as pl

from encre.errors import GateError

_SPLITS = ("train", "valid", "test")
_EXAMPLES = 5


def exact_leakage(table: pl.DataFrame) -> dict[str, Any]:
    """Count pairs of rows in different splits whose sequences are the same or each other's reverse complement.

    Parameters
    ----------
    table
        Rows with ``group`` (MD5 of the canonical sequence), ``flipped`` (that is the other strand's), ``split``,
        and columns to show examples by.

    Returns
    -------
    dict
        ``pairs``, ``exact``, ``reverse_complement``, ``groups``, ``by_splits`` (``"train-test"`` -> pairs),
        ``rows`` (split -> its rows with a twin in another split) and ``examples``.
    """
    rows = table.with_columns(_row=pl.int_range(table.height))
    shared = rows.filter(pl.len().over("group") > 1).filter(pl.col("split").n_unique().over("group") > 1)
    sides = {
        f"{split}_{strand}": ((pl.col("split") == split) & (pl.col("flipped") == strand)).sum().cast(pl.Int64)
        for split in _SPLITS
        for strand in (False, True)
    }
    counted = shared.group_by("group").agg(**sides)
    exact, reverse, by_splits = 0, 0, {}
    for a, b in itertools.combinations(_SPLITS, 2):
        same = _dot(counted, f"{a}_False", f"{b}_False") + _dot(counted, f"{a}_True", f"{b}_True")
        other = _dot(counted, f"{a}_False", f"{b}_True") + _dot(counted, f"{a}_True", f"{b}_False")
        exact, reverse = exact + same, reverse + other
        by_splits[f"{a}-{b}"] = same + other
    return {
        "pairs": exact + reverse,
        "exact": exact,
        "reverse_complement": reverse,
        "groups": counted.height,
        "by_splits": by_splits,
        "rows": {split: int((shared["split"] == split).sum()) for split in _SPLITS},
        "examples": _examples(shared),
    }


def _dot(counted: pl.DataFrame, a: str, b: str) -> int:
    return int((counted[a] * counted[b]).sum())


def _examples(shared: pl.DataFrame) -> list[dict[str, Any]]:
    """The first few shared groups in row order: one row of each split that has it."""
    first = shared.sort("_row").group_by("group", "split", maintain_order=True).first()
    groups = first.sort("_row")["group"].unique(maintain_order=True)[:_EXAMPLES].to_list()
    shown = first.filter(pl.col("group").is_in(groups)).sort("_row")
    columns = [c for c in ("chrom", "start", "end", "accession") if c in shown.columns]
    return [
        {
            "group": group,
            "rows": [
                {"row": row["_row"], "split": row["split"], "kind": row["kind"], "reverse": row["flipped"]}
                | {c: row[c] for c in columns if row[c] is not None}
                for row in shown.filter(pl.col("group") == group).to_dicts()
            ],
        }
        for group in groups
    ]


def check_leakage(found: dict[str, Any], limit: int | None) -> None:
    """Fail the build when more pairs are shared than the config allows.

    Raises
    ------
    GateError
        Exit code 3, with the counts and one example.
    """
    if limit is None or found["pairs"] <= limit:
        return
    example = found["examples"][0]
    rows = " and ".join(f"row {r['row']:,} ({r['split']})" for r in example["rows"][:2])
    raise GateError(
        f"{found['pairs']:,} pairs of identical or reverse-complement sequences stand in two splits, "
        f"for example {rows}",
        expected=f"at most {limit:,} ([audit] max_exact_leakage)",
        got=f"{found['exact']:,} exact, {found['reverse_complement']:,} reverse complement",
        remedy='Set [split] by = "group", which keeps them together, or raise the limit knowingly.',
    )
