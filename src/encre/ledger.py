"""No row disappears uncounted: every step says rows in, rows out, and why the rest went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Step:
    """One step of a build.

    Parameters
    ----------
    name
        What was done, for example ``"drop elements with too many N"``.
    rows_in, rows_out
        Rows before and after.
    dropped, added
        Reason -> rows.
    notes
        Counts that change no row number (``"unmatched in brain"``: 12).
    """

    name: str
    rows_in: int
    rows_out: int
    dropped: Mapping[str, int] = field(default_factory=dict)
    added: Mapping[str, int] = field(default_factory=dict)
    notes: Mapping[str, int | float | str] = field(default_factory=dict)


class Ledger:
    """The list of steps; a step whose numbers do not add up is a bug and raises at once."""

    def __init__(self, steps: list[Step] | None = None) -> None:
        self.steps: list[Step] = list(steps or [])

    def add(
        self,
        name: str,
        rows_in: int,
        rows_out: int,
        *,
        dropped: Mapping[str, int] | None = None,
        added: Mapping[str, int] | None = None,
        notes: Mapping[str, int | float | str] | None = None,
    ) -> None:
        """Record a step; ``rows_in - dropped + added`` must equal ``rows_out``."""
        dropped = {k: int(v) for k, v in (dropped or {}).items() if v}
        added = {k: int(v) for k, v in (added or {}).items() if v}
        if rows_in - sum(dropped.values()) + sum(added.values()) != rows_out:
            raise AssertionError(
                f"ledger step '{name}' does not add up: {rows_in} in - {dropped} + {added} is not {rows_out} out"
            )
        self.steps.append(Step(name, int(rows_in), int(rows_out), dropped, added, dict(notes or {})))

    def to_list(self) -> list[dict[str, Any]]:
        """Plain values for ``manifest.json``."""
        return [asdict(step) for step in self.steps]

    @classmethod
    def from_list(cls, steps: list[dict[str, Any]]) -> Ledger:
        """Read back what :meth:`to_list` wrote."""
        return cls([Step(**step) for step in steps])
