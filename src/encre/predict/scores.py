"""How records are scored, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import polars as pl

from encre.errors import ConfigError
from encre.evaluation.calibration import BaseRate
from encre.evaluation.conformal import check_level
from encre.predict.inputs import Records
from encre.predict.policy import Counts

if TYPE_CHECKING:
    from encre.models.device import Precision

Combine = Literal["mean", "max"]


@dataclass(frozen=True)
class Scoring:
    """How records are scored.

    Parameters
    ----------
    combine
        How the windows of a sequence longer than the model's become one row: ``"mean"`` or ``"max"`` of their logits.
        The windows overlap by half; those of only N are left out.
    precision
        ``"fp32"`` (the same logits on every machine), ``"bf16"`` (faster where the hardware has it) or ``"auto"``.
    base_rate
        See :meth:`encre.predict.predictor.Predictor.probabilities`.
    skip_unscorable
        List rows that cannot be scored apart, rather than refuse them all.
    conformal
        Level of conformal sets and intervals (0.5 to 0.99); None for none.

    Raises
    ------
    ConfigError
        For a way of combining, or a precision, that does not exist.
    """

    combine: Combine | str = "mean"
    precision: Precision | str = "fp32"
    base_rate: BaseRate | None = None
    skip_unscorable: bool = False
    conformal: float | None = None

    def __post_init__(self) -> None:
        if self.combine not in ("mean", "max"):
            raise ConfigError("windows of a long sequence are combined by mean or max", got=f"'{self.combine}'")
        if self.precision not in ("fp32", "bf16", "auto"):
            raise ConfigError("a precision is fp32, bf16 or auto", got=f"'{self.precision}'")
        if self.conformal is not None:
            check_level(self.conformal)


class Scores(NamedTuple):
    """What comes of scoring records."""

    table: pl.DataFrame
    """A row a scored record, in their order."""
    unscorable: pl.DataFrame
    """A row a record that cannot be scored: its place and ``length``, and ``reason``."""
    counts: Counts
    records: Records
    """Those that were scored."""
    how: Scoring


def place_columns(records: Records) -> dict[str, Any]:
    """What says where a record comes from: ``name`` and, where known, ``chrom``, ``start``, ``end``."""
    columns: dict[str, Any] = {"name": pl.Series(records.names, dtype=pl.String)}
    if records.chrom is not None:
        columns |= {"chrom": pl.Series(records.chrom, dtype=pl.String), "start": records.start, "end": records.end}
    return columns


def unscorable_table(records: Records, reasons: list[str]) -> pl.DataFrame:
    """Records that cannot be scored, with the reason of each."""
    length = pl.Series(np.diff(records.offsets), dtype=pl.Int64)
    return pl.DataFrame({**place_columns(records), "length": length, "reason": pl.Series(reasons, dtype=pl.String)})
