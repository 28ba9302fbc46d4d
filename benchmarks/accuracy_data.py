"""The data sets of ``accuracy.py``: files of ``$ENCRE_DATA`` made into tables that encre builds datasets from.

Every set has its published split, or the one of its row in the table; where there is no valid split, a tenth of the
training rows becomes one. Rows of the test split that share 50 words of 24 bases with a training row of the DHS data
are left out for every model and baseline alike (and counted), since models may begin with weights from there; not so
of REMO, whose test chromosome no DHS training row is from (2 of its 2,996 rows overlap one elsewhere). The
``_unseen`` sets leave out as well what shares as much with a training row of their own: copies that are still there.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl

import encre
from encre.reproducibility import stream
from encre.sequence.alphabet import decode
from encre.sources.dhs import CELL_LINES, LENGTH, DhsSettings, read_dhs

REPOSITORY = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("ENCRE_DATA", REPOSITORY.parent / "shared" / "data"))
WORD, SHARED, COMMON = 24, 50, 20
PARTS = (5_000, 10_000, 20_000)
"""Training rows of the learning curve, beside all 39,254."""
_OTHER = str.maketrans("ACGTN", "TGCAN")


def dhs(work: Path) -> Path:
    """The DHS data that the package ships, as the default model is trained on, and the 16 components as tasks."""
    return _build("dhs", {"kind": "dhs", "components": True}, work, shuffles=True)


def dhs_rows(work: Path, rows: int) -> Path:
    """So many training rows of the shipped DHS data, chosen at random, and its whole valid and test chromosomes."""
    source = read_dhs(DhsSettings(components=True))
    split, codes = source.table["split"], np.asarray(source.codes).reshape(-1, LENGTH)
    train = stream(0, "accuracy", "rows").permutation(np.flatnonzero((split == "train").to_numpy()))[:rows]
    kept = np.sort(np.concatenate([train, np.flatnonzero((split != "train").to_numpy())]))
    components = [task.name for task in source.tasks if task.group == "component"]
    table = source.table[kept].select("chrom", "start", "end", "split", "element", *CELL_LINES, *components)
    table = table.with_columns(pl.Series("sequence", [decode(codes[row]) for row in kept]))
    tasks = {"element": ["element"], "cell_line": list(CELL_LINES), "component": components}
    return _table(f"dhs_{rows}", table, tasks, work, shuffles=True)


def nt_raw(work: Path) -> Path:
    """Enhancers of the Nucleotide Transformer's benchmark, cleaned of copies."""
    return _nt("raw", work)


def nt_gcmatch(work: Path) -> Path:
    """The same, enhancers and the rest equal in GC."""
    return _nt("gcmatch", work)


def nt_raw_unseen(work: Path) -> Path:
    """``nt_raw`` without the test rows that a training row holds most of."""
    return _nt("raw", work, unseen=True)


def nt_gcmatch_unseen(work: Path) -> Path:
    """``nt_gcmatch`` without the test rows that a training row holds most of."""
    return _nt("gcmatch", work, unseen=True)


def _nt(kind: str, work: Path, *, unseen: bool = False) -> Path:
    folder = DATA / "benchmarks" / "nt_enhancers_cleaned"
    parts = [
        pl.read_csv(folder / f"{kind}_{split}.csv.gz").with_columns(pl.lit(split).alias("split"))
        for split in ("train", "test")
    ]
    table = _without_dhs(_with_valid(pl.concat(parts)))
    if unseen:
        own = table.filter(pl.col("split") == "train")["sequence"].to_list()
        table = _without(table, _words_of(own), what="the set's own data")
    return _table(f"nt_{kind}" + "_unseen" * unseen, table, {"enhancer": ["label"]}, work)


def ienhancer(work: Path) -> Path:
    """iEnhancer-2L, layer 1, its training part without the copies of test rows."""
    table = _without_dhs(_with_valid(_clean_ienhancer()))
    return _table("ienhancer", table, {"enhancer": ["label"]}, work)


def ienhancer_fold(work: Path, fold: int) -> Path:
    """One of five random folds of iEnhancer-2L's cleaned training part as the test split, the next one as valid."""
    table = _clean_ienhancer().filter(pl.col("split") == "train")
    number = pl.Series(stream(0, "accuracy", "ienhancer folds").permutation(table.height) % 5)
    split = pl.when(number == fold).then(pl.lit("test")).when(number == (fold + 1) % 5).then(pl.lit("valid"))
    table = _without_dhs(table.with_columns(split.otherwise(pl.lit("train")).alias("split")))
    return _table(f"ienhancer_{fold}", table, {"enhancer": ["label"]}, work)


def _clean_ienhancer() -> pl.DataFrame:
    table = pl.read_csv(DATA / "benchmarks" / "iEnhancer2L.csv").select("sequence", "label", "split")
    key = _canonical(table)
    copies = key.is_in(key.filter(table["split"] == "test").to_list()) & (table["split"] == "train")
    return table.filter(~copies)


def lentimpra(work: Path) -> Path:
    """Activity of inserts in HepG2, both orientations of an insert in one split: a fifth tests, a tenth validates."""
    table = pl.read_csv(DATA / "benchmarks" / "lentimpra_HepG2_val.tsv.gz", separator="\t")
    table = table.select(sequence="insert", activity="mean_value")
    key = _canonical(table).alias("insert")
    inserts = key.unique().sort()
    place = stream(0, "accuracy", "inserts").permutation(len(inserts)) / len(inserts)
    share = key.replace_strict(inserts, pl.Series(place))
    held_out = pl.when(share < 0.2).then(pl.lit("test")).when(share < 0.3).then(pl.lit("valid"))
    table = table.with_columns(held_out.otherwise(pl.lit("train")).alias("split"))
    return _table("lentimpra", _without_dhs(table), {"mpra": ["activity"]}, work, kind="regression")


def elements(work: Path) -> Path:
    """REMO elements against background of their lengths, test chr2."""
    return _table("elements", _remo(), {"element": ["element"]}, work)


def elements_gcmatch(work: Path) -> Path:
    """The same, with as many elements as background windows in every fiftieth of GC of each split."""
    table = _remo().with_columns(bin=(pl.col("gc") * 50).floor())
    order = stream(0, "accuracy", "gc").permutation(table.height)
    table = table.with_columns(order=pl.Series(order)).sort("order")
    group = ["split", "bin", "element"]
    counts = table.group_by(group).len().pivot("element", index=["split", "bin"], values="len").fill_null(0)
    fewest = counts.select("split", "bin", kept=pl.min_horizontal(pl.exclude("split", "bin")))
    table = table.join(fewest, on=["split", "bin"]).filter(pl.int_range(pl.len()).over(group) < pl.col("kept"))
    return _table("elements_gcmatch", table.drop("bin", "order", "kept"), {"element": ["element"]}, work)


def _remo() -> pl.DataFrame:
    table = pl.read_csv(DATA / "elements_vs_background" / "remo_cres_plus_background.tsv.gz", separator="\t")
    element = (pl.col("remo") != "background").cast(pl.Int8).alias("element")
    return table.select("chrom", "start", "end", "sequence", "gc", "split", element)


DATASETS: dict[str, Callable[[Path], Path]] = {
    "dhs": dhs,
    **{f"dhs_{n}": (lambda work, n=n: dhs_rows(work, n)) for n in PARTS},
    "nt_raw": nt_raw,
    "nt_raw_unseen": nt_raw_unseen,
    "nt_gcmatch": nt_gcmatch,
    "nt_gcmatch_unseen": nt_gcmatch_unseen,
    "ienhancer": ienhancer,
    "lentimpra": lentimpra,
    "elements": elements,
    "elements_gcmatch": elements_gcmatch,
    **{f"ienhancer_{n}": (lambda work, n=n: ienhancer_fold(work, n)) for n in range(5)},
}


def _canonical(table: pl.DataFrame) -> pl.Series:
    """The smaller, as text, of each sequence and its reverse complement."""
    return pl.Series([min(s, s.translate(_OTHER)[::-1]) for s in table["sequence"]])


def _with_valid(table: pl.DataFrame) -> pl.DataFrame:
    """A tenth of the training rows as the valid split, sequences that stand twice on one side."""
    key = _canonical(table)
    unique = key.unique().sort()
    chosen = unique.gather(np.sort(stream(0, "accuracy", "valid").permutation(len(unique))[: len(unique) // 10]))
    moved = key.is_in(chosen.to_list()) & (table["split"] == "train")
    return table.with_columns(pl.when(moved).then(pl.lit("valid")).otherwise(pl.col("split")).alias("split"))


def _without_dhs(table: pl.DataFrame) -> pl.DataFrame:
    """Without test rows that a training row of the DHS data holds most of."""
    return _without(table, _dhs_words(), what="the DHS data")


def _without(table: pl.DataFrame, words: dict[str, list[int]], *, what: str) -> pl.DataFrame:
    """Without test rows that share many words with one row."""
    found = [split == "test" and _overlaps(s, words) for s, split in table.select("sequence", "split").iter_rows()]
    print(f"  {sum(found)} of {table['split'].eq('test').sum()} test rows overlap training rows of {what}")
    return table.filter(~pl.Series(found))


def _overlaps(sequence: str, words: dict[str, list[int]]) -> bool:
    rows = Counter()
    for word in _words(sequence):
        if len(at := words.get(word, ())) < COMMON:  # a word of many elements is a repeat's
            rows.update(at)
    return bool(rows) and rows.most_common(1)[0][1] >= SHARED


@cache
def _dhs_words() -> dict[str, list[int]]:
    """Words of the DHS data's training rows, and the rows that hold each."""
    table = pl.read_csv(DATA / "dhs" / "dhs_200bp_4celltypes_hg38.tsv.gz", separator="\t")
    return _words_of(table.filter(pl.col("data_label") == "training")["sequence"].to_list())


def _words_of(sequences: list[str]) -> dict[str, list[int]]:
    """Words of sequences, and the numbers of those that hold each."""
    words: dict[str, list[int]] = {}
    for row, sequence in enumerate(sequences):
        for word in _words(sequence):
            words.setdefault(word, []).append(row)
    return words


def _words(sequence: str) -> set[str]:
    other, count = sequence.translate(_OTHER)[::-1], len(sequence) - WORD + 1
    return {min(sequence[i : i + WORD], other[count - 1 - i : count - 1 - i + WORD]) for i in range(count)}


def _table(
    name: str,
    table: pl.DataFrame,
    tasks: dict[str, list[str]],
    work: Path,
    *,
    kind: str = "tasks",
    shuffles: bool = False,
) -> Path:
    file = work / f"{name}.csv"
    table.write_csv(file)
    source = {"kind": "table", "file": str(file), kind: tasks, "split_column": "split"}
    return _build(name, source, work, shuffles=shuffles)


def _build(name: str, source: dict, work: Path, *, shuffles: bool = False) -> Path:
    recipe = {"name": name, "source": source, "sequence": {"mode": "element"}, "split": {"by": "column"}}
    if shuffles:
        recipe["negatives"] = {"kinds": ["dinucleotide_shuffle"], "per_element": 1}
    out = work / "data" / name
    if not (out / "manifest.json").is_file():
        encre.build_dataset(encre.DatasetConfig.parse(recipe, where=name), out=out)
    return out
