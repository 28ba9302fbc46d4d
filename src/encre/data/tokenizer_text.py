"""What byte pairs learn from: pieces of a genome, of intervals on it, or of a dataset's training sequences."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from encre.data.dataset import Dataset
from encre.errors import ConfigError, DataError
from encre.genome.bed import read_bed
from encre.genome.store import Genome
from encre.progress import SILENT, Progress
from encre.reproducibility import stream
from encre.sequence.alphabet import decode_many
from encre.sequence.bpe import PIECE
from encre.sequence.flat import take_flat


def tokenizer_texts(
    source: str | Path,
    *,
    bases: int,
    seed: int = 0,
    genome: str | Path | None = None,
    assembly: str = "GRCh38",
    progress: Progress = SILENT,
) -> list[str]:
    """Sequences to learn from, in an order that the seed alone decides.

    Parameters
    ----------
    source
        A dataset folder (its training rows), a genome as FASTA or 2bit (windows without N, uniformly), or, with
        ``genome``, a BED file.
    bases
        How much of it, about; no more than it holds.
    seed
        Of the stream that chooses.
    genome, assembly
        The genome that a BED lies on, and what it is said to be; a genome that is the source may be of any organism.
    progress
        Follows the reading of a genome.

    Raises
    ------
    ConfigError, DataError
        For fewer bases than a window, and where the source holds none.
    """
    if bases < PIECE:
        raise ConfigError("there is too little to learn from", expected=f"{PIECE} bases or more", got=f"{bases}")
    rng = stream(seed, "tokenizer")
    if Path(source).is_dir():
        rows = Dataset.open(source).train
        chosen = _enough(rng.permutation(len(rows)), rows.length, bases)
        texts = decode_many(*take_flat(rows.codes, rows.offsets, chosen))
    elif genome is not None:
        opened = Genome(genome, assembly=assembly, progress=progress)
        bed = read_bed(source, assembly=opened.assembly, lengths=opened.lengths, places=True)
        start, end = (bed[name].to_numpy() for name in ("start", "end"))
        chosen = _enough(rng.permutation(bed.height), end - start, bases)
        texts = decode_many(*opened.gather(bed["chrom"][chosen], start[chosen], end[chosen]))
    else:
        texts = _windows(Genome(source, assembly=None, progress=progress), bases // PIECE, rng)
    if not texts:
        raise DataError("there is nothing to learn from", where=source)
    return texts


def _enough(order: np.ndarray, length: np.ndarray, bases: int) -> np.ndarray:
    """The first rows of an order that hold so many bases, or all of them."""
    return order[: int(np.searchsorted(np.cumsum(length[order]), bases)) + 1]


def _windows(genome: Genome, count: int, rng: np.random.Generator) -> list[str]:
    """Windows of one piece each, as likely to begin at any base as at any other from which one without N is left."""
    begin, end = genome.known()
    room = np.maximum(end - begin - PIECE + 1, 0)
    if not room.sum():
        return []
    place = rng.integers(0, int(room.sum()), min(count, -(-int((end - begin).sum()) // PIECE)))
    stretch = np.searchsorted(np.cumsum(room), place, side="right")
    start = begin[stretch] + place - (np.cumsum(room) - room)[stretch]
    edges = np.cumsum([0, *genome.lengths.values()])
    home = np.searchsorted(edges, start, side="right") - 1
    names = np.array(list(genome.lengths))[home]
    return decode_many(*genome.gather(names, start - edges[home], start - edges[home] + PIECE))
