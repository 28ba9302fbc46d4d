"""Every kind of leakage, shortcuts and neighbours against slow double loops over small sets."""

from __future__ import annotations

import itertools
from collections import Counter
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import accuracy_score, matthews_corrcoef, roc_auc_score

from encre.data.leakage import find_leaks, leakage, same_over_overlap
from encre.data.neighbours import neighbour_profit
from encre.data.rows import Rows
from encre.data.shortcuts import auroc, cpg_ratio, shortcut_scores
from encre.sequence.alphabet import encode_many
from encre.tasks import Task, TaskSet

SPLITS = ("train", "valid", "test")
NEAR = SimpleNamespace(similarity=0.9, min_overlap=0.5)
TASKS = TaskSet([Task("on", "on")])


def turned(text: str) -> str:
    return text[::-1].translate(str.maketrans("ACGT", "TGCA"))


def letters(rng: np.random.Generator, n: int) -> str:
    return "".join(rng.choice(list("ACGT"), n))


def rows_from(texts, **columns) -> Rows:
    n = len(texts)
    codes, offsets = encode_many(texts)
    base = {
        "chrom": [None] * n,
        "start": [None] * n,
        "end": [None] * n,
        "accession": [None] * n,
        "kind": ["element"] * n,
        "on": [float(i % 2) for i in range(n)],
    }
    kinds = {"chrom": pl.String, "start": pl.Int64, "end": pl.Int64, "accession": pl.String}
    return Rows(pl.DataFrame(base | columns, schema_overrides=kinds), codes, offsets).grouped()


# ------------------------------------------------------------------------------------ the slow ways


def slow_relation(a: str, b: str) -> str | None:
    """The kind of a pair by trying both strands at every shift."""
    if a == b:
        return "exact"
    if a == turned(b):
        return "reverse_complement"
    need, found = 0.5 * min(len(a), len(b)), None
    for other in (b, turned(b)):
        for shift in range(-len(other) + 1, len(a)):
            low, high = max(0, shift), min(len(a), shift + len(other))
            if high - low < need:
                continue
            same = [x == y for x, y in zip(a[low:high], other[low - shift :], strict=False)]
            if all(same):
                return "shifted"
            if has_stretch(same, need):
                found = "near_duplicate"
    return found


def has_stretch(same: list[bool], need: float) -> bool:
    """Whether a stretch of at least ``need`` positions has nine of ten alike."""
    gain = np.concatenate([[0.0], np.cumsum(np.array(same) - 0.9)])
    least = int(np.ceil(need))
    return bool((gain[least:] - np.minimum.accumulate(gain)[: len(gain) - least] >= -1e-9).any())


def slow_counts(pairs, splits):
    """``{kind: (pairs, rows by split, pairs by splits)}`` from (kind, a, b) of rows in different splits."""
    found = {}
    for kind in {kind for kind, _, _ in pairs}:
        chosen = [(a, b) for k, a, b in pairs if k == kind]
        rows = Counter(splits[row] for row in set(itertools.chain(*chosen)))
        by = Counter("-".join(sorted((splits[a], splits[b]), key=SPLITS.index)) for a, b in chosen)
        found[kind] = (len(chosen), dict(rows), dict(by))
    return found


def fast_counts(found):
    counted = {}
    for kind, values in found["kinds"].items():
        if values["pairs"]:
            rows = {split: n for split, n in values["rows"].items() if n}
            counted[kind] = (values["pairs"], rows, {k: n for k, n in values["by_splits"].items() if n})
    return counted


def across(splits):
    return [(a, b) for a, b in itertools.combinations(range(len(splits)), 2) if splits[a] != splits[b]]


# ------------------------------------------------------------------------------------------- leakage


@pytest.mark.parametrize("seed", range(4))
def test_equal_pairs_are_those_of_a_double_loop(seed):
    rng = np.random.default_rng(seed)
    texts = [letters(rng, int(rng.integers(2, 5))) for _ in range(120)]  # short: many copies, and palindromes
    splits = rng.choice(SPLITS, 120).tolist()
    found = leakage(rows_from(texts, split=splits))
    pairs = []
    for a, b in across(splits):
        if texts[a] == texts[b]:
            pairs.append(("exact", a, b))
        elif texts[a] == turned(texts[b]):
            pairs.append(("reverse_complement", a, b))
    assert fast_counts(found) == slow_counts(pairs, splits)
    assert found["pairs"] == len(pairs)
    assert found["rows"] == {s: len({r for _, a, b in pairs for r in (a, b) if splits[r] == s}) for s in SPLITS}


@pytest.mark.parametrize("seed", range(3))
def test_every_kind_is_found_as_by_a_double_loop_over_strands_and_shifts(seed):
    rng = np.random.default_rng(seed)
    long = letters(rng, 700)
    texts = [long[100:240], long[100:240], turned(long[100:240])]  # exact, and the other strand
    texts += [long[150:290], turned(long[60:200]), long[100:220]]  # shifted on both strands; a cut end
    for _ in range(3):
        mutated = list(long[400:540])
        for at in rng.choice(140, 6, replace=False):
            mutated[at] = "ACGT"[("ACGT".index(mutated[at]) + 1) % 4]
        texts.append("".join(mutated))
    texts.append(turned(texts[-1]))
    texts += [letters(rng, 140) for _ in range(3)]
    splits = [SPLITS[(i * (seed + 1) + i // 3) % 3] for i in range(len(texts))]
    found = leakage(rows_from(texts, split=splits), near=True, clusters=NEAR)
    pairs = [(k, a, b) for a, b in across(splits) if (k := slow_relation(texts[a], texts[b]))]
    assert {kind for kind, _, _ in pairs} >= {"shifted", "near_duplicate"}
    assert fast_counts(found) == slow_counts(pairs, splits)
    leaked = {row for _, a, b in pairs for row in (a, b)}
    assert found["leaked_rows"] == {s: sum(splits[row] == s for row in leaked) for s in SPLITS}


@pytest.mark.parametrize("seed", range(4))
def test_overlaps_are_those_of_a_double_loop(seed):
    rng = np.random.default_rng(seed)
    n = 90
    lengths = rng.integers(1, 40, n)
    chrom = [None if rng.random() < 0.1 else f"chr{rng.integers(1, 3)}" for _ in range(n)]
    start = [None if c is None else int(rng.integers(0, 900)) for c in chrom]
    end = [None if s is None else s + int(length) for s, length in zip(start, lengths, strict=True)]
    splits = rng.choice(SPLITS, n).tolist()
    kind = rng.choice(["element", "dinucleotide_shuffle"], n, p=[0.8, 0.2]).tolist()
    rows = rows_from(
        [letters(rng, int(k)) for k in lengths], split=splits, chrom=chrom, start=start, end=end, kind=kind
    )
    pairs = [
        ("overlapping", a, b)
        for a, b in across(splits)
        if kind[a] == kind[b] == "element"
        and chrom[a] is not None
        and chrom[a] == chrom[b]
        and start[a] < end[b]
        and start[b] < end[a]
    ]
    found = leakage(rows)
    assert pairs
    assert fast_counts(found)["overlapping"] == slow_counts(pairs, splits)["overlapping"]
    for example in found["kinds"]["overlapping"]["examples"]:
        a, b = (row["row"] for row in example["rows"])
        assert ("overlapping", min(a, b), max(a, b)) in pairs
        assert example["bases"] == min(end[a], end[b]) - max(start[a], start[b])


def test_the_partner_overlaps_most_of_the_two_that_are_compared():
    rows = rows_from(
        ["A" * 100, "C" * 100, "A" * 90, "G" * 50],
        split=["train", "train", "test", "test"],
        chrom=["chr1"] * 4,
        start=[0, 80, 70, 500],
        end=[100, 180, 160, 550],
    )
    leaks = find_leaks(rows)
    assert leaks.partner.tolist() == [-1, -1, 1, -1]
    assert leaks.similarity[2] == pytest.approx(80 / 90)
    assert leaks.leaked.tolist() == [False, False, True, False]


def test_agreement_over_an_overlap_is_that_of_slices():
    rng = np.random.default_rng(3)
    texts = [letters(rng, int(n)) for n in rng.integers(5, 30, 40)]
    texts += [texts[i][3:] for i in range(40)] + [turned(texts[i])[:-2] for i in range(40)]
    codes, offsets = encode_many(texts)
    a, b = rng.integers(0, 120, (2, 4000))
    a[:40], b[:40] = np.arange(40), np.arange(40, 80)
    a[40:80], b[40:80] = np.arange(40), np.arange(80, 120)
    reverse, shift = rng.random(4000) < 0.5, rng.integers(-25, 25, 4000)
    reverse[:80], shift[:80] = [False] * 40 + [True] * 40, [3] * 40 + [2] * 40
    got = same_over_overlap(codes, offsets, a, b, reverse=reverse, shift=shift)
    for i in range(4000):
        other = turned(texts[b[i]]) if reverse[i] else texts[b[i]]
        low, high = max(0, shift[i]), min(len(texts[a[i]]), shift[i] + len(other))
        assert got[i] == (high > low and texts[a[i]][low:high] == other[low - shift[i] : high - shift[i]])
    assert got[:80].all()


# ----------------------------------------------------------------------------------------- shortcuts


def test_auroc_and_every_shortcut_are_the_slow_ones():
    rng = np.random.default_rng(5)
    n = 400
    texts = [
        "".join(rng.choice(list("ACGTN"), int(k), p=[0.2, 0.3, 0.3, 0.15, 0.05])) for k in rng.integers(3, 40, n)
    ]
    on = np.where(rng.random(n) < 0.1, np.nan, rng.random(n) < 0.4)
    kind = np.where(rng.random(n) < 0.5, "element", "background")
    masked = rng.random(n).astype(np.float32)
    chrom = [f"chr{rng.integers(1, 6)}" for _ in range(n)]
    rows = rows_from(
        texts, split=["test"] * n, on=on, kind=kind.tolist(), repeat_share=masked, chrom=chrom, start=[0] * n,
        end=[1] * n,
    )  # fmt: skip
    found = shortcut_scores(rows, TASKS)
    features = {
        "length": [len(t) for t in texts],
        "gc": [(t.count("C") + t.count("G")) / max(len(t) - t.count("N"), 1) for t in texts],
        "cpg": [
            t.count("CG") * (len(t) - t.count("N")) / (c * g) if (c := t.count("C")) and (g := t.count("G")) else 0
            for t in texts
        ],
        "n_share": [t.count("N") / len(t) for t in texts],
        "repeat_share": masked,
    }
    assert cpg_ratio(rows.codes, rows.offsets) == pytest.approx(features["cpg"])
    measured = ~np.isnan(on)
    background = measured & ((on == 1) | (kind == "background"))
    for name, column in features.items():
        values = np.asarray(column, dtype=float)
        assert found["tasks"]["on"][name] == pytest.approx(roc_auc_score(on[measured], values[measured]))
        assert found["by_kind"]["on"]["background"][name] == pytest.approx(
            roc_auc_score(on[background], values[background])
        )
        assert auroc(values[measured], on[measured] == 1) == pytest.approx(found["tasks"]["on"][name])
    first = np.array([group[0] < "8" for group in rows.table["group"]])
    halves = []
    for half in (first, ~first):
        rate = {
            c: on[measured & ~half & (np.array(chrom) == c)].mean() for c in set(chrom)
        }  # every chromosome has rows in both halves
        score = np.array([rate[c] for c in chrom])
        halves.append(roc_auc_score(on[measured & half], score[measured & half]))
    assert found["tasks"]["on"]["chromosome"] == pytest.approx(np.mean(halves))


# ---------------------------------------------------------------------------------------- neighbours


def test_the_neighbour_classifier_is_the_slow_one():
    rng = np.random.default_rng(8)
    texts = [letters(rng, int(k)) for k in rng.integers(30, 60, 60)]
    texts += [texts[3], turned(texts[4])] + [letters(rng, 40) for _ in range(38)]
    on = (rng.random(100) < 0.5).astype(float)
    on[5] = on[80] = np.nan
    on[60:62] = on[3:5]
    rows = rows_from(texts, split=["train"] * 60 + ["test"] * 40, on=on)
    leaks = find_leaks(rows)
    found = neighbour_profit(rows, TASKS, leaks)
    assert (found["sampled"], found["train_sampled"], found["leaked"]) == (40, 60, 2)

    def counts(text):
        seen = Counter()
        for at in range(len(text) - 4):
            word = text[at : at + 5]
            seen[min(word, turned(word))] += 1
        return seen

    def cosine(x, y):
        dot = sum(x[word] * y[word] for word in x)
        return dot / np.sqrt(sum(v * v for v in x.values()) * sum(v * v for v in y.values()))

    known = [i for i in range(60) if not np.isnan(on[i])]
    profiles = [counts(text) for text in texts]
    answer, score = {}, {}
    for row in range(60, 100):
        likeness = [cosine(profiles[row], profiles[i]) for i in known]
        at = known[int(np.argmax(likeness))]
        at = {60: 3, 61: 4}.get(row, at)
        answer[row] = on[at]
        score[row] = (1.0 if row < 62 else max(likeness)) * (1 if on[at] else -1)
    for part, chosen in (("all", range(60, 100)), ("without_leaked", range(62, 100))):
        judged = [row for row in chosen if not np.isnan(on[row])]
        label, said = on[judged], [answer[row] for row in judged]
        got = found["tasks"]["on"][part]
        assert got["n"] == len(judged)
        assert got["accuracy"] == pytest.approx(accuracy_score(label, said))
        assert got["mcc"] == pytest.approx(matthews_corrcoef(label, said))
        assert got["auroc"] == pytest.approx(roc_auc_score(label, [score[row] for row in judged]))
    parts = found["tasks"]["on"]
    assert parts["profit"]["accuracy"] == parts["all"]["accuracy"] - parts["without_leaked"]["accuracy"]
