"""A synthetic registry, genome, tissue files and TSS in the sources' own forms, up to the size of SCREEN V4.

The genome has GRCh38's chromosomes (scaled down with the number of elements), isochores of different GC, N at the
telomeres and centromeres, soft-masked repeats, and a family of Alu-like copies. Elements and TSS prefer GC-rich
isochores, as real ones do, so that a random background is a poor match.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from encre.genome.assembly import GRCH38

FULL = 2_348_854
CLASSES = np.array(["PLS", "pELS", "dELS", "CA-CTCF", "CA-H3K4me3", "CA-TF", "CA", "TF"])
SHARES = np.array([47_532, 249_464, 1_469_205, 126_034, 79_246, 26_102, 245_985, 105_286]) / FULL
TISSUES = ("brain", "blood", "muscle", "skin", "lung", "embryo", "large_intestine", "heart", "kidney")
_LINE = 60
_ISOCHORE = 50_000
_GC = np.array([0.36, 0.38, 0.40, 0.42, 0.45, 0.48, 0.52, 0.57])
_SLOT = 600  # one element at most in each: they never overlap


class Paths(NamedTuple):
    """Where :func:`make` wrote what."""

    config: Path
    genome: Path
    registry: Path
    tss: Path


def make(folder: Path, elements: int, *, seed: int = 0) -> Paths:
    """Write ``genome.fa``, ``registry.bed``, a file a tissue, ``tss.bed`` and ``dataset.toml``.

    Elements are 150-350 bp, about one per 1.3 kb; classes in the shares of V4.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    lengths = chromosome_lengths(elements)
    gc = {name: rng.choice(len(_GC), -(-length // _ISOCHORE)) for name, length in lengths.items()}
    alu = np.frombuffer(b"ACGT", np.uint8)[rng.integers(0, 4, 300)]
    with (folder / "genome.fa").open("wb") as handle:
        for name, length in lengths.items():
            handle.write(f">{name}\n".encode())
            for part in _letters(length, gc[name], alu, rng):
                handle.write(part)
    table = _elements(elements, lengths, gc, rng)
    _write_tables(folder, table, rng)
    _write_tss(folder / "tss.bed", table, lengths, rng)
    return Paths(_write_config(folder, elements), folder / "genome.fa", folder / "registry.bed", folder / "tss.bed")


def chromosome_lengths(elements: int) -> dict[str, int]:
    """GRCh38's chromosomes without M; shorter in proportion when there are fewer elements than V4 has."""
    scale = min(1.0, elements / FULL)
    whole = {name: length for name, length in GRCH38.lengths.items() if name != "chrM"}
    return whole if scale == 1 else {name: max(int(length * scale), 20_000) for name, length in whole.items()}


def _letters(length: int, gc: np.ndarray, alu: np.ndarray, rng: np.random.Generator) -> Iterator[bytes]:
    """The FASTA lines of a chromosome, in parts of a few megabytes."""
    tables = np.array([_table(share) for share in _GC])
    step = _ISOCHORE * _LINE  # whole isochores and whole lines
    for begin in range(0, length, step):
        size = min(step, length - begin)
        kinds = gc[begin // _ISOCHORE : -(-(begin + size) // _ISOCHORE)]
        raw = np.frombuffer(rng.bytes(len(kinds) * _ISOCHORE), np.uint8).reshape(len(kinds), -1)
        text = np.concatenate([tables[kind][row] for kind, row in zip(kinds, raw, strict=True)])[:size]
        _add_repeats(text, alu, rng)
        edge = min(10_000, length // 100)
        for low, high in ((0, edge), (length - edge, length), (length // 3, length // 3 + length // 40)):
            text[max(low - begin, 0) : max(high - begin, 0)] = ord("N")
        lines = np.full((-(-size // _LINE), _LINE + 1), ord("\n"), np.uint8)
        whole = size // _LINE
        lines[:whole, :_LINE] = text[: whole * _LINE].reshape(whole, _LINE)
        tail = text[whole * _LINE :]
        yield lines[:whole].tobytes() + (tail.tobytes() + b"\n" if len(tail) else b"")


def _table(gc: float) -> np.ndarray:
    """Letter of each random byte, in upper case, so that the share ``gc`` of them is G or C."""
    strong = round(256 * gc / 2)
    weak = 128 - strong
    return np.frombuffer(b"G" * strong + b"C" * strong + b"A" * weak + b"T" * weak, np.uint8)


def _add_repeats(text: np.ndarray, alu: np.ndarray, rng: np.random.Generator) -> None:
    """Soft-mask runs of about a third of the text, and put diverged copies of ``alu`` into some, in place."""
    starts = np.arange(200, len(text) - 1200, 1500)
    if not len(starts):
        return
    masked = np.lib.stride_tricks.sliding_window_view(text, 500, writeable=True)
    masked[starts + rng.integers(0, 500, len(starts))] |= 32
    places = starts[rng.random(len(starts)) < 0.5] + 1000 - 300
    copies = np.tile(alu | 32, (len(places), 1))
    changed = rng.random(copies.shape) < 0.12
    copies[changed] = np.frombuffer(b"acgt", np.uint8)[rng.integers(0, 4, int(changed.sum()))]
    np.lib.stride_tricks.sliding_window_view(text, 300, writeable=True)[places] = copies


def _elements(
    count: int, lengths: dict[str, int], gc: dict[str, np.ndarray], rng: np.random.Generator
) -> pl.DataFrame:
    """``chrom, start, end, class`` in genome order, one element a slot, GC-rich isochores first choice."""
    names, slots, weights = [], [], []
    for number, (name, length) in enumerate(lengths.items()):
        edge, third = min(10_000, length // 100), length // 3
        slot = np.arange(edge // _SLOT + 1, (length - edge) // _SLOT - 1)
        slot = slot[(slot * _SLOT + _SLOT < third) | (slot * _SLOT > third + length // 40)]
        names.append(np.full(len(slot), number))
        slots.append(slot)
        weights.append(_GC[gc[name][slot * _SLOT // _ISOCHORE]] ** 4)
    number, slot, weight = map(np.concatenate, (names, slots, weights))
    drawn = np.sort(np.argsort(rng.exponential(size=len(slot)) / weight)[:count])
    assert len(drawn) == count
    start = slot[drawn] * _SLOT + rng.integers(0, _SLOT - 350, count)
    frame = pl.DataFrame(
        {
            "chrom": np.array(list(lengths))[number[drawn]],
            "start": start,
            "end": start + rng.integers(150, 351, count),
        }
    )
    return frame.with_columns(pl.Series("class", rng.choice(CLASSES, count, p=SHARES)))


def _write_tables(folder: Path, table: pl.DataFrame, rng: np.random.Generator) -> None:
    number = pl.int_range(table.height).cast(pl.String).str.zfill(7)
    named = table.with_columns(d=pl.lit("EH38D") + number, e=pl.lit("EH38E") + number)
    plain = {"separator": "\t", "include_header": False, "quote_style": "never"}
    named.select("chrom", "start", "end", "d", "e", "class").write_csv(folder / "registry.bed", **plain)
    position = ["chrom", "start", "end"]
    for tissue in TISSUES:
        on = pl.Series(rng.random(table.height) < 0.3)
        here = pl.when(on & (pl.col("class") != "TF")).then(pl.col("class").replace("CA", "CA-only"))
        named.select(
            *position,
            "e",
            zero=pl.lit("0"),
            dot=pl.lit("."),
            thick=pl.col("start"),
            thin=pl.col("end"),
            colour=pl.lit("225,225,225"),
            here=here.otherwise(pl.lit("Low-DNase")),
            remark=pl.lit("Aggregated-Samples"),
        ).write_csv(folder / f"{tissue}.bed", **plain)


def _write_tss(path: Path, table: pl.DataFrame, lengths: dict[str, int], rng: np.random.Generator) -> None:
    """One TSS per 40 elements, most of them beside one, in SCREEN's form (start = end, 1-based)."""
    beside = table.gather(np.sort(rng.choice(table.height, max(table.height // 40, 60), replace=False)))
    end = beside["chrom"].replace_strict(lengths, return_dtype=pl.Int64)
    place = (beside["start"] + pl.Series(rng.normal(0, 3000, beside.height).astype(np.int64))).clip(1, end)
    beside.select("chrom", start=place, end=place, name=pl.lit("T"), dot=pl.lit("."), strand=pl.lit("+")).write_csv(
        path, separator="\t", include_header=False, quote_style="never"
    )


def _write_config(folder: Path, elements: int) -> Path:
    config = folder / "dataset.toml"
    tissues = "\n".join(f'{tissue} = "{tissue}.bed"' for tissue in TISSUES)
    assembly = "GRCh38" if elements >= FULL else "custom:synthetic"
    config.write_text(
        f'[source]\nkind = "screen"\nregistry = "registry.bed"\ngenome = "genome.fa"\nassembly = "{assembly}"\n'
        f'[source.tissues]\n{tissues}\n[split]\nby = "chromosome"\ntest = ["chr1", "chr22"]\nvalid = ["chr21"]\n'
    )
    return config
