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
                ways = [
                    _forward(
                        model,
                        padded(codes, offsets, rows, reverse=reverse),
                        length[rows],
                        signals=_bins(model, signals, rows, length=length[rows], reverse=reverse),
                    )
                    for reverse in ((False, True) if both_strands else (False,))
                ]
                logits = (ways[0] + ways[1]) / 2 if both_strands else ways[0]
                result[rows] = logits.float().cpu().numpy()
                advance(len(rows), "")
    finally:
        model.train(training)
    return result


def _forward(model: EnhancerModel, codes: np.ndarray, length: np.ndarray, *, signals: np.ndarray | None) -> Tensor:
    device = next(model.parameters()).device
    tracks = None if signals is None else torch.from_numpy(signals).to(device)
    return model(torch.from_numpy(codes).to(device), torch.from_numpy(length), tracks).float()


def _bins(
    model: EnhancerModel, signals: np.ndarray | None, rows: np.ndarray, *, length: np.ndarray, reverse: bool
) -> np.ndarray | None:
    """Some rows' signals (B, S, J) float32, cut to the longest of them; as the other strand has them, if asked."""
    if signals is None:
        return None
    real = -(-length // bin_of(model))
    bins = np.arange(real.max(initial=0))
    found = signals[rows, :, : len(bins)].astype(np.float32)
    if not reverse:
        return found
    own = bins < real[:, None]  # a row's own bins from its last to its first, as a dataset turns them
    return np.take_along_axis(found, np.where(own, real[:, None] - 1 - bins, bins)[:, None], axis=2)


def bin_of(model: EnhancerModel) -> int:
    """Bases of a bin of the model's signal tracks."""
    settings = model.config.signals
    return settings.bin if settings and settings.bin else 1


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
