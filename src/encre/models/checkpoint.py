"""Run folders: a model on disk, as safetensors, TOML and JSON; nothing is pickled.

``config.toml`` ([model], [train]) · ``manifest.json`` · ``weights.safetensors`` · ``tasks.json`` ·
``tokenizer.json`` (and what else the model's settings name: see ``ModelConfig.files``) · ``calibration.json`` (once
evaluated). The manifest is written last: without it the
folder is no run folder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import tomli_w
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from encre.config import read_toml
from encre.errors import FolderError
from encre.files import open_existing, read_json, read_manifest, staged_file, write_json
from encre.models.model import EnhancerModel, build_model
from encre.models.registry import model_config
from encre.models.settings import ModelConfig
from encre.reproducibility import sha256_file
from encre.tasks import TaskSet

FORMAT = {"kind": "run", "version": 1}
WEIGHTS = "weights.safetensors"


class LoadedModel(NamedTuple):
    """What :func:`load_model` finds in a run folder.

    ``calibration`` is None until the run has been evaluated; ``manifest`` is that of the folder.
    """

    model: EnhancerModel
    config: ModelConfig
    tasks: TaskSet
    calibration: dict[str, Any] | None
    manifest: dict[str, Any]


def save_model(
    folder: str | Path,
    model: EnhancerModel,
    *,
    manifest: Mapping[str, Any],
    train: Mapping[str, Any] | None = None,
    calibration: Mapping[str, Any] | None = None,
    half: bool = False,
) -> Path:
    """Write a run folder; files that are already in it stay.

    Parameters
    ----------
    folder
        Where; made when it is not there.
    model
        What to write.
    manifest
        More keys for ``manifest.json`` (``dataset``, ``sequence``, ``training``, ``provenance`` …).
    train
        The resolved ``[train]`` table.
    calibration
        ``{"temperatures": {task: t}, "thresholds": {task: p}, …}``.
    half
        Keep matrices as float16, in half the bytes; judge what is read back.

    Returns
    -------
    Path
        The folder.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = model.config
    weights = model.state_dict()
    write_weights(folder / WEIGHTS, {k: v.half() if half and v.dim() > 1 else v for k, v in weights.items()})
    kept = config.files()
    for path, text in kept.items():
        _write_text(folder / path, text)
    tables = {"model": config.inside(Path()).model_dump(mode="json", exclude_none=True)}
    _write_text(folder / "config.toml", tomli_w.dumps(tables | ({"train": dict(train)} if train else {})))
    _write_text(folder / "tasks.json", model.tasks.to_json())
    if calibration is not None:
        write_json(folder / "calibration.json", dict(calibration))
    facts = {
        "format": FORMAT,
        "model": config.name,
        "parameters": model.parameters_count,
        "tasks": list(model.tasks.names),
        **manifest,
        "files": {name: sha256_file(folder / name) for name in (WEIGHTS, "tasks.json", "config.toml", *kept)},
    }
    write_json(folder / "manifest.json", facts)
    return folder


def load_model(folder: str | Path, *, device: str | torch.device = "cpu") -> LoadedModel:
    """Read a run folder; the model comes in evaluation mode.

    Parameters
    ----------
    folder
        A run folder.
    device
        Where the model goes.

    Raises
    ------
    MissingFileError, FolderError
        When there is no such folder, it is no run folder, of another format version, or damaged.
    """
    folder = Path(folder)
    manifest = read_manifest(folder, kind=FORMAT["kind"], version=FORMAT["version"])
    for name, digest in manifest.get("files", {}).items():
        if sha256_file(folder / name) != digest:
            raise _damaged(folder / name, "the file is not the one that the manifest describes")
    values = read_toml(folder / "config.toml").get("model", {})
    config = model_config(values, where=str(folder / "config.toml")).inside(folder)
    tasks = TaskSet.from_json((folder / "tasks.json").read_text(encoding="utf-8"), where=folder / "tasks.json")
    with torch.random.fork_rng(devices=[]):  # the start that is thrown away must not move the caller's random state
        model = build_model(config, tasks=tasks)
    try:
        model.load_state_dict(read_weights(folder / WEIGHTS))
    except RuntimeError as error:
        raise _damaged(folder / WEIGHTS, "the weights do not fit the model in config.toml") from error
    calibration = folder / "calibration.json"
    found = read_json(calibration) if calibration.is_file() else None
    return LoadedModel(model.to(device).eval(), config, tasks, found, manifest)


def write_weights(path: Path, tensors: Mapping[str, torch.Tensor], *, note: Mapping[str, Any] | None = None) -> None:
    """Write tensors as safetensors, renamed into place; ``note`` goes to the header as JSON."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with staged_file(path) as staged:
        save_file(plain, staged, {"note": json.dumps(note)} if note is not None else None)


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read the tensors of a safetensors file; a damaged one is a :class:`FolderError`."""
    open_existing(path).close()
    try:
        return load_file(path)
    except SafetensorError as error:
        raise _damaged(path, f"not a whole safetensors file ({error})") from error


def _write_text(path: Path, text: str) -> None:
    with staged_file(path) as staged:
        staged.write_text(text, encoding="utf-8")


def _damaged(path: Path, what: str) -> FolderError:
    return FolderError(what, where=path, remedy="Train again with `encre train`, or copy the folder again.")
