"""What stands in two splits: equal, reverse complement, shifted and nearly equal rows, and rows of the same place.

Every pair of similar sequences is counted in one kind only, in the order of :data:`KINDS`. ``overlapping`` is about
coordinates, not letters, and is counted on its own: a pair of shifted windows of one place is in both.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from encre.data.clusters import ClusterSettings
from encre.data.overlaps import overlap_counts, overlap_partners, spans_of
from encre.data.rows import Rows
from encre.progress import SILENT, Progress
from encre.sequence.alphabet import reverse_complement_flat
from encre.sequence.flat import join, offsets_of, take_flat
from encre.sequence.near_duplicates import near_duplicate_pairs

SPLITS = ("train", "valid", "test")
#: Kinds of pairs, each pair of sequences in the first that fits; ``overlapping`` beside them.
KINDS = ("exact", "reverse_complement", "shifted", "near_duplicate", "overlapping")
#: An overlap of the genome of at least this share of the shorter row makes a training row its neighbour.
_HALF = 0.5
_EXAMPLES = 5
_PAIRS_AT_ONCE = 1 << 14


@dataclass(frozen=True)
class Leaks:
    """What stands in two splits, counted, and whom each row would be recognised by.

    Parameters
    ----------
    summary
        As :func:`leakage` returns it.
    leaked
        ``(N,)`` bool: rows outside training with a partner of any kind in training.
    partner
        ``(N,)`` int64: for those, the training row that is most alike; -1 where there is none, and where the
        only partner shares less than half of the shorter one's bases of the genome.
    similarity
        ``(N,)`` float32, 0 to 1: identity with that partner, or the share of the row that lies on it.
    """

    summary: dict[str, Any]
    leaked: np.ndarray
    partner: np.ndarray
    similarity: np.ndarray


def leakage(
    rows: Rows, *, near: bool = False, clusters: ClusterSettings | None = None, progress: Progress = SILENT
) -> dict[str, Any]:
    """Count the pairs of rows in different splits that a memorising model would profit from.

    Parameters
    ----------
    rows
        Grouped rows (see :meth:`Rows.grouped`) with their ``split``.
    near
        Also look for shifted and nearly equal sequences, which takes longer than all the rest.
    clusters
        What counts as nearly equal (``similarity``, ``min_overlap``); the defaults when None.
    progress
        Told of the search.

    Returns
    -------
    dict
        Of equal sequences on either strand: ``pairs``, ``exact``, ``reverse_complement``, ``groups``, ``by_splits``
        (``"train-test"`` -> pairs), ``rows`` (split -> its rows with a twin in another split) and ``examples``.
        Of every kind of :data:`KINDS`, ``kinds``: ``pairs``, ``rows``, ``by_splits``, ``repeat_share`` (mean share
        of soft-masked bases of the rows outside training that have a partner; None when unknown) and ``examples``;
        or None and a ``reason`` for what was not looked for. Within a large family of repeats the pairs of
        near-duplicates are those that the search came upon, not all that there are. Then ``near_rows`` (rows with a
        shifted or nearly equal partner), ``leaked_rows`` (with a partner of any kind), ``sizes`` (rows of each
        split), ``repeat_share`` of all rows outside training, and ``searched`` (the similarity and overlap that were
        asked for, or None).
    """
    return find_leaks(rows, near=near, clusters=clusters, progress=progress).summary


def find_leaks(
    rows: Rows, *, near: bool = False, clusters: ClusterSettings | None = None, progress: Progress = SILENT
) -> Leaks:
    """As :func:`leakage`, with the partner of every row beside the counts."""
    side = _sides(rows.table)
    summary, shared = _equal(rows.table)
    finding = _Finding(rows, side)
    finding.add_equal(summary, shared)
    searched = None
    if near:
        settings = clusters or ClusterSettings()
        searched = {"similarity": settings.similarity, "min_overlap": settings.min_overlap}
        finding.add_near(searched, progress)
    finding.add_overlaps()
    summary |= {
        "kinds": {kind: finding.kinds[kind] for kind in KINDS},
        "near_rows": _rows_by_split(finding.near, side) if near else None,
        "leaked_rows": _rows_by_split(finding.any, side),
        "sizes": _rows_by_split(np.ones(len(rows), dtype=bool), side),
        "repeat_share": finding.repeat_share(np.ones(len(rows), dtype=bool)),
        "searched": searched,
    }
    return Leaks(summary, finding.from_training, finding.partner, finding.similarity)


def leaked_rows(rows: Rows, leaks: Leaks) -> pl.DataFrame:
    """A row for each row outside training that leaks from it: which one, and its most similar training row.

    Columns ``row`` (0-based, of all rows in order), ``split``, what names it (``line`` of its file, ``name``,
    ``accession``, ``chrom``, ``start``, ``end``), ``training_row``, ``training_<name>`` likewise, and ``similarity``;
    without a partner where it only overlaps a training row by less than half.
    """
    naming = [c for c in ("line", "name", "accession", "chrom", "start", "end") if c in rows.table.columns]
    at = np.flatnonzero(leaks.leaked)
    partner = pl.Series(leaks.partner[at]).replace(-1, None)
    theirs = rows.table.select(pl.col(naming).name.prefix("training_"))
    found = pl.DataFrame({"row": at, **rows.table.select("split", *naming)[at].to_dict(), "training_row": partner})
    numbered = theirs.with_row_index("training_row").cast({"training_row": pl.Int64})
    joined = found.join(numbered, on="training_row", how="left", maintain_order="left")
    return joined.with_columns(similarity=pl.Series(leaks.similarity[at]))


# ---------------------------------------------------------------------------------- equal on either strand


def _equal(table: pl.DataFrame) -> tuple[dict[str, Any], pl.DataFrame]:
    """The counts, and the rows that have a twin in another split with their number ``_row``."""
    rows = table.with_columns(_row=pl.int_range(table.height))
    shared = rows.filter(pl.len().over("group") > 1).filter(pl.col("split").n_unique().over("group") > 1)
    counted = _strands(shared)
    exact, reverse, by_splits = 0, 0, {}
    for a, b in itertools.combinations(SPLITS, 2):
        same, other = _pairs_of(counted, a, b)
        exact, reverse = exact + int(same.sum()), reverse + int(other.sum())
        by_splits[f"{a}-{b}"] = int(same.sum() + other.sum())
    summary = {
        "pairs": exact + reverse,
        "exact": exact,
        "reverse_complement": reverse,
        "groups": counted.height,
        "by_splits": by_splits,
        "rows": {split: int((shared["split"] == split).sum()) for split in SPLITS},
        "examples": _groups_shown(shared),
    }
    return summary, shared


def _strands(shared: pl.DataFrame) -> pl.DataFrame:
    """A row a group: how many rows of each split hold it on each strand."""
    sides = {
        f"{split}_{strand}": ((pl.col("split") == split) & (pl.col("flipped") == strand)).sum().cast(pl.Int64)
        for split in SPLITS
        for strand in (False, True)
    }
    return shared.group_by("group", maintain_order=True).agg(**sides)


def _pairs_of(counted: pl.DataFrame, a: str, b: str) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of rows of two splits in each group: on the same strand, and on different ones."""
    count = {name: counted[name].to_numpy() for name in counted.columns if name != "group"}
    same = count[f"{a}_False"] * count[f"{b}_False"] + count[f"{a}_True"] * count[f"{b}_True"]
    return same, count[f"{a}_False"] * count[f"{b}_True"] + count[f"{a}_True"] * count[f"{b}_False"]


def _groups_shown(shared: pl.DataFrame) -> list[dict[str, Any]]:
    """The first few shared groups in row order: one row of each split that has it."""
    first = shared.sort("_row").group_by("group", "split", maintain_order=True).first()
    groups = first.sort("_row")["group"].unique(maintain_order=True)[:_EXAMPLES].to_list()
    shown = first.filter(pl.col("group").is_in(groups)).sort("_row")
    columns = [c for c in ("line", "chrom", "start", "end", "accession") if c in shown.columns]
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


# --------------------------------------------------------------------------------------------- every kind


class _Finding:
    """Gathers the kinds one after the other; the first that names a training partner for a row keeps it."""

    def __init__(self, rows: Rows, side: np.ndarray) -> None:
        self.rows, self.side = rows, side
        self.kinds: dict[str, dict[str, Any]] = {
            kind: {"pairs": None, "reason": "not looked for"} for kind in ("shifted", "near_duplicate")
        }
        count = len(rows)
        self.any, self.near, self.from_training = (np.zeros(count, dtype=bool) for _ in range(3))
        self.partner = np.full(count, -1, dtype=np.int64)
        self.similarity = np.zeros(count, dtype=np.float32)
        masked = rows.table.get_column("repeat_share", default=None)
        self.masked = None if masked is None else masked.cast(pl.Float64).to_numpy()

    def repeat_share(self, flagged: np.ndarray) -> float | None:
        """Mean share of soft-masked bases of the flagged rows outside training."""
        if self.masked is None:
            return None
        values = self.masked[flagged & (self.side != 0)]
        values = values[np.isfinite(values)]
        return float(values.mean()) if len(values) else None

    def add(self, kind: str, flagged: np.ndarray, by_splits: dict[str, int], examples: list[dict[str, Any]]) -> None:
        """Set down one kind, from the rows that have such a partner in another split."""
        self.any |= flagged
        self.kinds[kind] = {
            "pairs": sum(by_splits.values()),
            "rows": _rows_by_split(flagged, self.side),
            "by_splits": by_splits,
            "repeat_share": self.repeat_share(flagged),
            "examples": examples,
        }

    def recognise(self, rows: np.ndarray, partner: np.ndarray, similarity: np.ndarray) -> None:
        """Give rows outside training their partner in training, unless they have one already."""
        self.from_training[rows] = True
        free = self.partner[rows] < 0
        self.partner[rows[free]] = partner[free]
        self.similarity[rows[free]] = similarity[free]

    def add_equal(self, summary: dict[str, Any], shared: pl.DataFrame) -> None:
        """Exact copies and reverse complements, from the rows that have a twin elsewhere."""
        counted = _strands(shared)
        strand, whole = ["group", "flipped"], ["group"]
        flags = shared.select(
            "_row",
            exact=pl.len().over(strand) > pl.len().over([*strand, "split"]),
            reverse_complement=pl.len().over(whole).cast(pl.Int64)
            - pl.len().over(strand)
            - pl.len().over([*whole, "split"])
            + pl.len().over([*strand, "split"])
            > 0,
        )
        for other, kind in enumerate(("exact", "reverse_complement")):
            flagged = np.zeros(len(self.rows), dtype=bool)
            flagged[flags.filter(kind)["_row"].to_numpy()] = True
            of_group = {f"{a}-{b}": _pairs_of(counted, a, b)[other] for a, b in itertools.combinations(SPLITS, 2)}
            by_splits = {name: int(pairs.sum()) for name, pairs in of_group.items()}
            some = counted["group"].gather(np.flatnonzero(sum(of_group.values()))[:_EXAMPLES])
            examples = self._equal_examples(shared.filter(pl.col("group").is_in(some.implode())), reverse=bool(other))
            self.add(kind, flagged, by_splits, examples)
        in_training = shared.filter(pl.col("split") == "train").group_by("group").agg(_train=pl.col("_row").min())
        twins = shared.filter(pl.col("split") != "train").join(in_training, on="group", how="inner")
        found = twins["_row"].to_numpy()
        self.recognise(found, twins["_train"].to_numpy().astype(np.int64), np.ones(len(found), dtype=np.float32))

    def _equal_examples(self, shared: pl.DataFrame, *, reverse: bool) -> list[dict[str, Any]]:
        """One pair of each group that has one of this kind."""
        first = shared.sort("_row").group_by("group", "split", "flipped", maintain_order=True).first()
        examples = []
        for group in first["group"].unique(maintain_order=True):
            rows = first.filter(pl.col("group") == group).select("_row", "split", "flipped").rows()
            for (a, split_a, flip_a), (b, split_b, flip_b) in itertools.combinations(rows, 2):
                if split_a != split_b and (flip_a != flip_b) == reverse:
                    length = int(self.rows.lengths[a])
                    relation = {"reverse": reverse, "shift": 0, "identity": 1.0, "bases": length}
                    examples.append(self._example(a, b, relation))
                    break
        return examples

    def add_near(self, asked: dict[str, float], progress: Progress) -> None:
        """Shifted and nearly equal sequences, by the search for near-duplicates."""
        codes, offsets = self.rows.seen()
        found = near_duplicate_pairs(codes, offsets, **asked, sides=self.side, progress=progress)
        group = self.rows.table["group"]
        new = (group.gather(found.a) != group.gather(found.b)).to_numpy()
        a, b, reverse, shift, identity, length = (np.asarray(column)[new] for column in found)
        whole = np.zeros(len(a), dtype=bool)
        sure = np.flatnonzero(identity >= 1)
        whole[sure] = same_over_overlap(codes, offsets, a[sure], b[sure], reverse=reverse[sure], shift=shift[sure])
        for kind, of_kind in (("shifted", whole), ("near_duplicate", ~whole)):
            flagged = np.zeros(len(self.rows), dtype=bool)
            flagged[a[of_kind]] = flagged[b[of_kind]] = True
            self.near |= flagged
            examples = [
                self._example(
                    int(a[i]),
                    int(b[i]),
                    {
                        "reverse": bool(reverse[i]),
                        "shift": int(shift[i]),
                        "identity": round(float(identity[i]), 4),
                        "bases": int(length[i]),
                    },
                )
                for i in np.flatnonzero(of_kind)[:_EXAMPLES]
            ]
            self.add(kind, flagged, self._by_splits(a[of_kind], b[of_kind]), examples)
        trained = (self.side[a] == 0) != (self.side[b] == 0)
        of_a = self.side[a] == 0
        train, other = np.where(of_a, a, b)[trained], np.where(of_a, b, a)[trained]
        best = np.lexsort((train, -(identity * length)[trained], -identity[trained], other))
        rows, first = np.unique(other[best], return_index=True)
        self.recognise(rows, train[best][first], identity[trained][best][first].astype(np.float32))

    def add_overlaps(self) -> None:
        """Rows whose bases lie on the genome where those of another split lie too."""
        spans = spans_of(self.rows)
        if not spans.placed.any():
            self.kinds["overlapping"] = {"pairs": None, "reason": "no coordinates"}
            return
        of_split = [np.flatnonzero(spans.placed & (self.side == code)) for code in range(len(SPLITS))]
        flagged = np.zeros(len(self.rows), dtype=bool)
        by_splits, examples = {}, []
        for a, b in itertools.combinations(range(len(SPLITS)), 2):
            counts = overlap_counts(spans, of_split[a], of_split[b])
            flagged[of_split[a][counts > 0]] = True
            flagged[of_split[b][overlap_counts(spans, of_split[b], of_split[a]) > 0]] = True
            by_splits[f"{SPLITS[a]}-{SPLITS[b]}"] = int(counts.sum())
            some = of_split[a][np.flatnonzero(counts)[:_EXAMPLES]]
            partner, shared = overlap_partners(spans, some, of_split[b])
            examples += [
                self._example(int(i), int(j), {"bases": int(n)})
                for i, j, n in zip(some, partner, shared, strict=True)
            ]
        self.add("overlapping", flagged, by_splits, examples[:_EXAMPLES])
        outside = np.flatnonzero(spans.placed & flagged & (self.side != 0))
        partner, shared = overlap_partners(spans, outside, of_split[0])
        lengths = self.rows.lengths
        hit = partner >= 0
        rows, partner, shared = outside[hit], partner[hit], shared[hit]
        enough = shared >= _HALF * np.minimum(lengths[rows], lengths[partner])
        self.recognise(rows, np.where(enough, partner, -1), np.where(enough, shared / lengths[rows], 0))

    def _by_splits(self, a: np.ndarray, b: np.ndarray) -> dict[str, int]:
        low, high = np.minimum(self.side[a], self.side[b]), np.maximum(self.side[a], self.side[b])
        return {
            f"{SPLITS[i]}-{SPLITS[j]}": int(((low == i) & (high == j)).sum())
            for i, j in itertools.combinations(range(len(SPLITS)), 2)
        }

    def _example(self, a: int, b: int, relation: dict[str, Any]) -> dict[str, Any]:
        have = self.rows.table.columns
        columns = [c for c in ("split", "kind", "line", "chrom", "start", "end", "accession") if c in have]
        shown = [
            {"row": row} | {c: v for c in columns if (v := self.rows.table[c][row]) is not None} for row in (a, b)
        ]
        return {"rows": shown} | relation


def same_over_overlap(
    codes: np.ndarray, offsets: np.ndarray, a: np.ndarray, b: np.ndarray, *, reverse: np.ndarray, shift: np.ndarray
) -> np.ndarray:
    """Where two sequences agree in every base that they share at this shift, ``(P,)`` bool.

    Parameters
    ----------
    codes, offsets
        Flat codes of all sequences.
    a, b
        Rows ``(P,)``; where ``reverse``, b is taken as its reverse complement.
    shift
        ``(P,)``: base 0 of b lies at base ``shift`` of a.
    """
    same = np.zeros(len(a), dtype=bool)
    lengths = np.diff(offsets)
    for first in range(0, len(a), _PAIRS_AT_ONCE):
        part = slice(first, first + _PAIRS_AT_ONCE)
        begin = np.maximum(shift[part], 0)
        end = np.minimum(lengths[a[part]], shift[part] + lengths[b[part]])
        other, other_offsets = take_flat(codes, offsets, b[part])
        turned = reverse_complement_flat(other, other_offsets)
        both = np.concatenate([other, turned])  # the other strand stands behind, at the same offsets
        start = other_offsets[:-1] + np.where(reverse[part], len(other), 0) - shift[part]
        end = np.maximum(end, begin)
        mine = join(codes, offsets[a[part]] + begin, offsets[a[part]] + end)
        theirs = join(both, start + begin, start + end)
        wrong = np.concatenate([[0], np.cumsum(mine != theirs)])[offsets_of(end - begin)]
        same[part] = (np.diff(wrong) == 0) & (end > begin)
    return same


def _sides(table: pl.DataFrame) -> np.ndarray:
    """The split of every row as a number, ``(N,)`` int8: train 0, valid 1, test 2."""
    numbers = {split: code for code, split in enumerate(SPLITS)}
    return table["split"].replace_strict(numbers, return_dtype=pl.Int8).to_numpy()


def _rows_by_split(flagged: np.ndarray, side: np.ndarray) -> dict[str, int]:
    counts = np.bincount(side[flagged], minlength=len(SPLITS))
    return {split: int(count) for split, count in zip(SPLITS, counts, strict=True)}
