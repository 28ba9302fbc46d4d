"""What each base of many sequences contributes, as TF-MoDISco reads it: by mutagenesis, or from ready files."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from encre.errors import FormatError, SequenceError
from encre.files import open_existing
from encre.predict.inputs import Records
from encre.progress import SILENT, Progress
from encre.reproducibility import stream
from encre.sequence.flat import padded
from encre.shapes import N_CODE

if TYPE_CHECKING:
    from encre.models.device import Precision
    from encre.predict.predictor import Predictor

#: Bases whose mutants are scored together.
_BLOCK = 1 << 14


@dataclass(frozen=True)
class Contributions:
    """Sequences and what their bases contribute to each task.

    Parameters
    ----------
    codes
        (N, L) uint8, N (4) beyond a sequence's end.
    hypothetical
        Task -> (N, L, 4) float32: what A, C, G and T would contribute at each place, mean 0; 0 where the base is N.
    """

    codes: np.ndarray
    hypothetical: Mapping[str, np.ndarray]

    @property
    def one_hot(self) -> np.ndarray:
        """(N, L, 4) float32; N is zeros."""
        return (self.codes[:, :, None] == np.arange(4)).astype(np.float32)

    def actual(self, task: str) -> np.ndarray:
        """(N, L) contributions of the bases that stand there."""
        known = np.minimum(self.codes, 3)[:, :, None]
        found = np.take_along_axis(self.hypothetical[task], known, axis=2)[:, :, 0]
        return np.where(self.codes < N_CODE, found, 0)


def prepare(records: Records, *, window: int, most: int, seed: int) -> tuple[Records, np.ndarray, list[str]]:
    """Draw and cut what is to be explained.

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

    Returns
    -------
    tuple
        The records (in their order), each one's first base counted from that of its own sequence (N,), and what was
        left out, in words.
    """
    notes = []
    rows = np.arange(len(records))
    if len(records) > most:
        rows = np.sort(stream(seed, "motifs", "draw").choice(len(records), most, replace=False))
        notes.append(f"{most:,} of {len(records):,} sequences were drawn at random (seed {seed}).")
        records = records.take(rows)
    length = np.diff(records.offsets)
    cut = np.maximum(length - window, 0) // 2
    if long := int((length > window).sum()):
        notes.append(f"Of {long:,} sequences longer than the model's {window:,} bp the middle was taken.")
    return records, cut, notes


def cut_codes(records: Records, cut: np.ndarray, *, window: int) -> np.ndarray:
    """Codes (N, L) of prepared records, N beyond each one's end."""
    length = np.minimum(np.diff(records.offsets), window)
    return padded(np.ascontiguousarray(records.codes), records.offsets[:-1] + cut, length, width=int(length.max()))


def mutagenesis(
    predictor: Predictor,
    codes: np.ndarray,
    tasks: Sequence[str],
    *,
    precision: Precision = "fp32",
    progress: Progress = SILENT,
) -> Contributions:
    """Contributions by in silico mutagenesis: the logit of each base against the mean of the four at its place.

    Parameters
    ----------
    predictor
        The model.
    codes
        (N, L) uint8, N (4) beyond a sequence's end.
    tasks
        Names of tasks.
    precision
        Of the model's arithmetic.
    progress
        Follows the sequences.

    Raises
    ------
    SequenceError
        When one is only N or shorter than the model reads.
    """
    from encre.models.substitution import every_substitution, substituted_logits

    length = _lengths(codes, predictor)
    columns = [predictor.tasks.index(task) for task in tasks]
    effect = np.zeros((len(tasks), *codes.shape, 4), np.float32)
    with progress.track("mutagenesis", len(codes), "seq") as advance:
        for size in np.unique(length):
            rows = np.flatnonzero(length == size)
            step = max(1, _BLOCK // int(size))
            for some in (rows[first : first + step] for first in range(0, len(rows), step)):
                part = np.ascontiguousarray(codes[some, :size])
                changes = every_substitution(part)
                reference, mutated = substituted_logits(predictor.model, part, changes, precision=precision)
                delta = (mutated - reference[changes.row])[:, columns]
                effect[:, some[changes.row], changes.start, changes.bases[:, 0]] = delta.T
                advance(len(some), "")
    effect -= effect.mean(axis=3, keepdims=True)  # zeros where no base was put: N stays 0
    return Contributions(codes, dict(zip(tasks, effect, strict=True)))


def _lengths(codes: np.ndarray, predictor: Predictor) -> np.ndarray:
    """Bases of each row without the padding at its end (N,)."""
    known = codes < N_CODE
    if not (some := known.any(axis=1)).all():
        raise SequenceError(
            f"sequence {int(np.argmin(some)) + 1:,} holds only N (no A, C, G or T)",
            remedy=f"Remove it from the input ({int((~some).sum()):,} in all).",
        )
    length = codes.shape[1] - known[:, ::-1].argmax(axis=1)
    length = np.maximum(length, min(predictor.shortest, codes.shape[1]))
    if (length < predictor.shortest).any():
        raise SequenceError(
            "the sequences are shorter than the model can read", expected=f"{predictor.shortest} bases or more",
            got=f"{codes.shape[1]}",
        )  # fmt: skip
    return length


def read_contributions(folder: str | Path, task: str) -> Contributions:
    """Read ``ohe.npz`` and ``shap.npz`` (N, 4, L), as `encre explain` and the tools around TF-MoDISco write them.

    Parameters
    ----------
    folder
        Where the two files lie.
    task
        What the contributions are to.

    Raises
    ------
    MissingFileError, FormatError
        When one is not there, is no such array, or the two do not fit.
    """
    one_hot, scores = (_read_array(Path(folder) / name) for name in ("ohe.npz", "shap.npz"))
    if one_hot.shape != scores.shape:
        raise FormatError(
            "ohe.npz and shap.npz do not belong together", where=folder, expected=f"shape {one_hot.shape} for both",
            got=f"{scores.shape} of shap.npz",
        )  # fmt: skip
    if not np.isin(one_hot, (0, 1)).all() or one_hot.sum(axis=1).max() > 1:
        raise FormatError(
            "not one-hot sequences", where=Path(folder) / "ohe.npz", expected="a 1 for one base a place"
        )
    if not np.isfinite(scores).all():
        raise FormatError("a contribution is not a number", where=Path(folder) / "shap.npz")
    known = one_hot.sum(axis=1) > 0
    codes = np.where(known, one_hot.argmax(axis=1), N_CODE).astype(np.uint8)
    hypothetical = np.ascontiguousarray(scores.transpose(0, 2, 1), dtype=np.float32)
    return Contributions(codes, {task: hypothetical * known[:, :, None]})


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
