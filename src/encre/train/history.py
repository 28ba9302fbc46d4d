"""What happened in each epoch: ``history.csv``, and TensorBoard where it was asked for."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from encre.errors import MissingExtraError
from encre.files import staged_file
from encre.train.settings import TrainConfig


def write_history(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write one row an epoch as CSV; an undefined value is left empty."""
    with staged_file(path) as staged, staged.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, fieldnames=list(rows[0]) if rows else ["epoch"])
        writer.writeheader()
        writer.writerows(rows)


@contextlib.contextmanager
def epoch_log(out: Path, config: TrainConfig | None) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Yield what takes each epoch's row to TensorBoard in ``out``; nowhere without a config that asks for it."""
    if config is None or "tensorboard" not in config.logs:
        yield lambda row: None
        return
    writer = tensorboard_writer(out / "tensorboard")
    try:
        yield lambda row: log_row(writer, row)
    finally:
        writer.close()


def tensorboard_writer(folder: Path) -> Any:
    """A TensorBoard writer into ``folder``.

    Raises
    ------
    MissingExtraError
        When the package is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise MissingExtraError(
            'logs = ["tensorboard"] needs the package tensorboard', remedy="pip install 'encre[tensorboard]'"
        ) from None
    return SummaryWriter(str(folder))


def log_row(writer: Any, row: dict[str, Any]) -> None:
    """Add the numbers of one epoch to TensorBoard, against the steps done."""
    for name, value in row.items():
        if isinstance(value, int | float) and name not in ("epoch", "step"):
            writer.add_scalar(name.replace("valid_", "valid/", 1), value, row["step"])
    writer.flush()
