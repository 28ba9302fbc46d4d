"""What can be asked of a dataset build: ``DatasetConfig``, as TOML tables or as keyword arguments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, SerializeAsAny, field_validator, model_validator

from encre.config import Config, override, read_toml
from encre.data.audit import AuditSettings
from encre.data.clusters import ClusterSettings
from encre.data.negatives import NegativeSettings
from encre.data.signals import SignalSettings
from encre.errors import ConfigError, nearest
from encre.sources.catalogue import load_catalogue
from encre.sources.download import DownloadSettings
from encre.sources.references import resolve_references
from encre.sources.registry import SOURCES

#: Table -> its keys that hold paths; relative ones are resolved against the config file's folder.
_PATH_KEYS = {
    "source": ("registry", "genome", "file", "labels", "tissues"),
    "negatives": ("exclude", "tss"),
    "signals": ("tracks",),
}


class SequenceSettings(Config):
    """[sequence]: which bases of an element become its sequence.

    ``mode = "element"`` takes the elements as they are; ``mode = "window"`` takes ``width`` bases of real
    flanking sequence centred on the element, with ``jitter`` more on each side for shifting in training.
    """

    mode: Literal["element", "window"] = "element"
    width: int | None = Field(default=None, ge=1)
    jitter: int = Field(default=0, ge=0)
    max_n_share: float = Field(default=0.5, ge=0, le=1)
    min_length: int = Field(default=1, ge=1)
    max_length: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.mode == "window" and self.width is None:
            raise ValueError("mode 'window' needs a width")
        if self.mode == "element" and (self.width is not None or self.jitter):
            raise ValueError("width and jitter belong to mode 'window'")
        if self.max_length is not None and self.max_length < self.min_length:
            raise ValueError("max_length is below min_length")
        return self


class SplitSettings(Config):
    """[split]: who trains and who judges.

    Parameters
    ----------
    by
        ``"chromosome"`` (the field's default: ``valid`` and ``test`` name chromosomes, the rest trains); ``"fold"``
        (turn ``fold`` of ``folds``, whole chromosomes shared out so that the folds have about as many rows each);
        ``"cluster"`` (random, but near-duplicates and overlapping intervals stay together, see [clusters]);
        ``"group"`` (random, but a sequence and its reverse complement stay together); ``"column"`` (as the source
        says). Clusters and groups are dealt out stratified by targets and class.
    valid, test
        Chromosomes; the defaults are the split of DART-Eval (Patel et al., 2024).
    folds, fold
        How many folds, and which one tests (from 0); the next one validates.
    valid_fraction, test_fraction, seed
        For clusters and groups.
    """

    by: Literal["chromosome", "fold", "cluster", "group", "column"] = "chromosome"
    valid: tuple[str, ...] = ("chr6", "chr21")
    test: tuple[str, ...] = ("chr5", "chr10", "chr14", "chr18", "chr20", "chr22")
    folds: int = Field(default=5, ge=3)
    fold: int = Field(default=0, ge=0)
    valid_fraction: float = Field(default=0.1, gt=0, lt=1)
    test_fraction: float = Field(default=0.1, gt=0, lt=1)
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if both := sorted(set(self.valid) & set(self.test)):
            raise ValueError(f"{', '.join(both)} stands in both valid and test")
        if self.fold >= self.folds:
            raise ValueError(f"there is no fold {self.fold}: {self.folds} folds are 0 to {self.folds - 1}")
        if self.valid_fraction + self.test_fraction >= 1:
            raise ValueError("valid_fraction and test_fraction leave nothing to train on")
        return self


class DatasetConfig(Config):
    """Everything that decides a dataset, a table each.

    Parameters
    ----------
    source
        One of the settings of ``encre.sources.registry.SOURCES``, chosen by its ``kind``.
    sequence, negatives, split, audit
        What is cut out, what it is told from, who trains, and what is looked for.
    clusters
        What counts as near-duplicate, for ``split.by = "cluster"`` and for the audit; with the table, every row gets
        its ``cluster`` whatever the split.
    signals
        Tracks beside the sequences.
    download, catalogue
        Where ``encre data download`` puts files, and entries of one's own for it; they decide nothing here.
    """

    name: str = "dataset"
    source: SerializeAsAny[Config]
    sequence: SequenceSettings = SequenceSettings()
    negatives: NegativeSettings = NegativeSettings()
    clusters: ClusterSettings | None = None
    split: SplitSettings = SplitSettings()
    audit: AuditSettings = AuditSettings()
    signals: SignalSettings | None = None
    download: DownloadSettings = Field(default=DownloadSettings(), exclude=True)
    catalogue: dict[str, Any] = Field(default_factory=dict, exclude=True)

    @field_validator("source", mode="before")
    @classmethod
    def _source(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        if problem := _source_problem(values):
            raise ValueError(f"{problem[0]}. {problem[1]}")
        return SOURCES[values["kind"]][0].model_validate(values)

    @field_validator("catalogue")
    @classmethod
    def _entries(cls, entries: dict[str, Any]) -> dict[str, Any]:
        load_catalogue(entries)
        return entries

    @classmethod
    def parse(cls, values: Mapping[str, Any], *, where: str | Path = "") -> Self:
        """Check plain values (as TOML gives them); as :meth:`Config.parse`, and [source] by its kind."""
        source = values.get("source")
        if isinstance(source, Mapping) and (problem := _source_problem(source)):
            raise ConfigError(problem[0], where=str(where) or cls.__name__, remedy=problem[1])
        return super().parse(values, where=where)

    @classmethod
    def from_toml(cls, path: str | Path, *, overrides: Iterable[str] = ()) -> Self:
        """Read a TOML file, apply ``a.b=c`` overrides, find the files that it names, and check it.

        ``@name`` becomes the file that ``encre data download`` fetched; relative paths stand beside the file.
        """
        values = resolve_references(override(read_toml(path), overrides), config_path=path)
        folder = Path(path).resolve().parent
        for table, keys in _PATH_KEYS.items():
            if isinstance(found := values.get(table), dict):
                values[table] = {key: _beside(item, folder) if key in keys else item for key, item in found.items()}
        source = values.get("source")
        if isinstance(source, dict) and str(source.get("assembly", "")).startswith(("report:", "report+scaffolds:")):
            source["assembly"] = _path(source["assembly"], folder)
        return cls.parse(values, where=path)


def _source_problem(source: Mapping[str, Any]) -> tuple[str, str] | None:
    """What is wrong with [source]'s kind or keys, and the remedy; None when nothing is."""
    kind = source.get("kind")
    if kind not in SOURCES:
        return f"there is no source of kind '{kind}' in [source]", nearest(str(kind), SOURCES)
    known = SOURCES[str(kind)][0].model_fields
    for key in source:
        if key not in known:
            return f"unknown key '{key}' in [source]", nearest(key, known)
    return None


def _beside(value: Any, folder: Path) -> Any:
    """Relative paths made absolute; empty ones (a tissue without a file) stay empty.

    A text is a path; of a table, every text or list of texts, but of a table in it only ``path`` and ``files``.
    """
    if isinstance(value, dict):
        return {key: _beside_one(item, folder) for key, item in value.items()}
    return _path(value, folder)


def _beside_one(value: Any, folder: Path) -> Any:
    if isinstance(value, dict):
        return {key: _path(item, folder) if key in ("path", "files") else item for key, item in value.items()}
    return _path(value, folder)


def _path(value: Any, folder: Path) -> Any:
    if isinstance(value, list):
        return [_path(item, folder) for item in value]
    if not isinstance(value, str) or not value:
        return value
    kind, colon, path = value.partition(":")
    if colon and kind in ("report", "report+scaffolds"):  # an assembly that its NCBI report describes
        return f"{kind}:{_path(path, folder)}"
    return str(folder / Path(value).expanduser())
