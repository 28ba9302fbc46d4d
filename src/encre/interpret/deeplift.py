"""DeepLIFT (Shrikumar et al. 2017) and DeepLIFT/SHAP by tangermeme, on a twin of the model."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import torch

from encre.interpret.gradients import Multipliers, Pairs, far_references, reference_logits, values_and_gradients
from encre.interpret.twin import make_twin, reverse_strand, special_vectors

if TYPE_CHECKING:
    from encre.models.model import EnhancerModel

#: Bases of sequences and references that are run at once.
_BASES = {"cpu": 1 << 13, "cuda": 1 << 19}


def deeplift(model: EnhancerModel, pairs: Pairs) -> Multipliers:
    """Multipliers of the rescale rule, both strands averaged; see :mod:`encre.interpret.gradients`.

    Differences from the reference are those of the model itself, not of its twin, so that the completeness error
    covers the twin as well.
    """
    from encre.models.ensemble import Ensemble

    if isinstance(model, Ensemble):  # contributions to a mean are the mean of contributions
        values, logits, of_references, _ = zip(*(deeplift(member, pairs) for member in model.members), strict=True)
        return Multipliers(np.mean(values, axis=0), np.mean(logits, axis=0), np.mean(of_references, axis=0))
    from tangermeme.deep_lift_shap import deep_lift_shap

    length, device = pairs.codes.shape[1], next(model.parameters()).device
    twin = make_twin(model, length)
    x = torch.from_numpy(np.repeat(pairs.x, pairs.references.shape[1], axis=0))
    far = far_references(pairs)
    references, codes = torch.from_numpy(far.x), torch.from_numpy(far.codes).to(device)
    size = max(1, _BASES.get(device.type, 1 << 16) // length)
    values = torch.zeros(len(x), len(pairs.tasks), 4, length)
    with warnings.catch_warnings():
        # tangermeme warns of what is refused in words here: errors of its sums (measured below), and N.
        warnings.filterwarnings("ignore", module=r"tangermeme\.")
        for number, task in enumerate(pairs.tasks.tolist()):
            for turn, bases in ((lambda weights: weights, codes), (reverse_strand, codes.flip(1))):
                given = _Given(turn(references))
                found = deep_lift_shap(
                    twin, turn(x), special_vectors(model, bases), target=task, batch_size=size, references=given,
                    n_shuffles=1, raw_outputs=True, only_warn=True, device=device,
                )  # fmt: skip
                values[:, number] += turn(found.squeeze(1).cpu()) / 2  # pyright: ignore
    logits = values_and_gradients(model, pairs.x, pairs, gradients=False)[0]
    shape = (*pairs.references.shape[:2], len(pairs.tasks), 4, length)
    return Multipliers(values.reshape(shape).numpy(), logits, reference_logits(model, pairs))


class _Given:
    """Hands out references in the order in which tangermeme asks: as a function, they need not be one-hot."""

    def __init__(self, references: torch.Tensor) -> None:
        self.references, self.next = references, 0

    def __call__(self, x: torch.Tensor, n: int) -> torch.Tensor:
        self.next += len(x)
        return self.references[self.next - len(x) : self.next, None]
