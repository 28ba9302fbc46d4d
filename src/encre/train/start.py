"""Weights that a training begins with instead of random ones, and what it then may have seen already.

Taken is what agrees in name and shape and means the same: the input's vectors with the same tokenizer, heads with the
same tasks, fusion with the same signals. The run's manifest says what was taken and from where.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl
from torch import Tensor

from encre.config import read_toml
from encre.errors import ConfigError, EncreError, FolderError
from encre.files import read_json, read_manifest
from encre.models.checkpoint import FORMAT, WEIGHTS, read_weights
from encre.models.model import EnhancerModel
from encre.models.registry import model_config
from encre.models.settings import ModelConfig
from encre.reproducibility import sha256_file
from encre.tasks import TaskSet
from encre.train.settings import TrainConfig

if TYPE_CHECKING:
    from encre.data.dataset import Dataset

PRETRAINED = {"kind": "pretrained", "version": 1}
"""Format of a folder with a trunk that was pretrained without labels; a run folder but for its tasks."""


class Source(NamedTuple):
    """A folder to begin from: its tensors by name, model, tasks (None of a pretrained trunk) and manifest."""

    path: Path
    tensors: dict[str, Tensor]
    config: ModelConfig
    tasks: TaskSet | None
    manifest: dict[str, Any]


def begin_from(model: EnhancerModel, dataset: Dataset, config: TrainConfig) -> dict[str, Any] | None:
    """Put the weights of the folder ``config.start`` into the model.

    Parameters
    ----------
    model
        Its weights are replaced where the folder has the same.
    dataset
        What it will be trained on.
    config
        ``start``.

    Returns
    -------
    dict or None
        For the manifest: ``path``, ``weights`` (digest), ``trained_on``, what was ``taken``, what of the model is
        ``fresh``, what of the folder is ``unused``, and ``seen``: what of valid and test it was trained on.
        None where the config names no start.

    Raises
    ------
    ConfigError
        When no tensor of the trunk fits.
    FolderError, MissingFileError
        When the folder is neither a run nor a pretrained trunk, or damaged.
    """
    if config.start is None:
        return None
    source = open_source(config.start)
    own = model.state_dict()
    taken = {name for name, value in own.items() if _fits(name, value, source, model)}
    if not any(name.startswith("trunk.") for name in taken):
        raise ConfigError(
            "[train] start has no weights that fit the model's trunk",
            where=source.path,
            expected=f"a {model.config.name} model with the same [model] settings",
            got=f"a {source.config.name} model",
            remedy=f"Take its [model] table, which {source.path / 'config.toml'} holds.",
        )
    model.load_state_dict(own | {name: source.tensors[name] for name in taken})
    return {
        "path": str(source.path),
        "weights": sha256_file(source.path / WEIGHTS),
        "trained_on": source.manifest.get("dataset") or source.manifest.get("genome"),
        "taken": {"tensors": len(taken), "values": sum(own[name].numel() for name in taken)},
        "fresh": sorted(own.keys() - taken),
        "unused": sorted(source.tensors.keys() - taken),
        "seen": _seen(source, dataset),
    }


def hold_trunk(model: EnhancerModel, config: TrainConfig, *, epoch: int) -> None:
    """Take the trunk's gradients away in the first epochs, so that fresh heads do not spoil what it knows."""
    if epoch < config.frozen_epochs:
        for parameter in model.trunk.parameters():
            parameter.grad = None


def open_source(folder: str | Path) -> Source:
    """Read a run folder or a pretrained trunk, and check it against its manifest."""
    folder = Path(folder)
    pretrained = _kind(folder) == PRETRAINED["kind"]
    form = PRETRAINED if pretrained else FORMAT
    manifest = read_manifest(folder, kind=str(form["kind"]), version=int(form["version"]))
    for name, digest in manifest.get("files", {}).items():
        if sha256_file(folder / name) != digest:
            raise FolderError(
                "the file is not the one that the manifest describes",
                where=folder / name,
                remedy="Make it again, or copy the folder again.",
            )
    where = folder / "config.toml"
    config = model_config(read_toml(where).get("model", {}), where=str(where)).inside(folder)
    tasks = None
    if not pretrained:
        tasks = TaskSet.from_json((folder / "tasks.json").read_text(encoding="utf-8"), where=folder / "tasks.json")
    return Source(folder, read_weights(folder / WEIGHTS), config, tasks, manifest)


def told(start: dict[str, Any] | None) -> list[str]:
    """What :func:`begin_from` did, in words."""
    if start is None:
        return []
    taken, fresh, unused = start["taken"], start["fresh"], start["unused"]
    total = taken["tensors"] + len(fresh)
    line = f"begins from {start['path']}: takes {taken['tensors']} of {total} tensors ({taken['values']:,} values)"
    line += f"; fresh: {_listed(fresh)}" if fresh else ""
    line += f"; not used: {_listed(unused)}" if unused else ""
    return [line, start["seen"]["said"]]


def _kind(folder: Path) -> str | None:
    path = folder / "manifest.json"
    manifest = read_json(path) if path.is_file() else None
    form = manifest.get("format") if isinstance(manifest, dict) else None
    return form.get("kind") if isinstance(form, dict) else None


def _fits(name: str, value: Tensor, source: Source, model: EnhancerModel) -> bool:
    """Whether the source has a tensor of this name and shape that means the same."""
    found = source.tensors.get(name)
    if found is None or found.shape != value.shape:
        return False
    if name.startswith("heads."):
        return source.tasks is not None and _meaning(source.tasks) == _meaning(model.tasks)
    if name.startswith("fusion."):
        return source.config.signals == model.config.signals
    if ".input." in name:
        return source.config.tokenizer.to_json() == model.config.tokenizer.to_json()
    return True


def _meaning(tasks: TaskSet) -> list[tuple[str, str, str]]:
    return [(task.name, task.group, task.kind) for task in tasks]


def _seen(source: Source, dataset: Dataset) -> dict[str, Any]:
    """How many valid and test rows the start was trained on, as far as can be told, and a sentence about it."""
    if (genome := source.manifest.get("genome")) is not None:
        counts = _on_chromosomes(dataset, set(genome["chromosomes"]))
        what = "lie on chromosomes that it read (without labels)"
    else:
        about = source.manifest.get("dataset") or {}
        counts = _shared_groups(dataset, about)
        what = "are sequences that it was trained on"
        if counts is None:
            said = "whether it was trained on valid or test sequences cannot be told: its dataset is not at "
            return {"said": said + str(about.get("path"))}
    said = ", ".join(f"{count:,} of {total:,} {split} rows" for split, (count, total) in counts.items())
    warning = "WARNING: " if any(count for count, _ in counts.values()) else ""
    too_good = "; their scores will be too good" if warning else ""
    rows = {split: count for split, (count, _) in counts.items()}
    return {"rows": rows, "said": f"{warning}{said} {what}{too_good}"}


def _shared_groups(dataset: Dataset, about: dict[str, Any]) -> dict[str, tuple[int, int]] | None:
    """Rows whose sequence, on either strand, is in the train split of the start's dataset; None where it is gone."""
    from encre.data.dataset import Dataset

    other: Dataset | None = dataset if about.get("digest") == dataset.digest else None
    if other is None:
        try:
            other = Dataset.open(about.get("path") or "")
        except EncreError:
            return None
        if other.digest != about.get("digest"):
            return None
    learnt = other.train.elements["group"].unique().implode()
    return _counted(dataset, lambda elements: elements["group"].is_in(learnt))


def _on_chromosomes(dataset: Dataset, chromosomes: set[str]) -> dict[str, tuple[int, int]]:
    return _counted(
        dataset, lambda elements: elements["chrom"].cast(pl.String).is_in(sorted(chromosomes)).fill_null(False)
    )


def _counted(dataset: Dataset, test: Any) -> dict[str, tuple[int, int]]:
    parts = {split: dataset.subset(split).elements for split in ("valid", "test")}
    return {split: (int(test(elements).sum()), elements.height) for split, elements in parts.items()}


def _listed(names: list[str], most: int = 4) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
