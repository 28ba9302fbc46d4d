"""What every design must satisfy, for whole sequences and for every single substitution at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from encre.errors import ConfigError, SequenceError
from encre.interpret.design.settings import DesignSettings
from encre.interpret.design.sites import read_site, sites_after, sites_in
from encre.sequence.alphabet import encode

#: 1 for the codes of G and C.
IS_GC = np.array([0, 1, 1, 0])
_BASES = np.arange(4, dtype=np.uint8)

Choice = np.random.Generator | Callable[[np.ndarray, np.ndarray, np.ndarray], int]


@dataclass(frozen=True)
class Constraints:
    """The constraints of :class:`~encre.interpret.design.settings.DesignSettings`, ready to be asked.

    Sequences are codes without N. A start is what edits are counted from: it already carries the flanks.
    """

    settings: DesignSettings

    @cached_property
    def sites(self) -> tuple[np.ndarray, ...]:
        """Forbidden sites of both strands, each (w, 4) bool: which base fits at which place."""
        return tuple(strand for text in self.settings.forbid for strand in read_site(text))

    @cached_property
    def flanks(self) -> tuple[np.ndarray, np.ndarray]:
        """Codes that every design begins and ends with."""
        left, right = (_read_flank(text) for text in self.settings.flanks)
        return left, right

    def flanked(self, codes: np.ndarray) -> np.ndarray:
        """A copy of codes (L,) with the flanks written over its ends."""
        left, right = self.flanks
        out = codes.copy()
        out[: len(left)] = left
        out[len(out) - len(right) :] = right
        return out

    def in_flanks(self, length: int) -> np.ndarray:
        """Which bases are flanks, (L,) bool."""
        left, right = self.flanks
        at = np.arange(length)
        return (at < len(left)) | (at >= length - len(right))

    def fixed(self, length: int) -> np.ndarray:
        """Which bases must not change, (L,) bool: flanks and what is kept."""
        fixed = self.in_flanks(length)
        for begin, end in self.settings.keep:
            fixed[begin:end] = True
        return fixed

    def gc_counts(self, length: int) -> tuple[int, int]:
        """Fewest and most G and C of a design."""
        low, high = self.settings.gc or (0.0, 1.0)
        return math.ceil(low * length - 1e-9), math.floor(high * length + 1e-9)

    def cost(self, codes: np.ndarray) -> np.ndarray:
        """How far sequences (N, L) are from satisfying sites and GC, (N,): 0 where they do."""
        length = codes.shape[1]
        count = sum((sites_in(codes, site).sum(axis=1) for site in self.sites), np.zeros(len(codes), np.int64))
        return count * (length + 1) + self._gap(IS_GC[codes].sum(axis=1), length)

    def cost_after(self, codes: np.ndarray) -> np.ndarray:
        """As :meth:`cost`, of every single substitution in one sequence (L,): (L, 4)."""
        length = len(codes)
        gc = IS_GC[codes]
        after = gc.sum() - gc[:, None] + IS_GC[None, :]
        return sites_after(codes, self.sites) * (length + 1) + self._gap(after, length)

    def _gap(self, gc: np.ndarray, length: int) -> np.ndarray:
        low, high = self.gc_counts(length)
        return np.maximum(0, np.maximum(low - gc, gc - high))

    def in_budget(self, codes: np.ndarray, start: np.ndarray) -> np.ndarray:
        """Which single substitutions leave fixed bases alone and keep to the limit of edits: (L, 4) bool."""
        most = self.settings.max_edits
        possible = (codes[:, None] != _BASES) & ~self.fixed(len(codes))[:, None]
        if most is None:
            return possible
        differs = codes != start
        return possible & (differs.sum() - differs[:, None] + (start[:, None] != _BASES) <= most)

    def allowed(self, codes: np.ndarray, start: np.ndarray) -> np.ndarray:
        """Which single substitutions of one sequence (L,) satisfy everything: (L, 4) bool."""
        return self.in_budget(codes, start) & (self.cost_after(codes) == 0)

    def hold(self, codes: np.ndarray, start: np.ndarray) -> np.ndarray:
        """Which sequences (N, L) satisfy everything, (N,) bool."""
        fixed, most = self.fixed(len(start)), self.settings.max_edits
        differs = codes != start
        good = (self.cost(codes) == 0) & ~differs[:, fixed].any(axis=1)
        return good if most is None else good & (differs.sum(axis=1) <= most)

    def mend(self, codes: np.ndarray, start: np.ndarray, choose: Choice, *, drawn: bool = False) -> np.ndarray | None:
        """The sequence (L,) with sites broken and GC brought into its range, a substitution at a time.

        Parameters
        ----------
        codes
            Within the budget of edits.
        start
            What edits are counted from.
        choose
            Decides between equals: a random stream, or a function of the sequence, places and bases that returns
            the number of one.
        drawn
            The sequence was drawn at random: only its flanks are fixed, and any number of edits is fine.

        Returns
        -------
        numpy.ndarray or None
            None when no way was found.
        """
        codes = codes.copy()
        cost = int(self.cost(codes[None])[0])
        while cost:
            if drawn:
                possible = (codes[:, None] != _BASES) & ~self.in_flanks(len(codes))[:, None]
            else:
                possible = self.in_budget(codes, start)
            after = np.where(possible, self.cost_after(codes), np.iinfo(np.int64).max)
            if after.min() >= cost:
                return None
            cost = int(after.min())
            places, bases = np.nonzero(after == cost)
            chance = isinstance(choose, np.random.Generator)
            pick = choose.integers(len(places)) if chance else choose(codes, places, bases)
            codes[places[pick]] = bases[pick]
        return codes


def _read_flank(text: str) -> np.ndarray:
    try:
        codes = encode(text.strip())
    except SequenceError as error:
        raise ConfigError("a flank is not DNA", expected="letters A, C, G, T", got=f"'{text}'") from error
    if (codes > 3).any():
        raise ConfigError("a flank needs known bases", expected="letters A, C, G, T", got=f"'{text}'")
    return codes
