"""Logits of sequences that differ from a reference in a few bases, in place: mutagenesis, variants, motifs.

Convolutions recompute only what the changed bases can reach, and of that only the difference: an output changes by
what the changed inputs put into it, so a change of c positions costs c positions' worth of multiplications. What
lies beyond the reach is taken from the reference. An LSTM starts at the first changed position from the state that
the reference had there. Where everything depends on everything (attention), sequences are computed whole.

The idea of recomputing the reach alone is that of fastISM (Nair et al. 2022) and Yuzu (Schreiber et al. 2022).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

from encre.models.changes import Group, LocalChanges
from encre.models.device import Precision, autocast, choose_precision
from encre.models.ensemble import Ensemble
from encre.models.inference import predict_logits
from encre.models.model import EnhancerModel
from encre.models.readout import readout_of
from encre.progress import SILENT, Progress
from encre.sequence.alphabet import complement

#: Reference bases whose activations are held at once.
_BASES = 1 << 14


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

    def reversed(self, length: int) -> Substitutions:
        """The same on the reverse complements of the references (R, length)."""
        width = self.bases.shape[1]
        bases = complement(self.bases)[:, ::-1].copy()
        return Substitutions(self.row, length - self.start - width, bases)

    def take(self, which: np.ndarray, first_row: int = 0) -> Substitutions:
        """Some of them, rows counted from ``first_row``."""
        return Substitutions(self.row[which] - first_row, self.start[which], self.bases[which])


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
        ``"fp32"`` (equal to computing each sequence whole, to 1e-5), ``"bf16"`` or ``"auto"``.
    progress
        Follows the substitutions done.

    Returns
    -------
    tuple of numpy.ndarray
        ``(R, K)`` and ``(M, K)`` float32.

    Raises
    ------
    SequenceError
        When the references are shorter or longer than the model takes.
    """
    how: dict[str, Any] = {"both_strands": both_strands, "precision": precision, "progress": progress}
    if isinstance(model, Ensemble):
        each = [substituted_logits(member, codes, changes, **how) for member in model.members]
        return tuple(np.mean(part, axis=0) for part in zip(*each, strict=True))  # pyright: ignore[reportReturnType]
    readout = readout_of(model)
    if readout is None or codes.shape[1] % readout.convolutions.period:
        return naive_substituted_logits(model, codes, changes, **how)
    count, length = codes.shape
    model.check_lengths(np.array([length]))
    reference = np.zeros((count, len(model.tasks)), np.float32)
    changed = np.zeros((len(changes.row), len(model.tasks)), np.float32)
    device = next(model.parameters()).device
    context = autocast(choose_precision(precision, device), device)
    engine, both = LocalChanges(readout), both_strands and not model.config.strand_symmetric
    with torch.inference_mode(), context, progress.track("substitute", len(changed), "change") as advance:
        for first, last, which in _blocks(changes, count, max(1, _BASES // length)):
            strands = _strands(codes[first:last], changes.take(which, first), both=both)
            for bases, edits in strands:
                whole, each = _one_strand(engine, bases, edits)
                reference[first:last] += whole / len(strands)
                changed[which] += each / len(strands)
            advance(len(which), "")
    return reference, changed


def _strands(codes: np.ndarray, changes: Substitutions, *, both: bool) -> list[tuple[np.ndarray, Substitutions]]:
    """References (R, L) and their changes as they are, and on the other strand."""
    strands = [(codes, changes)]
    return [*strands, (complement(codes)[:, ::-1].copy(), changes.reversed(codes.shape[1]))] if both else strands


def _one_strand(engine: LocalChanges, codes: np.ndarray, edits: Substitutions) -> tuple[np.ndarray, np.ndarray]:
    device = next(engine.readout.convolutions.parameters()).device
    between = int(edits.start.min(initial=codes.shape[1])), int(edits.start.max(initial=0))
    held = engine.reference(torch.from_numpy(codes).to(device), between=between, width=edits.bases.shape[1])
    found = np.empty((len(edits.row), held.logits.shape[1]), np.float32)
    groups = Group.cut(*edits, period=engine.period, segment=engine.segment, device=device)
    for group in groups:
        found[group.which] = engine.changed(held, group).float().cpu().numpy()
    return held.logits.float().cpu().numpy(), found


def _blocks(changes: Substitutions, count: int, size: int) -> Iterator[tuple[int, int, np.ndarray]]:
    """References a few at a time: the first, the one behind the last, and which changes are theirs."""
    order = np.argsort(changes.row, kind="stable")
    rows = changes.row[order]
    for first in range(0, count, size):
        last = min(first + size, count)
        begin, end = np.searchsorted(rows, [first, last])
        yield first, last, order[begin:end]


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
