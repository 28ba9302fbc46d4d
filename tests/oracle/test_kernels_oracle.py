"""The training kernels of a CPU against the same layers in PyTorch's own operations."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from encre.models import kernels
from encre.models.layers import ConvBlock, Extent

KINDS = {torch.float32: 1e-5, torch.bfloat16: 0.05}


def block_of(*, norm: str = "batch", pool: int = 1, residual: bool = False, share: float = 0.0) -> ConvBlock:
    torch.manual_seed(1)
    block = ConvBlock((8, 8), 5, pool=pool, norm=norm, residual=residual, dropout=share)  # pyright: ignore[reportArgumentType]
    if block.norm is not None:
        torch.nn.init.normal_(block.norm.weight, 1, 0.3)
        torch.nn.init.normal_(block.norm.bias, 0, 0.3)
    return block.to(memory_format=torch.channels_last).train()  # pyright: ignore[reportCallIssue]


def trained(block: ConvBlock, x: Tensor, length: Tensor) -> list[Tensor]:
    """Output, gradients of the input and of all weights, and running statistics after one step."""
    x = x.detach().requires_grad_()
    extent = Extent.of(length, x.shape[-1], x.device)
    y, after = block(extent.zero(x), extent)
    weight = torch.linspace(0.5, 1.5, y[0].numel()).view(y.shape[1:]).to(y.dtype)
    (after.zero(y) * weight).sum().backward()
    found = [y, x.grad, *(p.grad for p in block.parameters()), *block.buffers()]
    return [part.detach().float() for part in found if part is not None]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("lengths", [(23, 23, 23), (23, 9, 1)], ids=["full", "padded"])
@pytest.mark.parametrize("norm", ["batch", "none"])
@pytest.mark.parametrize("pool", [1, 2, 3])
@pytest.mark.parametrize("residual", [True, False])
def test_a_block_trains_as_in_pytorchs_own_operations(
    kind: torch.dtype,
    lengths: tuple[int, ...],
    norm: str,
    pool: int,
    residual: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    x = torch.rand(3, 8, 1, 23).to(kind).contiguous(memory_format=torch.channels_last)
    sides = []
    for fused in (kernels.fused, lambda x: False):
        monkeypatch.setattr(kernels, "fused", fused)
        with torch.autocast("cpu", torch.bfloat16, enabled=kind == torch.bfloat16):
            sides.append(trained(block_of(norm=norm, pool=pool, residual=residual), x, torch.tensor(lengths)))
    for ours, theirs in zip(*sides, strict=True):
        torch.testing.assert_close(ours, theirs, atol=KINDS[kind] * float(theirs.abs().max() + 1), rtol=0)


@pytest.mark.parametrize("residual", [True, False])
def test_dropout_in_a_block_is_the_same_entries_forward_and_backward(residual: bool) -> None:
    torch.manual_seed(0)
    y = torch.rand(4, 8, 1, 50).add(0.5).contiguous(memory_format=torch.channels_last).requires_grad_()
    x = torch.ones_like(y).requires_grad_() if residual else None
    out = kernels.finish(y, x, padding=None, share=0.25, pool=1)
    out.sum().backward()
    assert y.grad is not None
    kept = (out - 1 if residual else out).detach() > 0
    assert torch.equal(y.grad, kept.float())
    assert 0.2 < 1 - kept.float().mean() < 0.3
    assert x is None or torch.equal(x.grad, torch.ones_like(y))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_dropout_drops_its_share_and_keeps_the_mean(kind: torch.dtype, share: float) -> None:
    torch.manual_seed(0)
    x = torch.ones(999, 333, dtype=kind, requires_grad=True)
    y = kernels.dropout(x, share, training=True)
    y.sum().backward()
    gone = (y == 0).float()
    assert abs(float(gone.mean()) - share) < 0.003
    assert torch.equal(x.grad, y.detach())  # pyright: ignore[reportArgumentType]
    assert abs(float(y.detach().float().mean()) - 1) < 0.005
    half = -(-gone.numel() // 2)
    first, second = gone.flatten()[: gone.numel() - half], gone.flatten()[half:]
    assert abs(float((first * second).mean()) - share**2) < 0.003  # the two entries of a draw


def test_a_number_that_is_none_stays_one() -> None:
    """A negative NaN is below 0 in its bits: a ReLU on bits alone would hide it from the check of the loss."""
    for kind in KINDS:
        y = torch.tensor([-float("nan"), float("nan"), -1.0, -float("inf"), -0.0, 2.0], dtype=kind)
        out = kernels.finish(y.view(1, 1, 1, 6), None, padding=None, share=0, pool=1).flatten()
        assert out.isnan().tolist() == [True, True, False, False, False, False]
        assert out[2:].tolist() == [0, 0, 0, 2]


def test_the_first_of_equals_has_the_gradient_of_a_pooling() -> None:
    y = torch.tensor([1.0, 1.0, 2.0, 1.0, 2.0, 2.0, 0.0]).view(1, 1, 1, 7).requires_grad_()
    kernels.finish(y, None, padding=None, share=0, pool=3).sum().backward()
    theirs = y.detach().clone().requires_grad_()
    F.relu(F.max_pool2d(theirs, (1, 3), ceil_mode=True)).sum().backward()
    assert y.grad is not None
    assert theirs.grad is not None
    assert torch.equal(y.grad, theirs.grad)


def test_rows_of_a_padded_batch_go_and_come_back_with_their_gradients() -> None:
    torch.manual_seed(0)
    extent = Extent.of(torch.tensor([3, 5, 1]), 5, torch.device("cpu"))
    x = torch.randn(3, 5, 2, requires_grad=True)
    rows = extent.pack(x)
    back = extent.unpack(rows * 2)
    (back * torch.arange(30.0).view(3, 5, 2)).sum().backward()
    real = extent.mask[..., None]
    assert rows.shape == (9, 2)
    assert torch.equal(back, torch.where(real, 2 * x, 0.0))
    assert torch.equal(x.grad, torch.where(real, 2 * torch.arange(30.0).view(3, 5, 2), 0.0))  # pyright: ignore[reportArgumentType]


SHARED = """
import torch
import torch.distributed as dist
from encre.models import kernels
from encre.models.layers import Extent, MaskedBatchNorm

dist.init_process_group("gloo")
torch.manual_seed(0)
rank, fused = dist.get_rank(), kernels.fused
length, share = torch.tensor([20, 20, 11, 20, 7, 20])[rank::2], torch.randn(6, 8, 1, 20)[rank::2]
for kind, limit in ((torch.float32, 1e-5), (torch.bfloat16, 0.02)):
    given = (torch.randn(6, 8, 1, 20, generator=torch.Generator().manual_seed(1)) * 2 + 1).to(kind)[rank::2]
    sides = []
    for way in (fused, lambda x: False):
        kernels.fused = way
        norm = MaskedBatchNorm(8).train()
        torch.nn.init.normal_(norm.weight, 1, 0.3, generator=torch.Generator().manual_seed(2))
        x = given.clone().contiguous(memory_format=torch.channels_last).requires_grad_()
        y = norm(x, Extent.of(length, 20, x.device), scale=1.25)
        (y.float() * share).sum().backward()
        sides.append([y, x.grad, norm.weight.grad, norm.bias.grad, *norm.buffers()])
    for ours, theirs in zip(*sides, strict=True):
        assert ours.dtype == theirs.dtype
        limits = {"atol": limit * (1 + float(theirs.abs().max())), "rtol": 0}
        torch.testing.assert_close(ours, theirs, **limits)
dist.destroy_process_group()
"""


def test_a_norm_over_two_processes_is_the_composition_of_sums(tmp_path: Path) -> None:
    (tmp_path / "shared.py").write_text(SHARED)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "shared.py"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
