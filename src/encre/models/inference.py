"""Logits of many sequences: sorted by length, in micro-batches, both strands averaged."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from encre.models.device import Precision, autocast, choose_precision
from encre.models.model import EnhancerModel
from encre.progress import SILENT, Progress
from encre.sequence import flat
from encre.sequence.alphabet import complement

#: Numbers that the widest features of a micro-batch hold. On a CPU they stay in the cache (for a Transformer of 1,024
#: features, batches of 4,096 bases are a fifth quicker than of 16,384; for a CNN it is the other way round); a GPU
#: wants to be filled.
_NUMBERS = {"cpu": 1 << 22, "cuda": 1 << 28}


def predict_logits(
    model: EnhancerModel,
    codes: np.ndarray,
    offsets: np.ndarray,
    *,
    signals: np.ndarray | None = None,
    both_strands: bool = True,
    precision: Precision = "fp32",
    progress: Progress = SILENT,
) -> np.ndarray:
    """Logits of every sequence, on the model's own device; the model's mode is left as it was.

    Parameters
    ----------
    model
        From :func:`encre.models.checkpoint.load_model` or ``build_model``.
    codes
        Flat codes, (sum of lengths,) uint8.
    offsets
        Where each sequence starts and ends in ``codes``, (N + 1,) int64.
    signals
        (N, S, J) bins of the model's tracks from each sequence's first base on, NaN = missing; None without any.
    both_strands
        Average the logits of the sequence and of its reverse complement.
    precision
        ``"fp32"`` (the same logits on every machine), ``"bf16"`` (faster where the hardware has it) or ``"auto"``.
    progress
        Follows the sequences done.

    Returns
    -------
    numpy.ndarray
        (N, K) float32, rows as in ``offsets``.

    Raises
    ------
    SequenceError
        When a sequence is shorter or longer than the model takes.
    """
    length = np.diff(offsets)
    both_strands = both_strands and not (model.config.strand_symmetric and signals is None)
    model.check_lengths(length)
    device = next(model.parameters()).device
    context = autocast(choose_precision(precision, device), device)
    result = np.empty((len(length), len(model.tasks)), np.float32)
    training = model.training
    model.eval()
    try:
        with torch.inference_mode(), context, progress.track("predict", len(length)) as advance:
            bases = max(1, _NUMBERS.get(device.type, 1 << 24) // model.config.widest)
            for rows in _micro_batches(length, bases):
                turns = (False, True)[: 1 + both_strands]
                strands = [_strand(model, codes, offsets, rows=rows, signals=signals, reverse=r) for r in turns]
                result[rows] = torch.stack(strands).mean(0).cpu().numpy()
                advance(len(rows), "")
    finally:
        model.train(training)
    return result


def _strand(
    model: EnhancerModel,
    codes: np.ndarray,
    offsets: np.ndarray,
    *,
    rows: np.ndarray,
    signals: np.ndarray | None,
    reverse: bool,
) -> Tensor:
    """Logits (B, K) float32 of some rows on one strand."""
    device = next(model.parameters()).device
    length = offsets[rows + 1] - offsets[rows]
    shown = torch.from_numpy(padded(codes, offsets, rows, reverse=reverse)).to(device)
    if signals is None:
        return model(shown, torch.from_numpy(length)).float()
    size = model.config.signals.bin if model.config.signals else None
    bins = turned_bins(signals[rows], -(-length // (size or 1)), reverse=reverse)
    return model(shown, torch.from_numpy(length), torch.from_numpy(bins).to(device)).float()


def turned_bins(signals: np.ndarray, real: np.ndarray, *, reverse: bool) -> np.ndarray:
    """Signals (B, S, J) of which ``real`` (B,) bins are a row's own, cut to the most of them, float32.

    With ``reverse``, a row's own bins stand from its last to its first, as a dataset turns them.
    """
    bins = np.arange(real.max(initial=0))
    found = signals[..., : len(bins)].astype(np.float32)
    if not reverse:
        return found
    source = np.where(bins < real[:, None], real[:, None] - 1 - bins, bins)
    return np.take_along_axis(found, source[:, None], axis=2)


def _micro_batches(length: np.ndarray, bases: int) -> list[np.ndarray]:
    """Rows by length, cut so that a padded batch holds at most ``bases`` (or one sequence)."""
    order = np.argsort(length, kind="stable")[::-1]  # longest first: memory runs out at once or never
    batches, begin = [], 0
    while begin < len(order):
        size = max(1, bases // max(1, int(length[order[begin]])))
        batches.append(order[begin : begin + size])
        begin += size
    return batches


def padded(codes: np.ndarray, offsets: np.ndarray, rows: np.ndarray, *, reverse: bool = False) -> np.ndarray:
    """Some of the flat sequences as a padded array.

    Parameters
    ----------
    codes, offsets
        Flat codes (uint8) and their bounds, (N + 1,).
    rows
        Which, (B,).
    reverse
        Give the reverse complements.

    Returns
    -------
    numpy.ndarray
        (B, L) uint8, L the longest of them, N (4) beyond each length.
    """
    start, length = offsets[rows], offsets[rows + 1] - offsets[rows]
    width = int(length.max(initial=0))
    batch = flat.padded(codes, start, length, width=width)
    if not reverse:
        return batch
    turned = np.ascontiguousarray(complement(batch)[:, ::-1])  # the padding now comes first: begin behind it
    first = np.arange(len(rows)) * width + (width - length)
    return flat.padded(turned.ravel(), first, length, width=width)
