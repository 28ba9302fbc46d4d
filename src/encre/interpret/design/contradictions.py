"""Constraints that no design can satisfy, said with the arithmetic before any work is done."""

from __future__ import annotations

import numpy as np

from encre.errors import ConfigError
from encre.interpret.design.constraints import IS_GC, Constraints
from encre.interpret.design.sites import read_site, sites_in


def check_length(constraints: Constraints, length: int, *, where: str = "") -> None:
    """Refuse flanks, kept intervals and a range of GC that no design of this length can have.

    Raises
    ------
    ConfigError
        Also when nothing is left to change.
    """
    flanks = sum(len(flank) for flank in constraints.flanks)
    if flanks > length:
        raise ConfigError(
            "the flanks are longer than the design",
            where=where,
            expected=f"at most {length} bases together",
            got=f"{flanks}",
        )
    for begin, end in constraints.settings.keep:
        if end > length:
            raise ConfigError(
                f"the interval to keep {begin}:{end} reaches beyond the design (0-based, half-open)",
                where=where,
                expected=f"an end of at most {length}",
            )
    if constraints.fixed(length).all():
        raise ConfigError(
            f"flanks and kept intervals cover all {length} bases: there is nothing to design", where=where
        )
    low, high = constraints.gc_counts(length)
    if low > high:
        raise ConfigError(
            f"no number of G and C out of {length} bases lies in the range of GC",
            where=where,
            got=_range(constraints),
            remedy="Widen the range.",
        )


def check_start(constraints: Constraints, start: np.ndarray, *, drawn: bool = False, where: str = "") -> None:
    """Refuse a start whose fixed bases hold a forbidden site, or from which the range of GC cannot be reached.

    Parameters
    ----------
    start
        Codes (L,), flanks written.
    drawn
        The start is yet to be drawn at random: only its flanks are known.

    Raises
    ------
    ConfigError
        With the arithmetic.
    """
    fixed = constraints.in_flanks(len(start)) if drawn else constraints.fixed(len(start))
    for text in constraints.settings.forbid:
        _check_site(text, start, fixed=fixed, where=where)
    if constraints.settings.gc is not None:
        most = None if drawn else constraints.settings.max_edits
        _check_gc(constraints, start, fixed=fixed, most=most, where=where)


def _check_site(text: str, start: np.ndarray, *, fixed: np.ndarray, where: str) -> None:
    for site in read_site(text):
        width = len(site)
        if width > len(start):
            continue
        inside = sites_in(start[None], site)[0] & np.lib.stride_tricks.sliding_window_view(fixed, width).all(axis=1)
        if inside.any():
            at = int(inside.argmax())
            raise ConfigError(
                f"the forbidden site {text} lies within bases that must not change, at {at}:{at + width} (0-based, "
                "half-open, on one strand or the other)",
                where=where,
                remedy="Keep fewer bases, change the flanks, or allow the site.",
            )


def _check_gc(
    constraints: Constraints, start: np.ndarray, *, fixed: np.ndarray, most: int | None, where: str
) -> None:
    length, gc = len(start), IS_GC[start]
    free_gc, free = int(gc[~fixed].sum()), int((~fixed).sum())
    edits = free if most is None else most
    least, largest = int(gc.sum()) - min(edits, free_gc), int(gc.sum()) + min(edits, free - free_gc)
    low, high = constraints.gc_counts(length)
    if least > high or largest < low:
        raise ConfigError(
            f"the range of GC cannot be reached: {free} of {length} bases may change"
            f"{'' if most is None else f', at most {most} of them'}",
            where=where,
            expected=_range(constraints),
            got=f"{least / length:.3f} to {largest / length:.3f} at the utmost",
            remedy="Widen the range, keep fewer bases, or allow more edits.",
        )


def _range(constraints: Constraints) -> str:
    low, high = constraints.settings.gc or (0.0, 1.0)
    return f"{low:g} to {high:g}"
