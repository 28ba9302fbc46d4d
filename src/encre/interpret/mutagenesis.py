"""In silico mutagenesis: every base of every sequence replaced by each of the other three."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from encre.reproducibility import stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from encre.models.device import Precision
    from encre.models.model import EnhancerModel
    from encre.predict.predictor import Predictor

#: Substitutions that the local recomputation is checked at, against whole sequences.
_CHECKED = 32


def base_logits(
    model: EnhancerModel, codes: np.ndarray, *, precision: Precision = "fp32"
) -> tuple[np.ndarray, np.ndarray]:
    """Logits with each base at each position, both strands averaged.

    Parameters
    ----------
    model
        In evaluation mode.
    codes
        (B, L) uint8 sequences of one length. N is not replaced: its column holds the sequence's own logit.

    Returns
    -------
    tuple of numpy.ndarray
        Logits of the sequences (B, K), and with base A, C, G or T at each position (B, K, 4, L), float32.
    """
    from encre.models.substitution import every_substitution, substituted_logits

    changes = every_substitution(codes)
    logits, changed = substituted_logits(model, codes, changes, both_strands=True, precision=precision)
    found = np.broadcast_to(logits[:, None, None, :], (*codes.shape, 4, logits.shape[1])).copy()
    found[changes.row, changes.start, changes.bases[:, 0]] = changed
    return logits, found.transpose(0, 3, 2, 1)


def hypothetical(logits: np.ndarray) -> np.ndarray:
    """Hypothetical contributions: logits (B, K, 4, L) less their mean over the four bases of a position."""
    return logits - logits.mean(axis=2, keepdims=True)


def largest_deviation(model: EnhancerModel, codes: np.ndarray, logits: np.ndarray, *, seed: int = 0) -> float:
    """How far local recomputation lies from whole sequences, at 32 random substitutions.

    Parameters
    ----------
    codes, logits
        Sequences (B, L) and what :func:`base_logits` says of them, (B, K, 4, L).
    """
    from encre.models.substitution import every_substitution, naive_substituted_logits

    changes = every_substitution(codes)
    count = min(_CHECKED, len(changes.row))
    if not count:
        return 0.0
    some = changes.take(stream(seed, "explain", "check").choice(len(changes.row), count, replace=False))
    whole = naive_substituted_logits(model, codes, some, both_strands=True)[1]
    return float(np.abs(logits[some.row, :, some.bases[:, 0], some.start] - whole).max())


def saturation_mutagenesis(
    model: Predictor, sequence: str, *, task: str | Sequence[str], precision: Precision = "fp32"
) -> np.ndarray:
    """Delta logit of every substitution of a sequence, both strands averaged.

    Parameters
    ----------
    model
        From :func:`encre.load`.
    sequence
        Letters, no longer than ``model.window``.
    task
        A task's name, or several.
    precision
        ``"fp32"`` (equal to scoring each mutant whole, to 1e-5), ``"bf16"`` or ``"auto"``.

    Returns
    -------
    numpy.ndarray
        (4, L) float32, rows A, C, G, T: the logit with that base there less the sequence's own; 0 for the base that
        stands there, and at N. Of several tasks (K, 4, L).

    Raises
    ------
    ConfigError
        For an unknown task.
    SequenceError
        When the sequence is empty, only N, shorter than the model reads or longer than its window.
    """
    from encre.errors import SequenceError
    from encre.predict.inputs import Records

    names = [task] if isinstance(task, str) else list(task)
    at = [model.tasks.index(name) for name in names]
    records = model.score(Records.from_sequences([sequence])).records
    if len(records.codes) > model.window:
        raise SequenceError(
            "the sequence is longer than the model's window",
            expected=f"at most {model.window:,} bases",
            got=f"{len(records.codes):,}",
            remedy="Give a piece of it; `encre explain` covers longer ones by windows.",
        )
    logits, found = base_logits(model.model, records.codes[None].copy(), precision=precision)
    delta = (found - logits[:, :, None, None])[0, at]
    return delta[0] if isinstance(task, str) else delta
