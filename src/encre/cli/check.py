"""What `encre data check` does: the audit of a dataset folder, or of anybody's files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from encre.cli.session import Session, plain

if TYPE_CHECKING:
    import polars as pl
    from rich.console import Console

    from encre.data.audit import AuditSettings
    from encre.data.clusters import ClusterSettings
    from encre.data.own_audit import OwnFiles


@dataclass(frozen=True)
class Asked:
    """The options of the verb beside the files: what to look for, limits, and where JSON and leaked rows go."""

    near: bool = False
    neighbours: bool = False
    assign: Sequence[str] = ()
    out: Path | None = None
    leaked: Path | None = None

    @property
    def again(self) -> bool:
        """Whether a dataset's recorded audit does not answer it."""
        return self.near or self.neighbours or bool(self.assign) or self.leaked is not None

    def keep(self, table: pl.DataFrame) -> None:
        """Write the leaked rows as TSV where they are wanted."""
        from encre.files import staged_file

        if self.leaked is not None:
            with staged_file(self.leaked) as path:
                table.write_csv(path, separator="\t")


def check_folder(session: Session, folder: Path, asked: Asked) -> None:
    """Check every file of a dataset and show its audit, made again where more is asked than was recorded."""
    from encre.cli.show import describe_dataset, draw_audit
    from encre.data.audit import audit_dataset
    from encre.data.dataset import Dataset

    dataset = Dataset.open(folder, verify=True)
    config = dataset.manifest.get("config") or {}
    settings, clusters = _settings(asked, config)
    found = dataset.audit
    if asked.again:
        session.say(f"{len(dataset):,} rows; auditing leakage and shortcuts")
        found = audit_dataset(dataset, settings, clusters, keep=asked.keep, progress=session.progress)

    def draw(console: Console) -> None:
        console.print(f"{folder}: every file is whole (checksums agree).")
        draw_audit(console, found)

    _finish(session, describe_dataset(dataset) | {"verified": True, "audit": found}, asked, settings, draw=draw)


def check_files(session: Session, files: OwnFiles, asked: Asked) -> None:
    """Audit files that encre did not build a dataset of."""
    from encre.cli.show import draw_audit, draw_own_files
    from encre.data.own_audit import audit_files

    settings, clusters = _settings(asked, {})
    found = audit_files(files, settings, clusters, keep=asked.keep, progress=session.progress)
    about = {key: found.pop(key) for key in ("files", "splits", "tasks", "notes")}

    def draw(console: Console) -> None:
        draw_own_files(console, about)
        draw_audit(console, found)

    _finish(session, {"kind": "files", **about, "audit": found}, asked, settings, draw=draw)


def _settings(asked: Asked, config: Mapping[str, Any]) -> tuple[AuditSettings, ClusterSettings]:
    """[audit] and [clusters] of a config with the options laid over them."""
    from encre.config import override
    from encre.data.audit import AuditSettings
    from encre.data.clusters import ClusterSettings
    from encre.errors import ConfigError, nearest

    known = {"audit": AuditSettings, "clusters": ClusterSettings}
    values = override({name: config.get(name) or {} for name in known}, asked.assign)
    for table in values:
        if table not in known:
            raise ConfigError(f"there is no table [{table}] to set in a check", remedy=nearest(table, known))
    switched = {"near_duplicates": asked.near, "neighbours": asked.neighbours}
    values["audit"] |= {name: True for name, on in switched.items() if on}
    return AuditSettings.parse(values["audit"], where="[audit]"), ClusterSettings.parse(
        values["clusters"], where="[clusters]"
    )


def _finish(
    session: Session,
    value: dict[str, Any],
    asked: Asked,
    settings: AuditSettings,
    *,
    draw: Callable[[Console], None],
) -> None:
    """Show and write the result; only then say which limits it exceeds (exit code 3)."""
    import json

    from encre.data.audit import check_audit, failures
    from encre.files import staged_file

    value = plain(value | {"failures": failures(value["audit"], settings)})
    if asked.out is not None:
        with staged_file(asked.out) as path:
            path.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    session.show(value, draw)
    check_audit(value["audit"], settings, own=value["kind"] == "files")
