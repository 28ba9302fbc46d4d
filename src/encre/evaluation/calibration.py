"""From logit to probability and to a call: temperature, bias and threshold of each task, from valid only.

``probability = sigmoid(logit / temperature + bias)``. The temperature is that of Guo et al. 2017; the bias
undoes the shift that class weights and positive weights put on a model's prior. Where it was asked for, isotonic
steps (:mod:`encre.evaluation.isotonic`) take their place. Such a probability holds where positives are as common as
in valid; for another base rate the log odds shift by the difference of the two priors' log odds (Elkan 2001; Saerens
et al. 2002).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np
import polars as pl

from encre.errors import ConfigError, FormatError, nearest
from encre.evaluation.background import LEAST_ROWS, Background, quantiles_of
from encre.evaluation.blocks import make_resamples
from encre.evaluation.bootstrap import one_sided
from encre.evaluation.conformal import Conformal
from encre.evaluation.isotonic import Steps, fit_isotonic
from encre.evaluation.table import read_scores
from encre.evaluation.thresholds import best_threshold
from encre.files import read_json, write_json
from encre.tasks import TaskSet

_SLOPES = (0.01, 20.0)
_FOLDS = 5

Method = Literal["temperature", "isotonic", "auto"]
METHODS: tuple[Method, ...] = get_args(Method)

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
    method
        What was asked for: one of :data:`METHODS`.
    isotonic
        Steps of the tasks that have them; the others have temperature and bias.
    conformal
        Cutoffs of prediction sets; None in files of an older encre.
    """

    temperatures: dict[str, float]
    thresholds: dict[str, float]
    biases: dict[str, float] = field(default_factory=dict)
    n: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    fitted_on: str = "valid"
    prevalence: dict[str, float] = field(default_factory=dict)
    background: Background | None = None
    method: Method = "temperature"
    isotonic: dict[str, Steps] = field(default_factory=dict)
    conformal: Conformal | None = None

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
        logits = np.asarray(logits, np.float64)
        log_odds = logits * slope + bias
        for k, name in enumerate(names):
            if name in self.isotonic:
                log_odds[:, k] = self.isotonic[name].log_odds(logits[:, k])
        return sigmoid(log_odds + self._prior_shift(names, base_rate))

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
            "method": self.method,
            "isotonic": {name: asdict(steps) for name, steps in self.isotonic.items()},
            "conformal": self.conformal.to_dict() if self.conformal else None,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any], *, where: object = "calibration.json") -> Calibration:
        """Read back what :meth:`to_dict` wrote; a damaged one is a :class:`FormatError`."""
        try:
            found = cls(**values)
            background, conformal = values.get("background"), values.get("conformal")
            isotonic: dict[str, Any] = values.get("isotonic", {})
            return replace(
                found,
                background=Background.from_dict(background, where=where) if background else None,
                isotonic={name: Steps.from_dict(steps, where=where) for name, steps in isotonic.items()},
                conformal=Conformal.from_dict(conformal, where=where) if conformal else None,
            )
        except TypeError as error:
            raise FormatError(f"not a calibration ({error})", where=where, remedy="Run `encre evaluate`.") from error

    def write(self, path: str | Path) -> None:
        """Write ``calibration.json``."""
        write_json(path, self.to_dict())

    @classmethod
    def read(cls, path: str | Path) -> Calibration:
        """Read ``calibration.json``."""
        return cls.from_dict(read_json(path), where=path)


def fit_calibration(valid: pl.DataFrame, tasks: TaskSet, *, method: Method | str = "temperature") -> Calibration:
    """Fit calibration and MCC threshold of every task on the valid split; take its background and conformal cutoffs.

    Parameters
    ----------
    valid
        A prediction table; unmeasured targets are NaN. Regression tasks are left as they are.
    tasks
        The tasks.
    method
        ``"temperature"`` (and bias), ``"isotonic"``, or ``"auto"``: isotonic for the tasks where that is better by
        more than its standard error, by the log loss of five folds of valid that share no block.

    Raises
    ------
    ConfigError
        For another method.
    """
    if method not in METHODS:
        raise ConfigError(f"there is no calibration '{method}'", remedy=nearest(method, METHODS))
    scored = read_scores(valid, tasks)
    background, conformal = Background({}, {}), Conformal()
    result = Calibration({}, {}, background=background, method=cast("Method", method), conformal=conformal)
    folds = make_resamples(valid, resamples=0).codes if method == "auto" else np.zeros(len(valid), np.int64)
    for k, task in enumerate(tasks):
        measured = np.isfinite(scored.targets[:, k])
        targets, logits = scored.targets[measured, k], scored.logits[measured, k]
        reason = "a regression task has no probability" if task.kind == "regression" else one_sided(targets)
        temperature, bias, threshold = 1.0, 0.0, 0.5
        if reason:
            result.reasons[task.name] = reason
        else:
            temperature, bias = fit_temperature(targets, logits)
            log_odds = logits / temperature + bias
            if method == "isotonic" or (method == "auto" and isotonic_is_better(targets, logits, folds[measured])):
                result.isotonic[task.name] = fit_isotonic(targets, logits)
                log_odds = result.isotonic[task.name].log_odds(logits)
            threshold = best_threshold(targets, sigmoid(log_odds))
            result.prevalence[task.name] = float(targets.mean())
        result.temperatures[task.name], result.biases[task.name] = temperature, bias
        result.thresholds[task.name] = threshold
        if task.kind == "regression" or not reason:
            conformal.fit(task.name, task.kind, targets=targets, logits=logits)
        result.n[task.name] = int(measured.sum())
        against = logits if task.kind == "regression" else logits[targets == 0]
        background.rows[task.name] = len(against)
        if len(against) >= LEAST_ROWS:
            background.quantiles[task.name] = quantiles_of(against)
    return result


def isotonic_is_better(targets: np.ndarray, logits: np.ndarray, blocks: np.ndarray) -> bool:
    """Whether isotonic steps have a lower log loss than temperature and bias on rows that they were not fitted on.

    By more than the standard error over five folds of blocks (N,): where nothing speaks for them, the order of all
    logits is better kept. False with fewer than five blocks, or where a fold lacks a class.
    """
    blocks = np.unique(blocks, return_inverse=True)[1]
    gains = []
    for fold in range(_FOLDS):
        out = blocks % _FOLDS == fold
        if any(one_sided(targets[rows]) for rows in (out, ~out)):
            return False
        temperature, bias = fit_temperature(targets[~out], logits[~out])
        steps = fit_isotonic(targets[~out], logits[~out])
        losses = [
            log_loss(targets[out], log_odds)
            for log_odds in (logits[out] / temperature + bias, steps.log_odds(logits[out]))
        ]
        gains.append(losses[0] - losses[1])
    return float(np.mean(gains)) > float(np.std(gains, ddof=1)) / _FOLDS**0.5


def log_loss(targets: np.ndarray, log_odds: np.ndarray) -> float:
    """Mean negative log likelihood of targets (N,) 0 or 1."""
    return float(np.mean(np.logaddexp(0, log_odds) - targets * log_odds))


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
