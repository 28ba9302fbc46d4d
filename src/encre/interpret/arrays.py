"""``ohe.npz`` and ``shap.npz``: what modisco-lite reads with ``-s`` and ``-a``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from encre.files import staged_file
from encre.interpret.attribution import Attributions
from encre.interpret.references import one_hot


def sequence_array(found: Attributions) -> np.ndarray:
    """(N, 4, L) int8 one-hot windows, rows A, C, G, T; N and what lies behind a shorter window are zeros."""
    out = np.zeros((len(found), 4, int(found.windows.length.max())), np.int8)
    for row in range(len(found)):
        codes = found.codes(row)
        out[row, :, : len(codes)] = one_hot(codes)
    return out


def hypothetical_array(found: Attributions, task: int) -> np.ndarray:
    """(N, 4, L) float32 hypothetical contributions to one task, zeros where the sequences' array has zeros."""
    out = np.zeros((len(found), 4, int(found.windows.length.max())), np.float32)
    for row, values in enumerate(found.hypothetical):
        out[row, :, : values.shape[-1]] = values[task]
    return out


def task_folder(folder: Path, task: str) -> Path:
    """Where the files of one of several tasks lie; a slash in its name makes no folder."""
    return folder / task.replace("/", "_")


def write_npz(path: Path, values: np.ndarray) -> None:
    """Write one array under the key ``arr_0``, packed; renamed into place."""
    with staged_file(path) as staged, staged.open("wb") as handle:
        np.savez_compressed(handle, values)
