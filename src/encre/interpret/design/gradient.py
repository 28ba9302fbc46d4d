"""Gradient search through Ledidi (Schreiber et al. 2025): edits are learnt through a straight-through estimator.

Ledidi knows neither GC nor sites nor a limit on edits. What it proposes is taken back to the limit edit by edit and
mended where it breaks a constraint, each time at the least loss of score; the best goes on with the greedy search.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from encre.errors import ConfigError, MissingExtraError
from encre.interpret.design.greedy import greedy
from encre.interpret.design.problem import Found, Problem, Step

if TYPE_CHECKING:
    from encre.models.model import EnhancerModel

#: What an edit must gain in score to be worth it; sequences an iteration; samples of the learnt edits at the end.
_PRICE, _BATCH, _SAMPLES = 0.05, 16, 64

#: Proposals that are brought back to the limit of edits, the best first.
_TAKEN_BACK = 8


def check_gradient(model: EnhancerModel) -> None:
    """Refuse a model without a gradient to single bases, and a machine without Ledidi.

    Raises
    ------
    ConfigError, MissingExtraError
        Naming the methods that are possible.
    """
    from encre.models.relaxed import MAX_RELAXED_K, has_relaxed

    if not has_relaxed(model):
        raise ConfigError(
            f"there is no gradient to single bases through {model.config.tokenizer.describe()}",
            expected=f"one-hot input, or k-mers of at most {MAX_RELAXED_K} bases",
            remedy="Possible with this model: greedy, evolution.",
        )
    _import()


def _import() -> Any:
    try:
        import ledidi
    except ImportError as error:
        raise MissingExtraError(
            f"design by gradient needs the package ledidi ({error})",
            remedy="Install it with `pip install 'encre[interpret]'`; without it: greedy, evolution.",
        ) from error
    return ledidi


def gradient(problem: Problem, start: np.ndarray, mended: np.ndarray, rng: np.random.Generator) -> Found:
    """Learn edits by gradient.

    Parameters
    ----------
    start
        What edits are counted from (L,).
    mended
        The start with every constraint satisfied (L,).
    rng
        Seeds Ledidi's own generator.

    Returns
    -------
    Found
        Its path holds the mean score and mean edits of each iteration's samples, then the steps of the greedy end.
    """
    proposals, path = _ledidi(problem, mended, seed=int(rng.integers(2**31)))
    unique = np.unique(proposals, axis=0)
    best = unique[np.argsort(-problem.score(unique), kind="stable")]

    def least_loss(codes: np.ndarray, place: np.ndarray, base: np.ndarray) -> int:
        return int(problem.score_edits(codes, place, base)[1].argmax())

    whole = {mended.tobytes(): mended}
    for proposal in best[:_TAKEN_BACK]:
        codes = problem.constraints.mend(_within_budget(problem, proposal, start), start, least_loss)
        if codes is not None:
            whole.setdefault(codes.tobytes(), codes)
    pool = np.array(list(whole.values()))
    pool = pool[np.argsort(-problem.score(pool), kind="stable")]
    finished = greedy(problem, start, pool[0], None)
    path += [step._replace(step=len(path) + step.step) for step in finished.path]
    return Found(np.concatenate([finished.codes, pool[1:]]), path)


def _within_budget(problem: Problem, codes: np.ndarray, start: np.ndarray) -> np.ndarray:
    """The sequence (L,) with the edits that matter least undone, one at a time, until the limit is kept."""
    codes, most = codes.copy(), problem.settings.max_edits
    edited = np.flatnonzero(codes != start)
    while most is not None and len(edited) > most:
        _, scores = problem.score_edits(codes, edited, start[edited])
        place = edited[int(scores.argmax())]
        codes[place] = start[place]
        edited = np.flatnonzero(codes != start)
    return codes


def _ledidi(problem: Problem, codes: np.ndarray, *, seed: int) -> tuple[np.ndarray, list[Step]]:
    """Proposals (P, L) for one sequence (L,), and the samples' mean score and edits by iteration."""
    import torch

    model = problem.model
    device = next(model.parameters()).device
    one_hot = torch.nn.functional.one_hot(torch.from_numpy(codes).long(), 4).T[None].float().to(device)
    fixed = torch.from_numpy(problem.constraints.fixed(len(codes))).to(device)
    with _frozen(model):
        designer = (
            _import()
            .Ledidi(
                _Relaxed(model),
                tuple(one_hot.shape[1:]),
                output_loss=lambda logits, _: -problem.objective.score(logits, model.tasks).mean(),
                l=_PRICE,
                batch_size=_BATCH,
                max_iter=problem.settings.budget,
                input_mask=fixed if fixed.any() else None,
                return_history=True,
                verbose=False,
                random_state=seed,
            )
            .to(device)
        )
        found, history = designer.fit_transform(one_hot, torch.zeros(1, len(model.tasks), device=device))
        with torch.no_grad():
            samples = [found, *(designer(one_hot) for _ in range(_SAMPLES // _BATCH))]
    proposals = torch.cat(samples).argmax(dim=1).to(torch.uint8).cpu().numpy()
    pairs = zip(history["output_loss"], history["input_loss"], strict=True)
    return proposals, [Step(step, -float(loss), round(float(edits))) for step, (loss, edits) in enumerate(pairs)]


@contextlib.contextmanager
def _frozen(model: EnhancerModel) -> Iterator[None]:
    """The model in evaluation mode, its parameters without gradients; as it was afterwards."""
    import torch

    training, wanted = model.training, [parameter.requires_grad for parameter in model.parameters()]
    recurrent = any(isinstance(part, torch.nn.RNNBase) for part in model.modules())
    model.eval().requires_grad_(False)
    try:
        # cuDNN has no backward pass of an LSTM in evaluation mode; PyTorch's own kernels have.
        with torch.backends.cudnn.flags(enabled=torch.backends.cudnn.enabled and not recurrent):
            yield
    finally:
        model.train(training)
        for parameter, grad in zip(model.parameters(), wanted, strict=True):
            parameter.requires_grad_(grad)


def _Relaxed(model: EnhancerModel) -> Any:  # noqa: N802
    """The model as a module of weights (B, 4, L) -> logits (B, K), both strands averaged."""
    import torch

    from encre.models.relaxed import relaxed_both_strands

    class Relaxed(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return relaxed_both_strands(model, x, x.argmax(dim=1).to(torch.uint8))

    return Relaxed()
