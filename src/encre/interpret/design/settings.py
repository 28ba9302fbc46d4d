"""Settings of a design: how to search, and what every design must satisfy."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from encre.config import Config
from encre.errors import ConfigError

Method = Literal["greedy", "evolution", "gradient"]

METHODS: tuple[Method, ...] = ("greedy", "evolution", "gradient")

#: Steps when none are asked for: substitutions, generations, iterations.
_STEPS: dict[Method, int] = {"greedy": 50, "evolution": 60, "gradient": 300}


class DesignSettings(Config):
    """How to search, and what every design must satisfy.

    Parameters
    ----------
    method
        ``"greedy"`` (the best single substitution at each step), ``"evolution"`` (a population with mutation,
        crossover and an elite) or ``"gradient"`` (Ledidi).
    count
        Designs: in all from random or genomic starts, for each start where starts are given.
    length
        Bases of random and genomic starts, and of windows around regions; None for what the model reads.
    steps
        At most so many substitutions (greedy), generations (evolution) or iterations (gradient); None for 50,
        60 and 300.
    population
        Sequences of a generation.
    gc
        Lowest and highest share of G and C of the whole design, flanks included.
    forbid
        Sites that no design may hold on either strand, in IUPAC letters.
    keep
        Intervals of the design that stay as in the start, 0-based half-open.
    flanks
        Bases that every design begins and ends with; they are written over the ends of the start.
    max_edits
        Most substitutions between a start (flanks written) and its design; None for any number.
    apart
        Fewest substitutions between two designs of one length, on either strand; None for 5 % of the length or
        ``max_edits``, whichever is less.
    start_gc
        Expected share of G and C of random starts; None for the middle of ``gc``, or a half.
    shuffle
        Shuffle given starts first, keeping their dinucleotides.
    seed
        Of every random stream.
    """

    method: Method = "greedy"
    count: int = Field(default=1, ge=1, le=100_000)
    length: int | None = Field(default=None, ge=1)
    steps: int | None = Field(default=None, ge=1)
    population: int = Field(default=100, ge=4, le=100_000)
    gc: tuple[float, float] | None = None
    forbid: tuple[str, ...] = ()
    keep: tuple[tuple[int, int], ...] = ()
    flanks: tuple[str, str] = ("", "")
    max_edits: int | None = None
    apart: int | None = Field(default=None, ge=1)
    start_gc: float | None = Field(default=None, gt=0, lt=1)
    shuffle: bool = False
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.gc is not None and not 0 <= self.gc[0] <= self.gc[1] <= 1:
            raise ValueError(f"gc is a lowest and a highest share from 0 to 1, not {self.gc[0]:g} to {self.gc[1]:g}")
        if self.max_edits is not None and self.max_edits < 1:
            raise ValueError(f"max_edits is {self.max_edits}: no base may change, so there is nothing to design")
        for begin, end in self.keep:
            if not 0 <= begin < end:
                raise ValueError(f"keep holds {begin}:{end}, which is no interval (0-based, half-open)")
        if self.apart is not None and self.max_edits is not None and self.apart > 2 * self.max_edits:
            raise ValueError(
                f"two designs of one start differ by at most 2 x max_edits = {2 * self.max_edits} bases, and apart "
                f"asks for {self.apart}"
            )
        return self

    @property
    def budget(self) -> int:
        """Most steps of the method."""
        return self.steps or _STEPS[self.method]

    def distance(self, length: int) -> int:
        """Fewest substitutions between two designs of this length."""
        if self.apart is not None:
            return self.apart
        share = max(1, length // 20)
        return share if self.max_edits is None else min(share, self.max_edits)


def read_range(text: str) -> tuple[float, float]:
    """A range of shares as ``0.4-0.6``."""
    low, dash, high = text.partition("-")
    try:
        return float(low), float(high) if dash else float(low)
    except ValueError:
        raise ConfigError("this is not a range of GC", expected="two shares, as 0.4-0.6", got=f"'{text}'") from None


def read_interval(text: str) -> tuple[int, int]:
    """An interval of the design as ``40:60``, 0-based half-open."""
    begin, colon, end = text.partition(":")
    if not (colon and begin.strip().isdecimal() and end.strip().isdecimal()):
        raise ConfigError(
            "this is not an interval of the design",
            expected="START:END, 0-based half-open, as 40:60",
            got=f"'{text}'",
        )
    return int(begin), int(end)
