"""Where a scan writes, and what its processes say when one of them is gone."""

from __future__ import annotations

import resource

import pytest
import torch

from encre.errors import ResourceError
from encre.genome.store import Genome
from encre.models.checkpoint import save_model
from encre.models.model import build_model
from encre.models.registry import model_config
from encre.predict.predictor import load
from encre.predict.scan.files import places_of
from encre.predict.scan.scanning import ScanConfig, scan
from encre.predict.scan.team import Team
from encre.tasks import Task, TaskSet
from toy_models import random_text
from toy_scans import CNN, write_fasta


def test_tasks_whose_names_differ_in_a_letter_that_files_lack_have_files_of_their_own():
    places = places_of("out/", ["T cell", "T_cell", "T/cell", "heart"])
    assert [path.name for path in places.tracks] == ["T_cell.bw", "T_cell_.bw", "T_cell__.bw", "heart.bw"]
    assert len(set(places.peaks)) == 4


def test_a_process_that_is_gone_is_said_to_the_others(monkeypatch):
    def closed():
        raise RuntimeError("Connection closed by peer")

    monkeypatch.setattr("torch.distributed.barrier", closed)
    Team(0, 1).wait()  # alone, there is nobody to wait for
    with pytest.raises(ResourceError, match="another process of this torchrun job ended"):
        Team(1, 2).wait()


@pytest.fixture
def genome(tmp_path):
    fasta = write_fasta(tmp_path / "x.fa", {"chrA": random_text(4_000, 0)})
    return Genome(fasta, assembly="custom:toy", cache=tmp_path)


def untrained(folder, tasks: int):
    """A model of many tasks, without calibration."""
    torch.manual_seed(0)
    model = build_model(model_config(CNN), tasks=TaskSet(Task(f"t{at}", "many") for at in range(tasks)))
    save_model(folder, model.eval(), manifest={"sequence": {"mode": "window", "width": 50}})
    return load(folder, device="cpu")


def test_peaks_of_an_earlier_scan_do_not_stay_beside_a_new_track(tmp_path, genome):
    model = untrained(tmp_path / "run", 1)
    config = ScanConfig(value="logit", threshold=0.0, stride=10)
    assert scan(model, genome, "chrA", out=f"{tmp_path}/out/", config=config).peaks
    scan(model, genome, "chrA", out=f"{tmp_path}/out/", config=ScanConfig(stride=10))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["scan.json", "t0.bw"]


def test_many_tasks_are_written_though_few_files_may_be_open(tmp_path, genome):
    model = untrained(tmp_path / "run", 80)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
    try:
        config = ScanConfig(value="logit", threshold=0.0, stride=10)
        found = scan(model, genome, "chrA", out=f"{tmp_path}/out/", config=config)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert len(found.tracks) == len(found.peaks) == 80
    assert all(path.stat().st_size for path in found.tracks.values())
