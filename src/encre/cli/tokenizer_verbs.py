"""`encre data tokenizer`: byte-pair subwords of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from encre.cli.session import EPILOG, session_of


def add_to(data: typer.Typer) -> None:
    """Add the verb to the group ``encre data``."""
    data.command(epilog=EPILOG)(tokenizer)


def tokenizer(
    context: typer.Context,
    source: Annotated[
        Path,
        typer.Argument(metavar="SOURCE", help="A genome (FASTA, 2bit), a dataset folder, a BED with --genome."),
    ],
    *,
    out: Annotated[Path, typer.Option(metavar="JSON", help="The tokenizer.json to write.")],
    tokens: Annotated[int, typer.Option(min=16, help="Size of the vocabulary, 5 specials included.")] = 4096,
    bases: Annotated[int, typer.Option(help="Bases to learn from, chosen by --seed.")] = 4_000_000,
    genome: Annotated[Path | None, typer.Option(metavar="FASTA", help="The genome that a BED lies on.")] = None,
    assembly: Annotated[str, typer.Option(help="What that genome is said to be.")] = "GRCh38",
) -> None:
    """Learn byte-pair subwords from sequence.

    Of a dataset the training rows alone are read. A model takes them by input = "bpe" and vocabulary = "JSON". The
    same source, seed and sizes give the same file.
    """
    from encre.data.tokenizer_text import tokenizer_texts
    from encre.files import staged_file
    from encre.sequence.bpe import describe_byte_pairs, train_byte_pairs

    session = session_of(context)
    where = {"genome": genome, "assembly": assembly, "progress": session.progress}
    texts = tokenizer_texts(source, bases=bases, seed=session.seed or 0, **where)
    session.say(f"Learning {tokens:,} tokens from {sum(map(len, texts)):,} bases")
    made = train_byte_pairs(texts, vocabulary_size=tokens)
    with staged_file(out) as staged:
        staged.write_text(made.to_json(), encoding="utf-8")
    facts = {"tokenizer": str(out), **describe_byte_pairs(made, texts)}
    line = "{tokenizer}: {tokens:,} tokens, the longest of {longest} bases; {bases_a_token:.2f} bases a token"
    session.show(facts, lambda console: console.print(line.format(**facts)))
