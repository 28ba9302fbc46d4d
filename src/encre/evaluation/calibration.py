"""From logit to probability and to a call: temperature, bias and threshold of each task, from valid only.

``probability = sigmoid(logit / temperature + bias)``. The temperature is that of Guo et al. 2017; the bias
undoes the shift that class weights and positive weights put on a model's prior. Such a probability holds where
positives are as common as in valid; for another base rate the log odds shift by the difference of the two priors'
log odds (Elkan 2001; Saerens et al. 2002).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from encre.errors import ConfigError, FormatError, nearest
from encre.evaluation.background import LEAST_ROWS, Background, quantiles_of
from encre.evaluation.bootstrap import one_sided
from encre.evaluation.table import read_scores
from encre.evaluation.thresholds import best_threshold
from encre.files import read_json, write_json
from encre.tasks import TaskSet

_SLOPES = (0.01, 20.0)

BaseRate = float | Mapping[str, float]
"""Share of positives where the model is used: one for all tasks, or by task name."""


@dataclass(frozen=True)
class Calibration:
    """Temperature, bias and threshold by task name.

    Parameters
    ----------
    temperatures, biases
        ``probability = sigmoid(logit / temperature + bias)``.
    thresholds
        Calibrated probability from which a row is called positive.
    n
        Measured rows of valid that each task was fitted on.
    reasons
        Task -> why it could not be fitted (its temperature is 1, bias 0 and threshold 0.5).
    prevalence
        Share of positives among the measured rows of valid; empty in files of an older encre.
    background
        What percentiles are taken against; None in files of an older encre.
    """

    temperatures: dict[str, float]
    thresholds: dict[str, float]
    biases: dict[str, float] = field(default_factory=dict)
    n: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    fitted_on: str = "valid"
    prevalence: dict[str, float] = field(default_factory=dict)
    background: Background | None = None

    def probabilities(
        self, logits: np.ndarray, names: Sequence[str], *, base_rate: BaseRate | None = None
    ) -> np.ndarray:
        """Calibrated probabilities (N, K) float64 of logits (N, K) whose columns are ``names``.

        Parameters
        ----------
        base_rate
            Share of positives to correct to, above 0 and below 1; None leaves the prevalence of valid. Tasks
            that a mapping does not name are left as they are.

        Raises
        ------
        ConfigError
            When a name was not calibrated, a rate is out of range or for an unknown task, or the prevalence that it
            would be corrected from is not known.
        """
        for name in names:
            if name not in self.temperatures:
                raise ConfigError(f"no calibration for task '{name}'", remedy=nearest(name, self.temperatures))
        slope = 1 / np.array([self.temperatures[name] for name in names])
        bias = np.array([self.biases.get(name, 0.0) for name in names])
        return sigmoid(np.asarray(logits, np.float64) * slope + bias + self._prior_shift(names, base_rate))

    def _prior_shift(self, names: Sequence[str], base_rate: BaseRate | None) -> np.ndarray:
        """What a base rate adds to the log odds of each task (K,)."""
        shift = np.zeros(len(names))
        if base_rate is None:
            return shift
        rates = base_rate if isinstance(base_rate, Mapping) else dict.fromkeys(names, base_rate)
        for name, rate in rates.items():
            if name not in names:
                raise ConfigError(
                    f"a base rate is given for '{name}', which has no probability", remedy=nearest(name, names)
                )
            if not 0 < rate < 1:
                raise ConfigError(
                    f"the base rate of '{name}' must lie above 0 and below 1",
                    got=f"{rate:g}",
                    remedy="It is the share of positives where the model is used; 0.01 is one in a hundred.",
                )
            if name not in self.prevalence:
                raise ConfigError(
                    f"the base rate of '{name}' cannot be changed: the run does not say its share of positives in "
                    f"{self.fitted_on}",
                    remedy="Run `encre evaluate RUN` again; it stores them in calibration.json.",
                )
            shift[list(names).index(name)] = _log_odds(rate) - _log_odds(self.prevalence[name])
        return shift

    def to_dict(self) -> dict[str, Any]:
        """Plain values of ``calibration.json``."""
        return {
            "temperatures": self.temperatures,
            "biases": self.biases,
            "thresholds": self.thresholds,
            "fitted_on": self.fitted_on,
            "n": self.n,
            "reasons": self.reasons,
            "prevalence": self.prevalence,
            "background": self.background.to_dict() if self.background else None,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any], *, where: object = "calibration.json") -> Calibration:
        """Read back what :meth:`to_dict` wrote; a damaged one is a :class:`FormatError`."""
        try:
            found = cls(**values)
            background = values.get("background")
            return replace(found, background=Background.from_dict(background, where=where) if background else None)
        except TypeError as error:
            raise FormatError(f"not a calibration ({error})", where=where, remedy="Run `encre evaluate`.") from error

    def write(self, path: str | Path) -> None:
        """Write ``calibration.json``."""
        write_json(path, self.to_dict())

    @classmethod
    def read(cls, path: str | Path) -> Calibration:
        """Read ``calibration.json``."""
        return cls.from_dict(read_json(path), where=path)


def fit_calibration(valid: pl.DataFrame, tasks: TaskSet) -> Calibration:
    """Fit temperature, bias and MCC threshold of every task on the valid split, and take its background.

    Parameters
    ----------
    valid
        A prediction table; unmeasured targets are NaN. Regression tasks are left as they are.
    tasks
        The tasks.
    """
    scored = read_scores(valid, tasks)
    background = Background({}, {})
    result = Calibration({}, {}, background=background)
    for k, task in enumerate(tasks):
        measured = np.isfinite(scored.targets[:, k])
        targets, logits = scored.targets[measured, k], scored.logits[measured, k]
        reason = "a regression task has no probability" if task.kind == "regression" else one_sided(targets)
        temperature, bias, threshold = 1.0, 0.0, 0.5
        if reason:
            result.reasons[task.name] = reason
        else:
            temperature, bias = fit_temperature(targets, logits)
            threshold = best_threshold(targets, sigmoid(logits / temperature + bias))
            result.prevalence[task.name] = float(targets.mean())
        result.temperatures[task.name], result.biases[task.name] = temperature, bias
        result.thresholds[task.name] = threshold
        result.n[task.name] = int(measured.sum())
        against = logits if task.kind == "regression" else logits[targets == 0]
        background.rows[task.name] = len(against)
        if len(against) >= LEAST_ROWS:
            background.quantiles[task.name] = quantiles_of(against)
    return result


def fit_temperature(targets: np.ndarray, logits: np.ndarray) -> tuple[float, float]:
    """Temperature and bias that maximise the likelihood of targets (N,) 0 or 1 given logits (N,).

    Newton's method on a logistic regression with one feature. 1/temperature is kept between 0.01 and 20, so
    that a model without skill is flattened and never turned upside down. With constant logits the temperature
    stays 1 and the bias gives the prevalence.
    """
    scale = float(logits.std())
    if scale == 0:
        return 1.0, _fit_bias(targets, logits)
    slope, bias = _newton(targets, (logits - logits.mean()) / scale)
    bounded = float(np.clip(slope / scale, *_SLOPES))
    if bounded != slope / scale:
        return 1 / bounded, _fit_bias(targets, bounded * logits)
    return 1 / bounded, bias - bounded * float(logits.mean())


def _newton(targets: np.ndarray, x: np.ndarray) -> tuple[float, float]:
    """Slope and intercept of the logistic regression of targets on a standardised feature."""
    at = np.zeros(2)
    features = np.column_stack([x, np.ones_like(x)])
    for _ in range(100):
        p = sigmoid(features @ at)
        spread = np.maximum(p * (1 - p), 1e-9)
        hessian = (features * spread[:, None]).T @ features
        step = np.linalg.solve(hessian + 1e-9 * len(x) * np.eye(2), features.T @ (targets - p))
        at += np.clip(step, -2.0, 2.0)  # far from the optimum a full step overshoots
        if np.abs(step).max() < 1e-10:
            break
    return float(at[0]), float(at[1])


def _fit_bias(targets: np.ndarray, offsets: np.ndarray) -> float:
    """The bias that makes the mean probability the prevalence."""
    bias = 0.0
    for _ in range(100):
        p = sigmoid(offsets + bias)
        step = float((targets - p).sum() / np.maximum(p * (1 - p), 1e-9).sum())
        bias += float(np.clip(step, -2.0, 2.0))
        if abs(step) < 1e-10:
            break
    return bias


def _log_odds(share: float) -> float:
    return float(np.log(share) - np.log1p(-share))


def sigmoid(x: np.ndarray) -> np.ndarray:
    """The logistic function, without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * np.asarray(x, np.float64)))
