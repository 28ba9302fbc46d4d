"""What the bases of many sequences contribute, as TF-MoDISco reads it: attributed now, or from `encre explain`."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from encre.errors import ConfigError, FormatError
from encre.files import open_existing, read_json
from encre.predict.inputs import Records
from encre.predict.policy import ONLY_N, TOO_SHORT, unscorable
from encre.progress import SILENT, Progress
from encre.reproducibility import stream
from encre.sequence.alphabet import n_share
from encre.sequence.flat import join, offsets_of
from encre.shapes import N_CODE
from encre.tables import Column, read_table, table_header

if TYPE_CHECKING:
    from encre.interpret.settings import AttributionSettings
    from encre.predict.predictor import Predictor


class Located(NamedTuple):
    """Where N rows lie.

    Parameters
    ----------
    names
        (N,) of the sequences.
    chrom
        (N,) chromosomes, or None where they are not known.
    first
        (N,) the first base, 0-based, on the chromosome or in the sequence that was given.
    """

    names: list[str]
    chrom: list[str] | None
    first: np.ndarray


@dataclass(frozen=True)
class Contributions:
    """Sequences and what their bases contribute to each task.

    Parameters
    ----------
    codes
        (N, L) uint8, N (4) beyond a sequence's end.
    hypothetical
        Task -> (N, L, 4) float32: what A, C, G and T would contribute at each place; 0 where the base is N.
    located
        Where the rows lie.
    """

    codes: np.ndarray
    hypothetical: Mapping[str, np.ndarray]
    located: Located

    @property
    def one_hot(self) -> np.ndarray:
        """(N, L, 4) float32; N is zeros."""
        return (self.codes[:, :, None] == np.arange(4)).astype(np.float32)

    def actual(self, task: str) -> np.ndarray:
        """(N, L) contributions of the bases that stand there."""
        return (self.one_hot * self.hypothetical[task]).sum(axis=2)


def middles(
    records: Records, *, window: int, most: int, seed: int, shortest: int = 1
) -> tuple[Records, Located, list[str]]:
    """Draw what is to be explained, and cut it to what the model reads in one piece.

    Windows that overlap, as predictions use them, would count what lies in two of them twice.

    Parameters
    ----------
    records
        What was read.
    window
        Of a longer sequence the middle ``window`` bases are taken.
    most
        Of more records, so many are drawn at random.
    seed
        Of the draw.
    shortest
        What has fewer bases, or none that is known, is left out.

    Returns
    -------
    tuple
        The records, where their first bases lie, and what was left out, in words.
    """
    notes = []
    if len(records) > most:
        rows = np.sort(stream(seed, "motifs", "draw").choice(len(records), most, replace=False))
        notes.append(f"{most:,} of {len(records):,} sequences were drawn at random (seed {seed}).")
        records = records.take(rows)
    length = np.diff(records.offsets)
    width = np.minimum(length, window)
    cut = (length - width) // 2
    if cut.any():
        notes.append(f"Of {int((length > window).sum()):,} sequences longer than {window:,} bp the middle was taken.")
    begin = records.offsets[:-1] + cut
    middle = replace(records, codes=join(records.codes, begin, begin + width), offsets=offsets_of(width))
    first = cut if records.first is None else records.first + cut
    apart, _ = unscorable(width, n_share(middle.codes, middle.offsets), shortest=shortest)
    if 0 < len(apart) < len(middle):  # when all are, scoring them says so
        notes.append(f"{len(apart):,} of {len(middle):,} sequences were left out: {ONLY_N}, or {TOO_SHORT}.")
        kept = np.delete(np.arange(len(middle)), apart)
        middle, first = middle.take(kept), first[kept]
    chrom = None if middle.chrom is None else [str(name) for name in middle.chrom]
    return middle, Located([str(name) for name in middle.names], chrom, first), notes


def attributed(
    predictor: Predictor,
    records: Records,
    located: Located,
    *,
    tasks: Sequence[str],
    how: AttributionSettings,
    progress: Progress = SILENT,
) -> Contributions:
    """Contributions of records that the model reads in one piece each; errors as of ``attribution.attribute``."""
    from encre.interpret.arrays import hypothetical_array
    from encre.interpret.attribution import attribute

    found = attribute(predictor, records, tasks=tasks or None, settings=how, progress=progress)
    codes = np.full((len(found), int(found.windows.length.max())), N_CODE, np.uint8)
    for row in range(len(found)):
        codes[row, : found.windows.length[row]] = found.codes(row)
    hypothetical = {
        task: np.ascontiguousarray(hypothetical_array(found, k).transpose(0, 2, 1))
        for k, task in enumerate(found.tasks)
    }
    return Contributions(codes, hypothetical, located)


def read_contributions(folder: str | Path, tasks: Sequence[str] = ()) -> Contributions:
    """Read ``ohe.npz`` and ``shap.npz`` (N, 4, L), as `encre explain` and the tools around TF-MoDISco write them.

    Parameters
    ----------
    folder
        Where the two files lie; of several tasks each ``shap.npz`` lies in a folder of its task's name.
        ``explain.json`` (tasks) and ``windows.tsv`` (places) are read where they are.
    tasks
        Names; needed where there is no ``explain.json``.

    Raises
    ------
    MissingFileError, FormatError
        When one is not there, is no such array, or the two do not fit.
    ConfigError
        When it cannot be known whose contributions these are.
    """
    from encre.interpret.arrays import task_folder

    folder = Path(folder)
    said = read_json(folder / "explain.json") if (folder / "explain.json").is_file() else None
    known = said.get("tasks") if isinstance(said, dict) else None
    names = list(tasks) or known
    alone = known is None or len(known) == 1
    if not names or (alone and len(names) > 1):
        raise ConfigError("whose contributions are these?", where=folder, remedy="Name the one task with --task.")
    for name in names:
        if known is not None and name not in known:
            raise ConfigError(
                f"these are not contributions to '{name}'", where=folder, remedy=f"They are to {', '.join(known)}."
            )
    one_hot = _read_array(folder / "ohe.npz")
    if not np.isin(one_hot, (0, 1)).all() or one_hot.sum(axis=1).max() > 1:
        raise FormatError("not one-hot sequences", where=folder / "ohe.npz", expected="a 1 for one base a place")
    there = one_hot.sum(axis=1) > 0
    codes = np.where(there, one_hot.argmax(axis=1), N_CODE).astype(np.uint8)
    hypothetical = {}
    for name in names:
        path = (folder if alone else task_folder(folder, name)) / "shap.npz"
        scores = _read_array(path)
        if scores.shape != one_hot.shape:
            expected = f"the shape of ohe.npz, {one_hot.shape}"
            raise FormatError(
                "the two arrays do not belong together", where=path, expected=expected, got=f"{scores.shape}"
            )
        if not np.isfinite(scores).all():
            raise FormatError("a contribution is not a number", where=path)
        hypothetical[name] = np.ascontiguousarray(scores.transpose(0, 2, 1), np.float32) * there[:, :, None]
    return Contributions(codes, hypothetical, _located(folder / "windows.tsv", len(codes)))


def _located(path: Path, count: int) -> Located:
    """Places from the table of windows, or plain numbers without one."""
    if not path.is_file():
        return Located([f"sequence_{i + 1}" for i in range(count)], None, np.zeros(count, np.int64))
    columns = [Column("name"), Column("start", "int")]
    placed = "chrom" in table_header(path)
    table = read_table(path, columns=[*columns, *([Column("chrom")] if placed else [])])
    if table.height != count:
        raise FormatError(
            "not the windows of ohe.npz", where=path, expected=f"{count:,} rows", got=f"{table.height:,}"
        )
    chrom = table["chrom"].to_list() if placed else None
    return Located(table["name"].to_list(), chrom, table["start"].to_numpy())


def _read_array(path: Path) -> np.ndarray:
    with open_existing(path) as handle:
        try:
            held: Any = np.load(handle, allow_pickle=False)
            array = held[held.files[0]]
        except (ValueError, OSError, KeyError, IndexError, AttributeError, EOFError, zipfile.BadZipFile) as error:
            raise FormatError("not an .npz with an array", where=path, got=str(error)[:80]) from error
    if array.ndim != 3 or array.shape[1] != 4 or not len(array):
        raise FormatError("the array has a wrong shape", where=path, expected="(N, 4, L)", got=f"{array.shape}")
    return array
