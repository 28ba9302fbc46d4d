"""Where unlabelled sequences come from: windows of a genome, or the training rows of a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from encre.errors import DataError
from encre.genome.store import Genome
from encre.genome.stretches import Axis
from encre.sequence.alphabet import reverse_complement
from encre.train.settings import PretrainConfig

if TYPE_CHECKING:
    from encre.data.dataset import Dataset, Subset


class Windows(Protocol):
    """Sequences to learn from and to be judged on: codes (N, L) uint8, N beyond the length, and length (N,) int64."""

    def train(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        """``n`` sequences to learn from, on either strand."""
        ...

    def valid(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        """``n`` sequences (or as many as there are) that are never learnt from."""
        ...

    @property
    def about(self) -> dict[str, Any]:
        """For the manifest: what they are."""
        ...

    @property
    def longest(self) -> int:
        """Bases of the longest sequence."""
        ...


class _Stretches(NamedTuple):
    """Stretches without N on the genome's axis and the windows that begin in those before and in each (S + 1,)."""

    begin: np.ndarray
    windows: np.ndarray


class GenomeWindows:
    """Windows without N, each as likely as any other, on the chromosomes that nobody is judged on.

    Parameters
    ----------
    genome
        An opened genome.
    settings
        ``window``, ``valid``, ``test``.
    dataset
        A dataset to be trained on later: the chromosomes of its valid and test rows take the place of the settings'.

    Raises
    ------
    DataError
        When no window is left to learn from, or none to be judged on.
    """

    def __init__(self, genome: Genome, settings: PretrainConfig, *, dataset: Dataset | None = None) -> None:
        self.genome, self.longest = genome, settings.window
        self._axis = Axis(genome)
        valid, test = self._held_out(settings, dataset)
        self.names = {
            "train": [name for name in genome.lengths if name not in valid | test],
            "valid": [name for name in genome.lengths if name in valid - test],
        }
        self._parts = {part: self._stretches(names) for part, names in self.names.items()}
        for part, found in self._parts.items():
            if not found.windows[-1]:
                raise DataError(
                    f"there is no window of {self.longest:,} bases without N for {part}",
                    where=genome.path,
                    expected="chromosomes beside those of [pretrain] valid and test" if part == "train" else "",
                    got=f"chromosomes {', '.join(self.names[part]) or 'none'}",
                    remedy="Name other chromosomes in [pretrain], or split the dataset by chromosome.",
                )

    @property
    def about(self) -> dict[str, Any]:
        """Digest and name of the genome, and the chromosomes learnt from and judged on."""
        facts = {"digest": self.genome.digest, "assembly": self.genome.assembly.name, "path": str(self.genome.path)}
        return {"genome": facts | {"chromosomes": self.names["train"], "valid": self.names["valid"]}}

    def train(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Windows of the training chromosomes, on either strand."""
        codes, length = self._draw("train", rng, n)
        turned = rng.random(n) < 0.5
        codes[turned] = reverse_complement(codes[turned])
        return codes, length

    def valid(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Windows of the valid chromosomes."""
        return self._draw("valid", rng, n)

    def _held_out(self, settings: PretrainConfig, dataset: Dataset | None) -> tuple[set[str | None], set[str | None]]:
        """The genome's names of the chromosomes for valid and for nobody."""
        named: list[Sequence[str]] = [settings.valid, settings.test]
        if dataset is not None:
            rows = [dataset.subset(split).elements["chrom"] for split in ("valid", "test")]
            named = [part.drop_nulls().unique().sort().to_list() for part in rows]
        valid, test = ({self.genome.name_of(str(name)) for name in names} - {None} for names in named)
        return valid, test

    def _stretches(self, names: list[str]) -> _Stretches:
        begin, end = self.genome.known()
        home = np.searchsorted(self._axis.edges, begin, side="right") - 1
        wanted = np.isin(home, [self._axis.names.index(name) for name in names])
        fits = np.maximum(end - begin - self.longest + 1, 0)[wanted]
        return _Stretches(begin[wanted], np.concatenate([[0], np.cumsum(fits)]))

    def _draw(self, part: str, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        found = self._parts[part]
        number = rng.integers(0, found.windows[-1], n)
        stretch = np.searchsorted(found.windows, number, side="right") - 1
        place = found.begin[stretch] + number - found.windows[stretch]
        home = np.searchsorted(self._axis.edges, place, side="right") - 1
        start = place - self._axis.edges[home]
        codes, _ = self.genome.gather(self._axis.chroms(home), start, start + self.longest)
        return codes.reshape(n, self.longest), np.full(n, self.longest)


class DatasetWindows:
    """The sequences of a dataset: its training rows to learn from, its valid rows to be judged on."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.longest = int(max(dataset.train.length.max(), dataset.valid.length.max()))
        self._rows = np.flatnonzero((dataset.train.elements["kind"] == "element").to_numpy())

    @property
    def about(self) -> dict[str, Any]:
        """Digest and name of the dataset."""
        facts = {"digest": self.dataset.digest, "name": self.dataset.manifest.get("name", "")}
        return {"dataset": facts | {"path": str(self.dataset.path)}}

    def train(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Training rows (no shuffles or background), on either strand, shifted within their flanks."""
        jitter = self.dataset.jitter
        shift = rng.integers(-jitter, jitter, n, endpoint=True) if jitter else None
        rows = rng.choice(self._rows, n)
        return self._batch(self.dataset.train, rows, reverse=rng.random(n) < 0.5, shift=shift)

    def valid(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Valid rows, no row twice."""
        subset = self.dataset.valid
        return self._batch(subset, rng.permutation(len(subset))[:n])

    def _batch(self, subset: Subset, rows: np.ndarray, **moved: Any) -> tuple[np.ndarray, np.ndarray]:
        batch = subset.batch(rows, signals=False, **moved)
        return batch.codes, batch.length
