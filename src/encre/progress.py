"""Progress for long work: a bar with rate and remaining time on a terminal, plain lines otherwise.

Library functions take ``progress=SILENT``; only the command line makes another one. Everything goes to
stderr, so that results on stdout stay clean.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

Advance = Callable[[int, str], None]
"""``advance(n, note)``: n more units are done; ``note`` (may be empty) replaces the text behind the bar."""


class Progress:
    """Says nothing; the default of every library function and the base of the other two."""

    def say(self, line: str) -> None:
        """One line of news."""

    @contextlib.contextmanager
    def track(self, label: str, total: int, unit: str = "seq") -> Iterator[Advance]:
        """Follow ``total`` units of work; yields ``advance(n, note)``."""
        yield lambda n, note: None


SILENT = Progress()


class PlainProgress(Progress):
    """A line at most every ``every`` seconds, for logs and pipes."""

    def __init__(self, every: float = 15.0) -> None:
        self.every = every

    def say(self, line: str) -> None:
        """One line of news on stderr."""
        print(line, file=sys.stderr, flush=True)  # noqa: T201

    @contextlib.contextmanager
    def track(self, label: str, total: int, unit: str = "seq") -> Iterator[Advance]:
        """Print done, rate and remaining time now and then, and once at the end."""
        begun = shown = time.monotonic()
        done = 0

        def line(note: str) -> None:
            spent = max(time.monotonic() - begun, 1e-9)
            rate = done / spent
            left = f", {(total - done) / rate:,.0f} s left" if rate and done < total else f" in {spent:,.1f} s"
            self.say(f"{label}: {done:,} of {total:,} {unit}, {rate:,.0f} {unit}/s{left}{note and '  ' + note}")

        last_note = ""

        def advance(n: int, note: str) -> None:
            nonlocal done, shown, last_note
            done += n
            last_note = note or last_note
            if time.monotonic() - shown >= self.every:
                shown = time.monotonic()
                line(last_note)

        yield advance
        line(last_note)


class TerminalProgress(Progress):
    """A rich progress bar with rate and remaining time."""

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(stderr=True)

    def say(self, line: str) -> None:
        """One line of news above any bar."""
        self.console.print(line, markup=False, highlight=False)

    @contextlib.contextmanager
    def track(self, label: str, total: int, unit: str = "seq") -> Iterator[Advance]:
        """Draw the bar until the work is done."""
        from rich import progress as rp

        bar = rp.Progress(
            rp.TextColumn("{task.description:<22}"),
            rp.BarColumn(bar_width=30),
            rp.TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
            rp.TextColumn("{task.fields[rate]}"),
            rp.TimeRemainingColumn(compact=True),
            rp.TextColumn("{task.fields[note]}"),
            console=self.console,
        )
        begun = time.monotonic()
        done = 0
        with bar:
            task = bar.add_task(label, total=total, rate="", note="")

            def advance(n: int, note: str) -> None:
                nonlocal done
                done += n
                bar.update(task, advance=n, rate=f"{done / max(time.monotonic() - begun, 1e-9):,.0f} {unit}/s")
                if note:
                    bar.update(task, note=note)

            yield advance


def for_terminal(*, quiet: bool = False) -> Progress:
    """The progress that fits: silent, a bar on a terminal, lines elsewhere."""
    if quiet:
        return SILENT
    return TerminalProgress() if sys.stderr.isatty() else PlainProgress()
