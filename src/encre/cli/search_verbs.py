"""``encre data search``: what ENCODE has for an organ, an assay or a biosample."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from encre.cli.session import EPILOG, session_of

if TYPE_CHECKING:
    import polars as pl
    from rich.console import Console

_SHOWN = ("accession", "file_accession", "biosample", "classification", "organ", "size", "date")


def add_to(group: typer.Typer) -> None:
    """Add the verb to ``encre data``."""
    group.command(epilog=EPILOG)(search)


def search(
    context: typer.Context,
    *,
    organ: Annotated[str | None, typer.Option(metavar="NAME", help="brain, large_intestine … (all)")] = None,
    assay: Annotated[str, typer.Option(metavar="KIND", help="cCRE, DNase, ATAC or H3K27ac.")] = "cCRE",
    biosample: Annotated[str | None, typer.Option(metavar="TEXT", help="Only names with this text.")] = None,
    assembly: Annotated[str, typer.Option(metavar="NAME", help="GRCh38, mm10 …")] = "GRCh38",
    limit: Annotated[int | None, typer.Option(metavar="N", min=1, help="At most so many files.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE.tsv", help="Write the table there.")] = None,
    encode: Annotated[str | None, typer.Option(metavar="URL", help="Another portal than ENCODE's own.")] = None,
    encyclopedia: Annotated[str, typer.Option(metavar="TEXT", help="Version of the cCREs.")] = "ENCODE v4",
) -> None:
    """List ENCODE's per-biosample cCRE files, or its signal files, with accession, biosample, organ and size.

    A dataset config may name an organ or accessions instead of files:
    brain = { organ = "brain", rule = "majority" }.
    """
    from encre.sources.encode import ADDRESS, Portal
    from encre.sources.encode import search as find

    session = session_of(context)
    portal = Portal(encode or ADDRESS, encyclopedia=encyclopedia)
    table = find(
        organ,
        assay,  # pyright: ignore[reportArgumentType]
        biosample=biosample,
        assembly=assembly,
        limit=limit,
        portal=portal,
        progress=session.progress,
    )
    if out is not None:
        from encre.files import staged_file

        with staged_file(out) as staged:
            table.write_csv(staged, separator="\t")
        session.say(f"{table.height:,} files written to {out}")
    session.show({"files": table.to_dicts()}, lambda console: _draw(console, table, organ, written=out is not None))


def _draw(console: Console, table: pl.DataFrame, organ: str | None, *, written: bool) -> None:
    from rich.table import Table

    if not table.height:
        from encre.errors import nearest
        from encre.sources.organs import ORGAN_RULES

        names = {name for _, name in ORGAN_RULES}
        known = organ is None or organ.replace("_", " ") in names
        console.print("Nothing found." if known else f"Nothing found. {nearest(str(organ), names)}")
        return
    if not written:
        drawn = Table(*(name.replace("_", " ") for name in _SHOWN), box=None, pad_edge=False)
        drawn.columns[_SHOWN.index("size")].justify = "right"
        for row in table.select(_SHOWN).iter_rows(named=True):
            drawn.add_row(*(_cell(name, row[name]) for name in _SHOWN))
        console.print(drawn)
    total = int(table["size"].sum() or 0)
    console.print(f"{table.height:,} files of {table['accession'].n_unique():,} datasets, {total / 1e6:,.1f} MB")


def _cell(name: str, value: object) -> str:
    if name == "size":
        return f"{value / 1e6:,.1f} MB" if isinstance(value, int) else "?"
    return str(value)
