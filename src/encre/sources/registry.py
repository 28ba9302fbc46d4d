"""The sources by the ``kind`` that a config's [source] table names; add a new one here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from encre.config import Config
from encre.progress import SILENT, Progress
from encre.sources.dhs import DhsSettings, read_dhs
from encre.sources.elements import Elements
from encre.sources.own import (
    BedSettings,
    FastaSettings,
    TableSettings,
    read_own_bed,
    read_own_fasta,
    read_own_table,
)
from encre.sources.screen import ScreenSettings, read_screen

#: kind -> (settings, reader of those settings; every reader takes ``progress``, short work may ignore it).
SOURCES: Mapping[str, tuple[type[Config], Callable[..., Elements]]] = {
    "screen": (ScreenSettings, read_screen),
    "dhs": (DhsSettings, read_dhs),
    "bed": (BedSettings, read_own_bed),
    "fasta": (FastaSettings, read_own_fasta),
    "table": (TableSettings, read_own_table),
}


def read_source(settings: Any, *, progress: Progress = SILENT) -> Elements:
    """Read the elements that settings of any kind in :data:`SOURCES` describe."""
    return SOURCES[settings.kind][1](settings, progress=progress)
