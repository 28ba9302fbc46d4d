"""A trunk that names masked bases: a linear layer from each of its positions to the bases that it stands for."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from encre.errors import ConfigError, SequenceError
from encre.models.settings import ModelConfig
from encre.shapes import N_CODE


class MaskedBases(nn.Module):
    """Any trunk with a reader: codes (B, L), length (B,) -> logits (B, L, 4), and which of them are read (B, L) bool.

    A position of the trunk stands for as many bases as its pooling and stride have joined; how many, and where they
    lie, is found out by asking the trunk.

    Parameters
    ----------
    config
        Of a model; its trunk alone is built.
    window
        Bases of a typical sequence.

    Raises
    ------
    ConfigError
        When the model has no trunk, or its positions do not lie at equal distances.
    SequenceError
        When it does not take windows that long.
    """

    def __init__(self, config: ModelConfig, *, window: int) -> None:
        super().__init__()
        self.config = config
        if config.longest is not None and window > config.longest:
            raise SequenceError(
                f"windows are longer than the {config.name} model takes",
                expected=f"at most {config.longest} bases",
                got=f"{window}",
                remedy="Lower [pretrain] window, or let [model] take more.",
            )
        try:
            self.trunk = config.build_trunk()
        except NotImplementedError:
            raise _no_places(config) from None
        self.bases, self.shift = self._places(window)
        self.reader = nn.Linear(int(self.trunk.width), N_CODE * self.bases)  # pyright: ignore[reportArgumentType]

    def forward(self, codes: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of every base; those beyond the trunk's real positions are not read."""
        features, extent = self.trunk(codes, length)
        logits = self.reader(features.transpose(1, 2)).view(len(codes), -1, N_CODE)
        logits = F.pad(logits, (0, 0, self.shift, codes.shape[1]))[:, : codes.shape[1]]
        place = torch.arange(codes.shape[1], device=codes.device) - self.shift
        return logits, (place >= 0) & (place < self.bases * extent.length[:, None])

    @torch.no_grad()
    def _places(self, window: int) -> tuple[int, int]:
        """How many bases a position stands for, and where those of the first begin."""
        if self.config.input == "bpe":
            raise _no_places(self.config)
        wide = [window, max(self.config.shortest + 1, window // 2)]
        training = self.trunk.training
        self.trunk.eval()
        shapes = [self.trunk(torch.zeros(1, n, dtype=torch.uint8), torch.tensor([n]))[0].shape[2] for n in wide]
        self.trunk.train(training)
        if shapes[0] <= shapes[1]:
            raise _no_places(self.config)
        bases = max(1, round((wide[0] - wide[1]) / (shapes[0] - shapes[1])))
        return bases, max(0, window - shapes[0] * bases) // 2


def _no_places(config: ModelConfig) -> ConfigError:
    return ConfigError(
        f"a {config.name} model with input '{config.input}' cannot be pretrained on masked bases",
        expected="a trunk whose positions lie at equal distances along the bases",
        remedy="Take one-hot input or k-mers, and one of the trunks trained from scratch.",
    )
