"""What signal tracks add beyond sequence: the same model with its tracks hidden, and the tracks without a base."""

from __future__ import annotations

from typing import Any

import numpy as np

from encre.data.dataset import Dataset
from encre.evaluation.comparison import compare_judged
from encre.evaluation.judgement import Judgement, judge
from encre.models.checkpoint import LoadedModel
from encre.models.signal_only import SignalOnly
from encre.progress import SILENT, Progress
from encre.train.predictions import Tables, predicted, table_of
from encre.train.tracks import columns


def beyond_sequence(
    loaded: LoadedModel,
    dataset: Dataset,
    judgement: Judgement,
    *,
    split: str,
    progress: Progress = SILENT,
) -> tuple[dict[str, Any], dict[str, Tables]]:
    """Judge a model's ablations as the model itself is judged.

    Parameters
    ----------
    loaded, dataset
        The model and what it was trained on.
    judgement
        Of the model with its tracks.
    split
        That was judged.

    Returns
    -------
    tuple
        ``{"signals": …}`` for ``evaluation.json`` (empty for a model of sequence alone): ``fusion``, ``tracks``,
        ``track_dropout``, and of ``hidden`` (the tracks) and ``signal_only`` (logistic regression on the tracks) the
        judged values and ``differences`` (the model minus it); and the tables by those names.
    """
    settings = loaded.model.config.signals
    if settings is None:
        return {}, {}
    progress.say("once more with the signal tracks hidden, and the tracks alone")
    tables = {
        "hidden": predicted(loaded, dataset, split=split, signals=False, progress=progress),
        "signal_only": _signal_only(loaded, dataset, split=split),
    }
    how = {"seed": judgement.values["seed"], "resamples": judgement.values["resamples"]}
    judged = {name: judge(found.valid, found.judged, dataset.tasks, **how) for name, found in tables.items()}
    found = {
        "fusion": settings.fusion,
        "tracks": list(settings.tracks),
        "track_dropout": settings.track_dropout,
        **{name: found.values for name, found in judged.items()},
        "differences": {name: compare_judged(judgement, found) for name, found in judged.items()},
    }
    return {"signals": found}, tables


def _signal_only(loaded: LoadedModel, dataset: Dataset, *, split: str) -> Tables:
    chosen, train = columns(loaded.model.config, dataset), dataset.train
    fitted = SignalOnly().fit(
        _bins(train.signals(chosen)), train.offsets, np.nan_to_num(train.targets), train.target_mask
    )
    subsets = [dataset.subset(name) for name in ("valid", split)]
    logits = [fitted.logits(_bins(subset.signals(chosen)), subset.offsets) for subset in subsets]
    return Tables(*(table_of(part, dataset.tasks, logits=x) for part, x in zip(subsets, logits, strict=True)))


def _bins(signals: np.ndarray | None) -> np.ndarray:
    assert signals is not None, "a model that reads tracks has a dataset with tracks"
    return signals
