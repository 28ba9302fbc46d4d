"""What a model, or a baseline, says of a dataset's splits, as prediction tables."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl

from encre.data.dataset import Dataset, Subset
from encre.evaluation.table import prediction_table
from encre.models.checkpoint import LoadedModel
from encre.models.inference import predict_logits
from encre.progress import SILENT, Progress
from encre.tasks import TaskSet
from encre.train.tracks import columns


class Tables(NamedTuple):
    """Predictions of one scorer: the valid split and the split that is judged."""

    valid: pl.DataFrame
    judged: pl.DataFrame


def predicted(
    loaded: LoadedModel, dataset: Dataset, *, split: str, signals: bool = True, progress: Progress = SILENT
) -> Tables:
    """Predict valid and the judged split, both strands; valid only once when it is judged itself.

    Parameters
    ----------
    loaded
        The model; where it reads signal tracks, it is given those of the dataset.
    signals
        False hides the tracks from it.
    """
    tables = {}
    tracks = columns(loaded.model.config, dataset) if signals else []
    for name in dict.fromkeys(("valid", split)):
        subset = dataset.subset(name)
        bins = subset.signals(tracks)
        logits = predict_logits(loaded.model, subset.codes, subset.offsets, signals=bins, progress=progress)
        tables[name] = table_of(subset, dataset.tasks, logits=logits)
    return Tables(tables["valid"], tables[split])


def table_of(subset: Subset, tasks: TaskSet, *, logits: np.ndarray) -> pl.DataFrame:
    """The prediction table of a split's logits (N, K)."""
    described = {
        "index": subset.index,
        "length": subset.length,
        "targets": subset.targets,
        "mask": subset.target_mask,
        "logits": logits,
    }
    return prediction_table(subset.elements, tasks, columns=described)
