"""Logits of overlapping windows along a stretch of bases: what a scan of a genome computes."""

from __future__ import annotations

import numpy as np

from encre.models.device import Precision
from encre.models.inference import predict_logits
from encre.models.model import EnhancerModel
from encre.sequence.flat import windows


def stretch_logits(
    model: EnhancerModel,
    codes: np.ndarray,
    *,
    window: int,
    stride: int,
    both_strands: bool = True,
    precision: Precision = "fp32",
) -> np.ndarray:
    """Logits of every window of a stretch, at a stride.

    Parameters
    ----------
    model
        In evaluation mode, on its device.
    codes
        (G,) uint8, G at least ``window``.
    window, stride
        Bases; window i begins at ``i * stride``, and those that fit whole are computed.
    both_strands
        Average the logits of both strands.
    precision
        ``"fp32"`` (exact to 1e-5), ``"bf16"`` or ``"auto"``.

    Returns
    -------
    numpy.ndarray
        ``((G - window) // stride + 1, K)`` float32.
    """
    return naive_stretch_logits(
        model, codes, window=window, stride=stride, both_strands=both_strands, precision=precision
    )


def naive_stretch_logits(
    model: EnhancerModel,
    codes: np.ndarray,
    *,
    window: int,
    stride: int,
    both_strands: bool = True,
    precision: Precision = "fp32",
) -> np.ndarray:
    """As :func:`stretch_logits`, every window computed by itself: what the fast way must equal."""
    starts = np.arange(0, len(codes) - window + 1, stride, dtype=np.int64)
    flat = windows(np.ascontiguousarray(codes), starts, window).reshape(-1)
    offsets = np.arange(len(starts) + 1, dtype=np.int64) * window
    return predict_logits(model, flat, offsets, both_strands=both_strands, precision=precision)
