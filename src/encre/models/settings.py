"""What every model's settings share: a name, an input, a pooling, and the lengths that it can take."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from encre.config import Config
from encre.sequence.tokenizers import make_tokenizer

if TYPE_CHECKING:
    from torch import nn

    from encre.models.model import EnhancerModel
    from encre.tasks import TaskSet


InputName = Literal["kmer", "canonical_kmer", "one_hot", "bpe"]
#: Inputs to which ``k`` and ``stride`` apply.
KMERS = ("kmer", "canonical_kmer")


class SignalConfig(Config):
    """How a model reads signal tracks beside the sequence: ``[model.signals]``.

    Parameters
    ----------
    fusion
        ``"early"`` (with the tokens), ``"late"`` (beside the sequence's vector), ``"cross_attention"`` (positions of
        the sequence look for them), or ``"none"`` (not at all).
    width
        Features that a bin is encoded into; late fusion adds twice as many to the vector. Early fusion has none.
    heads
        Of the cross-attention; they divide ``width``.
    dropout
        Share of the encoded features set to zero in training.
    track_dropout
        How often, in training, a row loses all its tracks, and each of them by itself: what lets the model answer
        without them later. With 0 it needs every track.
    tracks
        Names of the dataset's tracks to read, in this order; none for all of them. A training fills them in.
    bin
        Bases of a bin: the dataset's, filled in by the training.
    """

    fusion: Literal["none", "early", "late", "cross_attention"] = "late"
    width: int = Field(default=32, ge=1, le=4096)
    heads: int = Field(default=4, ge=1, le=64)
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    track_dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    tracks: tuple[str, ...] = ()
    bin: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.fusion == "cross_attention" and self.width % self.heads:
            raise ValueError(f"width must be a multiple of heads; {self.width} is not one of {self.heads}")
        return self


class ModelConfig(Config):
    """Base of the settings of one architecture.

    Parameters
    ----------
    name
        The key in :data:`encre.models.registry.MODELS`.
    input
        What the model reads, a key in :data:`encre.models.inputs.INPUTS`: ``"kmer"`` (learned vectors of k-mers),
        ``"canonical_kmer"`` (of which each shares its vector with its reverse complement), ``"one_hot"`` or ``"bpe"``
        (learned vectors of byte-pair subwords).
    k
        Width of the k-mers in bases; unused otherwise.
    stride
        Bases between the starts of two k-mers; 1 for overlapping ones, ``k`` for ones side by side.
    vocabulary
        A vocabulary file: of ``"kmer"`` a ``vocab.txt`` as DNABERT has it, whose ids are taken; of ``"bpe"``, which
        needs one, a ``tokenizer.json``. A run folder keeps a copy.
    pooling
        How positions become one vector: ``"max"``, ``"mean"`` or ``"attention"``.
    head
        How the vector becomes logits: ``"linear"``, ``"exclusive"`` (a softmax over the tasks of a group),
        ``"hierarchical"`` (tissue given enhancer) or ``"tree"``; see :data:`encre.models.heads.HEADS`.
    tree
        For ``head = "tree"``: node -> its tasks and further nodes; empty for the germ layers of the nine tissues.
    link
        How a regression's prediction leaves its head: ``"identity"``, or ``"log"`` (the exponential of the output:
        for rates and counts, with ``regression_loss = "poisson"``).
    head_dropout
        Share of the vector set to zero before the heads in training.
    signals
        Signal tracks beside the sequence, ``[model.signals]``; None for sequence alone.
    """

    name: str
    input: InputName = "kmer"
    k: int = Field(default=3, ge=1, le=8)
    stride: int = Field(default=1, ge=1, le=1_000_000)
    vocabulary: str | None = None
    pooling: Literal["max", "mean", "attention"] = "max"
    head: Literal["linear", "exclusive", "hierarchical", "tree"] = "linear"
    tree: dict[str, list[str]] = Field(default_factory=dict)
    link: Literal["identity", "log"] = "identity"
    head_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    signals: SignalConfig | None = None

    @field_validator("signals")
    @classmethod
    def _none_is_none(cls, signals: SignalConfig | None) -> SignalConfig | None:
        return None if signals is None or signals.fusion == "none" else signals

    @property
    def spare(self) -> int:
        """Channels that a one-hot input keeps free beside the letters, for early fusion to fill."""
        early = self.signals is not None and self.signals.fusion == "early" and self.input == "one_hot"
        return 2 * len(self.signals.tracks) if early and self.signals else 0

    @model_validator(mode="after")
    def _keys_fit_the_input(self) -> Self:
        if self.stride > 1 and self.input not in KMERS:
            raise ValueError(f"a stride goes with k-mers, not with input = '{self.input}'")
        if self.vocabulary is not None and self.input not in ("kmer", "bpe"):
            raise ValueError(f"a vocabulary goes with input = 'kmer' or 'bpe', not with '{self.input}'")
        if self.vocabulary is None and self.input == "bpe":
            raise ValueError("input = 'bpe' needs a vocabulary: a tokenizer.json, which `encre data tokenizer` makes")
        return self

    @cached_property
    def tokenizer(self) -> Any:
        """What makes tokens of a sequence; its vocabulary file is read once."""
        return make_tokenizer(self.input, k=self.k, stride=self.stride, vocabulary=self.vocabulary)

    def bases_of(self, tokens: int) -> int:
        """Bases of the longest sequence that surely has at most so many tokens (byte pairs: one a base at worst)."""
        return tokens * self.stride + self.k - 1 if self.input in KMERS else tokens

    def files(self) -> dict[str, str]:
        """Texts that a run folder keeps beside the weights, by their path in it."""
        return {"tokenizer.json": self.tokenizer.to_json()}

    def inside(self, folder: Path) -> Self:
        """The same settings, with the files that they name taken from a run folder that holds :meth:`files`."""
        if self.vocabulary is None:
            return self
        return self.model_copy(update={"vocabulary": str(folder / "tokenizer.json")})

    @property
    def shortest(self) -> int:
        """The shortest sequence in bases that the model can take."""
        return self.k if self.input in KMERS else 1

    @property
    def longest(self) -> int | None:
        """The longest sequence in bases that the model can take; None for any."""
        return None

    @property
    def widest(self) -> int:
        """The most features that a base has anywhere in the trunk: what a batch costs in memory."""
        return 256

    @property
    def strand_symmetric(self) -> bool:
        """Whether a sequence and its reverse complement have the same logits, so that one strand is both."""
        return False

    def build_trunk(self) -> nn.Module:
        """A fresh trunk: ``(codes, length) -> (features (B, D, T), Extent)``, with ``.width`` = D."""
        raise NotImplementedError

    def build(self, tasks: TaskSet) -> EnhancerModel:
        """A fresh model: the trunk under its pooling and heads."""
        from encre.models.model import EnhancerModel  # which reads these settings

        return EnhancerModel(self, tasks)
