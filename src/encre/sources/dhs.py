"""The data set that the package ships: 47,872 DNase-hypersensitive sites of 200 bp, each open in one of four lines.

Source, licence and columns are told beside the file (``assets/dhs/README.md``): the vocabulary of DHSs of Meuleman et
al. 2020 (hg38), balanced over GM12878, hESCT0, K562 and HepG2, with a published split (test chr1, valid chr2).
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from encre.config import Config
from encre.errors import FolderError
from encre.ledger import Ledger
from encre.progress import SILENT, Progress
from encre.sources.elements import Elements, arrange, describe
from encre.tasks import Task, TaskSet

CELL_LINES = ("GM12878", "hESCT0", "K562", "HepG2")
COMPONENTS = 16
LENGTH = 200
"""Bases of every element."""


class DhsSettings(Config):
    """Settings of the shipped source.

    Parameters
    ----------
    components
        Predict as well which of the 16 components of the DHS vocabulary (Meuleman et al. 2020) a site belongs to.
    """

    kind: Literal["dhs"] = "dhs"
    components: bool = False


def dhs_tasks(*, components: bool = False) -> TaskSet:
    """Task ``element`` (real element against its shuffle), the four cell lines and, if asked for, the components."""
    element = Task("element", "element", "binary", description="real element, not its own dinucleotide shuffle")
    lines = [Task(n, "cell_line", "multilabel", description=f"DNase-hypersensitive in {n}") for n in CELL_LINES]
    parts = [
        Task(f"component_{n}", "component", "multilabel", description=f"component {n} of the DHS vocabulary")
        for n in range(1, COMPONENTS + 1)
    ]
    return TaskSet([element, *lines, *(parts if components else [])])


def read_dhs(settings: DhsSettings | None = None, *, progress: Progress = SILENT) -> Elements:
    """Read the shipped elements.

    Returns
    -------
    Elements
        Every row has its own sequence of 200 bases, ``element`` 1, the four cell lines 0 or 1, the published split,
        and the columns ``component`` (1-16 of the DHS vocabulary) and ``numsamples`` (biosamples with the site).

    Raises
    ------
    FolderError
        When the installed package lacks the file.
    """
    settings = settings or DhsSettings()
    path = Path(str(resources.files("encre.assets") / "dhs" / "dhs.parquet"))
    if not path.is_file():
        raise FolderError("the shipped data is missing", where=path, remedy="Install encre again.")
    frame = pl.read_parquet(path)
    codes = unpack(frame["packed"])
    tag = frame["tag"].cast(pl.String)
    start = frame["start"].cast(pl.Int64)
    table = frame.drop("packed", "tag").with_columns(
        pl.col("chrom").cast(pl.String),
        start.alias("start"),
        (start + LENGTH).alias("end"),
        pl.col("split").cast(pl.String),
        pl.lit(1.0).alias("element"),
        *((tag == line).cast(pl.Float32).alias(line) for line in CELL_LINES),
    )
    if settings.components:
        own = pl.col("component")
        table = table.with_columns(
            (own == n).cast(pl.Float32).alias(f"component_{n}") for n in range(1, COMPONENTS + 1)
        )
    tasks, ledger = dhs_tasks(components=settings.components), Ledger()
    ledger.add(
        "read shipped elements",
        table.height,
        table.height,
        notes={line: int((tag == line).sum()) for line in CELL_LINES},
    )
    offsets = np.arange(table.height + 1, dtype=np.int64) * LENGTH
    file = describe(path, form="Parquet, 2 bits a base", licence="MIT")
    return Elements(arrange(table, tasks), tasks, ledger, [file], codes, offsets)


def unpack(packed: pl.Series) -> np.ndarray:
    """Flat codes (N * 200,) uint8 of rows of 50 bytes: base i in bits 6 - 2 (i mod 4) of byte i // 4."""
    content = np.frombuffer(b"".join(packed.to_list()), dtype=np.uint8)
    shifts = np.array([6, 4, 2, 0], dtype=np.uint8)
    return ((content[:, None] >> shifts) & 3).reshape(-1)
