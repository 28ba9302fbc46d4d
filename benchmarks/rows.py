"""What every benchmark script shares: timing two sides in turn, and one JSON line a row at the end.

A row is ``{"row", "value", "unit", "target", "met", "n", "spread"}``; ``met`` is null where a row was not measured,
with the reason in ``"why"``. ``spread`` is the smallest and the largest of the n values.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Work = Callable[[], Any]


def arguments(what: str) -> argparse.Namespace:
    """``--quick`` (smaller sizes, same ratios, under a minute) and ``--json`` (rows only)."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--quick", action="store_true", help="smaller sizes, same ratios, under a minute")
    parser.add_argument("--json", action="store_true", help="print the JSON rows only")
    parser.add_argument("--only", default="", help="run only the parts whose name contains this (see the script)")
    return parser.parse_args()


@dataclass
class Rows:
    """Collects rows, says each one as it is found, and prints them as JSON lines at the end."""

    json_only: bool = False
    found: list[dict[str, Any]] = field(default_factory=list)

    def add(self, row: str, values: list[float], unit: str, *, target: float, at_most: bool = False) -> None:
        """One measured row; its value is the median."""
        value = statistics.median(values)
        met = value <= target if at_most else value >= target
        self._add(row, value, unit, target, met=met, n=len(values), spread=[min(values), max(values)])

    def skip(self, row: str, unit: str, target: float, why: str) -> None:
        """A row that cannot be measured here; never counted as met."""
        self._add(row, None, unit, target, met=None, n=0, spread=None, why=why)

    def _add(self, row: str, value: float | None, unit: str, target: float, **rest: Any) -> None:
        entry = {"row": row, "value": value, "unit": unit, "target": target, **rest}
        self.found.append(entry)
        if not self.json_only:
            shown = "not measured" if value is None else f"{value:,.4g} {unit}"
            verdict = {True: "met", False: "MISSED", None: rest.get("why", "")}[rest["met"]]
            print(f"{row:<86} {shown:>26}   target {target:g}   {verdict}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """One JSON line a row on stdout."""
        for entry in self.found:
            print(json.dumps(entry))


def in_turn(a: Work, b: Work, *, times: int, clock: Callable[[], float] = time.perf_counter) -> list[float]:
    """Seconds of ``b`` over seconds of ``a``, measured A B A B …: how many times as fast ``a`` is."""
    a(), b()  # warm both
    ratios = []
    for _ in range(times):
        t0 = clock()
        a()
        t1 = clock()
        b()
        t2 = clock()
        ratios.append((t2 - t1) / (t1 - t0))
    return ratios
