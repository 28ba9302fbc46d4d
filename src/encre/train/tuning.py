"""The search for good settings: trials proposed by TPE, stopped early by their median, judged on valid alone.

``tune/`` holds ``journal.log`` (every trial; reruns and further processes go on from it), ``trials/<n>/`` (the best
trial's run folder), ``history/<n>.csv``, ``trials.csv``, ``importance.csv`` and ``best.toml``, a training file.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import tomli_w

from encre.errors import ConfigError, EncreError, MissingExtraError
from encre.files import refuse_occupied, staged_file
from encre.progress import SILENT, Progress
from encre.reproducibility import stream_seed
from encre.train.history import write_history
from encre.train.loop import fit
from encre.train.score import overall
from encre.train.space import Space, TuneConfig

if TYPE_CHECKING:
    import optuna

    from encre.data.dataset import Dataset

_TRIALS = 30
_STARTUP = 8
"""Trials that are drawn at random, and that must end before one is stopped early."""
_FEWEST = 3
"""Scores that say nothing about what matters, when there are fewer."""


@dataclass(frozen=True)
class Tuned:
    """What a search has found so far.

    Parameters
    ----------
    score
        Of the best trial on valid; what training maximises (:func:`encre.train.score.overall`).
    values
        Its settings: key of the training file -> value.
    best
        Its number; its run folder is ``trials/<best>``.
    counts
        ``complete``, ``pruned`` and ``failed`` trials.
    importance
        Key -> share of the variance of the scores that it explains; empty with fewer than three complete trials.
    """

    score: float
    values: dict[str, Any]
    best: int
    counts: dict[str, int]
    importance: dict[str, float]


def tune(
    config: TuneConfig,
    dataset: Dataset,
    *,
    out: str | Path,
    trials: int | None = None,
    minutes: float | None = None,
    progress: Progress = SILENT,
) -> Tuned:
    """Search for settings; the test split is never read.

    Rerun on the same folder, it goes on where it was, and an interrupted trial's settings are tried first. Several
    processes may work on one folder. One process gives the same trials for the same seed, interrupted or not, as long
    as the training itself is reproducible.

    Parameters
    ----------
    config
        Model, training, and the space to search.
    dataset
        Trained on its train split, judged on its valid split.
    out
        A new folder, or one of an earlier search.
    trials
        How many there should be in the end, over all reruns and processes; 30 unless ``minutes`` is given.
    minutes
        Begin no trial after so long.
    progress
        Follows each training, and hears how each trial ended.

    Raises
    ------
    MissingExtraError
        When optuna is not installed.
    ConfigError
        When the folder holds a search of other settings, space or data, or every trial failed.
    FolderError
        When ``out`` holds something else.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError(
            "a search runs in one process a trial, not under torchrun", remedy="Start it several times."
        )
    out, space = Path(out), config.space()
    with _quiet() as optuna:
        study = _open_study(optuna, config, dataset, out=out, space=space)
        end = time.monotonic() + 60 * minutes if minutes is not None else None
        wanted = trials or (_TRIALS if minutes is None else None)
        search = _Search(study, config, dataset, out, space)
        while (wanted is None or len(search.trials()) < wanted) and (end is None or time.monotonic() < end):
            search.trial(progress)
        return search.result()


@dataclass(frozen=True)
class _Search:
    """One folder's study and what a trial needs."""

    study: optuna.Study
    config: TuneConfig
    dataset: Dataset
    out: Path
    space: dict[str, Space]

    def trial(self, progress: Progress) -> None:
        """One trial: train, tell, keep what is worth keeping."""
        import optuna

        trial = self.study.ask()
        # A stream of its own: what is proposed does not depend on how often the search was interrupted.
        seed = stream_seed(self.config.train.seed, "tune", trial.number) % 2**32
        self.study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=_STARTUP)
        values = {key: space.suggest(trial, key) for key, space in self.space.items()}
        trial.set_user_attr("values", values)
        folder = self.out / "trials" / str(trial.number)
        rows: list[dict[str, Any]] = []

        def look(row: dict[str, Any]) -> None:
            rows.append(row)
            trial.report(overall(row), len(rows))
            if trial.should_prune():
                raise optuna.TrialPruned

        try:
            model, train = self.config.with_values(values)
            fit(model, self.dataset, train, out=folder, progress=progress, on_epoch=look)
            said = f"{self.study.tell(trial, max(map(overall, rows))).value:.4f}"
        except optuna.TrialPruned:
            self.study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            said = f"stopped after epoch {len(rows)} at {overall(rows[-1]):.4f}"
        except EncreError as error:  # settings that do not go together, or a loss that is no longer a number
            said = f"failed: {error}"
            trial.set_user_attr("reason", said)
            self.study.tell(trial, state=optuna.trial.TrialState.FAIL)
        except BaseException:  # Ctrl-C: whoever goes on begins with these settings
            self.study.tell(trial, state=optuna.trial.TrialState.FAIL)
            self.study.enqueue_trial(trial.params)
            shutil.rmtree(folder, ignore_errors=True)
            raise
        write_history(self.out / "history" / f"{trial.number}.csv", rows)
        self._keep_best(trial.number)
        progress.say(f"trial {trial.number}: {said} ({', '.join(f'{k} = {shown(v)}' for k, v in values.items())})")

    def trials(self) -> list[optuna.trial.FrozenTrial]:
        """Those that have come to an end of their own: not the running, waiting and interrupted ones."""
        ended = [trial for trial in self.study.get_trials(deepcopy=False) if trial.state.is_finished()]
        return [trial for trial in ended if trial.state.name != "FAIL" or "reason" in trial.user_attrs]

    def best(self) -> optuna.trial.FrozenTrial | None:
        """The complete trial of the highest score; None before there is one."""
        complete = [trial for trial in self.trials() if trial.state.name == "COMPLETE"]
        return max(complete, key=lambda trial: (trial.value or 0.0, -trial.number), default=None)

    def _keep_best(self, number: int) -> None:
        """Write the tables, and ``best.toml`` if a trial is now the best; delete the folders of all others."""
        best = self.best()
        if best is not None and best.number == number:
            model, train = self.config.with_values(best.user_attrs["values"])
            tables = {"model": model, "train": train}
            text = tomli_w.dumps({k: v.model_dump(mode="json", exclude_none=True) for k, v in tables.items()})
            with staged_file(self.out / "best.toml") as staged:
                staged.write_text(text, encoding="utf-8")
        for trial in self.trials():
            if trial is not best:
                shutil.rmtree(self.out / "trials" / str(trial.number), ignore_errors=True)
        with staged_file(self.out / "trials.csv") as staged:
            pl.DataFrame([_row(trial) for trial in self.trials()], infer_schema_length=None).write_csv(staged)

    def result(self) -> Tuned:
        """What was found, with the importance of each key."""
        trials, best = self.trials(), self.best()
        if best is None:
            reasons = [trial.user_attrs["reason"] for trial in trials if "reason" in trial.user_attrs]
            raise ConfigError(
                f"none of {len(trials)} trials came to its end",
                where=self.out,
                got=reasons[0] if reasons else "",
                remedy="Narrow the [tune] table, or give it more time.",
            )
        importance = self._importance()
        with staged_file(self.out / "importance.csv") as staged:
            pl.DataFrame({"key": list(importance), "importance": list(importance.values())}).write_csv(staged)
        states = [trial.state.name for trial in trials]
        counts = {name: states.count(state) for name, state in _STATES.items()}
        return Tuned(float(best.value or 0.0), best.user_attrs["values"], best.number, counts, importance)

    def _importance(self) -> dict[str, float]:
        """fANOVA (Hutter et al. 2014) over the complete trials."""
        from optuna.importance import FanovaImportanceEvaluator, get_param_importances

        scores = {trial.value for trial in self.trials() if trial.state.name == "COMPLETE"}
        if len(scores) < _FEWEST:
            return {}
        found = get_param_importances(self.study, evaluator=FanovaImportanceEvaluator(seed=0))
        return {key: round(share, 4) for key, share in found.items()}


def shown(value: Any) -> str:
    """A value in words: numbers with three digits."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


_STATES = {"complete": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL"}


def _row(trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
    """A trial as a row of ``trials.csv``."""
    seen = trial.intermediate_values
    values = {k: json.dumps(v) if isinstance(v, list) else v for k, v in trial.user_attrs["values"].items()}
    return {
        "trial": trial.number,
        "state": {state: name for name, state in _STATES.items()}[trial.state.name],
        "score": max(seen.values()) if seen else None,
        "epochs": len(seen),
        "seconds": round(trial.duration.total_seconds(), 1) if trial.duration else None,
        "reason": trial.user_attrs.get("reason", ""),
        **values,
    }


def _open_study(
    optuna: Any, config: TuneConfig, dataset: Dataset, *, out: Path, space: dict[str, Space]
) -> optuna.Study:
    """The study in a folder, new or as it was left."""
    journal = out / "journal.log"
    if not journal.is_file():
        refuse_occupied(out)
        out.mkdir(parents=True, exist_ok=True)
    identity = {
        "model": config.model,
        "train": config.train.model_dump(mode="json", exclude={"device"}),
        "tune": {key: values.model_dump(mode="json") for key, values in space.items()},
        "dataset": dataset.digest,
    }
    study = optuna.create_study(
        study_name="encre",
        direction="maximize",
        storage=optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(journal))),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=_STARTUP, n_warmup_steps=1),
        load_if_exists=True,
    )
    then = study.user_attrs.get("identity")
    if then is None:
        study.set_user_attr("identity", identity)
    elif then != json.loads(json.dumps(identity)):
        key = next(key for key in identity if then[key] != identity[key])
        raise ConfigError(
            f"the search in this folder was begun with another {'dataset' if key == 'dataset' else f'[{key}] table'}",
            where=out,
            remedy="Go on with the same, or name a new folder.",
        )
    return study


@contextlib.contextmanager
def _quiet() -> Iterator[Any]:
    """Optuna, without the lines that it logs; they come back."""
    try:
        import optuna
    except ImportError as error:
        raise MissingExtraError(
            "a search for settings needs the package optuna", remedy="pip install 'encre[tune]'"
        ) from error
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield optuna
    finally:
        optuna.logging.set_verbosity(before)
