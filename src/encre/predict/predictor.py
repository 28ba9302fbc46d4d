"""A trained model, ready to score: sequences -> table of logits and calibrated probabilities."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import polars as pl

from encre.errors import ConfigError, MissingFileError, SequenceError
from encre.evaluation.calibration import BaseRate, Calibration
from encre.predict.base_rate import said_base_rate
from encre.predict.inputs import Records
from encre.predict.policy import N_RICH, TOO_SHORT, Counts, news, unscorable
from encre.predict.scores import Combine, Scores, Scoring, place_columns, unscorable_table
from encre.predict.sets import cutoffs, set_columns
from encre.predict.tiling import combine_tiles, tile
from encre.predict.tracks import Paths, TrackReader, open_tracks, track_news
from encre.progress import SILENT, Progress
from encre.sequence.alphabet import n_share
from encre.sequence.flat import blocks
from encre.tasks import TaskSet

if TYPE_CHECKING:
    from encre.models.device import Precision
    from encre.models.model import EnhancerModel


DEFAULT_MODEL = Path(__file__).resolve().parent.parent / "assets" / "default_model"

DEFAULT_LIMITS = (
    "Limits of the shipped model: a small CNN trained on 47,872 open-chromatin (DNase) sites of 200 bp from four "
    "cell lines and their shuffled copies. It knows no other tissue and no enhancer mark; train on your own data "
    "for those, and give the run with --model."
)

#: Records are scored in blocks of about this many bases: memory stays bounded, and progress moves.
_BLOCK_BASES = 1 << 21


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
    tracks
        The opened signal tracks of a model that reads some; None without any.
    """

    model: EnhancerModel
    tasks: TaskSet
    calibration: Calibration | None
    manifest: dict[str, Any]
    path: Path
    tracks: TrackReader | None = None

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
    def _trained_from(self) -> int:
        """Bases of the shortest sequence that the model was trained on; 0 where the run does not say."""
        return int(self.manifest["sequence"].get("min_length") or 0)

    @property
    def introduction(self) -> list[str]:
        """Lines that tell the user which model answers and what it does not know."""
        size, data = self.manifest.get("parameters"), self.manifest.get("dataset", {}).get("name", "")
        about = f"{self.manifest.get('model', 'model')}, {size:,} parameters" if size else "model"
        lines = [f"Model: {self.name} ({about}{f', trained on {data}' if data else ''})"]
        lines.append(self._context)
        lines += track_news(self.manifest, self.tracks)
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
    def _context(self) -> str:
        """How much sequence around a region the model is given."""
        if self.region_width:
            return f"Context: windows of {self.window:,} bp; a narrower region is widened around its centre."
        least, most = (self.manifest["sequence"].get(f"{end}_length") or 0 for end in ("min", "max"))
        trained = f"{most:,} bp" if least in (0, most) else f"{least:,} to {most:,} bp"
        return f"Context: a region is read as it is, without what lies around it (trained on {trained})."

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

    def describe(self, *, with_path: bool = True) -> dict[str, Any]:
        """Plain values about the model for machine-readable output; files that are handed on go without its path."""
        return {
            "name": self.name,
            **({"path": str(self.path)} if with_path else {}),
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
        combine: Combine = "mean",
        precision: Precision = "fp32",
        base_rate: BaseRate | None = None,
        progress: Progress = SILENT,
    ) -> pl.DataFrame:
        """Score sequences; both strands are averaged.

        Parameters
        ----------
        sequences
            Strings, one string, or :class:`~encre.predict.inputs.Records`.
        names
            (N,) names, when strings are given.
        combine, precision, base_rate
            As in :class:`~encre.predict.scores.Scoring`.

        Returns
        -------
        pl.DataFrame
            (N rows), the table of :meth:`score`.

        Raises
        ------
        SequenceError
            When a sequence is only N, or shorter than the model can read; the message names it.
        """
        if isinstance(sequences, str):
            sequences = [sequences]
        records = sequences if isinstance(sequences, Records) else Records.from_sequences(sequences, names)
        how = Scoring(combine=combine, precision=precision, base_rate=base_rate)
        return self.score(records, how, progress=progress).table

    def score(self, records: Records, how: Scoring | None = None, *, progress: Progress = SILENT) -> Scores:
        """Score records, and count what was special about them (see :mod:`encre.predict.policy`).

        Parameters
        ----------
        records
            From :func:`~encre.predict.inputs.read_inputs` or :meth:`~encre.predict.inputs.Records.from_sequences`.
        how
            What is asked for; by default fp32, means of windows, and the prevalence of valid.
        progress
            Follows the records done, and hears the counts.

        Returns
        -------
        Scores
            Whose table has a row a scored record: ``name``, ``chrom``, ``start``, ``end`` where known (0-based
            half-open), ``length`` in bases, ``n_share``, ``windows``, then ``logit_<task>``, of an ensemble
            ``sd_<task>`` (standard deviation of its members' logits), ``probability_<task>`` (calibrated) and
            ``percentile_<task>`` (among the background that the model carries), each in the tasks' order.
            Probability and percentile are null where the model has none; regression tasks have no probability. With
            ``how.conformal`` there are the columns of :func:`encre.predict.sets.set_columns`.

        Raises
        ------
        SequenceError
            When a record cannot be scored and ``how`` does not say to skip it, or none can; the message names it.
        ConfigError
            When ``how`` asks for what does not exist.
        """
        how = how or Scoring()
        self.probabilities(np.empty((0, len(self.tasks)), np.float32), base_rate=how.base_rate)  # refused at once
        if how.conformal is not None:
            cutoffs(self.calibration, name=self.name)
        length, share = np.diff(records.offsets), n_share(records.codes, records.offsets)
        rows, why = unscorable(length, share, shortest=self.shortest)
        apart = records.take(rows)
        if len(rows):
            if not how.skip_unscorable or len(rows) == len(records):
                raise self._cannot_score(apart, why)
            kept = np.delete(np.arange(len(records)), rows)
            records, length, share = records.take(kept), length[kept], share[kept]
        logits, spread, windows = self._logits(records, how, progress=progress)
        counts = self._count(records, share, windows=windows, apart=len(rows))
        for line in news(counts, window=self.window, trained_from=self._trained_from, combine=how.combine):
            progress.say(line)
        if how.base_rate is not None:
            progress.say(f"Probabilities are corrected to {said_base_rate(how.base_rate)}.")
        special = {"length": length, "n_share": share.astype(np.float32), "windows": windows}
        table = self._table(records, special, logits=logits, spread=spread, how=how)
        return Scores(table, unscorable_table(apart, why), counts, records, how)

    def _logits(
        self, records: Records, how: Scoring, *, progress: Progress
    ) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
        """Logits (N, K), their spread over an ensemble's members, and of how many windows each row is made (N,)."""
        from encre.models.ensemble import member_logits, members_of

        precision = cast("Precision", how.precision)  # `Scoring` has checked it
        logits = np.empty((len(records), len(self.tasks)), np.float32)
        spread = np.empty_like(logits) if len(members_of(self.model)) > 1 else None
        windows = np.ones(len(records), np.int64)
        with progress.track("predict", len(records), "seq") as advance:
            for first, last in blocks(records.offsets, _BLOCK_BASES):
                tiles = tile(records.codes, records.offsets[first : last + 1], window=self.window)
                bins = None if self.tracks is None else self.tracks.windows(records, tiles, slice(first, last))
                said = member_logits(self.model, tiles.codes, tiles.offsets, signals=bins, precision=precision)
                each = [combine_tiles(found, tiles, how=str(how.combine)) for found in said]
                logits[first:last] = np.mean(each, axis=0)
                if spread is not None:
                    spread[first:last] = np.std(each, axis=0, ddof=1)
                windows[first:last] = tiles.per_sequence
                advance(last - first, "")
        return logits, spread, windows

    def _cannot_score(self, apart: Records, why: list[str]) -> SequenceError:
        """The error for the first of the records that cannot be scored."""
        short = why[0] == TOO_SHORT
        more = f" ({len(why) - 1:,} more rows cannot be scored.)" if len(why) > 1 else ""
        return SequenceError(
            f"'{apart.names[0]}' {'is' if short else 'holds'} {why[0]}",
            where=apart.source,
            expected=f"{self.shortest} bases or more" if short else "",
            got=f"{apart.offsets[1]}" if short else "",
            remedy=f"Remove it from the input, or list such rows apart with --skip-unscorable.{more}",
        )

    def _count(self, records: Records, share: np.ndarray, *, windows: np.ndarray, apart: int) -> Counts:
        length = np.diff(records.offsets)
        widened = 0
        if self.region_width and records.start is not None and records.end is not None:
            widened = int((records.end - records.start < self.region_width).sum())
        return Counts(
            rows=len(records) + apart,
            scored=len(records),
            unscorable=apart,
            widened=widened,
            padded=0 if records.padded is None else int((records.padded > 0).sum()),
            tiled=int((windows > 1).sum()),
            short=int((length < self._trained_from).sum()),
            n_rich=int((share > N_RICH).sum()),
        )

    def _table(
        self,
        records: Records,
        special: dict[str, np.ndarray],
        *,
        logits: np.ndarray,
        spread: np.ndarray | None,
        how: Scoring,
    ) -> pl.DataFrame:
        probabilities = self.probabilities(logits, base_rate=how.base_rate)
        values = {
            "logit": (self.tasks.names, logits),
            **({} if spread is None else {"sd": (self.tasks.names, spread)}),
            "probability": (self.classified, probabilities),
            "percentile": (self.tasks.names, self.percentiles(logits)),
        }
        columns = {
            f"{kind}_{name}": pl.Series(array[:, self.tasks.index(name)], nan_to_null=kind != "logit")
            for kind, (names, array) in values.items()
            for name in names
        }
        if how.conformal is not None:
            known = cutoffs(self.calibration, name=self.name)
            columns |= set_columns(known, self.tasks, logits, level=how.conformal)
        return pl.DataFrame({**place_columns(records), **special, **columns})


def load(
    path: str | Path | None = None,
    *,
    device: str = "auto",
    signals: Paths | None = None,
    assembly: str | None = "GRCh38",
) -> Predictor:
    """Open a run folder for scoring.

    Parameters
    ----------
    path
        A run folder; None opens the small default model that the package ships.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"`` …
    signals
        Track name -> bigWig file, for a model that reads signal tracks; regions are then scored with them.
    assembly
        What those files were made on.

    Raises
    ------
    MissingFileError, FolderError
        When the folder is not there, is no run, or is damaged or of another version.
    ConfigError
        When a track is none of the model's, or it needs one that is not given.
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
    settings = model.config.signals
    dropout = settings.track_dropout if settings else 0.0
    tracks = open_tracks(manifest, signals or {}, track_dropout=dropout, assembly=assembly)
    return Predictor(model, tasks, fitted, manifest, folder, tracks)
