"""Pairwise ranking of measured numbers (RankNet, Burges et al. 2005), held in the target's unit by Huber's loss."""

from __future__ import annotations

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from encre.models.processes import world_size
from encre.train.losses.regression import Huber

#: Rows on either side, in the order of the global batch, that a row is compared with: all in a batch of up to 1,025.
NEIGHBOURS = 512


class Ranking(Huber):
    """Half Huber's loss, half ``log(1 + exp(-(z_i - z_j)))`` over pairs whose target ``i`` is above that of ``j``.

    z is the prediction in standard deviations of train. A row is compared with :data:`NEIGHBOURS` rows on either side
    in the *global* batch, whichever process holds them; between equal targets nothing is lost. Its part is the mean
    over its partners, so that the mean over rows is the mean over pairs.
    """

    def forward(self, logits: Tensor, targets: Tensor, real: Tensor) -> Tensor:
        """Losses (B, k); see :class:`EntryLoss`."""
        z, y = logits / self.deviation, targets / self.deviation
        columns = [_pairs(z[:, k], y[:, k], real[:, k]) for k in range(z.shape[1])]
        return (super().forward(logits, targets, real) + torch.stack(columns, dim=1)) / 2


def _pairs(z: Tensor, y: Tensor, real: Tensor) -> Tensor:
    """What each row (B,) loses against its partners; 0 where it is not measured."""
    everyone, own = _global(torch.stack([z.detach(), y, real.float()], dim=1))
    measured = everyone[:, 2] > 0
    values, place = everyone[measured, :2], (measured.cumsum(0) - 1)[own][real]
    n = len(values)
    if n < 2:
        return torch.zeros_like(z)
    if n <= 2 * NEIGHBOURS + 1:
        away = torch.arange(1, n, device=z.device)
    else:
        away = torch.arange(1, NEIGHBOURS + 1, device=z.device)
        away = torch.cat([away, -away])
    lost = []
    for mine, at in zip(torch.stack([z, y], 1)[real].split(256), place.split(256), strict=True):
        others = values[(at[:, None] + away) % n]
        above = torch.sign(mine[:, None, 1] - others[..., 1])
        pairs = F.softplus(-above * (mine[:, None, 0] - others[..., 0])) * above.abs()
        lost.append(pairs.mean(1))
    # Partners are held still, and each pair stands in both rows' parts: half of its gradient is the partner's.
    each = torch.cat(lost)
    return torch.zeros_like(z).masked_scatter(real, 2 * each - each.detach())


def _global(rows: Tensor) -> tuple[Tensor, Tensor]:
    """All processes' rows (B', .) in the order of the global batch, and where this process's own stand (B,)."""
    if world_size() == 1:
        return rows, torch.arange(len(rows), device=rows.device)
    world, rank = dist.get_world_size(), dist.get_rank()
    sizes = torch.zeros(world, dtype=torch.int64, device=rows.device)
    sizes[rank] = len(rows)
    dist.all_reduce(sizes)
    # Row i of process r stands at i x world + r of the global batch: see sampling.share.
    table = rows.new_zeros(int(sizes.max()), world, rows.shape[1])
    table[: len(rows), rank] = rows
    dist.all_reduce(table)
    held = torch.arange(len(table), device=rows.device)[:, None] < sizes
    return table[held], (held.flatten().cumsum(0) - 1).view_as(held)[: len(rows), rank]
