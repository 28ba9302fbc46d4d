"""Trainings that are broken off, for tests of resuming."""

from __future__ import annotations

import pytest
import torch

from encre.train.loop import Training


def interrupt_at(patch: pytest.MonkeyPatch, number: int) -> None:
    """Trainings end as by Ctrl-C in place of the ``number``-th step (from 1) that is taken from now on."""
    count, step = 0, Training.step

    def breaks(self: Training, batch: object) -> torch.Tensor:
        nonlocal count
        count += 1
        if count == number:
            raise KeyboardInterrupt
        return step(self, batch)  # pyright: ignore[reportArgumentType]

    patch.setattr(Training, "step", breaks)
