"""From run folders to one: a deep ensemble that needs none of them any more."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from encre.errors import ConfigError, DataError
from encre.files import refuse_occupied, staged_folder
from encre.models.checkpoint import WEIGHTS, LoadedModel, load_model, save_model
from encre.models.ensemble import Ensemble, EnsembleConfig, members_of
from encre.reproducibility import provenance


def join_runs(runs: Sequence[str | Path], *, out: str | Path) -> Path:
    """Write the ensemble of some runs as a run folder of its own, weights and all.

    Its members are those of the runs, an ensemble's taken one by one. It has no calibration and no predictions until
    it is evaluated.

    Parameters
    ----------
    runs
        Two or more run folders, trained on one dataset; architectures may differ.
    out
        The folder to make; new or empty.

    Raises
    ------
    ConfigError
        When there are fewer than two, or two hold the same weights.
    DataError
        When they predict other tasks, or were trained on other datasets.
    FolderError
        When ``out`` is occupied, or a run is damaged.
    """
    if len(runs) < 2:
        raise ConfigError("an ensemble needs two runs or more", got=f"{len(runs)}", remedy="Name another run.")
    refuse_occupied(out)
    paths = [Path(run) for run in runs]
    loaded = [load_model(path) for path in paths]
    _check(paths, loaded)
    members = [member for found in loaded for member in members_of(found.model)]
    model = Ensemble(EnsembleConfig(members=tuple(member.config for member in members)), loaded[0].tasks)
    for own, member in zip(model.members, members, strict=True):
        own.load_state_dict(member.state_dict())
    first = loaded[0].manifest
    manifest = {
        "dataset": first.get("dataset"),
        "sequence": first.get("sequence"),
        "training": {"members": len(members), **{name: _sum(loaded, name) for name in ("seconds", "sequences")}},
        "members": [_describe(path, found) for path, found in zip(paths, loaded, strict=True)],
        "provenance": provenance(),
    }
    if read := [found.manifest["signals"] for found in loaded if "signals" in found.manifest]:
        manifest["signals"] = read[0]
    with staged_folder(out) as staged:
        save_model(staged, model, manifest=manifest)
    return Path(out)


def _check(paths: Sequence[Path], loaded: Sequence[LoadedModel]) -> None:
    """Refuse runs that cannot be averaged."""
    seen: dict[str, Path] = {}
    for path, found in zip(paths, loaded, strict=True):
        if found.tasks != loaded[0].tasks:
            raise DataError(
                f"the runs '{paths[0].name}' and '{path.name}' predict other tasks",
                where=path,
                expected=", ".join(loaded[0].tasks.names),
                got=", ".join(found.tasks.names),
                remedy="Members of an ensemble are trained on one dataset.",
            )
        if _dataset(found) != _dataset(loaded[0]):
            raise DataError(
                f"the runs '{paths[0].name}' and '{path.name}' were trained on other datasets",
                where=path,
                expected=f"digest {_dataset(loaded[0])[:12]}",
                got=_dataset(found)[:12],
                remedy="Test rows of one may be training rows of the other. Train all members on one dataset.",
            )
        weights = found.manifest["files"][WEIGHTS]
        if weights in seen:
            raise ConfigError(
                f"the runs '{seen[weights].name}' and '{path.name}' hold the same weights",
                where=path,
                remedy="Members are trained apart: give each another seed, `encre train … --seed 1`.",
            )
        seen[weights] = path


def _dataset(found: LoadedModel) -> str:
    return str((found.manifest.get("dataset") or {}).get("digest"))


def _describe(path: Path, found: LoadedModel) -> dict[str, Any]:
    """Who a member is: its folder's name, architecture, seed and the digest of its weights."""
    seed = (found.manifest.get("training") or {}).get("seed")
    return {"run": path.name, "model": found.config.name, "seed": seed, "weights": found.manifest["files"][WEIGHTS]}


def _sum(loaded: Sequence[LoadedModel], name: str) -> float:
    return round(sum((found.manifest.get("training") or {}).get(name) or 0 for found in loaded), 1)
