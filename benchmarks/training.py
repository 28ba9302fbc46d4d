"""Training against the field's tools and against its own parts, one thread, the same network and rows on all sides.

    python benchmarks/training.py [--quick] [--json] [--only TEXT]

Parts: ``peers`` (the CNN of ``scoring.py`` in encre's loop, in gReLU's and in CREsted's), ``overhead`` (what an epoch
costs beyond its steps), ``hugging_face`` (the reference Transformer against BertModel in the Trainer), ``processes``
(two under torchrun against one), ``gpu``, ``memory`` (of long windows). Sides are measured in turn, A B C A B C.
Every side draws its rows from its own dataset, turns a random half of them round, and logs as it comes.

Peers live in environments of their own: see ``scoring.py``. Without them their rows are not measured.
"""

from __future__ import annotations

import importlib
import json
import os
import statistics
import subprocess
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
from peers.ask import NotInstalledError, Peer, Peers
from rows import Rows, arguments
from training_inputs import dataset, epoch_of, like, over, ratios, training_of, turns

import encre
from encre.data.dataset import Dataset
from encre.models.device import has_bf16
from encre.models.model import EnhancerModel
from encre.train.score import validate

BATCH = 128
HERE = Path(__file__).resolve().parent
CPU = torch.device("cpu")


# ---------------------------------------------------------------------------------------------------- peers


def peers(rows: Rows, model: EnhancerModel, work: Path, others: Peers, *, quick: bool) -> None:
    """Seconds a step of the same CNN from the same weights on the same windows; rows drawn, losses logged."""
    data = dataset(work, 2_500 if quick else 8_000, width=given.WINDOW)
    steps = 8 if quick else 40
    chosen = np.arange(BATCH * steps + BATCH)
    shown = data.train.batch(chosen)
    there = {}
    for name in ("grelu", "crested"):
        try:
            there[name] = one_step_of(others[name], shown.codes, shown.targets)
        except NotInstalledError as why:
            rows.skip(f"CNN training, fp32: {name} step / encre step", "x", 1.2, str(why))
    kinds = ["fp32", *(["bf16"] if has_bf16(CPU) else [])]
    sides: dict[str, Callable[[], float]] = {}
    for kind in kinds:
        training = training_of(data, given.CNN, work / f"peers {kind}", precision=kind, batch_size=BATCH)
        sides[kind] = partial(first_steps, like(training, model), steps)
        sides[kind]()
    found = turns(1 if quick else 5, **sides, **there)
    rate = {side: 1 / statistics.median(seconds) for side, seconds in found.items()}
    for name in there:
        row = f"CNN training, fp32: {name} step / encre step ({rate[name]:.3g} and {rate['fp32']:.3g} steps/s)"
        rows.add(row, ratios(found[name], found["fp32"]), "x", target=1.2)
    if "bf16" not in kinds:
        rows.skip("CNN training: the faster peer / encre in bf16", "x", 2, "this CPU does not compute in bf16")
    elif there:
        faster = max(there, key=rate.__getitem__)
        row = f"CNN training: {faster}, the faster peer / encre in bf16 ({rate['bf16']:.3g} steps/s)"
        rows.add(row, ratios(found[faster], found["bf16"]), "x", target=2)


def one_step_of(peer: Peer, codes: np.ndarray, targets: np.ndarray) -> Callable[[], float]:
    """Seconds a step of a peer's training: the median over an epoch, its last batch and its start left out."""
    sent = peer.give(codes=codes, targets=np.nan_to_num(targets).astype(np.float32))
    return lambda: float(np.median(peer.result("train", **sent, valid=BATCH, batch=BATCH)))


def first_steps(training: Any, steps: int) -> float:
    """Seconds a step over the first steps of an epoch of ``encre.fit``'s own loop."""
    whole = training.feed.batches
    training.feed.batches = lambda epoch: whole(epoch)[:steps]
    seconds = epoch_of(training)()
    training.feed.batches = whole
    return seconds / steps


# ------------------------------------------------------------------------------------------------- overhead


def overhead(rows: Rows, work: Path, *, quick: bool) -> None:
    """A whole epoch, rows drawn, losses logged, valid scored, weights and state written, against its bare steps."""
    data = dataset(work, 2_500 if quick else 8_000, width=given.WINDOW)
    share = len(data.valid) / (len(data.train) + len(data.valid))
    for kind in ("fp32", *(["bf16"] if has_bf16(CPU) else [])):
        training = training_of(data, given.CNN, work / f"overhead {kind}", precision=kind, batch_size=BATCH)
        batches = [data.train.batch(batch) for batch in training.feed.batches(0)]

        def bare(training: Any = training, batches: list[Any] = batches) -> float:
            training.model.train()
            return clocked(lambda: [training.step(batch) for batch in batches])

        def whole(training: Any = training) -> float:
            return epoch_of(training)() + clocked(training._judge)

        def scored(training: Any = training) -> float:
            how = {"config": training.config, "team": training.team}
            return clocked(lambda: validate(training.judged, training.valid, training.loss, **how))

        bare()
        found = turns(2 if quick else 5, bare=bare, whole=whole, scored=scored)
        part = statistics.median(ratios(found["scored"], found["bare"]))
        row = f"epoch of the CNN, {kind}: all / bare steps (scoring valid, {share:.0%} of the rows, is {part:.1%})"
        rows.add(row, ratios(found["whole"], found["bare"]), "x", target=1.05, at_most=True)


def clocked(work: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


# --------------------------------------------------------------------------------------------- hugging face


def hugging_face(rows: Rows, work: Path, *, quick: bool) -> None:
    """An epoch of the reference Transformer and of BertModel in the Trainer; buckets of like length on both sides."""
    name = "epoch of the Transformer (6 x 256): Trainer with BertModel"
    try:
        from hugging_face import Bert, Elements
    except ImportError:
        rows.skip(f"{name} / encre, fp32", "x", 1.4, "transformers is not installed (make benchmark installs it)")
        return
    data = dataset(work, 1_000)
    count, batch = (48, 8) if quick else (320, 16)
    elements = Elements(data, count)

    def ours(kind: str) -> Callable[[], float]:
        how = {"precision": kind, "batch_size": batch}
        return epoch_of(over(training_of(data, encre.TransformerConfig(), work / f"bert {kind}", **how), count))

    def theirs(label: str, **how: Any) -> Bert:
        return Bert(elements, work / label, batch_size=batch, **{"bf16": False} | how)

    sides = {"ours": ours("fp32"), "theirs": theirs("fp32")}
    if not quick:
        sides["plain"] = theirs("plain", attention_dropout=0.0)
    if bf16 := has_bf16(CPU):
        sides |= {"ours16": ours("bf16"), "theirs16": theirs("bf16", bf16=True)}
    found = turns(1 if quick else 4, **sides)
    rows.add(f"{name} / encre, fp32 in both", ratios(found["theirs"], found["ours"]), "x", target=1.4)
    if not quick:
        row = f"{name} without attention dropout / encre, fp32 in both"
        rows.add(row, ratios(found["plain"], found["ours"]), "x", target=1.0)
    if not bf16:
        rows.skip(f"{name} / encre in bf16", "x", 2.3, "this CPU does not compute in bf16")
        return
    rows.add(f"{name} in fp32 / encre in bf16", ratios(found["theirs"], found["ours16"]), "x", target=2.3)
    rows.add(f"{name} in bf16 / encre in bf16", ratios(found["theirs16"], found["ours16"]), "x", target=1.0)


# ------------------------------------------------------------------------------------------------ processes


def processes(rows: Rows, work: Path, *, quick: bool) -> None:
    """The same epochs of the CNN in one process and in two under torchrun (DDP, gloo), a thread each."""
    data = dataset(work, 2_500 if quick else 8_000, width=given.WINDOW)
    row = "two CPU processes (torchrun) against one, CNN"
    free = len(os.sched_getaffinity(0))
    if free < 2:
        rows.skip(f"{row}: seconds of one / of two", "x", 1.6, f"there is {free} core")
        return
    speed, apart = [], []
    for _ in range(1 if quick else 5):
        one, two = (epochs_of(data, work, count, epochs=4) for count in (1, 2))
        alone, shared = (statistics.median(epoch["seconds"] for epoch in job[1:]) for job in (one, two))
        speed.append(alone / shared)
        apart += [abs(a["loss"] - b["loss"]) / a["loss"] for a, b in zip(one, two, strict=True)]
    rows.add(f"{row}: seconds of one / of two", speed, "x", target=1.6)
    rows.add(f"{row}: largest difference of an epoch's loss", [max(apart)], "", target=1e-5, at_most=True)


def epochs_of(data: Dataset, work: Path, count: int, *, epochs: int) -> list[dict[str, float]]:
    """Loss and seconds of each epoch, from a job of so many processes."""
    out = work / "job.json"
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    script = [str(HERE / "two_processes.py"), str(data.path), str(epochs), str(out)]
    single = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([*launcher, *script], env=os.environ | single, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"torchrun failed:\n{done.stderr[-2000:]}")
    return json.loads(out.read_text())


# ------------------------------------------------------------------------------------------- gpu and memory


def gpu(rows: Rows, work: Path, *, quick: bool) -> None:
    """Sequences a second on a GPU; see ``on_gpu.py``."""
    import on_gpu

    on_gpu.rows(rows, partial(dataset, work), quick=quick)


def memory(rows: Rows, *, quick: bool) -> None:
    """Peak memory of one long window through the trunks for it; see ``long_memory.py``."""
    importlib.import_module("long_memory").rows(rows, quick=quick)


def main() -> None:
    options = arguments(__doc__ or "")
    torch.set_num_threads(1)
    rows, quick = Rows(json_only=options.json), options.quick
    with tempfile.TemporaryDirectory() as name, Peers(Path(name), quick=quick) as others:
        work = Path(name)
        os.environ["ENCRE_CACHE"] = str(work / "cache")
        model = given.network()
        given.write_plain(model, others.network)
        parts = {
            "peers": lambda: peers(rows, model, work / "peers", others, quick=quick),
            "overhead": lambda: overhead(rows, work / "overhead", quick=quick),
            "hugging_face": lambda: hugging_face(rows, work / "hugging_face", quick=quick),
            "processes": lambda: processes(rows, work / "processes", quick=quick),
            "gpu": lambda: gpu(rows, work / "gpu", quick=quick),
            "memory": lambda: memory(rows, quick=quick),
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
