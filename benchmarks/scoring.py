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
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import scoring_inputs as given
import torch
from peers.ask import NotInstalledError, Peer
from rows import Rows, arguments
from scoring_inputs import WINDOW

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
        found = in_turn(sides, times=2)
        rows.add(f"{name}: window loop / encre", ratios(found["naive"], found["shared"]), "x", target=target)
        rows.add(f"{name}: largest difference", apart, "", target=TOLERANCE, at_most=True)
        in_bf16(rows, name, partial(stretch_logits, model, codes, **how), 1.5)


def in_bf16(rows: Rows, name: str, work: Callable[..., Any], target: float) -> None:
    """fp32 against bf16 of the same function, and how far apart their logits are."""
    name = f"{name}: encre fp32 / bf16"
    if not has_bf16(torch.device("cpu")):
        rows.skip(name, "x", target, "this CPU does not compute in bf16")
        return
    exact, rounded = work(precision="fp32"), work(precision="bf16")
    exact, rounded = (found[1] if isinstance(found, tuple) else found for found in (exact, rounded))
    found = in_turn({kind: clocked(work, precision=kind) for kind in ("fp32", "bf16")}, times=3)
    rows.add(name, ratios(found["fp32"], found["bf16"]), "x", target=target)
    rows.add(f"{name}: largest difference", difference(exact, rounded), "", target=0.1, at_most=True)


# ------------------------------------------------------------------------------------------------------ ISM


def effects(model: EnhancerModel, codes: np.ndarray, *, precision: Precision = "fp32") -> np.ndarray:
    """Change of every logit by every substitution, (R, L, 4, K), zeros where the base stays; one strand."""
    changes = every_substitution(codes)
    before, after = substituted_logits(model, codes, changes, both_strands=False, precision=precision)
    grid = np.zeros((*codes.shape, 4, before.shape[1]), np.float32)
    grid[changes.row, changes.start, changes.bases[:, 0]] = after - before[changes.row]
    return grid


def quickest_batch(peer: Peer, verb: str, codes: dict[str, str]) -> int:
    """The batch size that suits the peer best here."""
    peer.seconds(verb, **codes, batch=128)  # imports, caches, the capture
    return min((32, 128, 512), key=lambda batch: peer.seconds(verb, **codes, batch=batch))


def mutagenesis(rows: Rows, model: EnhancerModel, plain: Path, work: Path, *, quick: bool) -> None:
    """Every substitution of some sequences through the CNN; the ratio is of seconds a sequence."""
    for name, verb, target in (
        ("tangermeme", "slow", 15),
        ("tangermeme", "fast", 2),
        ("grelu", "slow", 15),
        ("crested", "slow", 15),
    ):
        try:
            with Peer(name, plain, work) as peer:
                for length in (350, 512):
                    against(rows, model, peer, verb, length=length, target=target, quick=quick)
                if verb == "fast" and not quick:
                    as_it_comes(rows, model, peer)
        except NotInstalledError as why:
            for length in (350, 512):
                rows.skip(f"ISM of {length} bp, CNN: {name}, {verb} path / encre", "x", target, str(why))


def against(
    rows: Rows, model: EnhancerModel, peer: Peer, verb: str, *, length: int, target: float, quick: bool
) -> None:
    row = f"ISM of {length} bp, CNN: {peer.name}, {verb} path"
    many = given.random_codes(3, length, seed=length)
    codes = many[:1] if quick and verb == "slow" else many
    batch = quickest_batch(peer, verb, peer.give(codes=many[:1]))
    sent = peer.give(codes=codes)
    theirs = peer.result(verb, **sent, batch=batch)
    apart = difference(effects(model, codes), theirs)
    effects(model, many)
    sides = {"ours": clocked(effects, model, many), "theirs": partial(peer.seconds, verb, **sent, batch=batch)}
    found = in_turn(sides, times=2 if quick else 3)
    each = [seconds / len(codes) * len(many) for seconds in found["theirs"]]
    rows.add(f"{row} (batch {batch}) / encre", ratios(each, found["ours"]), "x", target=target)
    rows.add(f"{row}: largest difference", apart, "", target=TOLERANCE, at_most=True)


def as_it_comes(rows: Rows, model: EnhancerModel, peer: Peer) -> None:
    """So many sequences that tangermeme takes its fast path by itself, the capture of the model included."""
    one = given.random_codes(1, 512, seed=1)
    slow = min(peer.seconds("slow", **peer.give(codes=one), batch=32) for _ in range(2))
    codes = given.random_codes(math.ceil(36 / slow), 512, seed=2)
    sent = peer.give(codes=codes)
    sides = {
        "ours": clocked(effects, model, codes),
        "theirs": partial(peer.seconds, "whole", **sent, batch=128),
    }
    found = in_turn(sides, times=1)
    name = f"ISM of {len(codes)} x 512 bp, CNN: tangermeme as it comes / encre"
    rows.add(name, ratios(found["theirs"], found["ours"]), "x", target=2)


# --------------------------------------------------------------------------------------------------- trunks


def trunks(rows: Rows, *, quick: bool) -> None:
    """ISM of 350 bp through the reference's LSTM and Transformer; a share of the positions where all take minutes."""
    for name, config, every in (
        ("CNN+LSTM", encre.CNNLSTMConfig(), 10 if quick else 1),
        ("Transformer", encre.TransformerConfig(), 50 if quick else 3),
    ):
        model = given.network(config)
        codes = given.random_codes(1, 350, seed=3)
        changes = every_substitution(codes)
        kept = changes.start % every == 0
        changes = Substitutions(changes.row[kept], changes.start[kept], changes.bases[kept])
        part = "" if every == 1 else f", every {every}th position"
        row = f"ISM of 350 bp, {name}{part}"
        fast = partial(substituted_logits, model, codes, changes, both_strands=False)
        slow = partial(naive_substituted_logits, model, codes, changes, both_strands=False)
        exact, apart = fast()[1], 0.0
        sides = {"slow": clocked(slow), "fast": clocked(fast)}
        if has_bf16(torch.device("cpu")):
            sides["bf16"] = clocked(fast, precision="bf16")
            apart = float(np.abs(fast(precision="bf16")[1] - exact).max())
        found = in_turn(sides, times=2)
        rows.add(f"{row}: batch loop / encre", ratios(found["slow"], found["fast"]), "x", target=2)
        rows.add(f"{row}: largest difference", difference(slow()[1], exact), "", target=TOLERANCE, at_most=True)
        if "bf16" not in found:
            rows.skip(f"{row}: batch loop / encre in bf16", "x", 2, "this CPU does not compute in bf16")
            continue
        rows.add(f"{row}: batch loop / encre in bf16", ratios(found["slow"], found["bf16"]), "x", target=2)
        spread = float(exact.std(0).mean())
        rows.add(f"{row}: bf16 - fp32, largest, over their spread", [apart / spread], "", target=0.1, at_most=True)


# ------------------------------------------------------------------------------------------------- variants


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


# ------------------------------------------------------------------------------------------------------ main


def main() -> None:
    options = arguments(__doc__ or "")
    torch.set_num_threads(1)
    rows, quick = Rows(json_only=options.json), options.quick
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        os.environ["ENCRE_CACHE"] = str(work / "cache")
        model = given.network()
        plain = given.write_plain(model, work / "network.npz")
        run = given.write_run(model, work / "run")
        parts = {
            "scan": lambda: scan(rows, model, quick=quick),
            "mutagenesis": lambda: mutagenesis(rows, model, plain, work, quick=quick),
            "trunks": lambda: trunks(rows, quick=quick),
            "prediction": lambda: prediction(rows, run, model, work, quick=quick),
        }
        for part, measure in parts.items():
            if options.only in part:
                begun = time.perf_counter()
                measure()
                print(f"  ({part}: {time.perf_counter() - begun:.0f} s)", file=sys.stderr, flush=True)
    rows.close()


if __name__ == "__main__":
    main()
