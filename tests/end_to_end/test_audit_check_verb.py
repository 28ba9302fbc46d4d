"""`encre data check`: a dataset folder, and files that encre did not build a dataset of."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

COMPLEMENT = str.maketrans("ACGT", "TGCA")


def letters(rng: np.random.Generator, n: int) -> str:
    return "".join(rng.choice(list("ACGT"), n))


@pytest.fixture
def texts() -> dict[str, list[str]]:
    """Twenty training sequences, and twelve test sequences: each kind of leak once, the rest new."""
    rng = np.random.default_rng(4)
    train = [letters(rng, 200) for _ in range(20)]
    mutated = list(train[3])
    for at in range(5, 200, 20):
        mutated[at] = "ACGT"[("ACGT".index(mutated[at]) + 1) % 4]
    leaks = [train[0], train[1][::-1].translate(COMPLEMENT), train[2][60:] + letters(rng, 60), "".join(mutated)]
    return {"train": train, "test": leaks + [letters(rng, 200) for _ in range(8)]}


def fasta(path: Path, sequences: list[str], names: list[str] | None = None) -> Path:
    names = names or [f"s{i}" for i in range(len(sequences))]
    text = "".join(f">{name}\n{seq[:70]}\n{seq[70:]}\n" for name, seq in zip(names, sequences, strict=True))
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def table(path: Path, texts: dict[str, list[str]], **columns) -> Path:
    parts = [pl.DataFrame({"Sequence": seqs, "split": [split] * len(seqs)}) for split, seqs in texts.items()]
    frame = pl.concat(parts).with_columns(**columns)
    if path.suffix == ".parquet":
        frame.write_parquet(path)
    else:
        path.write_text(frame.write_csv(separator="," if path.suffix == ".csv" else "\t"))
    return path


def counts(value: dict) -> dict[str, int | None]:
    return {kind: found["pairs"] for kind, found in value["audit"]["leakage"]["kinds"].items()}


ONE_OF_EACH = {"exact": 1, "reverse_complement": 1, "shifted": 1, "near_duplicate": 1, "overlapping": None}


def test_a_pair_of_fasta_files_without_labels(encre, tmp_path, texts):
    train, test = fasta(tmp_path / "a.fa", texts["train"]), fasta(tmp_path / "b.fa.gz", texts["test"])
    done = encre("data", "check", "--train", train, "--test", test, "--json", "-q")
    assert done.code == 0, done.err
    value = json.loads(done.out)
    assert value["files"] == {"train": "a.fa", "test": "b.fa.gz"}
    assert {split: part["rows"] for split, part in value["splits"].items()} == {"train": 20, "test": 12}
    assert counts(value) == ONE_OF_EACH
    assert value["audit"]["leakage"]["leaked_rows"] == {"train": 4, "valid": 0, "test": 4}
    assert value["audit"]["shortcuts"] is None
    (shifted,) = value["audit"]["leakage"]["kinds"]["shifted"]["examples"]
    assert [row["row"] for row in shifted["rows"]] == [2, 22]
    assert (shifted["shift"], shifted["reverse"], shifted["identity"], shifted["bases"]) == (60, False, 1.0, 140)
    shown = encre("data", "check", "--train", train, "--test", test)
    assert shown.code == 0
    for words in ("b.fa.gz", "no labels", "nearly equal", "4 (33.3%)", "no coordinates"):
        assert words in shown.out


@pytest.mark.parametrize("name", ["all.csv", "all.tsv", "all.parquet"])
def test_one_table_with_labels_in_any_form(encre, tmp_path, texts, name):
    labels = pl.Series("label", [i % 2 for i in range(32)])
    path = table(tmp_path / name, texts, label=labels)
    done = encre("data", "check", path, "--json", "-q")
    assert done.code == 0, done.err
    value = json.loads(done.out)
    assert value["tasks"] == ["label"]
    assert counts(value) == ONE_OF_EACH
    assert set(value["audit"]["shortcuts"]["tasks"]) == {"label"}
    assert value["audit"]["neighbours"]["leaked"] == 4
    assert "Shortcuts" in encre("data", "check", path, "-q").out


def test_a_limit_shows_and_writes_the_audit_first_and_then_fails_with_code_3(encre, tmp_path, texts):
    train, test = fasta(tmp_path / "a.fa", texts["train"]), fasta(tmp_path / "b.fa", texts["test"])
    words = ["data", "check", "--train", train, "--test", test, "--out", tmp_path / "audit.json", "-q"]
    limits = ["--set", "audit.max_near_leakage=1", "--set", "audit.max_exact_leakage=1"]
    done = encre(*words, *limits, "--json")
    assert done.code == 3
    assert done.err.startswith("GateError: 2 limits of [audit] are exceeded: 2 pairs of identical")
    assert len(done.err.strip().splitlines()) == 1
    # It used to name rows of no file, and keys of a build's config as the remedy.
    assert re.search(r"for example train line \d+ \(\w+\) and test line \d+ ", done.err)
    assert done.err.strip().endswith(
        "Leave out the rows that `--leaked rows.tsv` lists. Or raise the limit knowingly."
    )
    value = json.loads(done.out)
    assert len(value["failures"]) == 2
    assert value == json.loads((tmp_path / "audit.json").read_text())
    passed = encre(*words, "--set", "audit.max_near_leakage=2", "--set", "audit.max_exact_leakage=2")
    assert (passed.code, passed.err) == (0, "")
    assert json.loads((tmp_path / "audit.json").read_text())["failures"] == []


def test_intervals_in_names_are_used_whether_they_count_from_0_or_1(encre, tmp_path, texts):
    train = fasta(tmp_path / "a.fa", texts["train"][:2], ["chr1:100-300", "x::chr2:1000-1200(+)"])
    test = fasta(
        tmp_path / "b.fa", texts["test"][4:8], ["chr1:300-499", "CHR1_299_499", "chr2:1-2", "chr2:1200-1400"]
    )
    done = encre("data", "check", "--train", train, "--test", test, "--json", "-q")
    value = json.loads(done.out)
    found = value["audit"]["leakage"]["kinds"]["overlapping"]
    # chr1:300-499 has 200 bases and so counts from 1: it begins at 299, on the last base of chr1:100-300
    assert (found["pairs"], found["rows"]["test"]) == (2, 2)
    assert value["splits"]["test"] == {"rows": 4, "repeats": 0, "placed": 3}
    gate = encre("data", "check", "--train", train, "--test", test, "-q", "--set", "audit.max_overlap_leakage=1")
    assert gate.code == 3


def test_overlapping_windows_of_a_genome_as_benchmarks_have_them(encre, tmp_path):
    """Random intervals put into train and test at random, as in Genomic Benchmarks' ensembl set."""
    rng = np.random.default_rng(0)
    genome = letters(rng, 40_000)
    start = rng.integers(0, 39_800, 200)
    split = np.where(np.arange(200) % 4 == 0, "test", "train")
    frame = pl.DataFrame(
        {
            "chrom": ["chr1"] * 200,
            "start": start,
            "end": start + 200,
            "seq": [genome[s : s + 200] for s in start],
            "label": rng.integers(0, 2, 200),
            "part": split,
        }
    )
    frame.write_csv(tmp_path / "windows.csv")
    done = encre("data", "check", tmp_path / "windows.csv", "--split-column", "part", "--json", "-q")
    assert done.code == 0, done.err
    leakage = json.loads(done.out)["audit"]["leakage"]
    test = start[split == "test"]
    near = [np.abs(start[split == "train"] - s).min() for s in test]
    assert leakage["kinds"]["overlapping"]["rows"]["test"] == sum(n < 200 for n in near)
    assert leakage["kinds"]["shifted"]["rows"]["test"] == sum(0 < n <= 100 for n in near)
    assert leakage["near_rows"]["test"] > 20


def test_a_dataset_folder_shows_what_was_recorded_or_more_when_asked(encre, dataset, tmp_path):
    recorded = json.loads(encre("data", "check", dataset, "--json").out)
    assert recorded["verified"] is True
    assert recorded["audit"] == json.loads((dataset / "manifest.json").read_text())["audit"]
    more = json.loads(encre("data", "check", dataset, "--near", "--neighbours", "--json", "-q").out)
    assert more["audit"]["leakage"]["pairs"] == recorded["audit"]["leakage"]["pairs"]
    assert more["audit"]["leakage"]["searched"]["similarity"] == 0.9
    assert set(more["audit"]["neighbours"]["tasks"]) == {"enhancer", "brain", "heart"}
    shown = encre("data", "check", dataset, "--near", "--neighbours", "-q")
    assert "every file is whole" in shown.out
    assert "Nearest training neighbour" in shown.out
    gate = encre("data", "check", dataset, "-q", "--set", "audit.max_shortcut_auroc=0.5")
    assert gate.code == 3
    assert "AUROC" in gate.err
    assert "Shortcuts" in gate.out


def test_a_table_of_sequences_and_nothing_else(encre, tmp_path, texts):
    for split, seqs in texts.items():
        pl.DataFrame({"seq": seqs}).write_csv(tmp_path / f"{split}.csv")
    done = encre("data", "check", "--train", tmp_path / "train.csv", "--test", tmp_path / "test.csv", "--json", "-q")
    assert done.code == 0, done.err
    value = json.loads(done.out)
    assert counts(value) == ONE_OF_EACH
    (exact,) = value["audit"]["leakage"]["kinds"]["exact"]["examples"]
    assert [row["line"] for row in exact["rows"]] == [2, 2]  # below each header


def refused(encre, *words) -> str:
    done = encre("data", "check", *words, "-q")
    assert done.code == 2, done.err
    assert done.out == ""
    assert len(done.err.strip().splitlines()) == 1
    return done.err


def test_what_cannot_be_compared_is_refused_in_one_paragraph(encre, tmp_path, texts):
    train = fasta(tmp_path / "a.fa", texts["train"])
    bad = tmp_path / "bad.csv"
    bad.write_text("name,seq,label\na,ACGT,1\nb,AC GT,0\n")
    assert "no two splits to compare" in refused(encre, "--train", train)
    assert "no two splits to compare" in refused(encre)
    assert "one FASTA is no two splits" in refused(encre, train)
    assert "no such file" in refused(encre, "--train", train, "--test", tmp_path / "gone.fa")
    assert "line 3" in refused(encre, "--train", train, "--test", bad)
    assert "'split'" in refused(encre, bad)
    assert "sequence column" in refused(
        encre, "--train", train, "--test", table_of(tmp_path / "x.tsv", "a\tb\n1\t2\n")
    )
    assert "Did you mean 'seq'" in refused(encre, "--train", train, "--test", bad, "--sequence-column", "sec")
    assert "target is 1, 0" in refused(
        encre, "--train", table_of(tmp_path / "c.csv", "seq,y\nACGT,2\n"), "--test", bad, "--label-column", "y"
    )
    assert "max_neer_leakage" in refused(
        encre, "--train", train, "--test", train, "--set", "audit.max_neer_leakage=1"
    )
    assert "[adit]" in refused(encre, "--train", train, "--test", train, "--set", "adit.x=1")
    assert "cannot both be given" in refused(encre, bad, "--train", train)


def table_of(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_label_column_that_is_no_label_is_said_and_left_out(encre, tmp_path, texts):
    path = table(tmp_path / "all.csv", texts, label=pl.Series([f"class {i % 3}" for i in range(32)]))
    value = json.loads(encre("data", "check", path, "--json", "-q").out)
    assert value["tasks"] == []
    assert any("'label' is not 0 and 1" in note for note in value["notes"])


def test_what_is_hardly_dna_is_remarked_upon(encre, tmp_path, texts):
    """Proteins used to pass as clean DNA: nearly all of their letters count as N, which is like nothing."""
    train, test = fasta(tmp_path / "a.fa", texts["train"]), fasta(tmp_path / "b.fa", ["MKVLAAGIVGLLAQWERTYIPSDF" * 9])
    done = encre("data", "check", "--train", train, "--test", test, "-q")
    assert done.code == 0, done.err
    assert "of the letters of test are none of A, C, G and T: is this DNA?" in done.out
    assert "letters of train" not in done.out


def test_labels_in_fasta_headers_are_taken_when_named(encre, tmp_path, texts):
    def names(n):
        return [f"s{i}|{i % 2}" for i in range(n)]

    train = fasta(tmp_path / "a.fa", texts["train"], names(20))
    test = fasta(tmp_path / "b.fa", texts["test"], names(12))
    words = ["data", "check", "--train", train, "--test", test, "--label-column", "on", "--json", "-q"]
    value = json.loads(encre(*words).out)
    assert value["audit"]["shortcuts"]["tasks"]["on"]["positives"] == 6


def test_the_check_never_loads_torch(tmp_path, texts):
    path = table(tmp_path / "all.csv", texts, label=pl.Series([i % 2 for i in range(32)]))
    code = (
        "import sys; from encre.cli.main import run; "
        f"code = run(['data', 'check', {str(path)!r}, '-q']); "
        "sys.exit(code or 9 * ('torch' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# ----------------------------------------------------------------------------------- fixtures from life


@pytest.mark.data
def test_the_hundred_strong_test_sequences_of_ienhancer_are_found_without_help(encre, data):
    path = data / "benchmarks" / "iEnhancer2L.csv"
    done = encre("data", "check", path, "--json", "-q", "--set", "audit.max_exact_leakage=0")
    assert done.code == 3
    value = json.loads(done.out)
    kinds = value["audit"]["leakage"]["kinds"]
    assert kinds["exact"]["rows"]["test"] == 100
    assert kinds["overlapping"]["rows"]["test"] == 100  # the names carry intervals: the same hundred
    assert 15 <= kinds["near_duplicate"]["rows"]["test"] <= 20  # copies of repeats besides
    strong = pl.read_csv(path).with_row_index("row").filter(pl.col("split") == "test", pl.col("strength") == "strong")
    assert strong.height == 100
    shown = {row["row"] for pair in kinds["exact"]["examples"] for row in pair["rows"] if row["split"] == "test"}
    assert shown <= set(strong["row"])
    profit = value["audit"]["neighbours"]["tasks"]["label"]
    assert profit["all"]["accuracy"] == pytest.approx(0.74, abs=0.005)
    assert profit["without_leaked"]["accuracy"] == pytest.approx(0.654, abs=0.01)
    assert value["audit"]["shortcuts"]["tasks"]["label"]["gc"] > 0.7


@pytest.mark.data
@pytest.mark.parametrize(("name", "clean"), [("raw", 0.63), ("gcmatch", 0.555)])
def test_the_cleaned_enhancer_benchmark_still_has_its_test_in_training(encre, data, name, clean):
    """It is called de-duplicated; 100 test sequences stand in training, and a few copies of repeats besides."""
    folder = data / "benchmarks" / "nt_enhancers_cleaned"
    files = ["--train", folder / f"{name}_train.csv.gz", "--test", folder / f"{name}_test.csv.gz"]
    done = encre("data", "check", *files, "--json", "-q")
    assert done.code == 0, done.err
    value = json.loads(done.out)
    leakage = value["audit"]["leakage"]
    assert (leakage["exact"], leakage["rows"]["test"]) == (107, 100)
    assert 12 <= leakage["near_rows"]["test"] <= 20  # copies of repeats
    assert value["splits"]["train"]["repeats"] > 800
    neighbour = value["audit"]["neighbours"]["tasks"]["label"]
    assert neighbour["without_leaked"]["accuracy"] == pytest.approx(clean, abs=0.015)
    assert neighbour["profit"]["accuracy"] > 0.1


@pytest.mark.data
def test_the_rows_that_leak_can_be_had_as_a_table_to_leave_them_out(encre, data, tmp_path):
    path, out = data / "benchmarks" / "iEnhancer2L.csv", tmp_path / "leaked.tsv"
    assert encre("data", "check", path, "-q", "--leaked", out).code == 0
    leaked = pl.read_csv(out, separator="\t")
    table = pl.read_csv(path).with_row_index("row")
    strong = table.filter(pl.col("split") == "test", pl.col("strength") == "strong")
    copies = leaked.filter(pl.col("similarity") == 1)
    assert set(copies["row"]) == set(strong["row"])  # every one of the hundred, and no other
    assert table["sequence"][copies["row"]].equals(table["sequence"][copies["training_row"]])
    assert set(table["split"][leaked["training_row"].drop_nulls()]) == {"train"}


@pytest.mark.data
def test_human_and_fly_have_nothing_in_common(encre, data):
    human = data / "benchmarks" / "nt_enhancers_cleaned" / "gcmatch_train.csv.gz"
    fly = data / "benchmarks" / "drosophila_enhancers_stark_test.csv.gz"
    done = encre(
        "data", "check", "--train", human, "--test", fly, "--json", "-q", "--set", "audit.max_near_leakage=0"
    )
    assert done.code == 0, done.err
    assert json.loads(done.out)["audit"]["leakage"]["leaked_rows"] == {"train": 0, "valid": 0, "test": 0}
