"""Where a scan writes, and what its processes say when one of them is gone."""

from __future__ import annotations

import pytest

from encre.errors import ResourceError
from encre.predict.scan.files import places_of
from encre.predict.scan.team import Team


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
