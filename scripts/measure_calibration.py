"""How well each calibration of a run holds on rows that it was not fitted on, from the run's own valid predictions.

Valid is cut into halves by place (so that neighbours stay together); each calibration is fitted on one half and
judged on the other, both ways. Test is not read.

    python scripts/measure_calibration.py RUN
"""

from __future__ import annotations

import sys

import numpy as np
import polars as pl

from encre.evaluation.calibration import METHODS, fit_calibration, log_loss, sigmoid
from encre.evaluation.metrics import expected_calibration_error
from encre.evaluation.runs import read_predictions, read_tasks
from encre.tasks import TaskSet


def measure(valid: pl.DataFrame, tasks: TaskSet) -> dict[str, np.ndarray]:
    """Calibration error, log loss and Brier score (K, 3) of each calibration, and of the bare logits."""
    ordered = valid.sort("chrom", "start")
    halves = ordered[: len(valid) // 2], ordered[len(valid) // 2 :]
    found: dict[str, np.ndarray] = {}
    for method in (None, *METHODS):
        ways = []
        for fitted_on, judged_on in (halves, halves[::-1]):
            calibration = fit_calibration(fitted_on, tasks, method=method) if method else None
            ways.append([_judge(judged_on, name, calibration) for name in tasks.names])
        found[method or "bare logits"] = np.mean(ways, axis=0)
    return found


def _judge(table: pl.DataFrame, name: str, calibration) -> list[float]:
    targets, logits = (table[f"{kind}_{name}"].to_numpy().astype(float) for kind in ("target", "logit"))
    measured = np.isfinite(targets)
    targets, logits = targets[measured], logits[measured]
    p = sigmoid(logits) if calibration is None else calibration.probabilities(logits[:, None], [name])[:, 0]
    log_odds = np.log(p) - np.log1p(-p)
    return [expected_calibration_error(targets, p), log_loss(targets, log_odds), float(np.mean((p - targets) ** 2))]


def main(run: str) -> None:
    """Print the means over the tasks with classes as a Markdown table."""
    tasks = TaskSet(task for task in read_tasks(run) if task.kind != "regression")
    print("| calibration | calibration error | log loss | Brier score |\n|---|---|---|---|")
    for method, values in measure(read_predictions(run, "valid"), tasks).items():
        print(f"| {method} | {' | '.join(f'{value:.4f}' for value in values.mean(axis=0))} |")


if __name__ == "__main__":
    main(sys.argv[1])
