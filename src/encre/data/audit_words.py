"""The audit in plain words: the same rows and sentences for the terminal, the dataset card and the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

#: How messages and tables name the shortcuts.
FEATURES = {
    "length": "length",
    "gc": "GC share",
    "cpg": "CpG obs/exp",
    "n_share": "N share",
    "repeat_share": "repeat share",
    "chromosome": "chromosome",
}
_KINDS = {
    "exact": "identical sequences",
    "reverse_complement": "reverse complements",
    "shifted": "shifted (same bases, other ends)",
    "near_duplicate": "nearly equal",
    "overlapping": "overlapping on the genome",
}


class LeakRow(NamedTuple):
    """One kind of leakage for a table; ``pairs`` is None where it was not looked for, with the ``reason``."""

    words: str
    pairs: int | None
    valid: str
    test: str
    repeats: str
    reason: str


class ShortcutRow(NamedTuple):
    """A task's shortcuts (``kind`` empty), or those of its positives against one kind of negatives."""

    task: str
    kind: str
    scores: list[float | None]


def leak_rows(leakage: Mapping[str, Any]) -> list[LeakRow]:
    """A row a kind of leakage; of a dataset from before the other kinds were known, the first two."""
    kinds = leakage.get("kinds") or {kind: {"pairs": leakage[kind]} for kind in ("exact", "reverse_complement")}
    sizes = leakage.get("sizes") or {}
    rows = []
    for kind, found in kinds.items():
        held = found.get("rows") or {}
        valid, test = (_share(held.get(split), sizes.get(split)) for split in ("valid", "test"))
        repeats = found.get("repeat_share")
        shown = "-" if repeats is None else f"{repeats:.0%}"
        rows.append(LeakRow(_KINDS[kind], found["pairs"], valid, test, shown, found.get("reason", "")))
    return rows


def _share(count: int | None, of: int | None) -> str:
    if count is None:
        return "-"
    return f"{count:,} ({count / of:.1%})" if of and count else f"{count:,}"


def leak_sentence(leakage: Mapping[str, Any]) -> str:
    """What stands in two splits, in a sentence or two."""
    leaked, sizes = leakage.get("leaked_rows"), leakage.get("sizes") or {}
    if leakage["pairs"]:
        twins = leakage.get("rows", {}).get("test", 0)
        said = (
            f"{leakage['pairs']:,} pairs of identical or reverse-complement sequences stand in two splits; "
            f"{twins:,} test rows have a twin elsewhere."
        )
    else:
        said = "No sequence, and no reverse complement of one, stands in two splits."
    if leaked is None:
        return said
    if leaked["test"] > leakage["rows"]["test"]:
        placed = (leakage["kinds"].get("overlapping") or {}).get("pairs") is not None
        others = ["nearly equal (shifted among them)"] if leakage["searched"] else []
        said += (
            f" With {' and '.join([*others, *(['overlapping'] if placed else [])])} ones, "
            f"{_share(leaked['test'], sizes['test'])} of {sizes['test']:,} test rows have a partner in another split."
        )
    asked = leakage["searched"]
    if asked is None:
        return f"{said} Shifted and nearly equal sequences were not looked for."
    stretch = f"at least {asked['similarity']:.0%} alike over at least {asked['min_overlap']:.0%} of the shorter one"
    if leakage["near_rows"] is not None and not any(leakage["near_rows"].values()):
        return f"{said} Nothing nearly equal ({stretch}) does either."
    return f"{said} Nearly equal means {stretch}."


def example_sentences(leakage: Mapping[str, Any]) -> Iterator[str]:
    """The first example of each kind that was found, with where to look."""
    for kind, found in (leakage.get("kinds") or {}).items():
        for example in found.get("examples", [])[:1]:
            a, b = (row_words(row) for row in example["rows"])
            how = [f"{example['bases']:,} bases"]
            if kind not in ("exact", "overlapping"):
                how += ["the other strand"] if example["reverse"] else []
                how += [f"{example['identity']:.1%} alike", f"shift {example['shift']}"] if kind in _NEAR else []
            yield f"{_KINDS[kind]}: {a} and {b} ({', '.join(how)})"


_NEAR = ("shifted", "near_duplicate")


def row_words(row: Mapping[str, Any]) -> str:
    """A row by its split and whatever a person would find it by."""
    named = row.get("accession") or ""
    if row.get("chrom") and ":" not in named:
        named = f"{named} {row['chrom']}:{row['start']:,}-{row['end']:,}".strip()
    number = f"line {row['line']:,}" if row.get("line") else f"row {row['row']:,}"
    return f"{row['split']} {number}{f' ({named})' if named else ''}"


def repeat_sentence(leakage: Mapping[str, Any]) -> str:
    """How to read the repeats of rows that leak; empty where repeats are not known or nothing leaks."""
    overall = leakage.get("repeat_share")
    kinds = leakage.get("kinds") or {}
    if overall is None or all(found.get("repeat_share") is None for found in kinds.values()):
        return ""
    return (
        f"Repeats: mean share of soft-masked bases of the rows that leak; over all valid and test rows it is "
        f"{overall:.0%}. Where it is much higher, the partners are copies of one repeat family rather than one place."
    )


def shortcut_rows(shortcuts: Mapping[str, Any]) -> Iterator[ShortcutRow]:
    """A row a task, and below it one for each kind of negatives."""
    names = shortcut_names(shortcuts)
    for task, values in shortcuts["tasks"].items():
        yield ShortcutRow(task, "", [values.get(name) for name in names])
        for kind, of_kind in shortcuts.get("by_kind", {}).get(task, {}).items():
            yield ShortcutRow(task, kind, [of_kind.get(name) for name in names])


def shortcut_names(shortcuts: Mapping[str, Any]) -> list[str]:
    """The features that were tried and that the rows have, in order."""
    have = set().union(*shortcuts["tasks"].values()) if shortcuts["tasks"] else set()
    return [name for name in FEATURES if name in have and name not in shortcuts.get("absent", {})]


def shortcut_note(shortcuts: Mapping[str, Any]) -> str:
    """What is missing from the table of shortcuts, and why; empty when nothing is."""
    absent = shortcuts.get("absent", {})
    return " ".join(f"No {FEATURES[name]}: {why}." for name, why in absent.items())


#: The columns of :func:`neighbour_rows`.
NEIGHBOUR_HEADS = ("accuracy", "without", "profit", "AUROC", "without", "profit")


def neighbour_head(neighbours: Mapping[str, Any]) -> str:
    """What the table of :func:`neighbour_rows` is about."""
    return (
        f"{neighbours['sampled']:,} {neighbours['split']} rows, each answered with the label of its nearest training "
        f"row, and without the {neighbours['leaked']:,} that leak from training"
    )


def neighbour_rows(neighbours: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """A task and its cells: what the neighbour's label scores, without the rows that leak, and the difference."""
    for task, values in neighbours["tasks"].items():
        if "profit" not in values:
            yield task, ["-"] * len(NEIGHBOUR_HEADS)
            continue
        cells = []
        for metric in ("accuracy", "auroc"):
            both = [values[part][metric] for part in ("all", "without_leaked")]
            profit = values["profit"][metric]
            cells += ["-" if value is None else f"{value:.3f}" for value in both]
            cells.append("-" if profit is None else f"{profit:+.3f}")
        yield task, cells
