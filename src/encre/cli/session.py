"""What every verb shares: the global options, progress on stderr, and results on stdout."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from encre.progress import Progress

#: Shown under the help of every verb.
EPILOG = "Before or after the verb: --json, --quiet, --threads N, --device NAME, --seed N (see encre --help)."

#: Variables by which the numeric libraries learn, when they are loaded, how many threads to use.
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
)


@dataclass(frozen=True)
class Session:
    """The global options of one command.

    Parameters
    ----------
    json
        Machine-readable results on stdout, everything else on stderr.
    quiet
        No progress and no news; results and errors only.
    threads
        Processor threads, or None for each library's own choice.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"`` …, or None for what the config says.
    seed
        Overrides the config's seed when given.
    """

    json: bool = False
    quiet: bool = False
    threads: int | None = None
    device: str | None = None
    seed: int | None = None

    @property
    def progress(self) -> Progress:
        """Bars on a terminal, lines elsewhere; silent when asked, and on all but the first ``torchrun`` process."""
        from encre.progress import for_terminal

        return for_terminal(quiet=self.quiet or os.environ.get("RANK", "0") != "0")

    def show(self, value: Any, draw: Callable[[Console], None]) -> None:
        """Put a result on stdout: ``value`` as JSON with ``--json``, otherwise what ``draw`` prints."""
        if os.environ.get("RANK", "0") != "0":
            return
        if self.json:
            typer.echo(json.dumps(plain(value), indent=2, allow_nan=False))
        else:
            from rich.console import Console

            wide = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 120
            draw(Console(width=wide, highlight=False))

    def say(self, line: str) -> None:
        """One line of news on stderr, unless ``--quiet``."""
        self.progress.say(line)

    def apply_threads(self) -> None:
        """Hand ``--threads`` to the numeric libraries; this process belongs to the command line."""
        if self.threads is None:
            return
        for name in _THREAD_VARIABLES:
            os.environ[name] = str(self.threads)
        if "numba" not in sys.modules:  # of motifs; it refuses another number once its threads run
            os.environ["NUMBA_NUM_THREADS"] = str(self.threads)
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(self.threads)

    def overrides(self, assignments: list[str] | None, **places: str) -> list[str]:
        """``--set`` assignments, then the global options at their places in the config.

        Parameters
        ----------
        assignments
            ``table.key=value`` as given with ``--set``.
        **places
            Global option -> key of this config, for example ``seed="train.seed"``.
        """
        found = list(assignments or [])
        for option, key in places.items():
            if (value := getattr(self, option)) is not None:
                found.append(f"{key}={json.dumps(value)}")
        return found


def session_of(context: typer.Context) -> Session:
    """The session that the main callback put into the context."""
    return context.obj if isinstance(context.obj, Session) else Session()


def plain(value: Any) -> Any:
    """Plain JSON values: paths as text, NaN and infinities as null, NumPy scalars as Python's."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if hasattr(value, "item") and not isinstance(value, str | bytes):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | bool | type(None)) else str(value)
