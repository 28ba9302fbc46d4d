"""A trained model, ready to score: sequences -> table of logits and calibrated probabilities."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl

from encre.errors import ConfigError, MissingFileError, SequenceError
from encre.evaluation.calibration import BaseRate, Calibration
from encre.predict.inputs import Records
from encre.predict.tiling import Tiles, combine_tiles, tile
from encre.progress import SILENT, Progress
from encre.sequence.alphabet import n_share
from encre.sequence.flat import blocks
from encre.tasks import TaskSet

if TYPE_CHECKING:
    from encre.models.model import EnhancerModel

Combine = Literal["mean", "max"]

DEFAULT_MODEL = Path(__file__).resolve().parent.parent / "assets" / "default_model"

DEFAULT_LIMITS = (
    "Limits of the shipped model: a small CNN trained on 47,872 open-chromatin (DNase) sites of 200 bp from four "
    "cell lines and their shuffled copies. It knows no other tissue and no enhancer mark; train on your own data "
    "for those, and give the run with --model."
)

#: Records are scored in blocks of about this many bases, which bounds memory whatever the input's size.
_BLOCK_BASES = 50_000_000


@dataclass(frozen=True)
class Predictor:
    """A model with its tasks and calibration.

    Parameters
    ----------
    model
        The network, in evaluation mode.
    tasks
        The K axis of logits and probabilities.
    calibration
        From the valid split, or None when the run has not been evaluated; a task that could not be
        calibrated gets no probability.
    manifest
        The run's ``manifest.json``.
    path
        The run folder.
    """

    model: EnhancerModel
    tasks: TaskSet
    calibration: Calibration | None
    manifest: dict[str, Any]
    path: Path

    @property
    def is_default(self) -> bool:
        """Whether this is the small model that the package ships."""
        return self.path == DEFAULT_MODEL

    @property
    def name(self) -> str:
        """The run folder's name, or ``encre default model``."""
        return "encre default model" if self.is_default else self.path.name

    @property
    def window(self) -> int:
        """Longest sequence, in bases, that the model scores in one piece; longer ones are tiled."""
        sequence = self.manifest["sequence"]
        trained = int(sequence["width"] if sequence["mode"] == "window" else sequence["max_length"])
        return min(trained, self.model.config.longest or trained)

    @property
    def region_width(self) -> int | None:
        """Width of the window that a region becomes, or None when the model takes elements as they are."""
        return self.window if self.manifest["sequence"]["mode"] == "window" else None

    @property
    def shortest(self) -> int:
        """Fewest bases that the model can read."""
        return self.model.config.shortest

    @property
    def introduction(self) -> list[str]:
        """Lines that tell the user which model answers and what it does not know."""
        size, data = self.manifest.get("parameters"), self.manifest.get("dataset", {}).get("name", "")
        about = f"{self.manifest.get('model', 'model')}, {size:,} parameters" if size else "model"
        lines = [f"Model: {self.name} ({about}{f', trained on {data}' if data else ''})"]
        if self.is_default:
            lines.append(DEFAULT_LIMITS)
        if missing := [n for n in self.classified if n not in self.calibrated]:
            lines.append(
                f"No calibration for {', '.join(missing)}: probabilities are left empty. "
                "`encre evaluate RUN` makes them from the valid split."
            )
        if self.calibrated and not self.ranked:
            lines.append("No background in this run: percentiles are left empty. `encre evaluate RUN` stores one.")
        return lines

    @property
    def classified(self) -> list[str]:
        """Tasks that have a probability (all but regression)."""
        return [task.name for task in self.tasks if task.kind != "regression"]

    @property
    def calibrated(self) -> list[str]:
        """Tasks whose probability is calibrated."""
        known = self.calibration
        if known is None:
            return []
        return [n for n in self.classified if n in known.temperatures and n not in known.reasons]

    @property
    def ranked(self) -> list[str]:
        """Tasks whose logits can be ranked against a background."""
        known = self.calibration.background if self.calibration else None
        return [name for name in self.tasks.names if known and name in known.quantiles]

    def probabilities(self, logits: np.ndarray, *, base_rate: BaseRate | None = None) -> np.ndarray:
        """Calibrated probabilities of logits.

        Parameters
        ----------
        logits
            (N, K) in the order of :attr:`tasks`, averaged over both strands.
        base_rate
            Share of positives where the model is used, above 0 and below 1: one for all tasks, or by task name. The
            log odds are shifted from the prevalence of the valid split to it. None leaves them as they are.

        Returns
        -------
        np.ndarray
            (N, K) float32; NaN where a task has no calibration.

        Raises
        ------
        ConfigError
            When a rate is out of range or for a task without probability, or the prevalence of valid is not known.
        """
        found = np.full(np.shape(logits), np.nan, np.float32)
        known = self.calibrated
        if not known and base_rate is not None:
            raise ConfigError(
                f"'{self.name}' has no calibrated probability that a base rate could correct",
                remedy="Run `encre evaluate RUN` first.",
            )
        if known and self.calibration:
            at = [self.tasks.index(name) for name in known]
            found[:, at] = self.calibration.probabilities(logits[:, at], known, base_rate=base_rate)
        return found

    def percentiles(self, logits: np.ndarray) -> np.ndarray:
        """Percentile (0-100) of each logit among the background that the model carries.

        Parameters
        ----------
        logits
            (N, K) in the order of :attr:`tasks`.

        Returns
        -------
        np.ndarray
            (N, K) float32; NaN where a task has no background. See :mod:`encre.evaluation.background`.
        """
        known = self.calibration.background if self.calibration else None
        if known is None:
            return np.full(np.shape(logits), np.nan, np.float32)
        return known.percentiles(logits, self.tasks.names).astype(np.float32)

    def describe(self) -> dict[str, Any]:
        """Plain values about the model for machine-readable output."""
        return {
            "name": self.name,
            "path": str(self.path),
            "model": self.manifest.get("model"),
            "parameters": self.manifest.get("parameters"),
            "tasks": list(self.tasks.names),
            "window": self.window,
            "calibrated": self.calibrated,
            "background": self._describe_background(),
            "limits": DEFAULT_LIMITS if self.is_default else None,
        }

    def _describe_background(self) -> dict[str, Any] | None:
        known = self.calibration.background if self.calibration else None
        return {"made_of": known.made_of, "rows": known.rows} if known and self.ranked else None

    def predict(
        self,
        sequences: Records | Sequence[str] | Iterable[str] | str,
        *,
        names: Sequence[str] | None = None,
        combine: Combine | str = "mean",
        progress: Progress = SILENT,
    ) -> pl.DataFrame:
        """Score sequences; both strands are averaged.

        Parameters
        ----------
        sequences
            Strings, one string, or :class:`~encre.predict.inputs.Records`.
        names
            (N,) names, when strings are given.
        combine
            How the windows of a sequence longer than :attr:`window` become one row: ``"mean"`` or
            ``"max"`` of their logits. The windows overlap by half; those of only N are left out.

        Returns
        -------
        pl.DataFrame
            (N rows) ``name``, ``chrom``, ``start``, ``end`` where known (0-based half-open), ``length``
            in bases, ``n_share``, ``windows``, then ``logit_<task>`` and ``probability_<task>``
            (calibrated; null where the model has no calibration), in the tasks' order.

        Raises
        ------
        SequenceError
            When a sequence is only N, or shorter than the model can read; the message names it.
        """
        check_combine(combine)
        if isinstance(sequences, str):
            sequences = [sequences]
        records = sequences if isinstance(sequences, Records) else Records.from_sequences(sequences, names)
        length = np.diff(records.offsets)
        unknown = self._check(records, length)
        logits = np.empty((len(records), len(self.tasks)), np.float32)
        windows = np.ones(len(records), np.int64)
        with progress.track("predict", len(records), "seq") as advance:
            for first, last in blocks(records.offsets, _BLOCK_BASES):
                tiles = tile(records.codes, records.offsets[first : last + 1], window=self.window)
                logits[first:last] = combine_tiles(self._logits(tiles), tiles, how=str(combine))
                windows[first:last] = tiles.per_sequence
                advance(last - first, "")
        self._say_what_was_special(length, windows, combine=str(combine), progress=progress)
        return self._table(records, length, unknown, windows=windows, logits=logits)

    def _logits(self, tiles: Tiles) -> np.ndarray:
        from encre.models.inference import predict_logits

        return predict_logits(self.model, tiles.codes, tiles.offsets, both_strands=True)

    def _check(self, records: Records, length: np.ndarray) -> np.ndarray:
        """Refuse what cannot be scored; returns the share of N (N,)."""
        short = np.flatnonzero(length < self.shortest)
        if len(short):
            raise SequenceError(
                f"'{records.names[short[0]]}' is shorter than the model can read",
                where=records.source,
                expected=f"{self.shortest} bases or more",
                got=f"{length[short[0]]}",
                remedy="Remove it from the input." + _and_more(short),
            )
        share = n_share(records.codes, records.offsets)
        hidden = np.flatnonzero(share >= 1)
        if len(hidden):
            raise SequenceError(
                f"'{records.names[hidden[0]]}' holds only N (no A, C, G or T)",
                where=records.source,
                remedy="Remove it from the input." + _and_more(hidden),
            )
        return share

    def _say_what_was_special(
        self, length: np.ndarray, windows: np.ndarray, *, combine: str, progress: Progress
    ) -> None:
        tiled = int((windows > 1).sum())
        if tiled:
            progress.say(
                f"{tiled:,} of {len(length):,} sequences are longer than the model's {self.window:,} bp: each was "
                f"covered by windows that overlap by half, and its row holds the {combine} of their logits "
                "(column 'windows' counts them)."
            )
        trained_from = int(self.manifest["sequence"].get("min_length") or 0)
        if self.region_width is None and (short := int((length < trained_from).sum())):
            progress.say(
                f"{short:,} of {len(length):,} sequences are shorter than the {trained_from:,} bp that the model "
                "was trained on; take their values with care."
            )

    def _table(
        self,
        records: Records,
        length: np.ndarray,
        unknown: np.ndarray,
        *,
        windows: np.ndarray,
        logits: np.ndarray,
    ) -> pl.DataFrame:
        columns: dict[str, Any] = {"name": list(records.names)}
        if records.chrom is not None:
            columns |= {"chrom": list(records.chrom), "start": records.start, "end": records.end}
        columns |= {"length": length, "n_share": unknown.astype(np.float32), "windows": windows}
        for position, name in enumerate(self.tasks.names):
            columns[f"logit_{name}"] = logits[:, position]
        known = self.calibrated
        for name in self.classified:
            columns[f"probability_{name}"] = pl.repeat(None, len(records), dtype=pl.Float32, eager=True)
        if known and self.calibration:
            at = [self.tasks.index(name) for name in known]
            probabilities = self.calibration.probabilities(logits[:, at], known).astype(np.float32)
            columns |= {f"probability_{name}": probabilities[:, i] for i, name in enumerate(known)}
        return pl.DataFrame(columns)


def load(path: str | Path | None = None, *, device: str = "auto") -> Predictor:
    """Open a run folder for scoring.

    Parameters
    ----------
    path
        A run folder; None opens the small default model that the package ships.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"`` …

    Raises
    ------
    MissingFileError, FolderError
        When the folder is not there, is no run, or is damaged or of another version.
    """
    folder = DEFAULT_MODEL if path is None else Path(path)
    if path is None and not (folder / "manifest.json").is_file():
        raise MissingFileError(
            "this copy of encre ships no default model",
            remedy="Name a run folder with --model (in Python: load(path)).",
        )
    from encre.models.checkpoint import load_model
    from encre.models.device import choose_device

    model, _, tasks, calibration, manifest = load_model(folder, device=choose_device(device))
    fitted = Calibration.from_dict(calibration, where=folder / "calibration.json") if calibration else None
    return Predictor(model, tasks, fitted, manifest, folder)


def check_combine(combine: str) -> None:
    """Refuse a way of combining windows that does not exist."""
    if combine not in ("mean", "max"):
        raise ConfigError("windows of a long sequence are combined by mean or max", got=f"'{combine}'")


def _and_more(rows: np.ndarray) -> str:
    return f" ({len(rows) - 1:,} more like it.)" if len(rows) > 1 else ""
