"""`encre motifs`: planted motifs are found, named and weighed; what is wrong is said in one paragraph."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from encre.cli.main import run
from encre.sequence.meme import Motif, read_meme, write_meme
from toy_models import MOTIFS, random_text, save_motif_run

LENGTH, COUNT = 80, 160
TURN = str.maketrans("ACGT", "TGCA")


class Planted(NamedTuple):
    """Sequences that hold heart's motif, half of them on the other strand, and what was found in them."""

    folder: Path
    fasta: Path
    run: Path
    database: Path
    places: list[int]

    @property
    def out(self) -> Path:
        return self.run / "motifs"

    @property
    def found(self) -> dict:
        return json.loads((self.out / "motifs.json").read_text())

    def words(self, *more: object) -> list[str]:
        words = ["motifs", self.fasta, "--model", self.run, "--database", self.database, "--task", "heart"]
        words += ["--shuffles", "20", "--pairs", "2", "--threads", "1", "-q", *more]
        return [str(word) for word in words]


def write_database(path: Path) -> None:
    """Both motifs among forty random ones."""
    rng = np.random.default_rng(0)
    known = [
        Motif(f"K{i}.1", np.eye(4)[["ACGT".index(base) for base in text]] * 0.96 + 0.01, label=name, sites=100)
        for i, (name, text) in enumerate(MOTIFS.items())
    ]
    write_meme(path, [*known, *(Motif(f"R{i}.1", rng.dirichlet(np.full(4, 0.4), size=9)) for i in range(40))])


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    folder = tmp_path_factory.mktemp("motifs")
    rng, places, lines = np.random.default_rng(0), [], []
    for row in range(COUNT):
        place = int(rng.integers(8, LENGTH - 20))
        motif = MOTIFS["heart"] if row % 2 else MOTIFS["heart"].translate(TURN)[::-1]
        lines.append(f">s{row}\n{random_text(LENGTH, row, planted={place: motif})}\n")
        places.append(place)
    made = Planted(folder, folder / "toy.fa", folder / "run", folder / "db.meme", places)
    made.fasta.write_text("".join(lines))
    save_motif_run(made.run, width=LENGTH)
    write_database(made.database)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", "0")
        assert run(made.words()) == 0
    return made


@pytest.mark.slow
class TestPlantedMotif:
    def test_it_is_found_named_and_turned_to_its_name(self, planted):
        best = planted.found["motifs"][0]
        assert (best["task"], best["sign"], best["called"]) == ("heart", 1, "heart")
        assert MOTIFS["heart"][1:-1] in best["consensus"]
        assert best["seqlets"] >= 0.7 * COUNT
        assert best["matches"][0]["name"] == "K0.1"
        assert best["matches"][0]["q_value"] < 1e-3

    def test_its_effect_is_on_its_own_task_alone(self, planted):
        effects = planted.found["motifs"][0]["effects"]
        assert effects["heart"]["low"] > 2
        assert abs(effects["brain"]["mean"]) < 2  # what it writes over

    def test_every_planted_place_is_a_hit(self, planted):
        rows = [line.split("\t") for line in (planted.out / "hits.tsv").read_text().splitlines()]
        at = {name: rows[0].index(name) for name in rows[0]}
        hits = {(row[at["sequence"]], int(row[at["start"]]), row[at["strand"]]) for row in rows[1:]}
        for row, place in enumerate(planted.places):
            assert (f"s{row}", place, "+" if row % 2 else "-") in hits
        assert planted.found["motifs"][0]["hits"] == len(rows) - 1

    def test_the_files_are_what_their_names_say(self, planted):
        found = planted.found
        assert [m.name for m in read_meme(planted.out / "motifs.meme")] == [m["name"] for m in found["motifs"]]
        table = (planted.out / "motifs.tsv").read_text().splitlines()
        assert len(table) == len(found["motifs"]) + 1
        assert {"called", "seqlets", "effect_heart", "low_brain"} <= set(table[0].split("\t"))
        name = found["motifs"][0]["name"]
        assert (planted.out / "logos" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (planted.out / "logos" / f"{name}.svg").read_text()
        assert (planted.out / "spacing.png").exists()
        assert "beyond_sum" in (planted.out / "spacing.tsv").read_text()

    def test_counts_add_up(self, planted):
        (counts,) = planted.found["seqlets"]
        assert counts["positive"] >= 0.85 * COUNT
        assert counts["in_patterns"] == sum(motif["seqlets"] for motif in planted.found["motifs"])
        assert planted.found["sequences"] == COUNT

    def test_the_same_seed_gives_the_same_bytes(self, planted, monkeypatch, tmp_path):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
        assert run(planted.words("--out", tmp_path / "again")) == 0
        files = sorted(path.relative_to(planted.out) for path in planted.out.rglob("*") if path.is_file())
        assert files == sorted(
            p.relative_to(tmp_path / "again") for p in (tmp_path / "again").rglob("*") if p.is_file()
        )
        again = json.loads((tmp_path / "again" / "motifs.json").read_text())
        drop = {"provenance": None}  # the checkout may have moved on between the two
        assert again | drop == planted.found | drop
        for name in (name for name in files if name.name != "motifs.json"):
            assert (planted.out / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name

    def test_contributions_of_explain_give_the_same_patterns(self, planted, encre, tmp_path):
        words = (
            "explain",
            planted.fasta,
            "--model",
            planted.run,
            "--task",
            "heart",
            "--out",
            tmp_path / "ready",
            "-q",
        )
        assert encre(*words).code == 0
        words = ("motifs", "--contributions", tmp_path / "ready", "--model", planted.run, "--out", tmp_path / "out")
        done = encre(*words, "--pairs", "0", "--shuffles", "5", "--json", "-q")
        assert done.code == 0, done.err
        found = json.loads(done.out)
        assert found["method"] == "given"
        assert [m["seqlets"] for m in found["motifs"]] == [m["seqlets"] for m in planted.found["motifs"]]
        assert (tmp_path / "out" / "hits.tsv").read_text().count("s1\t") >= 1

    def test_a_second_run_does_not_write_over_the_first(self, planted, encre):
        done = encre(*planted.words())
        assert done.code == 2
        assert "not empty" in done.err


def test_too_few_seqlets_make_an_empty_table_and_say_so(planted, encre, tmp_path):
    few = tmp_path / "few.fa"
    few.write_text("".join(planted.fasta.read_text().splitlines(keepends=True)[:20]))
    done = encre("motifs", few, "--model", planted.run, "--task", "heart", "--out", tmp_path / "out", "-q")
    assert done.code == 0, done.err
    assert "fewer than the 40 that patterns need" in done.out
    found = json.loads((tmp_path / "out" / "motifs.json").read_text())
    assert found["motifs"] == []
    assert found["spacing"] == []
    assert (tmp_path / "out" / "motifs.tsv").read_text().count("\n") == 1


def test_hits_of_regions_are_a_bed_on_the_genome(planted, encre, tmp_path):
    genome = tmp_path / "toy.fa"
    genome.write_text(f">chrA\n{random_text(400, 9, planted={205: MOTIFS['heart']})}\n")
    (tmp_path / "peaks.bed").write_text("chrA\t150\t200\nchrA\t190\t230\n")
    words = ("motifs", tmp_path / "peaks.bed", "--genome", genome, "--assembly", "custom:toy", "--model", planted.run)
    done = encre(*words, "--database", planted.database, "--hits", "database", "--out", tmp_path / "out", "-q")
    assert done.code == 0, done.err
    rows = [line.split("\t") for line in (tmp_path / "out" / "hits.bed").read_text().splitlines()]
    found = [row for row in rows if row[3] == "K0.1_heart" and row[1] == "205"]
    assert [row[0] for row in found] == ["chrA", "chrA"]  # it lies in both windows of 80 bases
    assert (found[0][2], found[0][5]) == ("214", "+")
    assert all(0 <= int(row[4]) <= 1000 for row in rows)


def test_every_database_motif_can_be_inserted_into_given_backgrounds(planted, encre, tmp_path):
    few, others = tmp_path / "few.fa", tmp_path / "others.fa"
    few.write_text("".join(planted.fasta.read_text().splitlines(keepends=True)[:20]))
    others.write_text("".join(f">b{i}\n{random_text(LENGTH, 900 + i)}\n" for i in range(12)))
    words = ("motifs", few, "--model", planted.run, "--database", planted.database, "--out", tmp_path / "out", "-q")
    done = encre(*words, "--marginalise-database", "--backgrounds", others, "--hits", "none")
    assert done.code == 0, done.err
    rows = [line.split("\t") for line in (tmp_path / "out" / "database_effects.tsv").read_text().splitlines()]
    assert len(rows) == 1 + 42
    for task in MOTIFS:
        column = rows[0].index(f"effect_{task}")
        assert max(rows[1:], key=lambda row: float(row[column]))[1] == task
    others.write_text(">a\nACGTACGTACGTA\n>b\nACGTACGTACGT\n>c\nACGTACGTACGT\n")
    words = ("motifs", few, "--model", planted.run, "--backgrounds", others, "--out", tmp_path / "new", "-q")
    assert "of one length" in refused(encre(*words))


def test_a_split_of_a_dataset_is_read(dataset, run_folder, encre):
    done = encre("motifs", dataset, "--model", run_folder, "--split", "valid", "--most", "8", "--json", "-q")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["sequences"] == 8
    assert found["motifs"] == []
    assert "8 of 49 sequences were drawn at random (seed 0)." in found["notes"]
    assert (run_folder / "motifs" / "hits.bed").exists()


def refused(outcome) -> str:
    assert outcome.code == 2, outcome.err
    assert "Traceback" not in outcome.err
    (paragraph,) = [part for part in outcome.err.strip().split("\n") if "Error:" in part]
    return paragraph


def test_what_is_wrong_is_said_in_one_paragraph(planted, encre, tmp_path):
    out = ("--out", tmp_path / "out", "-q")
    wrong = tmp_path / "motifs.bed"
    wrong.write_text("chr1\t1\t2\n")
    said = refused(encre("motifs", planted.fasta, "--model", planted.run, "--database", wrong, *out))
    assert "motifs.bed, line 1" in said
    assert "expected 'MEME version 4'" in said
    assert "there is no task 'hart'" in refused(
        encre("motifs", planted.fasta, "--model", planted.run, "--task", "hart", *out)
    )
    assert "--out" in refused(encre("motifs", planted.fasta, "-q"))
    assert "one of the two" in refused(encre("motifs", "--model", planted.run, *out))
    assert "hits" in refused(encre("motifs", planted.fasta, "--model", planted.run, "--hits", "some", *out))
    assert "no such file" in refused(
        encre("motifs", "--contributions", tmp_path, "--task", "heart", "--model", planted.run, *out)
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        ("shap.npz", np.zeros((2, 4, 9)), "do not belong together"),
        ("shap.npz", np.full((2, 4, 10), np.nan), "not a number"),
        ("ohe.npz", np.ones((2, 4, 10)), "not one-hot"),
        ("ohe.npz", np.zeros((2, 10)), "(N, 4, L)"),
        ("ohe.npz", b"text", "not an .npz"),
    ],
)
def test_arrays_that_do_not_fit_are_named(planted, encre, tmp_path, name, array, words):
    one_hot = np.eye(4)[np.zeros((2, 10), int)].transpose(0, 2, 1)
    for own, values in (("ohe.npz", one_hot), ("shap.npz", one_hot)):
        np.savez(tmp_path / own, values)
    if isinstance(array, bytes):
        (tmp_path / name).write_bytes(array)
    else:
        np.savez(tmp_path / name, array)
    done = encre(
        "motifs", "--contributions", tmp_path, "--task", "heart", "--model", planted.run, "--out", tmp_path / "o"
    )
    said = refused(done)
    assert words in said
    assert name in said


def test_without_the_extra_the_remedy_is_named(planted, encre, tmp_path, monkeypatch):
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "modiscolite" else real(name, *a)
    )
    said = refused(encre("motifs", planted.fasta, "--model", planted.run, "--out", tmp_path / "out", "-q"))
    assert "encre[interpret]" in said
