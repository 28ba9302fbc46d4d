"""Signals beside sequences: read, scaled on training rows alone, stored, and delivered with the batch."""

from __future__ import annotations

import json
import tomllib

import numpy as np
import polars as pl
import pyBigWig
import pytest

from encre.data import signals as room
from encre.data.build import build_from_elements
from encre.data.dataset import Dataset
from encre.data.rows import Rows
from encre.data.settings import DatasetConfig
from encre.data.signals import SignalSettings, open_tracks, read_signals
from encre.errors import ConfigError, DataError, FolderError, FormatError
from encre.ledger import Ledger
from encre.reproducibility import sha256_file
from encre.sequence.alphabet import encode_many
from encre.sources.elements import Elements, arrange
from encre.tasks import Task, TaskSet

NAN = float("nan")
TASKS = TaskSet([Task("enhancer", "enhancer")])
LENGTHS = {"one": 400, "two": 400}


@pytest.fixture
def files(tmp_path):
    """Track ``up`` has the value of its position on "one", ``flat`` is 2 on the first half of "two"."""
    for name, chrom, values in (("up", "one", np.arange(400.0)), ("flat", "two", np.full(200, 2.0))):
        with pyBigWig.open(str(tmp_path / f"{name}.bw"), "w") as out:
            out.addHeader(list(LENGTHS.items()))
            out.addEntries(chrom, 0, values=values.tolist(), span=1, step=1)
    return {name: str(tmp_path / f"{name}.bw") for name in ("up", "flat")}


def rows(places, length, *, jitter=0, kind="element"):
    """Rows of random letters at ``(chrom, start)``, each of ``length`` bases (or lengths)."""
    lengths = np.broadcast_to(length, len(places))
    rng = np.random.default_rng(0)
    codes, offsets = encode_many(["".join(rng.choice(list("ACGT"), n + 2 * jitter)) for n in lengths])
    chrom, start = [p[0] for p in places], [p[1] for p in places]
    end = [None if s is None else s + int(n) for s, n in zip(start, lengths, strict=True)]
    table = pl.DataFrame(
        {"chrom": chrom, "start": start, "end": end, "kind": kind},
        schema={"chrom": pl.String, "start": pl.Int64, "end": pl.Int64, "kind": pl.String},
    )
    return Rows(table, codes, offsets, jitter)


def settings(files, **more):
    plain = {"transform": "none", "scale": "none", "bin": 4}
    return SignalSettings.parse(plain | more | {"tracks": files})


def read(made, chosen, train=None, **more):
    train = np.ones(len(made), dtype=bool) if train is None else np.array(train)
    return read_signals(made, chosen, train_mask=train, assembly="custom:toy", **more)


def test_bins_of_elements_of_different_lengths(files):
    made = rows([("one", 8), ("two", 194), ("one", 395)], [8, 10, 5])
    found = read(made, settings(files))
    assert found.values.shape == (3, 2, 3)
    assert found.values.dtype == np.float32
    np.testing.assert_array_equal(found.values[:, 0], [[9.5, 13.5, NAN], [NAN] * 3, [396.5, 399, NAN]])
    np.testing.assert_array_equal(found.values[:, 1], [[NAN] * 3, [2, 2, NAN], [NAN] * 3])
    zeros = read(made, settings(files, missing="zero"))
    np.testing.assert_array_equal(zeros.values[1, 1], [2, 1, 0])
    largest = read(made, settings(files, reduce="max"))
    np.testing.assert_array_equal(largest.values[0, 0], [11, 15, NAN])


def test_jitter_adds_whole_bins_on_both_sides(files):
    found = read(rows([("one", 100), ("one", 0)], 8, jitter=5), settings({"up": files["up"]}))
    assert (found.layout["margin"], found.layout["bins"]) == (2, 6)
    np.testing.assert_array_equal(found.values[0, 0], 93.5 + 4 * np.arange(6))
    np.testing.assert_array_equal(found.values[1, 0], [NAN, NAN, 1.5, 5.5, 9.5, 13.5])
    with pytest.raises(ConfigError, match=r"jitter needs .*divisor of 8; got bin = 3"):
        read(rows([("one", 100)], 8, jitter=5), settings(files, bin=3))


def test_rows_without_a_place_and_shuffles_have_no_signal_and_are_counted(files):
    files = {"up": files["up"]}
    made = rows([("one", 8), (None, None), ("one", 20), ("two", 300), ("three", 0)], 8)
    made = made.with_columns(kind=pl.Series(["element", "element", "dinucleotide_shuffle", "element", "element"]))
    ledger = Ledger()
    found = read(made, settings(files), ledger=ledger)
    assert not np.isnan(found.values[0]).any()
    assert np.isnan(found.values[1:]).all()
    [step] = ledger.steps
    assert (step.rows_in, step.rows_out) == (5, 5)
    assert step.notes["rows without a place in the genome (no signal)"] == 2
    assert step.notes["windows without any value of up"] == 2
    assert found.tracks[0]["missing_share"] == pytest.approx(2 / 3)


def test_scaling_is_fitted_on_training_rows_alone(files):
    files = {"up": files["up"]}
    made = rows([("one", s) for s in (0, 40, 80, 300)], 8)
    raw = read(made, settings(files)).values[:, 0].astype(np.float64)
    train = np.array([True, True, True, False])
    expected = {
        "standard": (raw - raw[train].mean()) / raw[train].std(),
        "robust": (raw - np.median(raw[train])) / np.subtract(*np.quantile(raw[train], [0.75, 0.25])),
        "quantile99": raw / np.quantile(raw[train], 0.99),
    }
    for scale, want in expected.items():
        found = read(made, settings(files, scale=scale), train)
        np.testing.assert_allclose(found.values[:, 0], want, rtol=1e-3)
        assert found.values.dtype == np.float16
        assert np.abs(found.values[:, 0] - want).max() <= found.layout["rounding"] + 1e-6
        assert found.scaling["up"]["fitted_on"] == 6
    moved = read(made, settings(files, scale="standard"), [True] * 4)
    assert moved.scaling != read(made, settings(files, scale="standard"), train).scaling
    logged = read(made, settings(files, transform="log1p")).values[:, 0]
    np.testing.assert_allclose(logged, np.log1p(raw), rtol=1e-3)
    clipped = read(made, settings(files, scale="standard", clip=0.5), train).values
    assert np.abs(clipped).max() == 0.5


def test_scaling_of_a_window_does_not_look_at_jitters_margins(files):
    files = {"up": files["up"]}
    wide = read(rows([("one", 100)], 8, jitter=40), settings(files, scale="standard"))
    assert wide.scaling == read(rows([("one", 100)], 8), settings(files, scale="standard")).scaling


def test_a_large_scaling_is_fitted_on_every_kth_training_row(files, monkeypatch):
    made = rows([("one", s) for s in range(300)], 8)
    monkeypatch.setattr(room, "_FIT_VALUES", 100)
    found = read(made, settings({"up": files["up"]}, scale="standard"))
    assert found.scaling["up"]["fitted_on"] == 100
    assert found.scaling["up"]["center"] == pytest.approx(153, abs=3)


def test_what_cannot_be_scaled_or_found_is_said(files):
    made = rows([("one", 8), ("two", 8)], 8)
    with pytest.raises(DataError, match=r"flat\.bw: track 'flat' cannot be scaled .*no value in any"):
        read(made, settings({"flat": files["flat"]}, scale="standard"), [True, False])
    with pytest.raises(DataError, match="the same value in too many"):
        read(made, settings({"flat": files["flat"]}, scale="standard"))
    with pytest.raises(DataError, match=r"'up' has no value in any row .*expected two; got values on one"):
        read(rows([("two", 8)], 8), settings({"up": files["up"]}))
    with pytest.raises(DataError, match="no value in any row"):
        read(rows([(None, None)], 8), settings({"up": files["up"]}))


def test_a_value_too_large_for_half_precision_is_refused(tmp_path):
    path = tmp_path / "tall.bw"
    with pyBigWig.open(str(path), "w") as out:
        out.addHeader([("one", 400)])
        out.addEntries("one", 0, values=[1.0] * 396 + [1e9] * 4, span=1, step=1)
    made = rows([("one", 0), ("one", 392)], 8)
    with pytest.raises(DataError, match=r"too large to be stored .*Set clip"):
        read(made, settings({"tall": str(path)}, scale="quantile99"), [True, False])
    assert read(made, settings({"tall": str(path)}, scale="quantile99", clip=9), [True, False]).values.max() == 9
    assert read(made, settings({"tall": str(path)})).values.max() == np.float32(1e9)


def test_large_signals_go_through_a_file_that_leaves_nothing_behind(files, tmp_path, monkeypatch):
    made = rows([("one", s) for s in range(50)] + [("two", 0), (None, None)], 8)
    small = read(made, settings(files))
    monkeypatch.setattr(room, "_IN_MEMORY", 0)
    folder = tmp_path / "scratch"
    folder.mkdir()
    large = read(made, settings(files), scratch=folder)
    assert isinstance(large.values, np.memmap)
    np.testing.assert_array_equal(large.values, small.values)
    assert list(folder.iterdir()) == []


def test_settings_name_tracks_by_path_or_table():
    text = '[tracks]\nk562 = "acc.bw"\nheart = {path = "/far/h.bw", tissue = "heart", assay = "DNase"}\n'
    made = SignalSettings.parse(tomllib.loads(text))
    assert made.tracks["k562"].path == "acc.bw"
    assert (made.tracks["heart"].path, made.tracks["heart"].tissue) == ("/far/h.bw", "heart")
    assert list(made.tracks) == ["k562", "heart"]
    assert SignalSettings.parse(tomllib.loads(made.to_toml())) == made
    with pytest.raises(ConfigError, match="unknown key 'binn'"):
        SignalSettings.parse({"binn": 4, "tracks": {"x": "x.bw"}})
    for wrong in ({"bin": 0, "tracks": {"x": "x.bw"}}, {"tracks": {}}, {}, {"tracks": {"x": 3}}):
        with pytest.raises(ConfigError):
            SignalSettings.parse(wrong)


def test_a_broken_track_is_said_before_any_reading(files, tmp_path):
    (tmp_path / "bad.bw").write_bytes(b"no bigWig")
    with pytest.raises(FormatError, match=r"bad\.bw"):
        open_tracks(settings({**files, "bad": str(tmp_path / "bad.bw")}), "custom:toy")


# ------------------------------------------------------------------------------------ the folder and its batches

SPLITS = ["train", "train", "valid", "valid", "test", "test"]
STARTS = [8, 30, 60, 90, 120, 200]


def build(out, *, jitter=0, signals=None):
    """A dataset of six rows of "one", with signals when settings are given."""
    lengths = np.full(6, 16) if jitter else np.array([10, 13, 16, 10, 13, 16])
    # a source's own sequences carry jitter's flanks, and so do their coordinates
    made = rows([("one", s - jitter) for s in STARTS], lengths + 2 * jitter)
    table = made.table.with_columns(enhancer=pl.Series([1.0, 0.0] * 3), split=pl.Series(SPLITS))
    elements = Elements(arrange(table, TASKS), TASKS, Ledger(), [], made.codes, made.offsets)
    config = {
        "source": {"kind": "table", "file": "-", "tasks": {"enhancer": ["enhancer"]}},
        "split": {"by": "column"},
    }
    if jitter:
        config["sequence"] = {"mode": "window", "width": 16, "jitter": jitter}
    if signals is not None:
        config["signals"] = signals.model_dump()
    build_from_elements(elements, DatasetConfig.parse(config), out=out)
    return Dataset.open(out, verify=True)


def test_a_folder_keeps_its_signals_and_says_where_they_come_from(tmp_path, files):
    dataset = build(tmp_path / "set", signals=settings(files | {"flat": files["up"]}, scale="standard"))
    assert [t["name"] for t in dataset.tracks] == ["up", "flat"]
    assert dataset.tracks[0]["sha256"] == sha256_file(files["up"])
    assert dataset.tracks[0]["scaling"]["scale"] > 0
    about = json.loads((dataset.path / "manifest.json").read_text())["signals"]
    assert (about["bin"], about["bins"], about["reduce"], about["scale"]) == (4, 4, "mean", "standard")
    assert dataset.signals is not None
    assert dataset.signals.shape == (6, 2, 4)
    assert not dataset.signals.flags.writeable


def test_signals_count_in_the_digest_and_a_dataset_without_them_is_as_ever(tmp_path, files):
    plain = build(tmp_path / "a")
    assert plain.tracks == []
    assert plain.signals is None
    assert plain.train.batch(np.array([0])).signals is None
    assert plain.train.batch(np.array([0])).signal_mask is None
    assert not (plain.path / "signals.npy").exists()
    assert "signals" not in plain.manifest
    up = {"up": files["up"]}
    one = build(tmp_path / "b", signals=settings(up))
    again = build(tmp_path / "c", signals=settings(up))
    other = build(tmp_path / "d", signals=settings(up, reduce="max"))
    renamed = build(tmp_path / "e", signals=settings({"down": files["up"]}))
    assert one.digest == again.digest
    assert len({plain.digest, one.digest, other.digest, renamed.digest}) == 4


def test_a_batch_has_the_bins_of_its_rows(tmp_path, files):
    dataset = build(tmp_path / "set", signals=settings({"up": files["up"]}))
    batch = dataset.test.batch(np.array([1, 0]))
    assert batch.signals is not None
    assert batch.signals.dtype == np.float32
    np.testing.assert_array_equal(batch.signals[:, 0], [[201.5, 205.5, 209.5, 213.5], [121.5, 125.5, 129.5, 132]])
    short = dataset.train.batch(np.array([0]))
    assert short.signals is not None  # the batch is as wide as its own longest row, as the codes are
    np.testing.assert_array_equal(short.signals[:, 0], [[9.5, 13.5, 16.5]])
    turned = dataset.train.batch(np.array([0, 1]), reverse=np.array([True, False]))
    assert turned.signals is not None
    np.testing.assert_array_equal(turned.signals[:, 0], [[16.5, 13.5, 9.5, NAN], [31.5, 35.5, 39.5, 42]])
    np.testing.assert_array_equal(turned.signal_mask[:, 0], [[True, True, True, False], [True] * 4])
    assert dataset.train.batch(np.array([0]), signals=False).signals is None
    nothing = dataset.train.batch(np.array([], dtype=np.int64))
    assert nothing.signals is not None
    assert nothing.signals.shape == (0, 1, 0)


def test_a_shifted_window_takes_the_nearest_bins(tmp_path, files):
    dataset = build(tmp_path / "set", jitter=6, signals=settings({"up": files["up"]}))
    grid = 61.5 + 4 * np.arange(4)  # the window begins at base 60
    shift = np.array([0, 1, 3, 4, 6, -1, -3, -5, -6])
    batch = dataset.valid.batch(np.zeros(9, dtype=np.int64), shift=shift)
    assert batch.signals is not None
    moved = np.array([0, 0, 4, 4, 8, 0, -4, -4, -8])
    np.testing.assert_array_equal(batch.signals[:, 0], grid + moved[:, None])
    both = dataset.valid.batch(np.array([0]), shift=np.array([4]), reverse=np.array([True]))
    assert both.signals is not None
    np.testing.assert_array_equal(both.signals[0, 0], (grid + 4)[::-1])


def test_damaged_signals_are_found(tmp_path, files):
    dataset = build(tmp_path / "set", signals=settings({"up": files["up"]}))
    path = dataset.path / "signals.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(FolderError, match="SHA-256"):
        Dataset.open(dataset.path, verify=True)
    path.write_bytes(bytes(len(content)))
    opened = Dataset.open(dataset.path)
    with pytest.raises(FolderError, match=r"signals\.npy: the file is damaged"):
        opened.train.batch(np.array([0]))
    path.write_bytes(bytes(content[:-1]))
    with pytest.raises(FolderError, match=r"signals\.npy: the file is damaged"):
        Dataset.open(dataset.path)
    path.unlink()
    with pytest.raises(FolderError, match=r"'signals\.npy' is missing"):
        Dataset.open(dataset.path)
