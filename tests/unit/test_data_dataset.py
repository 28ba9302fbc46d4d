"""Datasets built from a few hand-made elements, and their batches."""

from __future__ import annotations

import json
import shutil

import numpy as np
import polars as pl
import pytest

from encre.data.build import DatasetConfig, build_from_elements
from encre.data.dataset import Dataset
from encre.errors import ConfigError, DataError, FolderError, IntervalError, MissingFileError
from encre.genome.store import Genome
from encre.ledger import Ledger
from encre.sequence.alphabet import decode, decode_many, encode, encode_many, reverse_complement
from encre.sources.elements import Elements, arrange
from encre.tasks import Task, TaskSet

TASKS = TaskSet([Task("enhancer", "enhancer"), Task("heart", "tissue", "multilabel")])
SPLITS = ["train", "train", "valid", "valid", "test", "test"]


def elements(texts=None, n=6, **columns):
    rng = np.random.default_rng(4)
    base = {"enhancer": [1.0, 0.0] * (n // 2), "heart": [float("nan")] * n, "split": SPLITS[:n]}
    table = arrange(pl.DataFrame(base | columns), TASKS)
    ledger = Ledger()
    ledger.add("made up", 0, n, added={"rows": n})
    texts = texts or ["".join(rng.choice(list("ACGT"), 10 + 3 * i)) for i in range(n)]
    codes, offsets = encode_many(texts)
    return Elements(table, TASKS, ledger, [], codes, offsets), texts


def config(**tables):
    return DatasetConfig.parse({"name": "toy", "source": {"kind": "dhs"}, "split": {"by": "column"}, **tables})


@pytest.fixture
def built(tmp_path):
    made, texts = elements(heart=[1.0, 0.0, 1.0, 0.0, 1.0, 0.0])
    return build_from_elements(made, config(), out=tmp_path / "set"), texts


def test_what_was_put_in_comes_out(built):
    dataset, texts = built
    again = Dataset.open(dataset.path, verify=True)
    assert decode_many(again.codes, again.offsets) == texts
    assert again.tasks == TASKS
    assert again.elements["split"].to_list() == SPLITS
    assert [len(s) for s in (again.train, again.valid, again.test)] == [2, 2, 2]
    assert decode_many(again.test.codes, again.test.offsets) == texts[4:]
    assert again.test.index.tolist() == [4, 5]
    assert again.ledger.steps[0].name == "made up"
    assert again.ledger.steps[-1].rows_out == len(again)


def test_a_batch_is_padded_turned_and_labelled(built):
    dataset, texts = built
    batch = dataset.test.batch(np.array([1, 0, 1]), reverse=np.array([False, True, True]))
    other = [decode(reverse_complement(encode(text))) for text in texts]
    assert batch.length.tolist() == [25, 22, 25]
    assert [decode(row) for row in batch.codes] == [texts[5], other[4] + "NNN", other[5]]
    assert batch.index.tolist() == [5, 4, 5]
    assert batch.targets.tolist() == [[0, 0], [1, 1], [0, 0]]
    assert batch.target_mask.all()
    assert batch.signals is None
    assert batch.codes.dtype == np.uint8
    assert batch.targets.dtype == np.float32


def test_first_and_last_rows_pad_cleanly_beside_long_ones(built):
    dataset, texts = built
    train = dataset.subset("train")
    for reverse in (None, np.array([True, True])):
        batch = train.batch(np.array([0, 1]), reverse=reverse)
        want = texts[:2] if reverse is None else [decode(reverse_complement(encode(t))) for t in texts[:2]]
        assert [decode(row[:n]) for row, n in zip(batch.codes, batch.length, strict=True)] == want
        assert (batch.codes[0, 10:] == 4).all()


def test_torch_can_ask_for_a_list_of_rows(built):
    dataset, texts = built
    batch = dataset.train.__getitems__([1])
    assert decode(batch.codes[0]) == texts[1]
    assert len(dataset.train.batch(np.array([], dtype=np.int64)).codes) == 0


def test_not_measured_is_nan_in_tables_and_masked_zero_in_batches(tmp_path):
    twelve = {"enhancer": [1.0, 0.0] * 6, "split": SPLITS * 2, "heart": [1.0, 0.0] * 3 + [None, float("nan")] * 3}
    rng = np.random.default_rng(2)
    made, _ = elements(["".join(rng.choice(list("ACGT"), 12)) for _ in range(12)], n=12, **twelve)
    dataset = build_from_elements(made, config(), out=tmp_path / "set")
    batch = dataset.train.batch(np.arange(4))
    assert batch.target_mask.tolist() == [[True, True], [True, True], [True, False], [True, False]]
    assert batch.targets.tolist() == [[1, 1], [0, 0], [1, 0], [0, 0]]
    assert np.isnan(dataset.train.targets[2:, 1]).all()


def test_a_task_that_one_split_cannot_judge_stops_the_build(tmp_path):
    made, _ = elements(heart=[1.0, 0.0, None, 0.0, 1.0, 0.0])
    with pytest.raises(DataError, match=r"the valid split has no positive of task 'heart'"):
        build_from_elements(made, config(), out=tmp_path / "set")
    assert list(tmp_path.iterdir()) == []


def test_the_same_input_gives_the_same_digest_and_other_input_another(tmp_path):
    made, texts = elements()
    one = build_from_elements(made, config(), out=tmp_path / "a")
    two = build_from_elements(made, config(), out=tmp_path / "b")
    other, _ = elements([*texts[:-1], texts[-1][:-1] + "N"])
    three = build_from_elements(other, config(), out=tmp_path / "c")
    assert one.digest == two.digest != three.digest
    shuffled = config(negatives={"kinds": ["dinucleotide_shuffle"]})
    four = build_from_elements(made, shuffled, out=tmp_path / "d")
    five = build_from_elements(made, shuffled, out=tmp_path / "e")
    assert four.digest == five.digest != one.digest


def test_shuffles_stand_in_their_elements_split_and_are_negative_only_where_binary(tmp_path):
    made, texts = elements(["A" * 20, *elements()[1][1:]], enhancer=[1.0] * 6)
    shuffles = config(negatives={"kinds": ["dinucleotide_shuffle"], "per_element": 2})
    dataset = build_from_elements(made, shuffles, out=tmp_path / "set")
    table = dataset.elements.filter(pl.col("kind") == "dinucleotide_shuffle")
    assert table.height == 10  # the run of A has a single arrangement
    assert table["enhancer"].to_list() == [0.0] * 10
    assert table["heart"].is_nan().all()
    assert table["split"].to_list() == SPLITS[1:] * 2
    step = next(step for step in dataset.ledger.steps if "negatives" in step.name)
    assert step.notes == {"not made: the sequence has one arrangement only": 2}
    letters = decode_many(dataset.codes, dataset.offsets)
    assert [sorted(t) for t in letters[6:11]] == [sorted(t) for t in texts[1:]]
    assert letters[6:11] != letters[11:]


def test_rows_with_too_many_n_or_of_a_wrong_length_are_left_out_and_counted(tmp_path):
    texts = elements()[1]
    made, _ = elements([*texts, "N" * 20, "ACGTNNNN", "ACG"], n=9, **_nine())
    limits = {"min_length": 4, "max_length": 30}
    dataset = build_from_elements(made, config(sequence=limits), out=tmp_path / "set")
    assert len(dataset) == 7  # half N is still kept
    step = next(step for step in dataset.ledger.steps if step.name == "leave out unusable sequences")
    assert step.dropped == {"more than 50% N": 1, "shorter than 4 bases": 1}
    strict = config(sequence={"max_n_share": 0.0, "min_length": 99})
    with pytest.raises(DataError, match=r"no sequence is left .*9 shorter than 99 bases"):
        build_from_elements(made, strict, out=tmp_path / "none")


def test_copies_and_contradictions_are_counted(tmp_path):
    texts = elements()[1]
    texts[1], texts[3] = texts[0], decode(reverse_complement(encode(texts[2])))
    made, _ = elements(texts, enhancer=[1.0, 0.0, 1.0, 0.0, 1.0, 0.0])
    dataset = build_from_elements(made, config(), out=tmp_path / "set")
    notes = next(step.notes for step in dataset.ledger.steps if step.name.startswith("group"))
    assert list(notes.values()) == [2, 2]


def _nine():
    return {"enhancer": [1.0, 0.0] * 4 + [1.0], "heart": [float("nan")] * 9, "split": [*SPLITS, *SPLITS[:3]]}


@pytest.fixture
def toy_genome(tmp_path):
    rng = np.random.default_rng(8)
    text = {name: "".join(rng.choice(list("ACGT"), 500)) for name in ("one", "two")}
    path = tmp_path / "toy.fa"
    path.write_text("".join(f">{name}\n{bases}\n" for name, bases in text.items()))
    return Genome(path, assembly="custom:toy"), text


def placed(start, width=20):
    start = np.array(start)
    made, _ = elements(chrom=["one", "two"] * 3, start=start, end=start + width)
    return Elements(made.table, made.tasks, made.ledger)


def test_elements_are_cut_from_the_genome(tmp_path, toy_genome):
    genome, text = toy_genome
    start = [0, 40, 80, 120, 160, 480]
    dataset = build_from_elements(placed(start), config(), out=tmp_path / "set", genome=genome)
    want = [text[["one", "two"][i % 2]][s : s + 20] for i, s in enumerate(start)]
    assert decode_many(dataset.codes, dataset.offsets) == want
    with pytest.raises(IntervalError, match="500"):
        build_from_elements(placed([0, 40, 80, 120, 160, 481]), config(), out=tmp_path / "no", genome=genome)
    assert not (tmp_path / "no").exists()


def test_windows_are_centred_padded_at_edges_and_can_be_shifted(tmp_path, toy_genome):
    genome, text = toy_genome
    start = [4, 40, 80, 120, 160, 480]
    settings = config(sequence={"mode": "window", "width": 30, "jitter": 5})
    dataset = build_from_elements(placed(start), settings, out=tmp_path / "set", genome=genome)
    assert dataset.manifest["sequence"] | {"bases": 0, "packing": ""} == {
        "mode": "window",
        "width": 30,
        "jitter": 5,
        "min_length": 30,
        "max_length": 30,
        "bases": 0,
        "packing": "",
    }
    batch = dataset.valid.batch(np.array([0, 1]))
    assert [decode(row) for row in batch.codes] == [text["one"][75:105], text["two"][115:145]]
    assert decode_many(dataset.valid.codes, dataset.valid.offsets) == [decode(row) for row in batch.codes]
    moved = dataset.valid.batch(np.array([0, 1]), shift=np.array([-5, 3]), reverse=np.array([False, True]))
    assert decode(moved.codes[0]) == text["one"][70:100]
    assert decode(reverse_complement(moved.codes[1])) == text["two"][118:148]
    assert decode(dataset.train.batch(np.array([0])).codes[0]) == "N" + text["one"][:29]
    notes = {k: v for step in dataset.ledger.steps for k, v in step.notes.items()}
    assert notes["windows padded with N at a chromosome's edge"] == 2
    with pytest.raises(DataError, match=r"cannot be shifted that far \(expected at most 5 bases; got 6\)"):
        dataset.valid.batch(np.array([0]), shift=np.array([6]))


def test_windows_out_of_own_sequences_need_enough_bases(tmp_path):
    made, texts = elements()
    narrow = config(sequence={"mode": "window", "width": 8, "jitter": 1})
    dataset = build_from_elements(made, narrow, out=tmp_path / "set")
    assert decode(dataset.train.batch(np.array([0])).codes[0]) == texts[0][1:9]
    with pytest.raises(DataError, match=r"sequence 1 has 10 bases and no genome"):
        build_from_elements(made, config(sequence={"mode": "window", "width": 11}), out=tmp_path / "no")


def test_sequences_must_come_from_somewhere(tmp_path):
    made, _ = elements()
    with pytest.raises(ConfigError, match="none was named"):
        build_from_elements(Elements(*[made.table, made.tasks, made.ledger]), config(), out=tmp_path / "no")


@pytest.mark.parametrize("name", ["sequences.npy", "offsets.npy", "elements.parquet", "tasks.json", "README.md"])
def test_a_missing_or_cut_file_is_named(built, tmp_path, name):
    dataset, _ = built
    cut = tmp_path / "cut"
    shutil.copytree(dataset.path, cut)
    (cut / name).write_bytes((cut / name).read_bytes()[:-1])
    with pytest.raises(FolderError, match=rf"{name}: the file is damaged"):
        Dataset.open(cut)
    (cut / name).unlink()
    with pytest.raises(FolderError, match=f"'{name}' is missing"):
        Dataset.open(cut)


def test_a_changed_byte_is_found_by_verify_alone(built, tmp_path):
    dataset, _ = built
    path = dataset.path / "sequences.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    Dataset.open(dataset.path)
    with pytest.raises(FolderError, match="SHA-256"):
        Dataset.open(dataset.path, verify=True)


def test_damage_of_the_same_size_is_said_when_the_part_is_read(built):
    dataset, _ = built
    for name in ("sequences.npy", "elements.parquet"):
        path = dataset.path / name
        path.write_bytes(bytes(len(path.read_bytes())))
    opened = Dataset.open(dataset.path)
    with pytest.raises(FolderError, match=r"elements\.parquet: the file is damaged"):
        opened.elements  # noqa: B018
    with pytest.raises(FolderError, match=r"sequences\.npy: the file is damaged"):
        opened.codes  # noqa: B018


def test_another_format_version_or_a_foreign_folder_is_refused(built, tmp_path):
    dataset, _ = built
    manifest = json.loads((dataset.path / "manifest.json").read_text())
    manifest["format"]["version"] = 2
    (dataset.path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(FolderError, match=r"another format version .*encre data build"):
        Dataset.open(dataset.path)
    with pytest.raises(FolderError, match="not a dataset folder"):
        Dataset.open(tmp_path)
    with pytest.raises(MissingFileError):
        Dataset.open(tmp_path / "nothing")


def test_an_occupied_output_folder_is_refused_before_any_work(built):
    dataset, _ = built
    with pytest.raises(FolderError, match="not empty"):
        build_from_elements(elements()[0], config(), out=dataset.path)


def test_a_split_that_does_not_exist_is_said(built):
    with pytest.raises(DataError, match="Did you mean 'valid'"):
        built[0].subset("validation")
