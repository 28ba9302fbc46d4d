"""The model: a trunk, a pooling, and heads for the tasks. ``forward`` returns logits."""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn

from encre.errors import SequenceError
from encre.models.fusion.registry import make_fusion
from encre.models.fusion.tracks import Tracks
from encre.models.heads import HEADS
from encre.models.layers import Extent, Pooling, dropout
from encre.models.settings import ModelConfig
from encre.tasks import TaskSet


class EnhancerModel(nn.Module):
    """A trunk with heads.

    Parameters
    ----------
    config
        Settings of the architecture.
    tasks
        What is predicted; the K axis of the logits is in this order.
    """

    def __init__(self, config: ModelConfig, tasks: TaskSet) -> None:
        super().__init__()
        self.config, self.tasks = config, tasks
        self.trunk = config.build_trunk()
        width = int(self.trunk.width)  # pyright: ignore[reportArgumentType]
        self.pooling = Pooling(config.pooling, width)
        self.fusion = make_fusion(config.signals, self.trunk)
        beside = 0 if self.fusion is None else self.fusion.beside
        self.heads = HEADS[config.head](width + beside, tasks, config)

    def embed(self, codes: Tensor, length: Tensor) -> Tensor:
        """One vector a sequence, of its bases alone.

        Parameters
        ----------
        codes
            (B, L) uint8, N (4) beyond ``length``.
        length
            (B,) int64 bases; best left on the CPU, where looking at it is free.

        Returns
        -------
        Tensor
            (B, D).
        """
        features, extent = self.trunk(codes, length)
        return self.pooling(features, extent)

    def forward(self, codes: Tensor, length: Tensor, signals: Tensor | None = None) -> Tensor:
        """Logits (B, K) in the order of ``tasks``; for the parameters see :meth:`embed`.

        ``signals`` (B, S, ceil(L / bin)) is for models whose config names tracks: bins from each row's first base on,
        NaN = missing; None is as all of them missing.
        """
        if signals is None:
            return self.read(self.embed(codes, length))
        if self.fusion is None or self.config.signals is None:
            raise NotImplementedError(f"this {self.config.name} model reads sequence alone, no signal tracks")
        tracks = Tracks.of(signals, length, self.config.signals, training=self.training)
        if self.fusion.reads_tokens:
            tokens, extent = self.trunk.input(codes, Extent.of(length, codes.shape[1], codes.device))  # pyright: ignore
            features, extent = self.trunk.encode(self.fusion.tokens(tokens, tracks), extent)  # pyright: ignore
        else:
            features, extent = self.trunk(codes, length)
        vector = self.pooling(self.fusion.features(features, extent, tracks), extent)
        return self.read(vector, tracks)

    def read(self, vector: Tensor, tracks: Tracks | None = None) -> Tensor:
        """Logits (B, K) of vectors (B, D), one a sequence, and of the tracks where the heads read them as well."""
        if self.fusion is not None:
            vector = self.fusion.vector(vector, tracks)
        return self.heads(dropout(vector, self.config.head_dropout, self.training))

    @property
    def parameters_count(self) -> int:
        """Number of values in the parameters."""
        return sum(parameter.numel() for parameter in self.parameters())

    def check_lengths(self, length: np.ndarray, *, where: str = "") -> None:
        """Refuse sequences that the model cannot take.

        Parameters
        ----------
        length
            (N,) bases.
        where
            File or dataset to name.

        Raises
        ------
        SequenceError
            Naming the first sequence that is shorter than the k-mer or longer than the positions.
        """
        shortest, longest = self.config.shortest, self.config.longest
        wrong = length < shortest
        if longest is not None:
            wrong |= length > longest
        if not wrong.any():
            return
        row = int(wrong.argmax())
        kind, limit = ("shorter", shortest) if length[row] < shortest else ("longer", longest)
        raise SequenceError(
            f"sequence {row} is {kind} than the {self.config.name} model takes",
            where=where,
            expected=f"{'at least' if kind == 'shorter' else 'at most'} {limit} bases",
            got=f"{int(length[row])}",
            remedy="Drop it, or train a model that takes it (see 'k' and 'positions' in [model]).",
        )


def build_model(config: ModelConfig, *, tasks: TaskSet) -> EnhancerModel:
    """A freshly initialised model (from torch's current random state).

    Parameters
    ----------
    config
        ``CNNConfig()``, ``CNNLSTMConfig()``, ``TransformerConfig()`` …
    tasks
        What to predict, for example ``screen_tasks()``.
    """
    return config.build(tasks)
