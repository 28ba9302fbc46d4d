"""Predicted effects of substitutions against measured ones: saturation mutagenesis of regulatory elements, zero-shot.

    python benchmarks/saturation.py [RUN …] [--write] [--json]

Measured: Kircher et al. (Nat. Commun. 10:3583, 2019), the files of ``saturation_mutagenesis_dev`` in ``$ENCRE_DATA``
(GRCh38 rows, substitutions of one base seen with 10 barcodes or more): log2 of the change of a reporter's activity.
Predicted: the change of each logit, both strands averaged, in the window of the model that is centred on the
substitution, moved inwards where it would leave the element: a reporter holds no more of the genome than that.
MSMB lies on the other strand in GRCh37; only GRCh38's rows and sequence are read. An unknown base stays N.

Correlations have 95 % intervals from resamples of blocks of 10 neighbouring positions, since the bases of one motif
stand or fall together. Controls: the tasks of the wrong cells, the change of GC, and the 5-mer regression on the DHS
data, which sees the same windows. Full tables are those of the model that the package ships; each RUN adds its means.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from page import put
from scipy.stats import rankdata

import encre
from encre.evaluation.bootstrap import Estimate, describe, mean_estimate, regression
from encre.models.baselines import Kmer5
from encre.models.substitution import Substitutions, substituted_logits
from encre.predict.predictor import Predictor
from encre.reproducibility import stream
from encre.sequence.alphabet import encode_many
from encre.sequence.flat import offsets_of

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = REPOSITORY / "docs" / "variants.md"
FEWEST_BARCODES, BLOCK, RESAMPLES = 10, 10, 1000

#: The cells in which each element was measured, from the table of Kircher et al. 2019; mouse cells are marked. What
#: the data calls GP1BA is the promoter of GP1BB there.
MEASURED_IN = {
    "BCL11A": "HEL 92.1.7",
    "FOXE1": "HeLa",
    "GP1BA": "HEL 92.1.7",
    "HBB": "HEL 92.1.7",
    "HBG1": "HEL 92.1.7",
    "HNF4A": "HEK293T",
    "IRF6": "HaCaT",
    "MSMB": "HEK293T",
    "MYCrs11986220": "LNCaP",
    "MYCrs6983267": "HEK293T",
    "RET": "Neuro-2a (mouse)",
    "TCF7L2": "MIN6 (mouse)",
    "UC88": "Neuro-2a (mouse)",
    "ZRSh-13": "NIH/3T3 (mouse)",
    "ZRSh-13h2": "NIH/3T3 (mouse)",
}
#: Tasks that stand for those cells. HEL and K562 are both erythroleukaemia lines; HaCaT are keratinocytes. The others
#: have no near relative among the tasks of any model here.
STANDS_FOR = {"HEL 92.1.7": ("K562", "blood"), "HaCaT": ("skin",)}

INTRODUCTION = """\
`python benchmarks/saturation.py` compares what the model predicts, zero-shot, with what reporters measured:
saturation mutagenesis of regulatory elements (Kircher et al., Nat. Commun. 10:3583, 2019; substitutions seen with 10
barcodes or more, GRCh38). A prediction is the change of a logit, both strands averaged, in the model's window around
the substitution, inside the element. Intervals (95 %) are from resamples of blocks of 10 neighbouring positions. HEL
92.1.7 and K562 are both erythroleukaemia lines: K562's task is the matching one there. The other elements were
measured in cells, some of them of mice, that the model does not know. A task that tells one cell line from the others
is pushed down by what pushes another up, so that wrong cells mirror the matching one: the absolute value is the
stricter control."""
AGAIN = "The same element measured twice (ZRS, with HOXD13 and with HOXD13 and HAND2) agrees with itself by {:.2f}."


class Element(NamedTuple):
    """One element and its M substitutions.

    Parameters
    ----------
    name
        As the data calls it.
    codes
        (L,) uint8.
    place, base
        (M,) 0-based position in the element, and the code that stands there instead.
    measured
        (M,) log2 effect.
    """

    name: str
    codes: np.ndarray
    place: np.ndarray
    base: np.ndarray
    measured: np.ndarray


def read_elements(folder: Path) -> list[Element]:
    """The elements in the order of the file; every REF is compared with the element's sequence."""
    reference = pl.read_csv(folder / "elements_reference.tsv", separator="\t").filter(release="GRCh38")
    variants = pl.read_csv(folder / "elements_variants.tsv.gz", separator="\t").filter(Release="GRCh38")
    found = []
    for row in reference.iter_rows(named=True):
        single = (pl.col("Alt").str.len_bytes() == 1) & (pl.col("Alt") != "-")
        mine = variants.filter(pl.col("Element") == row["element"], single, pl.col("Barcodes") >= FEWEST_BARCODES)
        codes = encode_many([row["sequence"]])[0]
        place = mine["Pos"].to_numpy() - row["start"] - 1
        base = encode_many(["".join(mine["Alt"])])[0]
        assert (codes[place] == encode_many(["".join(mine["Ref"])])[0]).all(), f"{row['element']}: REF differs"
        found.append(Element(row["element"], codes, place, base, mine["Coefficient"].to_numpy()))
    return found


def windows_of(element: Element, width: int) -> tuple[np.ndarray, Substitutions]:
    """Windows (R, width) and the substitutions in them; an element shorter than that stands in the middle of N."""
    codes, place = element.codes, element.place
    if (short := width - len(codes)) > 0:
        codes = np.pad(codes, (short // 2, short - short // 2), constant_values=4)
        place = place + short // 2
    start = np.clip(place - width // 2, 0, len(codes) - width)
    starts, row = np.unique(start, return_inverse=True)
    rows = np.lib.stride_tricks.sliding_window_view(codes, width)[starts]
    return np.ascontiguousarray(rows), Substitutions(row, place - start, element.base[:, None])


def effects_of(predictor: Predictor, element: Element) -> np.ndarray:
    """Change of each logit (M, K)."""
    rows, changes = windows_of(element, predictor.window)
    before, after = substituted_logits(predictor.model, rows, changes)
    return after - before[changes.row]


def gc_change(element: Element) -> np.ndarray:
    """+1 where an A or T becomes C or G, -1 the other way, else 0."""
    strong = np.isin(np.stack([element.base, element.codes[element.place]]), (1, 2)).astype(float)
    return strong[0] - strong[1]


def kmer_effects(baseline: Kmer5, element: Element, width: int) -> np.ndarray:
    """Change of the 5-mer regression's logits (M, K) in the same windows."""
    rows, changes = windows_of(element, width)
    changed = rows[changes.row]
    changed[np.arange(len(changed)), changes.start] = changes.bases[:, 0]
    before, after = (baseline.logits(part.ravel(), offsets_of(np.full(len(part), width))) for part in (rows, changed))
    return after - before[changes.row]


def kmer_baseline(folder: Path) -> tuple[Kmer5, list[str]]:
    """The 5-mer regression on the training split of the DHS data, and its tasks."""
    table = pl.read_csv(folder / "dhs_200bp_4celltypes_hg38.tsv.gz", separator="\t")
    table = table.filter(pl.col("data_label") == "training")
    columns = [column for column in table.columns if "_ENCL" in column]
    targets = table.select(columns).to_numpy().astype(np.float32)
    codes, offsets = encode_many(table["sequence"].to_list())
    fitted = Kmer5().fit(codes, offsets, targets, np.ones(targets.shape, bool))
    return fitted, [column.split("_")[0] for column in columns]


class Agreement(NamedTuple):
    """Pearson and Spearman of one prediction against what was measured, each with its draws."""

    pearson: Estimate
    spearman: Estimate


def agreement(element: Element, predicted: np.ndarray) -> Agreement:
    """Correlations over the M substitutions; the draws depend on the element alone, so differences are paired."""
    blocks = np.unique(element.place // BLOCK, return_inverse=True)[1]
    count = int(blocks.max()) + 1
    rng = stream(0, "saturation", element.name)
    weights = rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES).astype(np.float64)
    pairs = ((element.measured, predicted), (rankdata(element.measured), rankdata(predicted)))
    return Agreement(*(regression(a, b, codes=blocks, weights=weights)["pearson"] for a, b in pairs))


def less(a: Estimate, b: Estimate) -> Estimate:
    """The paired difference of two estimates."""
    return Estimate(a.value - b.value, a.draws - b.draws)


def size_of(estimate: Estimate) -> Estimate:
    """Its absolute value."""
    return Estimate(abs(estimate.value), np.abs(estimate.draws))


def matching_task(element: str, tasks: list[str]) -> str | None:
    """The task that stands for the cells of an element, if the model has it."""
    return next((task for task in STANDS_FOR.get(MEASURED_IN[element], ()) if task in tasks), None)


# -------------------------------------------------------------------------------------------------- judging


class Judged(NamedTuple):
    """One element: agreement by task, the task that matches, and the controls."""

    element: Element
    by_task: dict[str, Agreement]
    matching: str | None
    gc: Agreement
    kmer: Agreement | None

    def wrong(self, cells: list[str]) -> Estimate:
        """Mean Pearson of the other cells' tasks."""
        return mean_estimate([self.by_task[task].pearson for task in cells if task != self.matching])


def judge(predictor: Predictor, elements: list[Element], kmers: tuple[Kmer5, list[str]] | None) -> list[Judged]:
    """Every element against every task."""
    tasks, found = list(predictor.tasks.names), []
    for element in elements:
        predicted = effects_of(predictor, element)
        by_task = {task: agreement(element, predicted[:, k]) for k, task in enumerate(tasks)}
        matching, kmer = matching_task(element.name, tasks), None
        if kmers is not None and matching in kmers[1]:
            counted = kmer_effects(kmers[0], element, predictor.window)
            kmer = agreement(element, counted[:, kmers[1].index(matching)])
        found.append(Judged(element, by_task, matching, agreement(element, gc_change(element)), kmer))
    return found


def cells_of(predictor: Predictor) -> list[str]:
    """The cells or tissues among which one may be the right one: the groups that hold a task of ``STANDS_FOR``."""
    names, stand_ins = predictor.tasks.names, {task for tasks in STANDS_FOR.values() for task in tasks}
    groups = [[names[at] for at in places] for places in predictor.tasks.groups.values()]
    return [name for group in groups if stand_ins.intersection(group) for name in group]


class Summary(NamedTuple):
    """Means over the elements whose cells the model knows: of Pearson, and of its absolute value (``size_…``)."""

    elements: int
    matching: Estimate
    wrong: Estimate
    difference: Estimate
    gc: Estimate
    kmer: Estimate | None
    beyond_kmer: Estimate | None
    size_matching: Estimate
    size_wrong: Estimate
    size_difference: Estimate


def summarise(judged: list[Judged], cells: list[str]) -> Summary | None:
    """None when no element matches."""
    known = [one for one in judged if one.matching]
    if not known:
        return None
    right = [one.by_task[str(one.matching)].pearson for one in known]
    others = [[one.by_task[task].pearson for task in cells if task != one.matching] for one in known]
    kmer = [one.kmer.pearson for one in known if one.kmer is not None]
    counted = len(kmer) == len(known)
    return Summary(
        len(known),
        *against_wrong(right, others),
        mean_estimate([one.gc.pearson for one in known]),
        mean_estimate(kmer) if counted else None,
        less(mean_estimate(right), mean_estimate(kmer)) if counted else None,
        *against_wrong([size_of(one) for one in right], [[size_of(one) for one in parts] for parts in others]),
    )


def against_wrong(right: list[Estimate], others: list[list[Estimate]]) -> tuple[Estimate, Estimate, Estimate]:
    """Means over elements: in the matching cell, in the wrong ones, and of the paired differences."""
    wrong = [mean_estimate(parts) for parts in others]
    apart = [less(a, b) for a, b in zip(right, wrong, strict=True)]
    return mean_estimate(right), mean_estimate(wrong), mean_estimate(apart)


# --------------------------------------------------------------------------------------------------- saying


def shown(estimate: Estimate, *, interval: bool = True) -> str:
    """``.12 (.05 to .19)``, or the value alone."""
    known = describe(estimate)
    if known["value"] is None:
        return "-"
    if not interval or known["low"] is None:
        return f"{known['value']:z.2f}"
    return f"{known['value']:z.2f} ({known['low']:z.2f} to {known['high']:z.2f})"


def every_task(judged: list[Judged]) -> str:
    """A row an element, a column a task: Pearson / Spearman; the matching task in bold."""
    tasks = list(judged[0].by_task)
    lines = [
        f"| element | measured in | substitutions | {' | '.join(tasks)} | GC |",
        f"|---|---|---|{'---|' * (len(tasks) + 1)}",
    ]
    for one in judged:
        cells = []
        for task, found in one.by_task.items():
            text = f"{shown(found.pearson, interval=False)} / {shown(found.spearman, interval=False)}"
            cells.append(f"**{text}**" if task == one.matching else text)
        name, count = one.element.name, len(one.element.measured)
        gc = shown(one.gc.pearson, interval=False)
        lines.append(f"| {name} | {MEASURED_IN[name]} | {count:,} | {' | '.join(cells)} | {gc} |")
    means = [shown(mean_estimate([one.by_task[task].pearson for one in judged])) for task in tasks]
    gc = shown(mean_estimate([one.gc.pearson for one in judged]))
    lines.append(f"| mean, Pearson | | | {' | '.join(means)} | {gc} |")
    return "\n".join(lines)


def matching_table(judged: list[Judged], cells: list[str]) -> str:
    """The elements whose cells the model knows, with intervals and controls."""
    lines = [
        "| element | task | Pearson | Spearman | wrong cells, Pearson | difference | GC | 5-mers |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in judged:
        if one.matching is None:
            continue
        right, wrong = one.by_task[one.matching], one.wrong(cells)
        kmer = shown(one.kmer.pearson) if one.kmer else "-"
        values = (right.pearson, right.spearman, wrong, less(right.pearson, wrong), one.gc.pearson)
        lines.append(f"| {one.element.name} | {one.matching} | {' | '.join(map(shown, values))} | {kmer} |")
    return "\n".join(lines)


def in_words(summary: Summary | None) -> str:
    """What was found, in three sentences."""
    if summary is None:
        return "No task of this model stands for the cells of any element: there is nothing to match."
    kmer = ""
    if summary.kmer and summary.beyond_kmer:
        kmer = f", {shown(summary.kmer)} for the 5-mer regression ({verdict(summary.beyond_kmer)})"
    return (
        f"Mean Pearson over the {summary.elements} elements whose cells the model knows: {shown(summary.matching)} "
        f"in the matching cell, {shown(summary.wrong)} in the wrong ones ({verdict(summary.difference)}), "
        f"{shown(summary.gc)} for the change of GC{kmer}. Its absolute value: {shown(summary.size_matching)} in the "
        f"matching cell, {shown(summary.size_wrong)} in the wrong ones ({verdict(summary.size_difference)})."
    )


def verdict(difference: Estimate) -> str:
    """The difference with its interval, and whether that lies above zero."""
    low = describe(difference).get("low")
    above = low is not None and low > 0
    return f"difference {shown(difference)}, {'above zero' if above else 'not shown to be above zero'}"


def plain(summary: Summary | None) -> dict[str, object]:
    """The summary as plain values."""
    values = summary._asdict() if summary else {}
    return {name: describe(value) if isinstance(value, Estimate) else value for name, value in values.items()}


def section_of(predictor: Predictor, judged: list[Judged]) -> str:
    """One model's tables."""
    cells = cells_of(predictor)
    parts = [f"**{predictor.name}**: {in_words(summarise(judged, cells))}"]
    if any(one.matching for one in judged):
        parts.append(matching_table(judged, cells))
    parts += ["Every element and task, Pearson / Spearman; the matching task is bold:", every_task(judged)]
    return "\n\n".join(parts)


def models_table(summaries: dict[str, Summary | None]) -> str:
    """A row a model: the means over the elements whose cells it knows."""
    lines = [
        "| model | matching cell | wrong cells | difference | matching, absolute | difference of absolutes |",
        "|---|---|---|---|---|---|",
    ]
    for name, found in summaries.items():
        if found is None:
            lines.append(f"| {name} | no task stands for the cells of any element | | | | |")
            continue
        values = (found.matching, found.wrong, found.difference, found.size_matching, found.size_difference)
        lines.append(f"| {name} | {' | '.join(map(shown, values))} |")
    return "\n".join(lines)


def repeated(elements: list[Element]) -> float:
    """Pearson of the two experiments on ZRS (HOXD13, and HOXD13 with HAND2), where both measured a substitution."""
    one, two = (next(e for e in elements if e.name == name) for name in ("ZRSh-13", "ZRSh-13h2"))
    frames = (pl.DataFrame({"place": e.place, "base": e.base, "effect": e.measured}) for e in (one, two))
    both = next(frames).join(next(frames), on=["place", "base"])
    return float(np.corrcoef(both["effect"], both["effect_right"])[0, 1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="*", help="run folders to set beside the shipped model")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/variants.md")
    parser.add_argument("--json", action="store_true", help="print one JSON line a model instead of the tables")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = Path(os.environ.get("ENCRE_DATA", REPOSITORY.parent / "shared" / "data"))
    folder = data / "benchmarks" / "saturation_mutagenesis_dev"
    if not folder.is_dir():
        raise SystemExit(f"there is no {folder} (set ENCRE_DATA)")
    elements = read_elements(folder)
    kmers = kmer_baseline(data / "dhs")
    parts: list[str] = [INTRODUCTION]
    summaries: dict[str, Summary | None] = {}
    for run in [None, *options.runs]:
        predictor = encre.load(run, device="cpu")
        judged = judge(predictor, elements, kmers)
        if run is None:
            parts.append(section_of(predictor, judged))
        summaries[predictor.name] = summarise(judged, cells_of(predictor))
        if options.json:
            print(json.dumps({"model": predictor.name, "means": plain(summaries[predictor.name])}))
    if options.runs:
        parts.append(f"Other models beside it, the same means:\n\n{models_table(summaries)}")
    text = "\n\n".join([*parts, AGAIN.format(repeated(elements))])
    if not options.json:
        print(text)
    if options.write:
        put(text, PAGE, "saturation", heading="## Against measured effects")


if __name__ == "__main__":
    main()
