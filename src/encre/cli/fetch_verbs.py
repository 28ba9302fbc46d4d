"""`encre data download`: the files that a config refers to, or some of the catalogue by name."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from encre.cli.session import EPILOG, session_of

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from encre.sources.catalogue import Entry
    from encre.sources.download import Downloaded, Planned


def add_to(data: typer.Typer) -> None:
    """Add the verb to the group `encre data`."""
    data.command(epilog=EPILOG)(download)


def download(
    context: typer.Context,
    what: Annotated[list[str] | None, typer.Argument(metavar="CONFIG|NAME...", help="A config, or names.")] = None,
    *,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder, instead of the config's.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, max=16, help="Files at once.")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Use only what encre.lock names.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would come, and how much.")] = False,
    list_all: Annotated[bool, typer.Option("--list", help="Show the catalogue.")] = False,
) -> None:
    """Get registry, tissue, genome and annotation files.

    Resumes, verifies, tries mirrors, and notes every file in encre.lock. A config names files as
    "@screen-v4"; its own files go under [catalogue.NAME] with addresses and form.
    """
    from encre.sources.catalogue import load_catalogue
    from encre.sources.download import plan
    from encre.sources.references import bring, wanted
    from encre.sources.web import Web

    session = session_of(context)
    if list_all:
        entries = load_catalogue().values()
        session.show([_entry(one) for one in entries], lambda console: _draw_catalogue(console, entries))
        return
    if not what:
        raise typer.BadParameter("name a config or files of the catalogue; --list shows what there is")
    want = wanted(what, out=out, offline=offline, progress=session.progress)
    if dry_run:
        planned = plan(want.entries, want.folder, lock=want.lock, web=None if offline else Web(connect=5, read=10))
        value = {"folder": str(want.folder), "files": [_planned(one) for one in planned]}
        session.show(value, lambda console: _draw_plan(console, planned, want.folder))
        return
    found = bring(want, jobs=jobs, offline=offline, progress=session.progress)
    value = {"folder": str(want.folder), "lock": str(want.lock), "files": [_downloaded(one) for one in found]}
    session.show(value, lambda console: _draw_found(console, found, want.lock))


def _entry(one: Entry) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(one)


def _planned(one: Planned) -> dict[str, Any]:
    told = {"there": one.locked is not None, "size": one.size, "begun": one.begun, "note": one.note}
    return {"name": one.entry.name, **told, "addresses": list(one.entry.addresses)}


def _downloaded(one: Downloaded) -> dict[str, Any]:
    told = {key: getattr(one.locked, key) for key in ("address", "size", "md5", "sha256", "date", "licence")}
    return {"name": one.entry.name, "path": str(one.path), "new": one.new, **told}


def _draw_catalogue(console: Console, entries: Iterable[Entry]) -> None:
    table = _table("name", "what", "size", "licence")
    for one in entries:
        table.add_row(one.name, one.title, _size(one.size), one.licence.partition(":")[0] or "none stated")
    console.print(table)


def _draw_plan(console: Console, planned: list[Planned], folder: Path) -> None:
    table = _table("name", "size", "", "first address")
    for one in planned:
        state = "there" if one.locked else f"begun, {_size(one.begun)}" if one.begun else one.note or "to come"
        table.add_row(one.entry.name, _size(one.size), state, one.entry.addresses[0])
    console.print(table)
    missing = [one for one in planned if one.locked is None]
    unknown = sum(one.size is None for one in missing)
    more = f", and {unknown} whose size nobody says" if unknown else ""
    left = sum(max((one.size or 0) - one.begun, 0) for one in missing)
    console.print(f"{len(missing)} of {len(planned)} files would come into {folder}: {_size(left)}{more}.")


def _draw_found(console: Console, found: list[Downloaded], lock: Path) -> None:
    table = _table("name", "size", "", "file")
    for one in found:
        table.add_row(one.entry.name, _size(one.locked.size), "new" if one.new else "was there", str(one.path))
    console.print(table)
    console.print(f"{sum(one.new for one in found)} of {len(found)} files came now; all are noted in {lock}.")


def _table(*heads: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(*heads, box=box.SIMPLE_HEAD, pad_edge=False)
    table.columns[0].no_wrap = True
    return table


def _size(size: int | None) -> str:
    if size is None:
        return "?"
    return f"{size / 1e6:,.1f} MB" if size >= 100_000 else f"{size:,} B"
