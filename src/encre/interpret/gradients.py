"""Gradient x input and integrated gradients, on relaxed sequences (see :mod:`encre.models.relaxed`).

Both give a multiplier for each base at each position, m (4, L). A base contributes what it has more than the
reference, times its multiplier: ``m[base] - sum over bases of reference * m``. With the reference of a quarter of
each base that is the gradient less its mean over the bases (the correction of Majdandzic et al. 2023).
"""

from __future__ import annotations

import contextlib
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from encre.models.model import EnhancerModel
from encre.models.relaxed import relaxed_both_strands

#: Bases whose activations and gradients are held at once: caches of a CPU, the memory of a GPU.
_BASES = {"cpu": 1 << 13, "cuda": 1 << 18}
_FIRST_STEPS = 32


class Pairs(NamedTuple):
    """B sequences of one length, each beside R references.

    Parameters
    ----------
    codes
        (B, L) uint8.
    x, references
        Weights (B, 4, L) and (B, R, 4, L), float32.
    tasks
        (K,) positions of the tasks among the logits.
    """

    codes: np.ndarray
    x: np.ndarray
    references: np.ndarray
    tasks: np.ndarray


class Multipliers(NamedTuple):
    """What contributions are made of.

    Parameters
    ----------
    values
        (B, R, K, 4, L) float32.
    logits, reference_logits
        f(x) (B, K) and f(reference) (B, R, K).
    steps
        (B,) steps of the path, or None.
    """

    values: np.ndarray
    logits: np.ndarray
    reference_logits: np.ndarray
    steps: np.ndarray | None = None

    def errors(self, pairs: Pairs) -> np.ndarray:
        """Completeness error (B, K): |sum of contributions - difference|, the mean over references."""
        moved = (pairs.x[:, None] - pairs.references)[:, :, None]
        sums = (moved * self.values).sum(axis=(-1, -2), dtype=np.float64)
        return np.abs(sums - (self.logits[:, None] - self.reference_logits)).mean(axis=1)

    @property
    def difference(self) -> np.ndarray:
        """(B, K) f(x) - f(reference), the mean over references."""
        return self.logits - self.reference_logits.mean(axis=1)

    def hypothetical(self, pairs: Pairs) -> np.ndarray:
        """Hypothetical contributions (B, K, 4, L), the mean over references; zero at N."""
        known = (pairs.codes < 4)[:, None, None, None]
        baseline = (self.values * pairs.references[:, :, None]).sum(axis=-2, keepdims=True)
        return ((self.values - baseline) * known).mean(axis=1)


def gradient(model: EnhancerModel, pairs: Pairs) -> Multipliers:
    """Multipliers that are the gradient at the sequence itself; nothing makes them sum up."""
    logits, slopes = values_and_gradients(model, pairs.x, pairs)
    references = pairs.references.shape[1]
    values = np.broadcast_to(slopes[:, None], (len(slopes), references, *slopes.shape[1:]))
    return Multipliers(values, logits, reference_logits(model, pairs))


def integrated_gradients(model: EnhancerModel, pairs: Pairs, *, limit: float, most: int) -> Multipliers:
    """Integrated gradients (Sundararajan et al. 2017) along the straight line from reference to sequence.

    The trapezoid rule on 32 steps, doubled for the sequences whose completeness error is above the limit; each
    doubling keeps what was computed.

    Parameters
    ----------
    limit
        Largest error, as a share of the difference (of 1 where that is smaller).
    most
        Most steps; sequences that are above the limit then are left so.
    """
    count, references = pairs.references.shape[:2]
    far = far_references(pairs)
    logits, at_end = values_and_gradients(model, pairs.x, pairs)
    lowest, at_start = values_and_gradients(model, pairs.references.reshape(-1, *pairs.x.shape[1:]), far)
    at_start = at_start.reshape(count, references, *at_end.shape[1:])
    sums = (at_end[:, None] + at_start).astype(np.float64) / 2
    steps = np.full(count, _FIRST_STEPS)
    found = Multipliers(sums, logits, lowest.reshape(count, references, -1), steps)
    rows, places = np.arange(count), np.arange(1, _FIRST_STEPS) / _FIRST_STEPS
    while True:
        sums[rows] += _along_the_line(model, pairs, rows, places=places)
        found = found._replace(values=(sums / steps[:, None, None, None, None]).astype(np.float32))
        right = found.errors(pairs) <= allowed(limit, found.difference)
        rows = np.flatnonzero(~right.all(axis=1) & (2 * steps <= most))
        if not len(rows):
            return found
        before = int(steps[rows[0]])  # those that go on have all been doubled equally often
        places = (np.arange(before) + 0.5) / before
        steps[rows] *= 2


def allowed(limit: float, difference: np.ndarray) -> np.ndarray:
    """The largest error (B, K) for a share of differences (B, K), which count as 1 where they are smaller."""
    return limit * np.maximum(1.0, np.abs(difference))


def reference_logits(model: EnhancerModel, pairs: Pairs) -> np.ndarray:
    """f(reference) (B, R, K)."""
    far = far_references(pairs)
    found = values_and_gradients(model, far.x, far, gradients=False)[0]
    return found.reshape(*pairs.references.shape[:2], -1)


def far_references(pairs: Pairs) -> Pairs:
    """The references as B * R sequences of their own; N stands in them where it stands in the sequence."""
    references = pairs.references.shape[1]
    x = pairs.references.reshape(-1, *pairs.x.shape[1:])
    return pairs._replace(codes=np.repeat(pairs.codes, references, axis=0), x=x, references=x[:, None])


def _along_the_line(model: EnhancerModel, pairs: Pairs, rows: np.ndarray, *, places: np.ndarray) -> np.ndarray:
    """The sum of the gradients at shares ``places`` of the way, for some rows: (b, R, K, 4, L) float64."""
    references = pairs.references[rows]
    shape = references.shape[:2]
    start = references.reshape(-1, *references.shape[2:])
    way = (pairs.x[rows][:, None] - references).reshape(start.shape)
    codes = np.repeat(pairs.codes[rows], shape[1], axis=0)
    total = np.zeros((len(start), len(pairs.tasks), *start.shape[1:]))
    together = -(-_bases(model) // codes.size)  # places that fill one micro-batch
    for first in range(0, len(places), together):
        part = places[first : first + together].astype(np.float32)
        x = (start + part[:, None, None, None] * way).reshape(-1, *start.shape[1:])
        some = pairs._replace(codes=np.tile(codes, (len(part), 1)))
        slopes = values_and_gradients(model, x, some)[1]
        total += slopes.reshape(len(part), *total.shape).sum(axis=0, dtype=np.float64)
    return total.reshape(*shape, *total.shape[1:])


def values_and_gradients(
    model: EnhancerModel, x: np.ndarray, pairs: Pairs, *, gradients: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Logits (P, K) of weights (P, 4, L), both strands averaged, and their gradients (P, K, 4, L).

    ``pairs.codes`` (P, L) say where the weights stand for N; ``pairs.tasks`` which K logits are wanted.
    """
    device = next(model.parameters()).device
    size = max(1, _bases(model) // x.shape[-1])
    logits = np.empty((len(x), len(pairs.tasks)), np.float32)
    slopes = np.empty((len(x), len(pairs.tasks) if gradients else 0, *x.shape[1:]), np.float32)
    for first in range(0, len(x), size):
        here = slice(first, first + size)
        weights = torch.from_numpy(x[here]).to(device).requires_grad_(gradients)
        codes = torch.from_numpy(pairs.codes[here]).to(device)
        # The LSTM of cuDNN has no gradient in evaluation mode; PyTorch's own has.
        with torch.set_grad_enabled(gradients), _without_cudnn(model):
            found = relaxed_both_strands(model, weights, codes)[:, pairs.tasks]
            logits[here] = found.detach().float().cpu().numpy()
            for task in range(slopes.shape[1]):
                slope = _gradient(found[:, task], weights, keep=task + 1 < slopes.shape[1])
                slopes[here, task] = slope.cpu().numpy()
    return logits, slopes


def _bases(model: EnhancerModel) -> int:
    """Bases of a micro-batch on the model's device."""
    return _BASES.get(next(model.parameters()).device.type, 1 << 16)


def _gradient(values: Tensor, weights: Tensor, *, keep: bool) -> Tensor:
    return torch.autograd.grad(values.sum(), weights, retain_graph=keep)[0]


def _without_cudnn(model: EnhancerModel) -> contextlib.AbstractContextManager[object]:
    recurrent = any(isinstance(module, torch.nn.RNNBase) for module in model.modules())
    return torch.backends.cudnn.flags(enabled=False) if recurrent else contextlib.nullcontext()
