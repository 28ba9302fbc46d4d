"""AdamW, its schedule, and its state as plain tensors (so that a checkpoint needs no pickle)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from encre.train.settings import TrainConfig


def make_optimizer(model: nn.Module, config: TrainConfig, *, loss: nn.Module | None = None) -> torch.optim.AdamW:
    """Fused AdamW; matrices and convolutions decay; norms, biases, embeddings and what the loss learns do not."""
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    groups: tuple[list[Tensor], list[Tensor]] = ([], [])
    for parameter in filter(lambda p: p.requires_grad, model.parameters()):
        groups[parameter.dim() < 2 or id(parameter) in embeddings].append(parameter)
    groups[True].extend(loss.parameters() if loss is not None else ())
    decays = (config.weight_decay, 0.0)
    return torch.optim.AdamW(
        [{"params": group, "weight_decay": decay} for group, decay in zip(groups, decays, strict=True) if group],
        lr=config.learning_rate,
        fused=True,
    )


def rate_at(fraction: float, config: TrainConfig) -> float:
    """Learning rate after a share of the training: linear warm-up, then half a cosine down to 0.

    Stochastic weight averaging needs steps that still move: its rate stays where its share of the training begins.
    """
    last = 1 - config.swa_share if config.averaging == "swa" else 1.0
    fraction = min(max(fraction, 0.0), max(last, config.warmup))
    if fraction < config.warmup:
        return config.learning_rate * fraction / config.warmup
    left = (fraction - config.warmup) / (1 - config.warmup)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * left))


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Use one learning rate for all parameters from the next step on."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The state of every parameter, ``"<number>.<name>"`` -> tensor."""
    state = optimizer.state_dict()["state"]
    return {f"{number}.{name}": value for number, entry in state.items() for name, value in entry.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what :func:`optimizer_tensors` gave, in each parameter's own memory layout.

    The fused kernel walks through parameter and state side by side, so a state in another layout
    (channels-last against contiguous) would be applied to the wrong weights.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for key, saved in tensors.items():
        number, name = key.split(".", 1)
        parameter = parameters[int(number)]
        like = parameter if saved.shape == parameter.shape and saved.dim() else saved
        optimizer.state[parameter][name] = torch.empty_like(like, device=parameter.device).copy_(saved)
