"""What a user can mend, said in one grammar: where, what, expected, got, remedy.

Every exception here subclasses the built-in that fits it, so that library callers can catch either.
The command line prints one paragraph and leaves with ``exit_code``: 2 means "you can mend it",
3 means "a gate that you asked for failed". Anything else that escapes is a bug of ours (exit code 1).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EncreError(Exception):
    """Base of every message meant for the user.

    Parameters
    ----------
    what
        One clause: what is wrong.
    where
        File, line, column, key or object that it was found in.
    expected, got
        What would have been right, and what stood there instead.
    remedy
        One or two sentences: what to do now.
    """

    exit_code = 2

    def __init__(
        self,
        what: str,
        *,
        where: object = "",
        expected: str = "",
        got: str = "",
        remedy: str = "",
    ) -> None:
        self.what, self.where, self.expected, self.got, self.remedy = what, where, expected, got, remedy
        super().__init__(self._message())

    def _message(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        detail = "; ".join(
            part
            for part in (
                self.expected and f"expected {self.expected}",
                self.got and f"got {self.got}",
            )
            if part
        )
        if detail:
            text += f" ({detail})"
        text = text if text.endswith((".", "?", "!")) else text + "."
        return f"{text} {self.remedy}".rstrip()

    def __str__(self) -> str:
        return self._message()

    def __reduce__(self):
        fields = ("what", "where", "expected", "got", "remedy")
        return (_rebuild, (type(self), {name: getattr(self, name) for name in fields}))


def _rebuild(kind: type[EncreError], fields: dict[str, str]) -> EncreError:
    what = fields.pop("what")
    return kind(what, **fields)


class MissingFileError(EncreError, FileNotFoundError):
    """A file or folder that was named is not there, or cannot be read."""


class FormatError(EncreError, ValueError):
    """A file is not in the form that it claims, or a line of it is wrong."""


class SequenceError(EncreError, ValueError):
    """A sequence cannot be used: empty, only N, or shorter than the model needs."""


class IntervalError(EncreError, ValueError):
    """An interval is empty, reversed, negative, or off the end of its chromosome."""


class AssemblyMismatchError(EncreError, ValueError):
    """A genome is not the assembly that it was said to be."""


class UnknownChromosomeError(EncreError, KeyError):
    """A chromosome name that the assembly does not have."""


class ConfigError(EncreError, ValueError):
    """A configuration has an unknown key or a value out of range."""


class DataError(EncreError, ValueError):
    """A dataset cannot be built or used as asked (an empty split, one class only, a wrong join)."""


class FolderError(EncreError, OSError):
    """An output folder is in the way, or an input folder is foreign, damaged or of another version."""


class ResourceError(EncreError, OSError):
    """The machine ran out of something: disk space, memory, a device."""


class MissingExtraError(EncreError, ImportError):
    """An optional dependency is needed and not installed."""


class GateError(EncreError, ValueError):
    """A limit that the config set on leakage or shortcuts was exceeded."""

    exit_code = 3


def nearest(name: str, known: Iterable[str]) -> str:
    """Say ``Did you mean 'x'?`` for the closest known name, or list the known names.

    Parameters
    ----------
    name
        What the user wrote.
    known
        The names that would have been right.
    """
    names = sorted(str(item) for item in known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"Did you mean '{close[0]}'?"
    return f"Known: {', '.join(names)}." if names else ""
