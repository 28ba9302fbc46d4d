"""What each token, trunk, loss and trick is worth: one change at a time against one base, on real data.

    python benchmarks/ablation.py [--only NAME] [--processes 2]    train, judge, record, write docs/models.md
    python benchmarks/ablation.py --grid recipe [...]              the same around the shipped default's own config
    python benchmarks/ablation.py --quick                          the base and one option, one seed, anew

The protocol stands at the top of ``ablation_grid.toml``, every option below it: what it changes, and nothing else;
``recipe_grid.toml`` begins with the whole recipe of the shipped model, at its full number of epochs, and takes a part
away (or adds one).
Data: some of the training rows of the shipped DHS data; judged on its valid chromosome (the test chromosome is not
looked at). An effect is the mean over seeds of option minus base (same seed, same rows), in macro AUROC; its 95 %
interval comes from 1,000 draws that resample the genome's 5-Mb blocks and the seeds together. Cost is processor time
of training against the base's. An interval above 0 is an effect; one that holds 0 is none found, at this size.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from accuracy_data import dhs_rows
from page import put

REPOSITORY = Path(__file__).resolve().parents[1]
GRIDS = {"ablation": "## What each part is worth", "recipe": "## What each part of the default is worth"}
"""Grids and the headings of their tables."""
SHOWN = {"cell_line/macro": "cell lines", "component/macro": "components"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grid", choices=GRIDS, default="ablation")
    parser.add_argument("--quick", action="store_true", help="the base and one option, one seed, into no record")
    parser.add_argument("--json", action="store_true", help="print the JSON rows only")
    parser.add_argument("--only", default="", help="options whose name contains this (and the base)")
    parser.add_argument("--work", type=Path, help="folder for datasets and runs; without it a temporary one")
    parser.add_argument(
        "--processes", type=int, default=1, help="trainings at a time, a thread each; 0: judge what is there"
    )
    parser.add_argument("--one", nargs=2, metavar=("NAME", "SEED"), help=argparse.SUPPRESS)  # a worker's job
    options = parser.parse_args()
    grid = read_grid(options.grid)
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        if options.one:
            train_one(grid, options.one[0], int(options.one[1]), work=work)
            return
        seeds = grid["protocol"]["seeds"][: 1 if options.quick else None]
        only = grid["option"][0]["name"] if options.quick else options.only
        wanted = [option for option in grid["option"] if only in option["name"]]
        dataset(grid, work)
        if options.processes:
            names = ["base", *(option["name"] for option in wanted)]
            train_all(grid, names, seeds, work=work, processes=options.processes)
        record = judged(grid, wanted, seeds, work=work)
        if not options.quick:
            kept = REPOSITORY / "benchmarks" / "results" / f"{options.grid}.json"
            record = (json.loads(kept.read_text()) if kept.exists() else {}) | record
            kept.parent.mkdir(exist_ok=True)
            kept.write_text(json.dumps(record, indent=1) + "\n")
            page = REPOSITORY / "docs" / "models.md"
            put(page_of(grid, record), page, options.grid, heading=GRIDS[options.grid])
    for name, found in record.items():
        print(json.dumps({"row": name, **found}))


def read_grid(name: str) -> dict[str, Any]:
    """The grid of that name; a base that names a config of examples holds that config's settings."""
    grid = tomllib.loads(Path(__file__).with_name(f"{name}_grid.toml").read_text(encoding="utf-8"))
    grid["name"] = name
    if (config := grid["base"].get("config")) is not None:
        grid["base"] |= tomllib.loads((REPOSITORY / "examples" / config).read_text(encoding="utf-8"))
    return grid


def runs_of(grid: dict[str, Any], name: str, work: Path) -> Path:
    """Where the runs of an option are kept, one a seed."""
    return work / grid["name"] / "".join(letter if letter.isalnum() else "-" for letter in name)


def dataset(grid: dict[str, Any], work: Path) -> Path:
    """Some training rows and the valid chromosome of the shipped DHS data, and byte pairs learnt from the former."""
    import encre
    from encre.sequence.alphabet import decode_many
    from encre.sequence.bpe import train_byte_pairs

    out = dhs_rows(work, grid["protocol"]["rows"])
    if not (work / "bpe.json").is_file():
        train = encre.Dataset.open(out).train
        texts = decode_many(train.codes, train.offsets)
        (work / "bpe.json").write_text(train_byte_pairs(texts, vocabulary_size=1024).text)
    return out


def train_all(grid: dict[str, Any], names: list[str], seeds: list[int], *, work: Path, processes: int) -> None:
    """Every training that is not there yet, each in a process of its own with one thread."""
    jobs = [(name, seed) for seed in seeds for name in names]
    jobs = [(name, seed) for name, seed in jobs if not (runs_of(grid, name, work) / f"{seed}.json").is_file()]

    def run(job: tuple[str, int]) -> None:
        words = [sys.executable, __file__, "--grid", grid["name"], "--work", str(work), "--one", job[0], str(job[1])]
        single = os.environ | {"OMP_NUM_THREADS": "1"}
        found = subprocess.run(words, env=single, capture_output=True, text=True, check=False)
        note = "" if found.returncode == 0 else "FAILED: " + (found.stderr.strip().splitlines() or ["?"])[-1]
        print(f"{job[0]}, seed {job[1]} {note}", file=sys.stderr, flush=True)

    first = ["base", *(name for name in names if "ensemble of" in name)]
    parts = [[job for job in jobs if job[0] == name] for name in first]
    for part in (*parts, [job for job in jobs if job[0] not in first]):  # a teacher is an ensemble of the base's runs
        with ThreadPoolExecutor(processes) as pool:
            list(pool.map(run, part))


def train_one(grid: dict[str, Any], name: str, seed: int, *, work: Path) -> None:
    """Train one option with one seed, and predict the valid split."""
    import encre
    from encre.config import override
    from encre.models.checkpoint import load_model
    from encre.models.inference import predict_logits
    from encre.models.joining import join_runs
    from encre.models.registry import model_config
    from encre.train.settings import RunConfig

    option: dict[str, Any] = next((o for o in grid["option"] if o["name"] == name), {"set": []})
    runs = runs_of(grid, name, work)
    data, out = encre.Dataset.open(dataset(grid, work)), runs / str(seed)
    begun = time.process_time()
    if option.get("ensemble"):
        join_runs([runs_of(grid, "base", work) / str(s) for s in grid["protocol"]["seeds"]], out=out)
        encre.evaluate(out, data=data.path, split="valid")  # a teacher gives calibrated probabilities
    else:
        values = override(settings_of(grid, option, work=work), [f"train.seed={seed}"])
        if "pretrain" in option:
            start = pretrained(values, option["pretrain"], seed, data=data, out=runs)
            values["train"]["start"] = str(start)
        config = RunConfig.parse(values, where=name)
        encre.fit(model_config(config.model), data, config.train, out=out)
    seconds = time.process_time() - begun
    model = load_model(out).model
    logits = predict_logits(model, data.valid.codes, data.valid.offsets, precision="auto")
    np.save(runs / f"{seed}.npy", logits)
    facts = {"seconds": seconds, "parameters": model.parameters_count}
    (runs / f"{seed}.json").write_text(json.dumps(facts))


def settings_of(grid: dict[str, Any], option: dict[str, Any], *, work: Path) -> dict[str, Any]:
    """The base's ``[model]`` and ``[train]`` with what the option changes."""
    from encre.config import override

    values = {key: dict(grid["base"][key]) for key in ("model", "train")}
    if "model" in option:
        values["model"] = dict(option["model"])
    return override(values, [word.replace("{work}", str(work)) for word in option.get("set", [])])


def pretrained(values: dict[str, Any], settings: dict[str, Any], seed: int, *, data, out: Path) -> Path:
    """A run of masked-base pretraining of the option's model on the training rows."""
    from encre.models.registry import model_config
    from encre.train.pretraining.loop import pretrain
    from encre.train.pretraining.windows import DatasetWindows
    from encre.train.settings import PretrainConfig

    folder = out / f"pretrained-{seed}"
    config = PretrainConfig.parse({**settings, "seed": seed}, where="[option.pretrain]")
    pretrain(model_config(values["model"]), DatasetWindows(data), config, out=folder)
    return folder


def judged(grid: dict[str, Any], wanted: list[dict[str, Any]], seeds: list[int], *, work: Path) -> dict[str, Any]:
    """Effect, interval and cost of every option that was trained."""
    import encre

    data = encre.Dataset.open(dataset(grid, work))
    base = _of(data, runs_of(grid, "base", work), seeds)
    record: dict[str, Any] = {"base": _facts(base, base)}
    for option in wanted:
        if found := _of(data, runs_of(grid, option["name"], work), seeds):
            record[option["name"]] = _facts(found, base)
    return record


def _of(data, runs: Path, seeds: list[int]) -> dict[int, dict[str, Any]]:
    """What is known of the seeds that were trained: cost, size and the judgement of valid."""
    from encre.evaluation.judgement import judge
    from encre.train.predictions import table_of

    found = {}
    for seed in seeds:
        if (runs / f"{seed}.json").is_file():
            table = table_of(data.valid, data.tasks, logits=np.load(runs / f"{seed}.npy"))
            scopes = judge(table, table, data.tasks, seed=0, resamples=1000).scopes["all"]
            facts = json.loads((runs / f"{seed}.json").read_text())
            found[seed] = facts | {key: scopes[key]["auroc"] for key in SHOWN}
    return found


def _facts(found: dict[int, dict[str, Any]], base: dict[int, dict[str, Any]]) -> dict[str, Any]:
    seeds = sorted(found.keys() & base.keys())
    picks = np.random.default_rng(0).integers(0, len(seeds), (1000, len(seeds)))
    facts: dict[str, Any] = {"seeds": seeds, "parameters": found[seeds[0]]["parameters"]}
    facts["cost"] = float(
        np.mean([found[s]["seconds"] for s in seeds]) / np.mean([base[s]["seconds"] for s in seeds])
    )
    for key in SHOWN:
        draws = np.stack([found[s][key].draws - base[s][key].draws for s in seeds])
        mixed = draws[picks, np.arange(1000)[:, None]].mean(1)
        low, high = np.quantile(mixed, [0.025, 0.975])
        facts[key] = {"auroc": float(np.mean([found[s][key].value for s in seeds]))}
        effect = float(np.mean([found[s][key].value - base[s][key].value for s in seeds]))
        facts[key] |= {"effect": effect, "low": float(low), "high": float(high)}
    return facts


def verdict(option: dict[str, Any], found: dict[str, Any]) -> str:
    """What follows from the intervals, and from what the shipped default has."""
    better = any(found[key]["low"] > 0 for key in SHOWN)
    worse = any(found[key]["high"] < 0 for key in SHOWN)
    if better and worse:
        return "better in one, worse in the other"
    if option.get("without"):  # a part of the default, taken away
        return "better without" if better else "**keep as default**" if worse else "no effect found"
    if better:
        return "**keep as default**" if option.get("default") else "keep as option"
    return "worse here" if worse else "no effect found"


def page_of(grid: dict[str, Any], record: dict[str, Any]) -> str:
    """The table of the page, in the grid's order."""
    base = record["base"]
    numbers = ", ".join(f"{shown} {base[key]['auroc']:.3f}" for key, shown in SHOWN.items())
    seeds = "one seed" if len(base["seeds"]) == 1 else f"mean of {len(base['seeds'])} seeds"
    config = grid["base"].get("config")
    where = f"`examples/{config}`" if config else f"`[base]` of `benchmarks/{grid['name']}_grid.toml`"
    lines = [
        f"Base: {where}, {grid['protocol']['rows']:,} training rows, "
        f"{grid['base']['train']['epochs']} epochs: macro AUROC of {numbers} ({seeds}); "
        f"{base['parameters']:,} parameters.",
        "",
        "| part | option | effect, cell lines | effect, components | seeds | parameters | cost | verdict |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for option in grid["option"]:
        if (found := record.get(option["name"])) is None:
            lines.append(f"| {option['part']} | {option['name']} | not measured | | | | | |")
            continue
        parts = [found[key] for key in SHOWN]
        effects = [f"{one['effect']:+.3f} ({one['low']:+.3f} to {one['high']:+.3f})" for one in parts]
        cells = [option["part"], option["name"], *effects, str(len(found["seeds"])), f"{found['parameters']:,}"]
        lines.append(f"| {' | '.join(cells)} | {found['cost']:.2g} x | {verdict(option, found)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
