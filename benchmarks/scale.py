"""What a training at the size of the registry takes, from rates: measured here, measured elsewhere, or assumed.

    python benchmarks/scale.py [--quick] [--rates ROWS.jsonl] [--elements N] [--epochs N] [--price USD] [--write]

Rates of a CPU core are measured in this run, on elements of 150-350 bp in batches of like length. Rates of a GPU come
from the rows that ``training.py --only gpu --json`` printed on a machine that has one (``--rates``); without them the
figures below are taken, which nobody has measured, and the table says so.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import page
import torch
from training_inputs import dataset, epoch_of, over, training_of

from encre.models.device import choose_precision
from encre.models.registry import model_config

EXAMPLES = page.REPOSITORY / "examples" / "screen_v4"
#: 12.1 GFLOP a sequence of 348 tokens, forward and backward, at 40 % of a bf16 matrix rate of 756 TFLOP/s: 25,000/s.
ASSUMED = {"Transformer": 25_000.0, "CNN": 300_000.0}
TRAIN, VALID = 0.8, 0.1  # shares of the elements; valid is passed through forward only, a third of a step
NODES = {"GPUs": 16, "efficiency": 0.9}


class Rate(NamedTuple):
    """Sequences a second of a model, on what, and where the figure is from."""

    model: str
    place: str
    rate: float
    basis: str
    gpus: int = 0


def gpu_rates(path: Path | None) -> list[Rate]:
    """Of one GPU, and of two nodes of eight at an assumed efficiency."""
    measured: dict[str, tuple[float, str]] = {}
    for line in path.read_text().splitlines() if path else ():
        row = json.loads(line)
        for model in ASSUMED:
            if (
                row["value"]
                and row["unit"] == "seq/s"
                and f", {model}, " in row["row"]
                and "compiled, b" in row["row"]
            ):
                measured[model] = row["value"], row["row"].split(",")[0]
    found = []
    for model, assumed in ASSUMED.items():
        rate, card = measured.get(model, (assumed, "H200"))
        basis = "measured" if model in measured else "assumed, not measured"
        found.append(Rate(model, f"one {card}", rate, basis, 1))
        many, share = int(NODES["GPUs"]), NODES["efficiency"]
        found.append(
            Rate(model, f"{many} {card}, two nodes", many * share * rate, f"{basis}; {share:.0%} of {many} x", many)
        )
    return found


def core_rates(work: Path, *, quick: bool) -> list[Rate]:
    """Of one core of this machine, in the precision that ``auto`` takes here: whole steps, rows drawn."""
    torch.set_num_threads(1)
    precision = choose_precision("auto", torch.device("cpu"))
    data, found = dataset(work, 2_000), []
    for name, label, batch, batches in (
        ("cnn", "CNN", 64, 12),
        ("cnn_lstm", "CNN+LSTM", 32, 8),
        ("transformer", "Transformer", 16, 8),
    ):
        count = batch * (batches // 4 if quick else batches)
        config = model_config(tomllib.loads((EXAMPLES / f"{name}.toml").read_text())["model"])
        training = training_of(data, config, work / name, precision=precision, batch_size=batch)
        once = epoch_of(over(training, count))
        seconds = [once() for _ in range(2 if quick else 4)][1:]
        rate = count / statistics.median(seconds)
        found.append(Rate(label, "one CPU core", rate, f"measured here, {precision}"))
    return found


def table_of(rates: list[Rate], *, elements: int, epochs: int, price: float) -> str:
    """One row a model and place: rate, an epoch, all epochs, cost."""
    work = elements * (TRAIN + VALID / 3)
    lines = [
        f"| model | on | sequences/s | from | an epoch | {epochs} epochs | cost |",
        "|---|---|---|---|---|---|---|",
    ]
    for model, place, rate, basis, gpus in rates:
        epoch = work / rate
        cost = f"{gpus * price * epochs * epoch / 3600:,.2f} USD" if gpus else "-"
        cells = (model, place, page.shown(rate), basis, duration(epoch), duration(epochs * epoch), cost)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """In the unit that reads well."""
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.2g} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer elements for the rates of a core")
    parser.add_argument("--rates", type=Path, help="JSON rows of training.py from a machine with a GPU")
    parser.add_argument("--elements", type=int, default=2_348_854, help="of the registry (SCREEN V4)")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--price", type=float, default=4.0, help="assumed price of a GPU hour, USD")
    parser.add_argument("--write", action="store_true", help="put the table into docs/scale.md")
    options: Any = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ENCRE_CACHE"] = str(Path(folder, "cache"))
        rates = [*gpu_rates(options.rates), *core_rates(Path(folder), quick=options.quick)]
    text = table_of(rates, elements=options.elements, epochs=options.epochs, price=options.price)
    print(text)
    if options.write:
        page.put(text, page.REPOSITORY / "docs" / "scale.md", "scale", heading="## Time and cost")


if __name__ == "__main__":
    main()
