"""Bad input through the command line: one paragraph, exit code 2 (3 for a gate), nothing half-written."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Change = Callable[..., object]


def refuse(encre, folder: Path, words: list[object], *, kind: str, said: list[str], code: int = 2) -> str:
    """Run a command that must fail, and check everything that every failure promises."""
    before = sorted(path.relative_to(folder) for path in folder.rglob("*"))
    outcome = encre(*words, "--quiet")
    assert outcome.code == code, outcome.err
    assert outcome.err.startswith(f"{kind}: "), outcome.err
    assert outcome.err.count("\n") == 1, "one paragraph"
    assert "Traceback" not in outcome.err
    assert outcome.out == ""
    for word in said:
        assert word in outcome.err
    assert sorted(path.relative_to(folder) for path in folder.rglob("*")) == before, "nothing half-written"
    return outcome.err


def build(encre, toy, *extra: object, kind: str, said: list[str], code: int = 2) -> str:
    words = ["data", "build", toy.config, "--out", toy.folder / "out", *extra]
    return refuse(encre, toy.folder, words, kind=kind, said=said, code=code)


# ------------------------------------------------------------------------------------- the registry


def registry_line(toy, number: int, *fields: str) -> None:
    """Put other fields on a 1-based line of the registry."""
    rows = [list(row) for row in toy.rows]
    rows[number - 1] = list(fields)
    toy.write("registry.bed", rows)


def field(toy, number: int, column: int, value: str) -> None:
    rows = [list(row) for row in toy.rows]
    rows[number - 1][column - 1] = value
    toy.write("registry.bed", rows)


REGISTRY: list[tuple[str, Change, str, list[str]]] = [
    ("missing", lambda toy: toy.registry.unlink(), "MissingFileError", ["registry.bed"]),
    ("empty", lambda toy: toy.registry.write_text(""), "FormatError", ["registry.bed", "empty"]),
    ("blank", lambda toy: toy.registry.write_text("\n\n"), "FormatError", ["registry.bed", "empty"]),
    ("no BED", lambda toy: toy.registry.write_text("hello world\n"), "FormatError", ["registry.bed", "line 1"]),
    ("binary", lambda toy: toy.registry.write_bytes(bytes(range(256)) * 20), "FormatError", ["registry.bed"]),
    (
        "header",
        lambda toy: toy.write("registry.bed", [["chrom", "start", "end", "d", "e", "class"], *toy.rows]),
        "FormatError",
        ["registry.bed", "line 1"],
    ),
    ("5 columns at 7", lambda toy: registry_line(toy, 7, *toy.rows[6][:5]), "FormatError", ["line 7", "6"]),
    ("7 columns at 9", lambda toy: registry_line(toy, 9, *toy.rows[8], "x"), "FormatError", ["line 9", "6"]),
    ("end = start", lambda toy: field(toy, 4, 3, toy.rows[3][1]), "IntervalError", ["line 4", "end"]),
    ("end < start", lambda toy: field(toy, 4, 3, "5"), "IntervalError", ["line 4", "end"]),
    ("negative", lambda toy: field(toy, 3, 2, "-5"), "FormatError", ["line 3", "column 2", "-5"]),
    ("fractional", lambda toy: field(toy, 3, 2, "10.5"), "FormatError", ["line 3", "column 2", "10.5"]),
    ("words", lambda toy: field(toy, 3, 3, "far"), "FormatError", ["line 3", "column 3", "far"]),
    ("beyond", lambda toy: field(toy, 5, 3, "60001"), "IntervalError", ["chrA", "60,000"]),
    ("unknown chromosome", lambda toy: field(toy, 5, 1, "chrZ"), "UnknownChromosomeError", ["chrZ"]),
    ("duplicate", lambda toy: field(toy, 8, 5, toy.rows[1][4]), "FormatError", ["line 8", "EH38E0000001", "line 2"]),
    ("class", lambda toy: field(toy, 6, 6, "dELSS"), "FormatError", ["line 6", "dELSS", "'dELS'"]),
]


@pytest.mark.parametrize(("name", "change", "kind", "said"), REGISTRY, ids=[case[0] for case in REGISTRY])
def test_registry(encre, toy, name: str, change: Change, kind: str, said: list[str]) -> None:
    change(toy)
    build(encre, toy, kind=kind, said=said)


def test_truncated_gzip_registry(encre, toy) -> None:
    whole = gzip.compress(toy.registry.read_bytes())
    (toy.folder / "registry.bed").write_bytes(whole[: len(whole) // 2])
    build(encre, toy, kind="FormatError", said=["registry.bed", "truncated or damaged"])


def test_crlf_line_ends_and_gzip_are_read_rightly(encre, toy) -> None:
    assert encre("data", "build", toy.config, "--out", toy.folder / "plain", "--json", "-q").code == 0
    for path in (toy.registry, *toy.tissues.values()):
        path.write_bytes(gzip.compress(path.read_bytes().replace(b"\n", b"\r\n")))
    outcome = encre("data", "build", toy.config, "--out", toy.folder / "crlf", "--json", "-q")
    assert outcome.code == 0, outcome.err
    plain = json.loads((toy.folder / "plain" / "manifest.json").read_text())
    assert json.loads(outcome.out)["digest"] == plain["digest"]


# ------------------------------------------------------------------------------------- tissue files


def tissue(toy, change: Callable[[list[list[str]]], list[list[str]]]) -> None:
    rows = [line.split("\t") for line in toy.tissues["brain"].read_text().splitlines()]
    toy.write("brain.bed", change(rows))


def other_accessions(rows: list[list[str]]) -> list[list[str]]:
    return [[*row[:3], row[3].replace("EH38E0", "EH38E1"), *row[4:]] for row in rows]


TISSUE: list[tuple[str, Callable[[list[list[str]]], list[list[str]]], str, list[str]]] = [
    ("another version", other_accessions, "DataError", ["brain.bed", "another registry version"]),
    ("half of it", lambda rows: rows[: len(rows) // 2], "DataError", ["brain.bed", "another registry version"]),
    ("class", lambda rows: [[*rows[0][:9], "High-DNase", "x"], *rows[1:]], "FormatError", ["line 1", "High-DNase"]),
    ("columns", lambda rows: [*rows[:3], rows[3][:9], *rows[4:]], "FormatError", ["brain.bed", "line 4"]),
    ("a registry", lambda rows: [row[:6] for row in rows], "FormatError", ["brain.bed", "11"]),
]


@pytest.mark.parametrize(("name", "change", "kind", "said"), TISSUE, ids=[case[0] for case in TISSUE])
def test_tissue_file(encre, toy, name: str, change, kind: str, said: list[str]) -> None:
    tissue(toy, change)
    build(encre, toy, kind=kind, said=said)


def test_missing_tissue_file(encre, toy) -> None:
    toy.tissues["heart"].unlink()
    build(encre, toy, kind="MissingFileError", said=["heart.bed"])


# ----------------------------------------------------------------------------------------- genomes


GENOME: list[tuple[str, Change, str, list[str]]] = [
    ("missing", lambda toy: toy.genome.unlink(), "MissingFileError", ["toy.fa"]),
    ("empty", lambda toy: toy.genome.write_text(""), "FormatError", ["toy.fa", "empty"]),
    ("a BED", lambda toy: shutil.copy(toy.registry, toy.genome), "FormatError", ["toy.fa", "not a FASTA"]),
    ("a protein's digits", lambda toy: toy.genome.write_text(">chrA\nAC3T\n"), "FormatError", ["line 2", "column 3"]),
    (
        "a name twice",
        lambda toy: toy.genome.write_text(">chrA\nACGT\n>chrA\nACGT\n"),
        "FormatError",
        ["toy.fa", "chrA"],
    ),
]


@pytest.mark.parametrize(("name", "change", "kind", "said"), GENOME, ids=[case[0] for case in GENOME])
def test_genome(encre, toy, name: str, change: Change, kind: str, said: list[str]) -> None:
    change(toy)
    build(encre, toy, kind=kind, said=said)


def test_truncated_gzip_genome(encre, toy) -> None:
    whole = gzip.compress(toy.genome.read_bytes())
    toy.genome.write_bytes(whole[: len(whole) // 2])
    build(encre, toy, kind="FormatError", said=["toy.fa", "truncated or damaged"])


def test_wrong_assembly(encre, toy) -> None:
    # chrM of hg19 is 2 bases longer than GRCh38's; a genome of toy lengths would do as well
    toy.genome.write_text(">chrM\n" + "ACGTC" * 3314 + "A\n")
    toy.write("registry.bed", [["chrM", "100", "300", "EH38D1", "EH38E1", "pELS"]])
    message = build(
        encre, toy, "--set", 'source.assembly="GRCh38"', "--set", 'source.tissues={brain=""}',
        kind="AssemblyMismatchError", said=["toy.fa", "GRCh38", "16,571", "16,569"],
    )  # fmt: skip
    assert "hg19" in message


# ----------------------------------------------------------------------------- configs and folders


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("source.registri='x'", ["'registri'", "'registry'"]),
        ("splitt.by='group'", ["'splitt'", "'split'"]),
        ("split.bye='group'", ["'bye'", "'by'"]),
        ("split.by='random'", ["by", "random"]),
        ("split.valid_fraction=1.5", ["valid_fraction", "1.5"]),
        ("sequence.max_n_share=-0.1", ["max_n_share", "-0.1"]),
        ("source.kind='screeen'", ["'screeen'", "'screen'"]),
        ("source.assembly='GRCh83'", ["'GRCh83'", "'GRCh38'"]),
        ("noequals", ["table.key=value"]),
    ],
)
def test_dataset_config(encre, toy, assignment: str, said: list[str]) -> None:
    build(encre, toy, "--set", assignment, kind="ConfigError", said=said)


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("train.learning_rates=0.1", ["'learning_rates'", "'learning_rate'", "[train]"]),
        ("train.learning_rate=-1", ["learning_rate", "-1"]),
        ("train.epochs=0", ["epochs"]),
        ("model.name='cnnn'", ["'cnnn'", "'cnn'"]),
        ("model.chanels=[8]", ["'chanels'", "'channels'"]),
        ("model.k=12", ["k", "12"]),
        ("train.device='gpu9'", ["gpu9"]),
    ],
)
def test_training_config(encre, toy, dataset: Path, model_toml: Path, assignment: str, said: list[str]) -> None:
    kind = "ResourceError" if "device" in assignment else "ConfigError"
    words = ["train", model_toml, "--data", dataset, "--out", toy.folder / "run", "--set", assignment]
    refuse(encre, toy.folder, words, kind=kind, said=said)


def test_broken_and_missing_config(encre, toy) -> None:
    toy.config.write_text("[source\n")
    build(encre, toy, kind="ConfigError", said=["dataset.toml", "not valid TOML"])
    toy.config.unlink()
    build(encre, toy, kind="MissingFileError", said=["dataset.toml"])


def test_occupied_output(encre, toy, dataset: Path, run_folder: Path, model_toml: Path) -> None:
    occupied = toy.folder / "full"
    occupied.mkdir()
    (occupied / "mine.txt").write_text("keep me")
    for words in (
        ["data", "build", toy.config, "--out", occupied],
        ["train", model_toml, "--data", dataset, "--out", occupied],
        ["quickstart", "--out", occupied],
    ):
        refuse(encre, toy.folder, words, kind="FolderError", said=["full", "not empty"])
    refuse(encre, toy.folder, ["data", "build", toy.config, "--out", toy.genome], kind="FolderError", said=["toy.fa"])
    out = ["predict", "chrA:1-200", "--model", run_folder, "--genome", toy.genome, "--out", occupied / "x.xlsx"]
    refuse(encre, toy.folder, out, kind="ConfigError", said=["x.xlsx", ".parquet"])


def test_no_positive_or_no_negative_in_a_split(encre, toy) -> None:
    names = {"chrA": None, "chrB": "pELS", "chrC": "CA-CTCF"}
    rows = [[*row[:5], names[row[0]] or row[5]] for row in toy.rows]
    toy.write("registry.bed", rows)
    message = build(encre, toy, kind="DataError", said=["enhancer", "valid"])
    assert "negative" in message
    toy.write("registry.bed", [[*row[:5], "PLS" if row[0] == "chrC" else row[5]] for row in toy.rows])
    message = build(encre, toy, kind="DataError", said=["enhancer", "test"])
    assert "positive" in message


def test_empty_split(encre, toy) -> None:
    build(encre, toy, "--set", 'split.valid=["chrZ"]', kind="DataError", said=["valid", "chrZ"])


# --------------------------------------------------------------------------------- foreign, damaged


def edit_manifest(folder: Path, change: Callable[[dict], object]) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


DAMAGE: list[tuple[str, Callable[[Path], object], list[str]]] = [
    ("version", lambda d: edit_manifest(d, lambda m: m["format"].update(version=99)), ["version", "99"]),
    (
        "foreign",
        lambda d: (d / "manifest.json").write_text('{"format": {"kind": "other"}}'),
        ["not a dataset folder"],
    ),
    ("no manifest", lambda d: (d / "manifest.json").unlink(), ["not a dataset folder"]),
    ("cut codes", lambda d: cut(d / "sequences.npy"), ["sequences.npy"]),
    ("cut elements", lambda d: cut(d / "elements.parquet"), ["elements.parquet"]),
    ("no offsets", lambda d: (d / "offsets.npy").unlink(), ["offsets.npy"]),
]


@pytest.mark.parametrize(("name", "damage", "said"), DAMAGE, ids=[case[0] for case in DAMAGE])
def test_foreign_or_damaged_dataset(
    encre, toy, dataset: Path, model_toml: Path, name: str, damage: Callable[[Path], object], said: list[str]
) -> None:
    damage(dataset)
    words = ["train", model_toml, "--data", dataset, "--out", toy.folder / "run"]
    refuse(encre, toy.folder, words, kind="FolderError", said=said)
    refuse(encre, toy.folder, ["data", "info", dataset], kind="FolderError", said=said)


def test_half_a_manifest(encre, toy, dataset: Path) -> None:
    cut(dataset / "manifest.json")
    refuse(encre, toy.folder, ["info", dataset], kind="FormatError", said=["manifest.json", "JSON"])


def test_a_flipped_bit_is_found_by_checking(encre, toy, dataset: Path, run_folder: Path) -> None:
    assert encre("data", "check", dataset, "-q").code == 0
    flip(dataset / "sequences.npy")
    for words in (["data", "check", dataset], ["info", dataset, "--verify"]):
        refuse(encre, toy.folder, words, kind="FolderError", said=["sequences.npy"])
    flip(run_folder / "weights.safetensors")
    for words in (["info", run_folder, "--verify"], ["predict", "chrA:1-200", "--model", run_folder]):
        refuse(encre, toy.folder, words, kind="FolderError", said=["weights.safetensors"])


RUN_DAMAGE: list[tuple[str, Callable[[Path], object], list[str]]] = [
    ("version", lambda d: edit_manifest(d, lambda m: m["format"].update(version=99)), ["version", "99"]),
    ("a dataset", lambda d: edit_manifest(d, lambda m: m["format"].update(kind="dataset")), ["not a run folder"]),
    ("cut weights", lambda d: cut(d / "weights.safetensors"), ["weights.safetensors"]),
    ("other tasks", lambda d: (d / "tasks.json").write_text('{"tasks": []}'), ["tasks.json"]),
]


@pytest.mark.parametrize(("name", "damage", "said"), RUN_DAMAGE, ids=[case[0] for case in RUN_DAMAGE])
def test_foreign_or_damaged_run(
    encre, toy, run_folder: Path, name: str, damage: Callable[[Path], object], said: list[str]
) -> None:
    damage(run_folder)
    for words in (["evaluate", run_folder], ["predict", "chrA:1-200", "--genome", toy.genome, "--model", run_folder]):
        refuse(encre, toy.folder, words, kind="FolderError", said=said)


def test_folders_that_are_none(encre, toy) -> None:
    empty = toy.folder / "empty"
    empty.mkdir()
    refuse(encre, toy.folder, ["info", empty], kind="FolderError", said=["neither a dataset nor a run"])
    refuse(encre, toy.folder, ["info", toy.folder / "absent"], kind="MissingFileError", said=["absent"])
    refuse(encre, toy.folder, ["report", empty], kind="FolderError", said=["not a run folder"])
    refuse(encre, toy.folder, ["evaluate", toy.folder / "absent"], kind="MissingFileError", said=["absent"])


def test_a_report_before_evaluation(encre, toy, run_folder: Path) -> None:
    refuse(encre, toy.folder, ["report", run_folder], kind="FolderError", said=["encre evaluate"])
    refuse(encre, toy.folder, ["compare", run_folder], kind="ConfigError", said=["two runs"])


# ---------------------------------------------------------------------------------------- scoring


@pytest.mark.parametrize(
    ("name", "content", "kind", "said"),
    [
        ("x.fa", ">a\nACGTACGTAC\n>n\nNNNNNNNNNN\n", "SequenceError", ["'n'", "only N"]),
        ("x.fa", ">a\nACGTACGTAC\n>s\nAC\n", "SequenceError", ["'s'", "3 bases or more", "got 2"]),
        ("x.fa", "", "FormatError", ["empty"]),
        ("x.fa", "ACGT\n", "FormatError", ["not a FASTA"]),
        ("x.csv", "a,b\n1,2\n", "FormatError", ["'sequence'"]),
        ("x.bed", "chrA\t10\t10\n", "IntervalError", ["line 1"]),
        ("x.bed", "chrA\t10\t300\nchrA\t-1\t300\n", "FormatError", ["line 2", "column 2"]),
        ("x.bed", "chrA\t10\t70000\n", "IntervalError", ["line 1", "60,000"]),
        ("x.bed", "chrQ\t10\t300\n", "UnknownChromosomeError", ["line 1", "chrQ"]),
        ("x.bed", "chrom\tstart\tend\nchrA\t1\t300\n", "FormatError", ["line 1"]),
        ("x.bed", "chrA 10 300\n", "FormatError", ["line 1", "tabs"]),
    ],
)
def test_what_cannot_be_scored(encre, toy, run_folder: Path, name: str, content: str, kind: str, said) -> None:
    path = toy.folder / name
    path.write_text(content)
    words = ["predict", path, "--model", run_folder, "--genome", toy.genome, "--assembly", "custom:toy"]
    refuse(encre, toy.folder, [*words, "--out", toy.folder / "out.tsv"], kind=kind, said=[name, *said])


def test_regions_that_cannot_be_scored(encre, toy, run_folder: Path) -> None:
    model = ["--model", run_folder, "--assembly", "custom:toy"]
    genome = ["--genome", toy.genome]
    refuse(encre, toy.folder, ["predict", "chrA:1-200", *model], kind="ConfigError", said=["--genome"])
    for region, kind, said in (
        ("chrQ:1-200", "UnknownChromosomeError", ["chrQ"]),
        ("chrA:1-70000", "IntervalError", ["chrA"]),
        ("chrA:300-200", "IntervalError", ["chrA:300-200"]),
        ("chrA:0-200", "IntervalError", ["from 1"]),
        ("chrA", "MissingFileError", ["does not read as a region"]),
    ):
        refuse(encre, toy.folder, ["predict", region, *model, *genome], kind=kind, said=said)


def test_sequences_shorter_than_k_in_training(encre, toy, dataset: Path, model_toml: Path) -> None:
    table = toy.folder / "short.csv"
    rows = [
        f"{'ACGT'[i % 4] * 2}{'ACGT'[i % 3] * (i % 3)},{i % 2},{('train', 'valid', 'test')[i % 3]}" for i in range(90)
    ]
    table.write_text("sequence,strong,split\n" + "\n".join(rows) + "\n")
    config = toy.folder / "short.toml"
    config.write_text(
        '[source]\nkind = "table"\nfile = "short.csv"\nsplit_column = "split"\n'
        '[source.tasks]\nstrength = ["strong"]\n[split]\nby = "column"\n'
    )
    built = encre("data", "build", config, "--out", toy.folder / "short", "-q")
    assert built.code == 0, built.err
    words = ["train", model_toml, "--data", toy.folder / "short", "--out", toy.folder / "run"]
    refuse(encre, toy.folder, words, kind="SequenceError", said=["at least 3 bases", "got 2"])


# ------------------------------------------------------------------------------- gates, a full disk


def test_a_leaking_dataset_fails_its_gate_with_code_3(encre, toy) -> None:
    # three elements of chrA stand on chrC as well, one of them as its reverse complement
    records = dict(part.split("\n", 1) for part in toy.genome.read_text().lstrip(">").split("\n>"))
    bases = {name: text.replace("\n", "") for name, text in records.items()}
    for number in (3, 4, 5):
        start, end = int(toy.rows[number][1]), int(toy.rows[number][2])
        piece = bases["chrA"][start:end]
        if number == 5:
            piece = piece[::-1].translate(str.maketrans("ACGT", "TGCA"))
        at = next(i for i, row in enumerate(toy.rows) if row[0] == "chrC") + number
        begin = int(toy.rows[at][1])
        toy.rows[at][2] = str(begin + len(piece))
        bases["chrC"] = bases["chrC"][:begin] + piece + bases["chrC"][begin + len(piece) :]
    toy.genome.write_text("".join(f">{name}\n{text}\n" for name, text in bases.items()))
    toy.write("registry.bed", toy.rows)
    quiet = ["--set", 'source.tissues={brain=""}']
    build(encre, toy, *quiet, "--set", "audit.max_exact_leakage=2", kind="GateError", said=["3"], code=3)
    outcome = encre("data", "build", toy.config, "--out", toy.folder / "out", "--json", "-q", *quiet)
    assert outcome.code == 0, outcome.err
    leakage = json.loads(outcome.out)["audit"]["leakage"]
    assert (leakage["pairs"], leakage["exact"], leakage["reverse_complement"]) == (3, 2, 1)


def test_a_shortcut_fails_its_gate_with_code_3(encre, toy) -> None:
    build(encre, toy, "--set", "audit.max_shortcut_auroc=0.5", kind="GateError", said=["AUROC"], code=3)


@pytest.mark.parametrize("limit", [2_000, 10_000])
def test_a_disk_that_fills_up_while_building(encre, toy, limit: int) -> None:
    assert encre("data", "build", toy.config, "--out", toy.folder / "first", "-q").code == 0  # fills the cache
    before = sorted(path.name for path in toy.folder.iterdir())
    program = (
        f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}));"
        "from encre.cli.main import main; main()"
    )
    words = ["-q", "data", "build", str(toy.config), "--out", str(toy.folder / "out")]
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("ResourceError: ")
    assert "disk filled up" in done.stderr
    assert done.stderr.count("\n") == 1
    assert sorted(path.name for path in toy.folder.iterdir()) == before
