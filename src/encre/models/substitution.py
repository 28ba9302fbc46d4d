"""Logits of sequences that differ from a reference in a few bases, in place: mutagenesis, variants, motifs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from encre.models.device import Precision
from encre.models.inference import predict_logits
from encre.models.model import EnhancerModel
from encre.progress import SILENT, Progress


class Substitutions(NamedTuple):
    """What is put where: M substitutions of w bases each in R references of one length.

    Parameters
    ----------
    row
        (M,) int64 which reference.
    start
        (M,) int64 first base that is replaced, 0-based in the reference.
    bases
        (M, w) uint8 codes that stand there instead.
    """

    row: np.ndarray
    start: np.ndarray
    bases: np.ndarray


def every_substitution(codes: np.ndarray) -> Substitutions:
    """All single-base substitutions of references (R, L), in the order row, position, base; N is left alone."""
    row, start = np.nonzero(codes < 4)
    bases = np.arange(1, 4, dtype=np.uint8)[None, :] + codes[row, start][:, None]
    bases = np.sort(bases % 4, axis=1)
    return Substitutions(np.repeat(row, 3), np.repeat(start, 3), bases.reshape(-1, 1))


def substituted_logits(
    model: EnhancerModel,
    codes: np.ndarray,
    changes: Substitutions,
    *,
    both_strands: bool = True,
    precision: Precision = "fp32",
    progress: Progress = SILENT,
) -> tuple[np.ndarray, np.ndarray]:
    """Logits of references and of each substitution.

    Parameters
    ----------
    model
        In evaluation mode, on its device.
    codes
        (R, L) uint8 references of one length, without padding.
    changes
        M substitutions.
    both_strands
        Average the logits of both strands.
    precision
        ``"fp32"`` (exact to 1e-5), ``"bf16"`` or ``"auto"``.
    progress
        Follows the substitutions done.

    Returns
    -------
    tuple of numpy.ndarray
        ``(R, K)`` and ``(M, K)`` float32.
    """
    return naive_substituted_logits(
        model, codes, changes, both_strands=both_strands, precision=precision, progress=progress
    )


def naive_substituted_logits(
    model: EnhancerModel,
    codes: np.ndarray,
    changes: Substitutions,
    *,
    both_strands: bool = True,
    precision: Precision = "fp32",
    progress: Progress = SILENT,
) -> tuple[np.ndarray, np.ndarray]:
    """As :func:`substituted_logits`, every changed sequence computed whole: what the fast way must equal."""
    count, length = codes.shape
    changed = codes[changes.row]
    width = changes.bases.shape[1]
    changed[np.arange(len(changed))[:, None], changes.start[:, None] + np.arange(width)] = changes.bases
    every = np.concatenate([codes, changed])
    offsets = np.arange(len(every) + 1, dtype=np.int64) * length
    logits = predict_logits(
        model, every.reshape(-1), offsets, both_strands=both_strands, precision=precision, progress=progress
    )
    return logits[:count], logits[count:]
