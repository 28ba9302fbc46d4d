"""Raw files to an audited dataset at the size of SCREEN V4, measured in one run.

    python benchmarks/registry_scale.py [--quick] [--json] [--only TEXT]

Rows: import of a 3.1 Gb FASTA against reading and writing its bytes; the build of 2,348,854 elements with nine tissue
files, and how its cost grows; the same work as pandas merges and a pyfaidx loop; near-duplicate clusters against
planted pairs and a slow exact method; matched background; signals from a bigWig; builds that are killed and begun
again. Everything is synthetic (``synthetic.py``, ``planted.py``). Every part runs in a process of its own, so that
its peak memory is its own.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import planted
import polars as pl
from rows import Rows, arguments
from synthetic import FULL, TISSUES, Paths, make

import encre
from encre.data.clusters import ClusterSettings
from encre.data.negatives import NegativeSettings, genomic_negatives
from encre.data.rows import Rows as ElementRows
from encre.genome.signal import SignalTrack
from encre.ledger import Ledger
from encre.sequence.flat import take_flat
from encre.sequence.near_duplicates import near_duplicate_clusters, near_duplicate_pairs

CHR22 = 50_818_468


class Apart(NamedTuple):
    """What a function gave in a process of its own, its wall seconds, and the peak memory of that process."""

    value: Any
    seconds: float
    megabytes: float


def apart(work: Callable[..., Any], *given: Any) -> Apart:
    """Run ``work(*given)`` in a fresh process."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_report, args=(queue, work, given))
    process.start()
    found = queue.get()
    process.join()
    return Apart(*found)


def _report(queue: Any, work: Callable[..., Any], given: tuple[Any, ...]) -> None:
    begun = time.perf_counter()
    value = work(*given)
    seconds = time.perf_counter() - begun
    queue.put((value, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


# --------------------------------------------------------------------------------------------------- import


def import_genome(path: Path, assembly: str, cache: Path) -> int:
    return sum(encre.Genome(path, assembly=assembly, cache=cache).lengths.values())


def read_and_write(path: Path, out: Path, size: int) -> None:
    """The least that an import can do: read the FASTA's bytes, write as many as the cache has."""
    block = 4 << 20
    with path.open("rb") as source, out.open("wb") as target:
        while part := source.read(block):
            target.write(part[: min(len(part), size)])
            size -= min(len(part), size)


def genome_import(rows: Rows, paths: Paths, work: Path, assembly: str) -> None:
    ratios, seconds, peaks = [], [], []
    for turn in range(3):
        cache = work / f"import{turn}"
        ours = apart(import_genome, paths.genome, assembly, cache)
        bytes_only = apart(read_and_write, paths.genome, work / "copy", ours.value)
        (work / "copy").unlink()
        shutil.rmtree(cache)
        ratios.append(ours.seconds / bytes_only.seconds)
        seconds.append(ours.seconds)
        peaks.append(ours.megabytes / 1024)
    size = paths.genome.stat().st_size / 1e9
    rows.add(f"import of a {size:.1f} GB FASTA / reading and writing its bytes", ratios, "x", target=2, at_most=True)
    rows.add(f"import of a {size:.1f} GB FASTA", seconds, "s", target=90, at_most=True)
    rows.add(f"import of a {size:.1f} GB FASTA, peak memory", peaks, "GB", target=1, at_most=True)


# ---------------------------------------------------------------------------------------------------- build


def build(config: Path, out: Path) -> int:
    return len(encre.build_dataset(encre.DatasetConfig.from_toml(config), out=out))


def pandas_way(folder: Path, count: int) -> None:
    """Merges, a pyfaidx fetch an element, canonical form and MD5: the same rows as our table, nothing else."""
    import pandas as pd
    import pyfaidx

    table = pd.read_csv(
        folder / "registry.bed", sep="\t", header=None, names=["chrom", "start", "end", "d", "e", "c"]
    )
    names = ["chrom", "start", "end", "e", "s", "st", "ts", "te", "rgb", "here", "data"]
    for tissue in TISSUES:
        other = pd.read_csv(folder / f"{tissue}.bed", sep="\t", header=None, names=names)
        table = table.merge(other[["e", "here"]].rename(columns={"here": tissue}), on="e", how="left")
        table[tissue] = table[tissue].isin(["pELS", "dELS"]).astype("float32")
    fasta = pyfaidx.Fasta(str(folder / "genome.fa"), sequence_always_upper=True)
    turned = str.maketrans("ACGT", "TGCA")
    groups, sequences = [], []
    for chrom, start, end in zip(table["chrom"], table["start"], table["end"], strict=True):
        sequence = fasta[chrom][start:end].seq
        other = sequence.translate(turned)[::-1]
        sequences.append(sequence)
        groups.append(hashlib.md5(min(sequence, other).encode()).hexdigest())
    assert len(table) == count
    table.assign(group=groups, sequence=sequences).to_parquet(folder / "pandas.parquet")


def dataset_build(rows: Rows, full: Paths, work: Path, *, sizes: list[int]) -> None:
    """The whole build at several sizes; the genome is imported beforehand, which the row above measures."""
    took, last = {}, None
    for count in sizes:
        paths = full if count == sizes[-1] else make(work / f"sized{count}", count)
        apart(import_genome, paths.genome, assembly_of(count), Path(os.environ["ENCRE_CACHE"]))
        last = apart(build, paths.config, work / f"dataset{count}")
        took[count] = last.seconds
    assert last is not None
    count = sizes[-1]
    disk = sum(file.stat().st_size for file in (work / f"dataset{count}").iterdir()) / 1e9
    name = f"build of {count:,} elements, nine tissue files, exact audit"
    rows.add(name, [last.seconds], "s", target=90, at_most=True)
    rows.add(f"{name}, peak memory", [last.megabytes / 1024], "GB", target=4, at_most=True)
    rows.add(f"{name}, on disk", [disk], "GB", target=1, at_most=True)
    exponent = float(np.polyfit(np.log(list(took)), np.log(list(took.values())), 1)[0])
    rows.add(
        f"build: exponent of seconds over {sizes[0]:,} to {count:,} elements",
        [exponent],
        "",
        target=1.1,
        at_most=True,
    )


def against_pandas(rows: Rows, paths: Paths, work: Path, *, count: int) -> None:
    """Both as a process of its own, imports included; encre also audits, writes digests and packs."""
    apart(import_genome, paths.genome, assembly_of(count), Path(os.environ["ENCRE_CACHE"]))
    name = f"build of {count:,} elements: pandas merges and a pyfaidx loop / encre"
    try:
        import pyfaidx

        pyfaidx.Faidx(str(paths.genome)).close()  # its index, as our cache, is made before the clock
    except ImportError:
        rows.skip(name, "x", 1, "pyfaidx is not installed (make benchmark installs it)")
        return
    ratios = []
    for turn in range(2):
        ours = apart(build, paths.config, work / f"ours{turn}")
        theirs = apart(pandas_way, paths.config.parent, count)
        ratios.append(theirs.seconds / ours.seconds)
    rows.add(name, ratios, "x", target=1)


def assembly_of(count: int) -> str:
    return "GRCh38" if count >= FULL else "custom:synthetic"


# --------------------------------------------------------------------------------------------------- killed


def folder_bytes(folder: Path) -> dict[str, str]:
    return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(folder.iterdir())}


def killed(rows: Rows, work: Path, *, count: int, times: int) -> None:
    """Builds killed at random moments and begun again, against one that was left alone."""
    paths = make(work / "killed", count)
    environment = os.environ | {"SOURCE_DATE_EPOCH": "1700000000"}

    def command(out: Path) -> list[str]:
        return [sys.executable, "-m", "encre", "-q", "data", "build", str(paths.config), "--out", str(out)]

    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    begun = time.perf_counter()
    subprocess.run(command(work / "alone"), env=environment, check=True, **quiet)
    whole, wanted = time.perf_counter() - begun, folder_bytes(work / "alone")
    moments, same = random.Random(0), 0
    for turn in range(times):
        out = work / f"again{turn}" / "set"
        with subprocess.Popen(command(out), env=environment, **quiet) as process:
            time.sleep(moments.uniform(0.1, 1.0) * whole)
            process.kill()
        if not out.exists():
            subprocess.run(command(out), env=environment, check=True, **quiet)
        same += folder_bytes(out) == wanted and [p.name for p in out.parent.iterdir()] == ["set"]
    rows.add(
        f"builds killed at a random moment and begun again with the same bytes, of {times}", [same], "", target=times
    )


# -------------------------------------------------------------------------------------------------- clusters


def cluster(dataset: Path, pairs: int) -> tuple[float, dict[str, float]]:
    """Cluster a dataset's sequences with planted pairs among them: seconds, and recall by kind of change."""
    data = encre.Dataset.open(dataset)
    codes, offsets, truth = planted.plant(data.codes, data.offsets, np.random.default_rng(1), pairs=pairs)
    begun = time.perf_counter()
    labels = near_duplicate_clusters(codes, offsets, similarity=0.9, min_overlap=0.5)
    seconds = time.perf_counter() - begun
    # What lies in a family of repeats is together anyway: only pairs outside tell that they were found.
    alone = np.bincount(labels)[labels[truth.a]] <= ClusterSettings().largest
    for row in np.flatnonzero(truth.kind == planted.KINDS.index("all")):  # an indel may leave both halves too short
        one, two = (codes[offsets[at] : offsets[at + 1]] for at in (truth.a[row], truth.b[row]))
        alone[row] &= planted.slow_similar(one, two, 0.9, 0.5)
    found = labels[truth.a] == labels[truth.b]
    kinds = {kind: alone & (truth.kind == number) for number, kind in enumerate(planted.KINDS)}
    return seconds, {kind: float(found[chosen].mean()) for kind, chosen in kinds.items()}


def precision(dataset: Path, count: int) -> tuple[float, float]:
    """Against the slow exact method: the share of reported pairs that are similar, and of similar pairs reported."""
    data = encre.Dataset.open(dataset)
    rng = np.random.default_rng(2)
    codes, offsets = take_flat(data.codes, data.offsets, np.sort(rng.choice(len(data), 20_000, replace=False)))
    codes, offsets, _ = planted.plant(codes, offsets, rng, pairs=2_000, lowest=0.85)
    pairs = near_duplicate_pairs(codes, offsets, similarity=0.9, min_overlap=0.5)
    shown = rng.permutation(len(pairs.a))[:count]

    def similar(a: int, b: int) -> bool:
        one, two = (codes[offsets[row] : offsets[row + 1]] for row in (a, b))
        return planted.slow_similar(one, two, 0.9, 0.5)

    right = np.mean([similar(pairs.a[i], pairs.b[i]) for i in shown])
    few, begin, _ = planted.plant(*take_flat(codes, offsets, np.arange(60)), rng, pairs=60, lowest=0.85)
    reported = near_duplicate_pairs(few, begin, similarity=0.9, min_overlap=0.5)
    codes, offsets = few, begin
    slow = {(a, b) for b in range(len(begin) - 1) for a in range(b) if similar(a, b)}
    fast = set(zip(reported.a.tolist(), reported.b.tolist(), strict=True))
    return float(right), len(slow & fast) / len(slow)


def clusters(rows: Rows, dataset: Path, *, pairs: int, checked: int) -> None:
    found = apart(cluster, dataset, pairs)
    count = len(encre.Dataset.open(dataset))
    name = f"near-duplicate clusters of {count:,} sequences"
    seconds, recalls = found.value
    rows.add(name, [seconds], "s", target=300, at_most=True)
    rows.add(f"{name}, peak memory", [found.megabytes / 1024], "GB", target=8, at_most=True)
    said = {"identity": ">= 95 % identity", "shift": "shifted by up to half", "both": ">= 95 % identity and shifted"}
    said |= {
        "reverse": "both, on the other strand",
        "indel": "with an indel",
        "all": "all at once, where still similar",
    }
    for kind, recall in recalls.items():
        rows.add(f"near-duplicates: recall of planted pairs, {said[kind]}", [recall], "", target=0.95)
    right, all_of_them = apart(precision, dataset, checked).value
    rows.add("near-duplicates: precision against the slow exact method", [right], "", target=0.99)
    rows.add("near-duplicates: recall against the slow exact method", [all_of_them], "", target=0.95)


# ------------------------------------------------------------------------------------------------ background


def matched(paths: Paths, assembly: str, count: int, width: int | None) -> tuple[float, float, dict[str, Any]]:
    """Seconds of the matching alone, the share that was matched, and the differences before and after."""
    columns = ["chrom", "start", "end", "d", "e", "ccre_class"]
    taken = pl.read_csv(paths.registry, separator="\t", has_header=False, new_columns=columns)
    genome = encre.Genome(paths.genome, assembly=assembly)
    table = taken.sample(count, seed=0).sort("chrom", "start") if width is None else fixed(taken, count, width)
    codes, offsets = genome.gather(table["chrom"], table["start"].to_numpy(), table["end"].to_numpy())
    empty = {name: pl.lit(None, dtype=pl.String) for name in ("accession", "split")}
    table = table.with_columns(
        **empty, ccre_class=pl.lit("dELS"), kind=pl.lit("element"), enhancer=pl.lit(1.0, pl.Float32)
    )
    rows = ElementRows(table.drop("d", "e", strict=False), codes, offsets)
    share = genome.soft_mask_share(table["chrom"], *rows.spans())
    rows = rows.with_columns(repeat_share=share)
    tasks = encre.TaskSet([encre.Task("enhancer", "enhancer")])
    settings = NegativeSettings(kinds=("background",), tss="" if width else str(paths.tss))
    begun = time.perf_counter()
    _, (quality,) = genomic_negatives(
        rows, tasks, settings, genome=genome, taken=taken.select("chrom", "start", "end"), ledger=Ledger()
    )
    return time.perf_counter() - begun, quality["made"] / quality["wanted"], quality["smd"]


def fixed(taken: pl.DataFrame, count: int, width: int) -> pl.DataFrame:
    """Windows of one width on the autosomes: what gReLU can match."""
    middle = (pl.col("start") + pl.col("end")) // 2 - width // 2
    chosen = taken.filter(~pl.col("chrom").is_in(["chrX", "chrY"])).sample(count, seed=0)
    return chosen.with_columns(start=middle, end=middle + width).sort("chrom", "start")


def background(rows: Rows, paths: Paths, assembly: str, *, count: int) -> None:
    found = apart(matched, paths, assembly, count, None)
    seconds, share, smd = found.value
    name = f"matched background for {count:,} elements"
    rows.add(name, [seconds], "s", target=60, at_most=True)
    rows.add(f"{name}, share matched", [share], "", target=0.9)
    for covariate, value in smd.items():
        shown = f"{name}, SMD of {covariate} (unmatched {abs(value['before']):.2f})"
        rows.add(shown, [abs(value["after"])], "", target=0.05, at_most=True)


GRELU = """
import sys, time, pandas as pd
from grelu.data.preprocess import get_gc_matched_intervals
loci = pd.read_csv(sys.argv[2], sep="\\t", names=["chrom", "start", "end"])
begun = time.perf_counter()
get_gc_matched_intervals(loci, genome=sys.argv[1], binwidth=0.02, blacklist=sys.argv[3], seed=0)
print(time.perf_counter() - begun)
"""


def against_grelu(rows: Rows, work: Path, *, count: int) -> None:
    """gReLU's GC-matched intervals, from its own environment: ``ENCRE_GRELU`` names that environment's python."""
    name = f"GC-matched background for {count:,} windows of 200 bp: gReLU / encre (GC, repeats, distances)"
    python = os.environ.get("ENCRE_GRELU", "")
    if not python:
        rows.skip(name, "x", 1, "gReLU is not installed (ENCRE_GRELU names the python of its environment)")
        return
    paths = make(work / "grelu", 10 * count)
    columns = ["chrom", "start", "end", "d", "e", "ccre_class"]
    taken = pl.read_csv(paths.registry, separator="\t", has_header=False, new_columns=columns)
    loci, excluded = work / "loci.tsv", work / "excluded.bed"
    table = fixed(taken, count, 200).select("chrom", "start", "end")
    table.write_csv(loci, separator="\t", include_header=False)
    excluded.write_text("chr1\t0\t100\tnone\n")
    command = [python, "-c", GRELU, str(paths.genome), str(loci), str(excluded)]
    subprocess.run([python, "-c", "import sys, pyfaidx; pyfaidx.Faidx(sys.argv[1])", str(paths.genome)], check=True)
    ratios = []
    for _ in range(2):
        ours = apart(matched, paths, "custom:synthetic", count, 200).value[0]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        ratios.append(float(out.split()[-1]) / ours)
    rows.add(name, ratios, "x", target=1)


# --------------------------------------------------------------------------------------------------- signals


def write_track(path: Path, length: int) -> None:
    """A dense synthetic bigWig of one chromosome: a value about every 25 bases, gaps between."""
    import pyBigWig

    rng = np.random.default_rng(0)
    steps = rng.integers(5, 45, length // 25)
    ends = np.cumsum(steps)
    ends = ends[ends < length]
    keep = rng.random(len(ends) - 1) < 0.9
    start, end = ends[:-1][keep], ends[1:][keep]
    track = pyBigWig.open(str(path), "w")
    track.addHeader([("chr22", length)])
    values = rng.gamma(1.0, 2.0, len(start))
    for at in range(0, len(start), 1_000_000):
        part = slice(at, at + 1_000_000)
        names = np.full(len(start[part]), "chr22")
        track.addEntries(names, start[part], ends=end[part], values=values[part])
    track.close()


def window_starts(length: int, count: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, length - 512, count)


def our_signals(path: Path, count: int, length: int) -> float:
    track, start = SignalTrack(path, "GRCh38"), window_starts(length, count)
    begun = time.perf_counter()
    track.windows(pl.Series(["chr22"] * count), start, start + 512, bin=16)
    return count / (time.perf_counter() - begun)


def pybigwig_signals(path: Path, count: int, length: int) -> float:
    import pyBigWig

    track = pyBigWig.open(str(path))
    begun = time.perf_counter()
    for start in window_starts(length, count).tolist():
        values = track.values("chr22", start, start + 512, numpy=True).reshape(-1, 16)
        covered = ~np.isnan(values)
        np.where(covered, values, 0).sum(1) / np.maximum(covered.sum(1), 1)
    return count / (time.perf_counter() - begun)


def signals(rows: Rows, work: Path, *, count: int) -> None:
    length = CHR22
    name = f"signals of {count:,} windows of 512 bp from a bigWig"
    try:
        write_track(work / "track.bw", length)
    except ImportError:
        rows.skip(name, "windows/s", 20_000, "pyBigWig is not installed (make benchmark installs it)")
        return
    ours, ratios = [], []
    for _ in range(3):
        ours.append(apart(our_signals, work / "track.bw", count, length).value)
        ratios.append(ours[-1] / apart(pybigwig_signals, work / "track.bw", count // 10, length).value)
    rows.add(name, ours, "windows/s", target=20_000)
    rows.add(f"{name}: encre / a pyBigWig loop", ratios, "x", target=1)


# ------------------------------------------------------------------------------------------------------ main


def main() -> None:
    options = arguments(__doc__ or "")
    rows, quick = Rows(json_only=options.json), options.quick
    count = 120_000 if quick else FULL
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        os.environ["ENCRE_CACHE"] = str(work / "cache")
        made: dict[str, Paths] = {}

        def full() -> Paths:
            if not made:
                made["full"] = make(work / "full", count)
            return made["full"]

        def dataset() -> Path:
            """The built dataset of full size; that of the build row when it has run."""
            if not (folder := work / f"dataset{count}").exists():
                apart(build, full().config, folder)
            return folder

        sizes = [20_000, 50_000, count] if quick else [100_000, 500_000, count]
        parts = {
            "import": lambda: genome_import(rows, full(), work, assembly_of(count)),
            "build": lambda: dataset_build(rows, full(), work, sizes=sizes),
            "pandas": lambda: against_pandas(rows, full(), work, count=count),
            "clusters": lambda: clusters(
                rows, dataset(), pairs=1_000 if quick else 6_000, checked=100 if quick else 500
            ),
            "background": lambda: background(rows, full(), assembly_of(count), count=20_000 if quick else 200_000),
            "supply": lambda: background(rows, full(), assembly_of(count), count=int(0.7 * count)),
            "grelu": lambda: against_grelu(rows, work, count=3_000 if quick else 20_000),
            "signals": lambda: signals(rows, work, count=20_000 if quick else 100_000),
            "killed": lambda: killed(rows, work, count=20_000 if quick else 200_000, times=4 if quick else 12),
        }
        for part, measure in parts.items():
            if options.only in part:
                measure()
    rows.close()


if __name__ == "__main__":
    main()
