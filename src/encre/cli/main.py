"""The door of the command line: global options, error words, exit codes, Ctrl-C.

Exit codes: 0 done, 2 the user can mend it (one paragraph on stderr), 3 a gate that the user set failed,
130 interrupted, 1 a bug of ours (with a traceback). Torch is loaded only inside the verbs that need it.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer
from typer.main import get_command

from encre.cli import (
    data_verbs,
    design_verbs,
    ensemble_verbs,
    explain_verbs,
    fetch_verbs,
    look_verbs,
    motif_verbs,
    predict_verbs,
    pretrain_verbs,
    scan_verbs,
    search_verbs,
    tokenizer_verbs,
    train_verbs,
    tune_verbs,
    variant_verbs,
)
from encre.cli.session import Session
from encre.errors import EncreError

#: Global options and whether a value follows; they may stand before or after the verb.
_GLOBAL = {"--json": False, "--quiet": False, "-q": False, "--threads": True, "--device": True, "--seed": True}

app = typer.Typer(
    name="encre",
    help="Enhancers from cis-regulatory elements: datasets, models, honest evaluation, prediction.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,  # rich help costs 0.13 s of imports, most of the time that `encre --help` takes
    context_settings={"help_option_names": ["-h", "--help"]},
)
look_verbs.add_first_to(app)
data_verbs.add_to(app)
fetch_verbs.add_to(data_verbs.data)
search_verbs.add_to(data_verbs.data)
tokenizer_verbs.add_to(data_verbs.data)
pretrain_verbs.add_to(app)
train_verbs.add_to(app)
ensemble_verbs.add_to(app)
tune_verbs.add_to(app)
predict_verbs.add_to(app)
scan_verbs.add_to(app)
variant_verbs.add_to(app)
explain_verbs.add_to(app)
motif_verbs.add_to(app)
design_verbs.add_to(app)
look_verbs.add_last_to(app)


def _version(asked: bool) -> None:
    if asked:
        from encre.reproducibility import version

        typer.echo(f"encre {version()}")
        raise typer.Exit


@app.callback()
def session(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable results on stdout.")] = False,
    *,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no news.")] = False,
    threads: Annotated[int | None, typer.Option(min=1, help="Processor threads to use.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed, instead of the config's.")] = None,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False,
) -> None:
    """Hold the global options for the verb."""
    context.obj = Session(as_json, quiet, threads, device, seed)
    context.obj.apply_threads()


def globals_first(arguments: Sequence[str]) -> list[str]:
    """Move the global options in front of the verb, so that they may be written anywhere before ``--``."""
    front: list[str] = []
    rest: list[str] = []
    left = list(arguments)
    while left:
        word = left.pop(0)
        if word == "--":
            return [*front, *rest, "--", *left]
        name, equals, _ = word.partition("=")
        if name not in _GLOBAL:
            rest.append(word)
            continue
        front.append(word)
        if _GLOBAL[name] and not equals and left:
            front.append(left.pop(0))
    return front + rest


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; nothing but a bug's traceback escapes.

    Parameters
    ----------
    arguments
        The words after ``encre``.
    """
    try:
        code = get_command(app).main(
            args=globals_first(arguments), prog_name="encre", standalone_mode=False, windows_expand_args=False
        )
        sys.stdout.flush()
    except BaseException as error:
        code = _explain(error)
    if code == 130:
        _complain("Interrupted: stopped cleanly; nothing half-written passes for whole.")
    return code if isinstance(code, int) else 0


def _explain(error: BaseException) -> int:
    """One paragraph on stderr for what the user can mend, and its exit code; a traceback for a bug."""
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return 130
    if isinstance(error, BrokenPipeError):  # `encre … | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    if isinstance(error, EncreError):
        _complain(f"{type(error).__name__}: {error}")
        return error.exit_code
    if (words := _words_of_usage(error) or _words_of_machine(error)) is not None:
        _complain(words)
        return 2
    if not isinstance(error, Exception):
        raise error
    import traceback

    traceback.print_exception(error)
    _complain("This is a bug in encre. Please report it with the lines above and what you ran.")
    return 1


def _words_of_usage(error: BaseException) -> str | None:
    """The words for a wrong option or argument, whichever class this typer raises for it."""
    words: Any = getattr(error, "format_message", None)
    if words is None:
        return None
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "encre"
    text = words().strip()
    if text.startswith("Usage:"):  # no verb was given: the help is the answer
        return text
    return f"UsageError: {text}{'' if text.endswith(('.', '?')) else '.'} See `{path} --help`."


def _words_of_machine(error: BaseException) -> str | None:
    """The words for memory that ran out and for files that the system refuses."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return f"ResourceError: the machine ran out of memory ({error}). Use a smaller batch or input."
    if isinstance(error, OSError) and error.errno is not None and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"ResourceError: {where}{error.strerror}. Check the path, its permissions and the free space."
    return None


def _complain(text: str) -> None:
    typer.echo(text, err=True)


def _end_on_sigterm(signum: int, frame: object) -> NoReturn:
    """Let `finally` clauses remove what is half-written when a scheduler ends the job."""
    raise SystemExit(128 + signum)


def main() -> NoReturn:
    """Entry point of ``encre``, ``python -m encre`` and ``torchrun -m encre``."""
    signal.signal(signal.SIGTERM, _end_on_sigterm)
    sys.exit(run(sys.argv[1:]))
