"""Nothing half-written, nothing uncounted, nothing random without a name."""

from __future__ import annotations

import errno
import gzip
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from encre.errors import FolderError, FormatError, MissingFileError, ResourceError
from encre.files import explain_damage, open_plain, read_bytes, read_manifest, staged_file, staged_folder, write_json
from encre.ledger import Ledger
from encre.reproducibility import provenance, sha256_arrays, sha256_file, stream, stream_seed
from encre.tasks import TISSUES, Task, TaskSet, screen_tasks


def test_gzip_is_recognised_by_content_not_by_name(tmp_path: Path):
    (tmp_path / "packed.bed").write_bytes(gzip.compress(b"chr1\t1\t2\n"))
    assert read_bytes(tmp_path / "packed.bed") == b"chr1\t1\t2\n"


def test_a_pipe_is_refused_in_words(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(MissingFileError, match="only once"):
        read_bytes(tmp_path / "pipe")


def test_truncated_gzip_is_one_format_error(tmp_path: Path):
    file = tmp_path / "cut.gz"
    file.write_bytes(gzip.compress(bytes(range(256)) * 400)[:-40])
    with pytest.raises(FormatError, match="truncated or damaged"), explain_damage(file), open_plain(file) as handle:
        handle.read()


@pytest.mark.parametrize("content", [b"", b"  \n"])
def test_empty_file_is_refused(tmp_path: Path, content: bytes):
    (tmp_path / "e").write_bytes(content)
    with pytest.raises(FormatError, match="empty"):
        read_bytes(tmp_path / "e")


def test_missing_file_and_folder_in_place_of_file(tmp_path: Path):
    with pytest.raises(MissingFileError, match="no such file"):
        read_bytes(tmp_path / "x")
    with pytest.raises(MissingFileError, match="a folder stands"):
        read_bytes(tmp_path)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path):
    target = tmp_path / "out.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), staged_file(target) as staged:
        staged.write_text("half")
        raise RuntimeError("stopped")
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["out.txt"]


def test_what_a_killed_process_left_is_swept_and_what_a_living_one_writes_is_not(tmp_path: Path):
    script = "import sys, time; from encre.files import staged_folder\nwith staged_folder(sys.argv[1]) as f:\n"
    script += " (f / 'part').write_text('x'); print('ready', flush=True); time.sleep(60)"
    command = [sys.executable, "-c", script, str(tmp_path / "d")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        with staged_folder(tmp_path / "d"):
            assert len(list(tmp_path.glob(".d.*.partial"))) == 2
        other.kill()
    left = list(tmp_path.glob(".d.*.partial"))
    assert [p.name for p in left[0].iterdir()] == ["part"]
    (tmp_path / "d").rmdir()
    with staged_folder(tmp_path / "d") as staged:
        assert list(staged.iterdir()) == []
    assert [p.name for p in tmp_path.iterdir()] == ["d"]


def test_a_full_disk_is_said_and_cleaned_up(tmp_path: Path):
    with pytest.raises(ResourceError, match="disk filled up"), staged_folder(tmp_path / "d") as staged:
        (staged / "part").write_text("x")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_in_the_words_of_polars_is_said_too(tmp_path: Path):
    program = (
        "import resource, signal, sys, polars as pl; from encre.files import staged_file\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, 5_000))\n"
        "with staged_file(sys.argv[1]) as staged: pl.DataFrame({'a': range(100_000)}).write_parquet(staged)"
    )
    command = [sys.executable, "-c", program, tmp_path / "x.parquet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "ResourceError" in done.stderr
    assert "disk filled up" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_another_process_made_meanwhile_is_left_alone(tmp_path: Path):
    with pytest.raises(FolderError, match="not empty"), staged_folder(tmp_path / "d") as staged:
        (staged / "a").write_text("late")
        (tmp_path / "d").mkdir()
        (tmp_path / "d" / "a").write_text("first")
    assert (tmp_path / "d" / "a").read_text() == "first"
    assert len(list(tmp_path.iterdir())) == 1


def test_an_occupied_folder_is_never_overwritten(tmp_path: Path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "mine.txt").write_text("x")
    with pytest.raises(FolderError, match="not empty"), staged_folder(tmp_path / "d"):
        pass
    assert (tmp_path / "d" / "mine.txt").read_text() == "x"


def test_an_empty_folder_may_be_filled(tmp_path: Path):
    (tmp_path / "d").mkdir()
    with staged_folder(tmp_path / "d") as staged:
        (staged / "a").write_text("1")
    assert (tmp_path / "d" / "a").read_text() == "1"


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ({"format": {"kind": "dataset", "version": 2}}, "another format version.*expected 1; got 2"),
        ({"format": {"kind": "run", "version": 1}}, "not a dataset folder.*got run"),
        ({"name": "foreign"}, "foreign manifest"),
    ],
)
def test_other_versions_and_foreign_folders_are_refused(tmp_path: Path, manifest: dict, said: str):
    write_json(tmp_path / "manifest.json", manifest)
    with pytest.raises(FolderError, match=said):
        read_manifest(tmp_path, kind="dataset", version=1)


def test_damaged_manifest_is_said(tmp_path: Path):
    (tmp_path / "manifest.json").write_text('{"format": ')
    with pytest.raises(FormatError, match="not valid JSON"):
        read_manifest(tmp_path, kind="dataset", version=1)


def test_a_ledger_that_does_not_add_up_is_a_bug():
    ledger = Ledger()
    ledger.add("filter", 10, 7, dropped={"too short": 3})
    with pytest.raises(AssertionError, match="does not add up"):
        ledger.add("filter", 7, 5, dropped={"too short": 1})
    assert Ledger.from_list(ledger.to_list()).steps == ledger.steps


def test_streams_depend_on_names_alone():
    first = stream(0, "train", "order", 3).integers(0, 1 << 40, 5)
    stream(0, "something else").integers(0, 9, 100)
    assert (stream(0, "train", "order", 3).integers(0, 1 << 40, 5) == first).all()
    assert (stream(0, "train", "order", 4).integers(0, 1 << 40, 5) != first).any()
    assert stream_seed(1, "a") != stream_seed(2, "a")


def test_digests_see_dtype_shape_and_bytes(tmp_path: Path):
    a = np.arange(6, dtype=np.uint8)
    assert sha256_arrays(a) != sha256_arrays(a.reshape(2, 3))
    assert sha256_arrays(a) != sha256_arrays(a.astype(np.int8))
    (tmp_path / "f").write_bytes(b"abc")
    assert sha256_file(tmp_path / "f").startswith("ba7816bf8f01cfea")


def test_provenance_names_versions():
    assert {"encre", "python", "versions", "created"} <= provenance().keys()


def test_screen_tasks_are_the_enhancer_and_nine_tissues():
    tasks = screen_tasks()
    assert tasks.names == ("enhancer", *TISSUES)
    assert tasks.groups == {"enhancer": (0,), "tissue": tuple(range(1, 10))}
    assert tasks.tasks[1].target == "active_brain"
    assert TaskSet.from_json(tasks.to_json()) == tasks


def test_tasks_with_one_name_are_refused():
    with pytest.raises(ValueError, match="stands twice"):
        TaskSet([Task("a", "g"), Task("a", "h")])
