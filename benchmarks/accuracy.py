"""How good the shipped configs are on real data, beside the baselines and the figures that were to be reached.

    python benchmarks/accuracy.py [--only PART] [--work DIR]    train, judge, record, write docs/models.md (hours)
    python benchmarks/accuracy.py --quick                       read what is recorded, train one row again

Data: ``$ENCRE_DATA``; splits and what is left out: ``accuracy_data.py``. Each row is a config of examples, judged on
the test split once, by ``encre evaluate``: block-bootstrap intervals, baselines on the same rows (gkm-SVM of the DHS
rows: the shipped model's card). Rows that are said to start from another model begin with its trunk (``[train]
start``), whose training saw none of their test rows. What is recorded (benchmarks/results/accuracy.json) names seeds,
seconds and the machine. A row that is to reach no figure is held against a baseline: the interval of the difference
must lie above 0.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from accuracy_data import DATA, DATASETS, PARTS, REPOSITORY
from page import put

import encre
from encre.files import read_json, write_json
from encre.models.checkpoint import load_model
from encre.models.inference import predict_logits
from encre.models.joining import join_runs
from encre.models.registry import model_config
from encre.progress import for_terminal
from encre.sequence.alphabet import reverse_complement_flat
from encre.train.settings import RunConfig

RECORD = REPOSITORY / "benchmarks" / "results" / "accuracy.json"
CONFIGS = REPOSITORY / "examples"
DEFAULT = REPOSITORY / "src" / "encre" / "assets" / "default_model"
SEEDS = (0, 1, 2)
QUICK = "iEnhancer-2L, layer 1"
SHIPPED = "the shipped model"
EQUIVARIANT = "DHS, strand-equivariant"


@dataclass(frozen=True)
class Row:
    """One model on one data set.

    Parameters
    ----------
    name
        As the table shows it.
    data
        A key of ``DATASETS``.
    config
        A file of examples.
    reach
        (group, metric) -> the figure that one model was to reach, as a macro mean; or the baseline to be above.
    together
        The same for the ensemble of the seeds; empty for no ensemble.
    start
        Whose weights training begins with: ``SHIPPED``, or the first seed of another row, by its name.
    changes
        Keys of the config that are set otherwise.
    more_baselines
        Beside those of every evaluation.
    seeds
        Of which a model each is trained.
    """

    name: str
    data: str
    config: str
    reach: Mapping[tuple[str, str], float | str]
    together: Mapping[tuple[str, str], float | str] = field(default_factory=dict)
    start: str = ""
    changes: tuple[str, ...] = ()
    more_baselines: tuple[str, ...] = ("gkm_svm",)
    seeds: tuple[int, ...] = SEEDS

    def run(self, work: Path, which: int | str) -> Path:
        """The run folder of a seed, or of the ``"ensemble"`` of them."""
        return work / "runs" / "-".join([self.data, Path(self.config).stem, *self.changes, str(which)])


_RESIDUAL = "default_model/residual.toml"
_SHORTER = ("model.name=equivariant", "train.epochs=15", "train.patience=15")
_DHS = {("cell_line", "auroc"): 0.975, ("cell_line", "auprc"): 0.94, ("component", "auroc"): 0.84}
_BEST = {("cell_line", "auroc"): 0.98, ("cell_line", "auprc"): 0.95, ("component", "auroc"): 0.84}
_NT_RAW, _NT_MATCHED, _NT_UNSEEN = ({("enhancer", "auroc"): wanted} for wanted in (0.80, 0.73, "kmer5"))
_LAYER1 = {("enhancer", "balanced_accuracy"): 0.79, ("enhancer", "mcc"): 0.58, ("enhancer", "auroc"): 0.84}
_MPRA = {("mpra", "pearson"): 0.55}
_REMO, _REMO_MATCHED = {("element", "auroc"): 0.87}, {("element", "auroc"): "kmer5"}


def _small(name: str, data: str, reach: Mapping[tuple[str, str], float | str]) -> Row:
    """The network for small sets, and the ensemble of its seeds held to the same figures."""
    return Row(name, data, "accuracy/small.toml", reach, reach)


def _tuned(name: str, data: str, reach: Mapping[tuple[str, str], float | str]) -> Row:
    """The shipped model trained on, and the ensemble of the seeds."""
    return Row(f"{name}, from {SHIPPED}", data, "accuracy/finetune.toml", reach, reach, start=SHIPPED)


ROWS = [
    Row("DHS, four cell lines and 16 components", "dhs", _RESIDUAL, _DHS, _BEST, more_baselines=()),
    Row(EQUIVARIANT, "dhs", _RESIDUAL, _DHS, changes=_SHORTER, more_baselines=(), seeds=(0,)),
    *(
        Row(f"DHS, {rows:,} training rows", f"dhs_{rows}", _RESIDUAL, _DHS, more_baselines=(), seeds=(0,))
        for rows in PARTS
    ),
    *(
        make(f"NT enhancers, {name}", f"nt_{data}", reach)
        for name, data, reach in (
            ("cleaned", "raw", _NT_RAW),
            ("cleaned, unseen test rows", "raw_unseen", _NT_UNSEEN),
            ("GC-matched", "gcmatch", _NT_MATCHED),
            ("GC-matched, unseen test rows", "gcmatch_unseen", _NT_UNSEEN),
        )
        for make in (_small, _tuned)
    ),
    _small(QUICK, "ienhancer", _LAYER1),
    *(_small(f"iEnhancer-2L, fold {n} of 5", f"ienhancer_{n}", _LAYER1) for n in range(5)),
    _tuned(QUICK, "ienhancer", _LAYER1),
    _tuned("lentiMPRA HepG2", "lentimpra", _MPRA),
    Row(
        "lentiMPRA HepG2, strand-equivariant, from that of the DHS data",
        "lentimpra",
        "accuracy/finetune.toml",
        _MPRA,
        _MPRA,
        start=EQUIVARIANT,
        changes=("model.name=equivariant",),
    ),
    *(
        make(name, data, reach)
        for name, data, reach in (
            ("REMO elements against background", "elements", _REMO),
            ("REMO elements, GC-matched background", "elements_gcmatch", _REMO_MATCHED),
        )
        for make in (_small, _tuned)
    ),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="read what is recorded, train one row again")
    parser.add_argument("--json", action="store_true", help="print the JSON rows only")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument(
        "--seeds", type=int, default=len(SEEDS), help="seeds of a row at most (what is done is recorded)"
    )
    parser.add_argument("--work", type=Path, help="folder for datasets and runs; without it a temporary one")
    options = parser.parse_args()
    record = read_json(RECORD) if RECORD.exists() else {}
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        if options.quick:
            row = next(row for row in ROWS if row.name == QUICK)
            found = measured(replace(row, seeds=(0,)), work)
            say({f"{QUICK}, trained again now, one seed": found}, json_only=options.json)
        else:
            for row in ROWS:
                if options.only in row.name:
                    record[row.name] = measured(replace(row, seeds=row.seeds[: options.seeds]), work)
                    record = {one.name: record[one.name] for one in ROWS if one.name in record}
                    write_json(RECORD, record)
            put(page_of(record), REPOSITORY / "docs" / "models.md", "accuracy", heading="## How good they are")
    say(record, json_only=options.json)


def measured(row: Row, work: Path) -> dict[str, Any]:
    """Train and judge one row; what is recorded of it."""
    if len(row.seeds) == 1:
        row = replace(row, together={})
    data = DATASETS[row.data](work)
    runs = [_trained(row, seed, data=data, work=work) for seed in row.seeds]
    ensemble = row.run(work, "ensemble")
    if row.together and not (ensemble / "manifest.json").is_file():
        join_runs(runs, out=ensemble)
    every = [*runs, ensemble] if row.together else runs
    if waiting := [run for run in every if not (run / "evaluation.json").is_file()]:
        # The baselines are fitted once for all of them.
        encre.evaluate(waiting, data=data, baselines=row.more_baselines, progress=for_terminal())
    judged = [facts_of(run, row=row) for run in runs]
    found: dict[str, Any] = {
        "config": f"examples/{row.config}",
        "changes": list(row.changes),
        "start": row.start,
        "seeds": list(row.seeds),
        "parameters": judged[0]["parameters"],
        "seconds": [one["seconds"] for one in judged],
        "machine": f"{judged[0]['device']}, {judged[0]['precision']}, {judged[0]['threads']} thread(s)",
        "test_rows": judged[0]["rows"],
        "metrics": {
            f"{task} {metric}": {
                "target": target,
                "models": [one["metrics"][f"{task} {metric}"] for one in judged],
                "baselines": judged[0]["baselines"][f"{task} {metric}"],
                "over_best_baseline": [one["differences"][f"{task} {metric}"] for one in judged],
            }
            for (task, metric), target in row.reach.items()
        },
    }
    if (strands := strand_difference(runs[0], data)) is not None:
        found["strand_difference"] = strands
    if row.together:
        together = facts_of(ensemble, row=row)
        for (task, metric), target in row.together.items():
            entry = found["metrics"][f"{task} {metric}"]
            entry["ensemble_target"], entry["ensemble"] = target, together["metrics"][f"{task} {metric}"]
            entry["ensemble_over_best_baseline"] = together["differences"][f"{task} {metric}"]
    return found


def _trained(row: Row, seed: int, *, data: Path, work: Path) -> Path:
    """The run of one seed, trained unless it is there."""
    out = row.run(work, seed)
    words = [*row.changes, f"train.seed={seed}"]
    if row.start == SHIPPED:
        words.append(f"train.start={DEFAULT}")
    elif row.start:
        other = next(one for one in ROWS if one.name == row.start)
        words.append(f"train.start={_trained(other, other.seeds[0], data=DATASETS[other.data](work), work=work)}")
    config = RunConfig.from_toml(CONFIGS / row.config, overrides=words)
    settings, dataset = model_config(config.model), encre.Dataset.open(data)
    encre.fit(settings, dataset, config.train, out=out, resume=True, progress=for_terminal())
    return out


def strand_difference(run: Path, data: Path) -> float | None:
    """Largest difference of a test row's logits on both strands in fp32; None where the network promises none."""
    loaded, rows = load_model(run), encre.Dataset.open(data).test
    if not loaded.config.strand_symmetric:
        return None
    turned = reverse_complement_flat(rows.codes, rows.offsets)
    one, other = (
        predict_logits(loaded.model, codes, rows.offsets, both_strands=False, precision="fp32")
        for codes in (rows.codes, turned)
    )
    return float(abs(one - other).max())


def facts_of(run: Path, *, row: Row) -> dict[str, Any]:
    """Metrics of the test split with intervals, the baselines', and the difference to the best baseline of each."""
    values, manifest = read_json(run / "evaluation.json"), read_json(run / "manifest.json")
    training = manifest.get("training", {})
    result: dict[str, Any] = {"rows": values["rows"], "parameters": manifest["parameters"]}
    result |= {key: training.get(key) for key in ("seconds", "device", "precision", "threads")}
    result |= {"metrics": {}, "baselines": {}, "differences": {}}
    for group, metric in row.reach:
        key = f"{group} {metric}"
        result["metrics"][key] = values["groups"][group]["macro"][metric]
        result["baselines"][key] = {
            name: found["groups"][group]["macro"].get(metric) for name, found in values["baselines"].items()
        }
        result["differences"][key] = _over_best(values, group, metric)
    return result


def _over_best(values: dict[str, Any], group: str, metric: str) -> dict[str, Any]:
    """For the group and each of its tasks: the best baseline, the difference to it and to each, with intervals."""
    found = {}
    for name in [f"{group}/macro", *values["groups"][group]["tasks"]]:
        differences = {
            baseline: parts["all"][name][metric]
            for baseline, parts in values["differences"].items()
            if parts["all"].get(name, {}).get(metric, {}).get("value") is not None  # a constant has no correlation
        }
        if differences:
            best = min(differences, key=lambda baseline: differences[baseline]["value"])
            found[name] = {"baseline": best, **differences[best], "each": differences}
    return found


def say(record: dict[str, Any], *, json_only: bool) -> None:
    """The rows as every benchmark prints them."""
    for name, found in record.items():
        for metric, entry in found["metrics"].items():
            sides = [(f"{name}: {metric}", entry["models"], entry["target"], entry["over_best_baseline"])]
            if "ensemble" in entry:
                over = [entry["ensemble_over_best_baseline"]]
                sides.append((f"{name}: {metric}, ensemble", [entry["ensemble"]], entry["ensemble_target"], over))
            for row, models, target, over in sides:
                values = [one["value"] for one in models]
                line = {"row": row, "value": round(statistics.mean(values), 4), "unit": metric.split()[-1]}
                line |= {"target": target, "met": met(values, target, over, group=metric.split(maxsplit=1)[0])}
                line |= {"n": len(values), "spread": [min(values), max(values)]}
                if not json_only:
                    print(f"{row:<90} {line['value']:.3f}  target {target}  {'met' if line['met'] else 'MISSED'}")
                print(json.dumps(line))


def met(values: list[float], target: float | str, over: list[dict[str, Any]], *, group: str) -> bool:
    """Whether the mean reaches the figure, or every model lies above the baseline by more than the interval."""
    if isinstance(target, str):
        return all(one[f"{group}/macro"]["each"][target]["low"] > 0 for one in over)
    return statistics.mean(values) >= target


def page_of(record: dict[str, Any]) -> str:
    """The table of the page."""
    lines = [
        "| data, metric | encre: mean of the seeds (each) | interval, seed 0 | best baseline | above it | ensemble "
        "| wanted | met |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, found in record.items():
        for metric, entry in found["metrics"].items():
            lines.append(f"| {name}: {metric} | {_cells(metric, entry)} |")
    facts = [
        f"- {name}: `{' '.join([found['config'], *found['changes']])}`, {found['parameters']:,} parameters, seeds "
        f"{', '.join(map(str, found['seeds']))}, {statistics.mean(found['seconds']) / 60:.1f} minutes a model on "
        f"{found['machine']}, {found['test_rows']:,} test rows"
        + (f"; both strands agree to {found['strand_difference']:.0e}" if "strand_difference" in found else "")
        for name, found in record.items()
    ]
    return "\n".join(lines) + "\n\n" + "\n".join(facts)


def _cells(metric: str, entry: dict[str, Any]) -> str:
    values = [one["value"] for one in entry["models"]]
    mean = statistics.mean(values)
    group = f"{metric.split(maxsplit=1)[0]}/macro"
    over = entry["over_best_baseline"][0].get(group)
    best = entry["baselines"].get(over["baseline"], {}) if over else {}
    ensemble = entry.get("ensemble")
    name = metric.split(maxsplit=1)[0]
    reached = [met(values, entry["target"], entry["over_best_baseline"], group=name)]
    wanted = f"above {entry['target']}" if isinstance(entry["target"], str) else f"{entry['target']:g}"
    if ensemble:
        above = [entry["ensemble_over_best_baseline"]]
        reached.append(met([ensemble["value"]], entry["ensemble_target"], above, group=name))
        if entry["ensemble_target"] != entry["target"]:
            wanted += f", ensemble {entry['ensemble_target']:g}"
    cells = [
        f"{mean:.3f} ({', '.join(f'{value:.3f}' for value in values)})",
        f"{entry['models'][0]['low']:.3f} to {entry['models'][0]['high']:.3f}",
        f"{over['baseline']} {best['value']:.3f}" if over and best else "-",
        f"{over['value']:+.3f} ({over['low']:+.3f} to {over['high']:+.3f})" if over else "-",
        f"{ensemble['value']:.3f}" if ensemble else "-",
        wanted,
        ", ".join("yes" if one else "**no**" for one in reached),
    ]
    return " | ".join(cells)


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    if not DATA.is_dir():
        raise SystemExit(f"there is no data at {DATA}: name it with ENCRE_DATA")
    main()
