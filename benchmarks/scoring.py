"""Scoring against the field's tools and against the obvious way, one thread, the same network and inputs on all sides.

    python benchmarks/scoring.py [--quick] [--json] [--only TEXT]

Rows: a scan that shares convolutions against a loop over windows; in silico mutagenesis against tangermeme (both of
its paths), gReLU and CREsted, and through the LSTM and the Transformer against a loop over batches; variants against
tangermeme and gReLU; regions of a BED, all parts, against the network alone; memory and time of a scan of a chromosome.
Outputs of all sides are compared before anything is timed.

Peers live in environments of their own in the folder that ``$ENCRE_PEERS`` names, and a worker script in each
(``peers/``) runs one repetition when told. Without them their rows are not measured. To make them:

    for p in tangermeme grelu crested; do python -m venv $ENCRE_PEERS/$p; $ENCRE_PEERS/$p/bin/pip install torch==2.13.0; done
    $ENCRE_PEERS/tangermeme/bin/pip install tangermeme ledidi memelite
    $ENCRE_PEERS/grelu/bin/pip install grelu
    KERAS_BACKEND=torch $ENCRE_PEERS/crested/bin/pip install "crested[motif]"
"""  # noqa: E501

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import scoring_inputs as given
import torch
from peers.ask import NotInstalledError, Peer, Peers
from rows import Rows, arguments
from scoring_inputs import CHR22, WINDOW

import encre
from encre.models.device import Precision, has_bf16
from encre.models.model import EnhancerModel
from encre.models.stretch import naive_stretch_logits, stretch_logits
from encre.models.substitution import (
    Substitutions,
    every_substitution,
    naive_substituted_logits,
    substituted_logits,
)
from encre.predict.variants.effects import VariantOptions, score_variants

TOLERANCE = 1e-5
Side = Callable[[], float]


def clocked(work: Callable[..., Any], *what: Any, **how: Any) -> Side:
    """A side of a comparison: does the work once and says how long it took."""

    def once() -> float:
        begun = time.perf_counter()
        work(*what, **how)
        return time.perf_counter() - begun

    return once


def in_turn(sides: dict[str, Side], *, times: int) -> dict[str, list[float]]:
    """Seconds of every side, measured A B C A B C …; comparing their outputs has warmed them."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(times):
        for name, side in sides.items():
            found[name].append(side())
    return found


def ratios(slow: list[float], fast: list[float]) -> list[float]:
    """How many times as fast, turn by turn."""
    return [a / b for a, b in zip(slow, fast, strict=True)]


def difference(a: np.ndarray, b: np.ndarray) -> list[float]:
    return [float(np.abs(a - b).max())]


# ----------------------------------------------------------------------------------------------------- scan


def scan(rows: Rows, model: EnhancerModel, *, quick: bool) -> None:
    """A megabase, one strand on both sides."""
    codes = given.random_codes(100_000 if quick else 1_000_000)
    size = f"{len(codes) / 1e6:g} Mb"
    for stride, target in ((64, 4.0), (32, 8.0)):
        how: dict[str, Any] = {"window": WINDOW, "stride": stride, "both_strands": False}
        name = f"scan of {size}, window 512, stride {stride}"
        few = codes[: 40 * WINDOW + 17]
        apart = difference(stretch_logits(model, few, **how), naive_stretch_logits(model, few, **how))
        sides = {
            "shared": clocked(stretch_logits, model, codes, **how),
            "naive": clocked(naive_stretch_logits, model, codes, **how),
        }
        found = in_turn(sides, times=2 if quick else 5)
        rows.add(f"{name}: window loop / encre", ratios(found["naive"], found["shared"]), "x", target=target)
        rows.add(f"{name}: largest difference", apart, "", target=TOLERANCE, at_most=True)
        in_bf16(rows, name, partial(stretch_logits, model, codes, **how), 1.5)


def in_bf16(rows: Rows, name: str, work: Callable[..., np.ndarray], target: float) -> None:
    """fp32 against bf16 of the same function, and how well their logits agree."""
    if not has_bf16(torch.device("cpu")):
        rows.skip(f"{name}: encre fp32 / bf16", "x", target, "this CPU does not compute in bf16")
        return
    agree(rows, name, work(precision="fp32"), work(precision="bf16"))
    found = in_turn({kind: clocked(work, precision=kind) for kind in ("fp32", "bf16")}, times=2)
    rows.add(f"{name}: encre fp32 / bf16", ratios(found["fp32"], found["bf16"]), "x", target=target)


def agree(rows: Rows, name: str, exact: np.ndarray, rounded: np.ndarray) -> None:
    """The worst task's correlation of bf16's logits with fp32's."""
    worst = min(np.corrcoef(a, b)[0, 1] for a, b in zip(exact.T, rounded.T, strict=True))
    most = difference(exact, rounded)[0]
    rows.add(f"{name}: bf16 with fp32 (largest difference {most:.2g})", [float(worst)], "Pearson", target=0.99)


# ------------------------------------------------------------------------------------------------------ ISM


def effects(model: EnhancerModel, codes: np.ndarray, *, precision: Precision = "fp32") -> np.ndarray:
    """Change of every logit by every substitution, (R, L, 4, K), zeros where the base stays; one strand."""
    changes = every_substitution(codes)
    before, after = substituted_logits(model, codes, changes, both_strands=False, precision=precision)
    grid = np.zeros((*codes.shape, 4, before.shape[1]), np.float32)
    grid[changes.row, changes.start, changes.bases[:, 0]] = after - before[changes.row]
    return grid


def quickest_batch(peer: Peer, verb: str, *, quick: bool, **sent: Any) -> int:
    """The batch size that suits the peer best here; with ``--quick`` the one that usually does."""
    usual = 128 if verb == "fast" else 32
    peer.seconds(verb, **sent, batch=usual)  # imports, caches, the capture of the model
    return usual if quick else min((32, 128, 512), key=lambda batch: peer.seconds(verb, **sent, batch=batch))


def mutagenesis(rows: Rows, model: EnhancerModel, peers: Peers, *, quick: bool) -> None:
    """Every substitution of some sequences through the CNN; the ratio is of seconds a sequence."""
    for name, verb, target in (
        ("tangermeme", "slow", 15.0),
        ("tangermeme", "fast", 2.0),
        ("grelu", "slow", 15.0),
        ("crested", "slow", 15.0),
    ):
        for length in (350,) if quick else (350, 512):
            against(rows, model, peers, name, verb=verb, length=length, target=target)
    if not quick:
        as_it_comes(rows, model, peers)


def against(
    rows: Rows, model: EnhancerModel, peers: Peers, name: str, *, verb: str, length: int, target: float
) -> None:
    row = f"ISM of {length} bp, CNN: {name}, {verb} path"
    try:
        peer = peers[name]
    except NotInstalledError as why:
        rows.skip(f"{row} / encre", "x", target, str(why))
        return
    many = given.random_codes(3, length, seed=length)
    codes = many if verb == "fast" else many[: 1 if peers.quick else 2]
    batch = quickest_batch(peer, verb, quick=peers.quick, **peer.give(codes=many[:1]))
    sent = peer.give(codes=codes)
    theirs = peer.result(verb, **sent, batch=batch)
    apart = difference(effects(model, codes), theirs)
    effects(model, many)
    sides = {"ours": clocked(effects, model, many), "theirs": partial(peer.seconds, verb, **sent, batch=batch)}
    found = in_turn(sides, times=1 if peers.quick else 3)
    each = [seconds / len(codes) * len(many) for seconds in found["theirs"]]
    rows.add(f"{row} (batch {batch}) / encre", ratios(each, found["ours"]), "x", target=target)
    rows.add(f"{row}: largest difference", apart, "", target=TOLERANCE, at_most=True)


def as_it_comes(rows: Rows, model: EnhancerModel, peers: Peers) -> None:
    """So many sequences that tangermeme takes its fast path by itself, the capture of the model included."""
    name = "ISM of 512 bp, CNN, many sequences: tangermeme as it comes / encre"
    try:
        peer = peers["tangermeme"]
    except NotInstalledError as why:
        rows.skip(name, "x", 2, str(why))
        return
    one = given.random_codes(1, 512, seed=1)
    slow = min(peer.seconds("slow", **peer.give(codes=one), batch=32) for _ in range(2))
    codes = given.random_codes(math.ceil(36 / slow), 512, seed=2)
    sent = peer.give(codes=codes)
    sides = {"ours": clocked(effects, model, codes), "theirs": partial(peer.seconds, "whole", **sent, batch=128)}
    found = in_turn(sides, times=1)
    rows.add(name, ratios(found["theirs"], found["ours"]), "x", target=2)


# --------------------------------------------------------------------------------------------------- trunks


def trunks(rows: Rows, *, quick: bool) -> None:
    """ISM of 350 bp through the reference's LSTM and Transformer; a share of the positions where all take minutes."""
    for name, config, every in (
        ("CNN+LSTM", encre.CNNLSTMConfig(), 25 if quick else 1),
        ("Transformer", encre.TransformerConfig(), 117 if quick else 5),
    ):
        model = given.network(config)
        codes = given.random_codes(1, 350, seed=3)
        changes = every_substitution(codes)
        kept = changes.start % every == 0
        changes = Substitutions(changes.row[kept], changes.start[kept], changes.bases[kept])
        part = "" if every == 1 else f", every {every}th position"
        row = f"ISM of 350 bp, {name}{part}"
        fast = partial(substituted_logits, model, codes, changes, both_strands=False)
        slow = partial(batch_loop, model, codes, changes)
        exact = fast()[1]
        few = Substitutions(*(part[:30] for part in changes))
        naive = naive_substituted_logits(model, codes, few, both_strands=False)[1]
        sides = {"slow": clocked(slow), "fp32": clocked(fast)}
        if has_bf16(torch.device("cpu")):
            sides["bf16"] = clocked(fast, precision="bf16")
            agree(rows, row, exact, fast(precision="bf16")[1])
        found = in_turn(sides, times=1 if quick else 2)
        rows.add(f"{row}: largest difference", difference(naive, exact[:30]), "", target=TOLERANCE, at_most=True)
        for precision in ("fp32", "bf16"):
            how = f"{row}: batch loop / encre in {precision}"
            if precision in found:
                rows.add(how, ratios(found["slow"], found[precision]), "x", target=2)
            else:
                rows.skip(how, "x", 2, "this CPU does not compute in bf16")


def batch_loop(model: EnhancerModel, codes: np.ndarray, changes: Substitutions, *, size: int = 64) -> np.ndarray:
    """Logits of every changed sequence, computed whole, so many at a time: the loop that one would write."""
    found = []
    with torch.inference_mode():
        for first in range(0, len(changes.row), size):
            part = changes.take(np.arange(first, min(first + size, len(changes.row))))
            changed = codes[part.row]
            changed[np.arange(len(changed)), part.start] = part.bases[:, 0]
            length = torch.full((len(changed),), changed.shape[1])
            found.append(model(torch.from_numpy(changed), length).numpy())
    return np.concatenate(found)


# ------------------------------------------------------------------------------------------------- variants


def variants(rows: Rows, run: Path, model: EnhancerModel, peers: Peers, *, quick: bool) -> None:
    """From a VCF and a genome to the table on our side; tangermeme is handed its windows, gReLU reads the genome.

    One strand, no background. For insertions and deletions we average two windows, one that keeps the left side in
    its place and one that keeps the right: tangermeme does the same when called with both settings of ``left``.
    """
    codes = given.random_codes(2_000_000, seed=6)
    fasta = given.write_fasta(codes, peers.work / "variants.fa", name="chr1")
    found = given.variants_on(codes, 300 if quick else 2_000)
    single = found.take(found.snv)
    predictor, genome = encre.load(run, device="cpu"), encre.Genome(fasta, assembly="custom:synthetic")
    options = VariantOptions(background=0, both_strands=False)

    def ours(part: given.Variants) -> Callable[[], np.ndarray]:
        vcf = given.write_vcf(part, peers.work / f"{len(part.ref)}.vcf", chrom="chr1", length=len(codes))
        columns = pl.col("^delta_logit_.*$")
        return lambda: score_variants(predictor, vcf, genome, options=options).select(columns).to_numpy()

    def compare(name: str, what: str, sent: Callable[[], dict[str, Any]], work: Callable[[], np.ndarray]) -> Any:
        row = f"{what}: {name}"
        try:
            peer = peers[name]
        except NotInstalledError as why:
            rows.skip(f"{row} / encre", "x", 2, str(why))
            return None
        how = sent()
        batch = quickest_batch(peer, "variants", quick=quick, **how)
        sides = {"ours": clocked(work), "theirs": partial(peer.seconds, "variants", **how, batch=batch)}
        seconds = in_turn(sides, times=3 if quick else 5)
        rows.add(f"{row} (batch {batch}) / encre", ratios(seconds["theirs"], seconds["ours"]), "x", target=2)
        return peer.result("variants", **how, batch=batch)

    every, snvs = ours(found), ours(single)
    what = f"{len(found.ref):,} variants, a tenth insertions and deletions"
    windows = partial(given.tangermeme_windows, codes, found)
    theirs = compare("tangermeme", what, lambda: peers["tangermeme"].give(**windows()), every)
    if theirs is not None:
        apart = difference(theirs, every()[given.by_kind(found)])
        rows.add(f"{what}: tangermeme: largest difference", apart, "", target=TOLERANCE, at_most=True)
    given.write_sizes(fasta, "chr1", len(codes))
    table = given.write_grelu_table(single, peers.work / "snv.tsv")
    what = f"{len(single.ref):,} variants of one base"
    theirs = compare("grelu", what, lambda: {"genome": str(fasta), "table": str(table), "width": WINDOW}, snvs)
    if theirs is not None:
        apart = difference(theirs, given.at_grelu_place(model, codes, single))
        rows.add(f"{what}: grelu: largest difference", apart, "", target=TOLERANCE, at_most=True)


# ----------------------------------------------------------------------------------------------- prediction


def prediction(rows: Rows, run: Path, model: EnhancerModel, work: Path, *, quick: bool) -> None:
    """Regions of a BED to a table on disk, in four files, against the forward passes alone on tensors made before."""
    from encre.predict.outputs import write_table

    count, files = (800 if quick else 25_000), 4
    codes = given.random_codes(2_000_000, seed=4)
    genome = given.write_fasta(codes, work / "prediction.fa", name="chr1")
    predictor = encre.load(run, device="cpu")
    encre.Genome(genome, assembly="custom:synthetic")  # imported once; every later opening reads the cache
    rng = np.random.default_rng(5)
    values = []
    for turn in range(files):
        start = rng.integers(0, len(codes) - WINDOW, count)
        bed, out = work / f"windows{turn}.bed", work / f"windows{turn}.tsv"
        bed.write_text("".join(f"chr1\t{at}\t{at + WINDOW}\n" for at in start.tolist()))
        batches = ready(codes, start)

        def whole(bed: Path = bed, out: Path = out) -> None:
            opened = encre.Genome(genome, assembly="custom:synthetic")
            write_table(encre.predict_regions(predictor, bed, opened), out)

        def alone(batches: list[torch.Tensor] = batches) -> None:
            length = torch.full((len(batches[0]),), WINDOW)
            with torch.inference_mode():
                for batch in batches:
                    model(batch, length[: len(batch)])

        if turn == 0:
            model(batches[0], torch.full((len(batches[0]),), WINDOW))
        found = in_turn({"whole": clocked(whole), "alone": clocked(alone)}, times=1)
        values += ratios(found["whole"], found["alone"])
    name = f"{files * count:,} windows of 512 bp from BED + genome, both strands: all parts / the network alone"
    rows.add(name, values, "x", target=1.15, at_most=True)


def ready(codes: np.ndarray, start: np.ndarray) -> list[torch.Tensor]:
    """Both strands of windows as batches of 32, which is the size that encre takes."""
    from encre.sequence.alphabet import complement
    from encre.sequence.flat import windows

    taken = windows(codes, start, WINDOW)
    strands = (taken, np.ascontiguousarray(complement(taken)[:, ::-1]))
    return [torch.from_numpy(strand[at : at + 32]) for at in range(0, len(start), 32) for strand in strands]


# ----------------------------------------------------------------------------------------------- chromosome

SCAN = """
import sys, time
import encre, torch
from encre.models import stretch
begun, within, whole = time.perf_counter(), [], stretch.stretch_logits

def timed(*what, **how):
    at = time.perf_counter()
    found = whole(*what, **how)
    within.append(time.perf_counter() - at)
    return found

torch.set_num_threads(1)
stretch.stretch_logits = timed
fasta, run, out = sys.argv[1:]
encre.scan(encre.load(run, device="cpu"), encre.Genome(fasta, assembly="custom:synthetic"), "chr22", out=out)
seconds = time.perf_counter() - begun
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(int(peak.split()[1]) / 1024, seconds, sum(within))
"""


class Scanned(NamedTuple):
    """Peak memory in MB, seconds of the process, seconds from the opening of files on, seconds within the model."""

    peak: float
    process: float
    scan: float
    network: float


def chromosome(rows: Rows, run: Path, work: Path, *, quick: bool) -> None:
    """A scan of a chromosome with chr22's N to tracks and peaks of ten tasks: memory, and time beside the network's.

    Whole processes; ``--quick`` leaves out the start of Python, which would be half of so short a scan. The network's
    own time is that within the calls of the model in the same run.
    """
    short, long = (200_000, 1_000_000) if quick else (5_000_000, CHR22)
    found = {}
    for length in (short, long):
        fasta = given.write_fasta(given.like_chr22(length), work / f"{length}.fa")
        found[length] = scanned(fasta, run, f"{work}/scan{length}/")
        size = f"scan of {length / 1e6:.3g} Mb, peak memory"
        rows.add(size, [found[length].peak], "MB", target=1000, at_most=True)
    name, ratio = f"scan of {long / 1e6:.3g} Mb", found[long].peak / found[short].peak
    rows.add(f"{name}: peak memory / that of {short / 1e6:.3g} Mb", [ratio], "x", target=1.1, at_most=True)
    seconds = found[long].scan if quick else found[long].process
    ratio = seconds / found[long].network
    rows.add(f"{name}, ten tasks: all parts / the network alone", [ratio], "x", target=1.1, at_most=True)


def scanned(*words: object) -> Scanned:
    """A scan in a process of its own, which reads its own peak: what the system says of a child counts the parent."""
    command, alone = [sys.executable, "-c", SCAN, *map(str, words)], os.environ | {"OMP_NUM_THREADS": "1"}
    begun = time.perf_counter()
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=alone, check=True).stdout
    process = time.perf_counter() - begun
    peak, scan, network = map(float, said.split()[-3:])
    return Scanned(peak, process, scan, network)


# ------------------------------------------------------------------------------------------------------ main


def main() -> None:
    options = arguments(__doc__ or "")
    torch.set_num_threads(1)
    rows, quick = Rows(json_only=options.json), options.quick
    with tempfile.TemporaryDirectory() as name, Peers(Path(name), quick=quick) as peers:
        work = Path(name)
        os.environ["ENCRE_CACHE"] = str(work / "cache")
        model = given.network()
        given.write_plain(model, peers.network)
        run = given.write_run(model, work / "run")
        parts = {
            "scan": lambda: scan(rows, model, quick=quick),
            "mutagenesis": lambda: mutagenesis(rows, model, peers, quick=quick),
            "trunks": lambda: trunks(rows, quick=quick),
            "variants": lambda: variants(rows, run, model, peers, quick=quick),
            "prediction": lambda: prediction(rows, run, model, work, quick=quick),
            "chromosome": lambda: chromosome(rows, run, work, quick=quick),
        }
        for part, measure in parts.items():
            if options.only in part:
                begun = time.perf_counter()
                measure()
                if not options.json:
                    print(f"  ({part}: {time.perf_counter() - begun:.0f} s)", file=sys.stderr, flush=True)
    rows.close()


if __name__ == "__main__":
    main()
