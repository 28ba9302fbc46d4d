"""What each base contributes to a logit: one function for every method, with its completeness error."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from encre.errors import ConfigError, SequenceError
from encre.interpret.settings import AttributionSettings, ConvergenceError, check_method
from encre.interpret.windows import Windows, windows_of
from encre.predict.inputs import Records
from encre.predict.policy import news
from encre.predict.scores import Scores, Scoring
from encre.progress import SILENT, Progress
from encre.reproducibility import stream
from encre.shapes import N_CODE

if TYPE_CHECKING:
    from encre.models.model import EnhancerModel
    from encre.predict.predictor import Predictor

#: Bases of a block of windows of one length: bounds memory, and moves the progress bar. The same on every device,
#: because a block has its own random shuffles.
_BLOCK_BASES = 1 << 13


class _Block(NamedTuple):
    """What a method says of B windows of one length; see :class:`Attributions` for the fields."""

    hypothetical: np.ndarray
    logits: np.ndarray
    difference: np.ndarray
    error: np.ndarray
    steps: np.ndarray | None = None
    deviation: float = 0.0


@dataclass(frozen=True)
class Attributions:
    """Contributions of the bases of N windows to K logits, both strands averaged.

    Parameters
    ----------
    settings
        How they were computed.
    tasks
        The K tasks.
    records
        What the windows are of.
    windows
        A record no longer than the model's window is one; longer ones are covered as in predictions.
    hypothetical
        N arrays (K, 4, L) float32: what each base would contribute if it stood there. Zero at N.
    logits
        (N, K) of the windows.
    difference
        (N, K) logit less that of the reference (the mean over shuffles); NaN for in silico mutagenesis.
    error
        (N, K) completeness error: |sum of contributions - difference|, the mean over shuffles; NaN likewise.
    steps
        (N,) steps of integrated gradients, else None.
    deviation
        Of in silico mutagenesis: the largest difference from scoring mutants whole, at random substitutions of each
        block of windows.
    all_n
        Windows left out because they hold only N.
    unshuffled
        Windows of which a shuffle is the window itself: nothing contributes against it.
    """

    settings: AttributionSettings
    tasks: tuple[str, ...]
    records: Records
    windows: Windows
    hypothetical: list[np.ndarray]
    logits: np.ndarray
    difference: np.ndarray
    error: np.ndarray
    steps: np.ndarray | None = None
    deviation: float | None = None
    all_n: int = 0
    unshuffled: int = 0

    def __len__(self) -> int:
        return len(self.hypothetical)

    @property
    def names(self) -> list[str]:
        """(N,) names of the windows' records."""
        return [str(self.records.names[record]) for record in self.windows.record]

    def codes(self, row: int) -> np.ndarray:
        """Codes (L,) of a window."""
        return self.windows.codes[self.windows.offsets[row] : self.windows.offsets[row + 1]]

    def contributions(self, row: int) -> np.ndarray:
        """(K, L) of the bases that stand in a window; 0 at N."""
        codes = self.codes(row)
        known = np.minimum(codes, N_CODE - 1)[None, None, :].astype(np.int64)
        return np.take_along_axis(self.hypothetical[row], known, axis=1)[:, 0] * (codes < N_CODE)

    def take(self, rows: np.ndarray) -> Attributions:
        """Some of the windows."""
        return replace(
            self,
            windows=self.windows.take(rows),
            hypothetical=[self.hypothetical[row] for row in rows],
            logits=self.logits[rows],
            difference=self.difference[rows],
            error=self.error[rows],
            steps=None if self.steps is None else self.steps[rows],
        )

    @property
    def unconverged(self) -> np.ndarray:
        """Rows whose completeness error is above the limit, for any task."""
        from encre.interpret.gradients import allowed

        limit = self.settings.largest_error
        if limit is None:
            return np.empty(0, np.int64)
        return np.flatnonzero(~(self.error <= allowed(limit, self.difference)).all(axis=1))  # NaN is no convergence


def attribute(
    model: Predictor,
    sequences: Records | Iterable[str] | str,
    *,
    method: str | None = None,
    tasks: Sequence[str] | None = None,
    settings: AttributionSettings | None = None,
    progress: Progress = SILENT,
) -> Attributions:
    """What each base of each sequence contributes to each task's logit.

    Parameters
    ----------
    model
        From :func:`encre.load`.
    sequences
        Strings, one string, or records of :func:`encre.predict.inputs.read_inputs`.
    method
        ``"ism"`` (unless told), ``"gradient_x_input"``, ``"integrated_gradients"``, ``"deeplift"`` or ``"shap"``.
    tasks
        Names; None for all.
    settings
        Everything else; its method must be the one that is named, if one is.

    Raises
    ------
    ConfigError
        When the model does not allow the method (the message names those that it does), or for an unknown task.
    ConvergenceError
        When contributions do not sum to what they must, naming the first sequence.
    SequenceError
        When a sequence cannot be scored.
    """
    settings = settings or AttributionSettings(method or "ism")
    if method not in (None, settings.method):
        raise ConfigError("the method is named twice", got=f"'{method}', and '{settings.method}' in the settings")
    if not isinstance(sequences, Records):
        sequences = Records.from_sequences([sequences] if isinstance(sequences, str) else sequences)
    check_method(model.model, settings.method)
    scores = score_first(model, sequences, progress=progress)
    found = attribute_scored(model, scores, settings, tasks=tasks, progress=progress)
    refuse_unconverged(found)
    return found


def score_first(
    model: Predictor, records: Records, *, skip_unscorable: bool = False, progress: Progress = SILENT
) -> Scores:
    """Score records: refuses those that cannot be explained either, or lists them apart, and says what is special."""
    scores = model.score(records, Scoring(skip_unscorable=skip_unscorable))
    counts, least = scores.counts, int(model.manifest["sequence"].get("min_length") or 0)
    said = news(counts._replace(tiled=0), window=model.window, trained_from=least, combine="mean")
    if counts.tiled:
        said.append(
            f"{counts.tiled:,} of {counts.scored:,} sequences are longer than the model's {model.window:,} bp: each "
            "is covered by windows that overlap by half, and every window is a row of its own."
        )
    for line in said:
        progress.say(line)
    return scores


def attribute_scored(
    model: Predictor,
    scores: Scores,
    settings: AttributionSettings,
    *,
    tasks: Sequence[str] | None = None,
    progress: Progress = SILENT,
) -> Attributions:
    """As :func:`attribute`, of what has been scored; windows that did not converge are in it."""
    check_method(model.model, settings.method)
    names = tuple(dict.fromkeys(tasks)) if tasks else model.tasks.names
    at = np.array([model.tasks.index(name) for name in names])
    windows, all_n = windows_of(scores.records, model.window)
    if not len(windows.record):
        raise SequenceError("there is nothing to explain", where=scores.records.source)
    count = len(windows.record)
    columns: dict[str, Any] = {name: np.empty((count, len(at))) for name in ("logits", "difference", "error")}
    hypothetical: list[Any] = [None] * count
    steps = np.zeros(count, np.int64) if settings.method == "integrated_gradients" else None
    deviation, unshuffled = 0.0, 0
    with progress.track(f"explain ({settings.kind.title})", count, "seq") as advance:
        for rows in windows.of_one_length(_BLOCK_BASES):
            codes = windows.block(rows)
            found, same = _explain(model.model, codes, settings, at=at, first=int(rows[0]))
            for row, values in zip(rows, found.hypothetical, strict=True):
                hypothetical[row] = values
            for name, column in columns.items():
                column[rows] = getattr(found, name)
            if steps is not None and found.steps is not None:
                steps[rows] = found.steps
            deviation, unshuffled = max(deviation, found.deviation), unshuffled + same
            advance(len(rows), "")
    return Attributions(
        settings, names, scores.records, windows, hypothetical, **columns, steps=steps,
        deviation=deviation if settings.method == "ism" else None, all_n=all_n, unshuffled=unshuffled,
    )  # fmt: skip


def _explain(
    model: EnhancerModel, codes: np.ndarray, settings: AttributionSettings, *, at: np.ndarray, first: int
) -> tuple[_Block, int]:
    """Windows (B, L) of one length, and of how many a shuffle is the window itself; ``first`` is a row's number."""
    if settings.reference_name is None:
        return _mutate(model, codes, settings, at=at), 0
    from encre.interpret.gradients import Pairs, gradient, integrated_gradients
    from encre.interpret.references import make_references, one_hot

    rng = stream(settings.seed, "explain", "references", first)
    x = one_hot(codes)
    references = make_references(settings.reference_name, codes, count=settings.references, rng=rng)
    pairs = Pairs(codes, x, references, at)
    if settings.method == "gradient_x_input":
        found = gradient(model, pairs)
    elif settings.method == "integrated_gradients":
        found = integrated_gradients(model, pairs, limit=settings.largest_error or 0.0, most=settings.steps)
    else:
        from encre.interpret.deeplift import deeplift

        found = deeplift(model, pairs)
    block = _Block(
        found.hypothetical(pairs).astype(np.float32), found.logits, found.difference, found.errors(pairs), found.steps
    )
    return block, int((references == x[:, None]).all(axis=(2, 3)).any(axis=1).sum())


def _mutate(model: EnhancerModel, codes: np.ndarray, settings: AttributionSettings, *, at: np.ndarray) -> _Block:
    from encre.interpret.mutagenesis import base_logits, hypothetical, largest_deviation

    logits, found = base_logits(model, codes, precision=settings.precision)
    deviation = largest_deviation(model, codes, found, seed=settings.seed)
    nothing = np.full((len(codes), len(at)), np.nan)
    return _Block(hypothetical(found[:, at]), logits[:, at], nothing, nothing, deviation=deviation)


def refuse_unconverged(found: Attributions) -> None:
    """Raise when a window's contributions do not sum to what they must."""
    rows = found.unconverged
    if not len(rows):
        return
    from encre.interpret.gradients import allowed

    settings, first, limit = found.settings, int(rows[0]), found.settings.largest_error or 0.0
    beyond = found.error[first] / allowed(limit, found.difference[first])
    task = int(np.argmax(beyond))
    raise ConvergenceError(
        f"{settings.kind.title} does not converge for {len(rows):,} of {len(found):,} sequences, the first "
        f"'{found.names[first]}' (task {found.tasks[task]})",
        where=found.records.source,
        expected=f"a completeness error of at most {limit:g} of the difference "
        f"{found.difference[first, task]:.3g}, which counts as 1 where it is smaller",
        got=f"{found.error[first, task]:.3g}",
        remedy="Use another method (ism measures each base by itself), raise --limit if such an error does not "
        "matter to you, or list these sequences apart with --skip-unconverged.",
    )
