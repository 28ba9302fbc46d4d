"""The steps between contributions and names: cutting, reading, hits, likeness, q-values, database names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from encre.errors import ConfigError, FormatError
from encre.evaluation.false_discovery import benjamini_hochberg
from encre.interpret.arrays import task_folder
from encre.interpret.motifs.contributions import middles, read_contributions
from encre.interpret.motifs.finding import FoundMotif, name_patterns, representatives, short_name
from encre.interpret.motifs.hits import find_hits
from encre.interpret.motifs.patterns import Pattern, alike
from encre.predict.inputs import Records
from encre.sequence.alphabet import encode_many
from encre.sequence.meme import Motif, read_meme
from toy_models import random_text


def sharp(text: str, name: str = "m", label: str = "") -> Motif:
    return Motif(name, np.eye(4)[["ACGT".index(base) for base in text]] * 0.96 + 0.01, label=label)


def pattern(motif: Motif, *, name: str = "t.pos_0", seqlets: int = 50) -> Pattern:
    return Pattern(name, "t", 1, motif, motif.pwm.copy(), seqlets)


def records_at(texts: list[str], starts: list[int]) -> Records:
    codes, offsets = encode_many(texts)
    start = np.array(starts)
    ends = start + [len(text) for text in texts]
    return Records([f"r{i}" for i in range(len(texts))], codes, offsets, ["chr1"] * len(texts), start, ends)


def test_the_middle_of_a_long_sequence_keeps_its_place():
    texts = [random_text(30, 0), random_text(12, 1)]
    cut, located, notes = middles(records_at(texts, [100, 500]), window=12, most=10, seed=0)
    assert np.diff(cut.offsets).tolist() == [12, 12]
    assert located.first.tolist() == [109, 500]
    assert cut.codes[:12].tolist() == encode_many([texts[0][9:21]])[0].tolist()
    assert notes == ["Of 1 sequences longer than 12 bp the middle was taken."]


def test_what_cannot_be_scored_is_left_out_and_counted():
    texts = ["N" * 12, random_text(12, 1), "ACG", random_text(8, 2) + "N" * 24 + random_text(8, 3)]
    cut, located, notes = middles(records_at(texts, [0, 100, 200, 300]), window=12, most=10, seed=0, shortest=5)
    assert (cut.names, located.names, located.first.tolist()) == (["r1"], ["r1"], [100])
    assert notes[-1].startswith("3 of 4 sequences were left out: only N")


def test_a_draw_is_counted_and_keeps_names_and_places():
    records = records_at([random_text(10, i) for i in range(20)], list(range(0, 2000, 100)))
    drawn, located, notes = middles(records, window=10, most=5, seed=3)
    assert len(drawn) == 5
    assert [f"r{first // 100}" for first in located.first] == located.names
    assert "5 of 20 sequences were drawn at random (seed 3)" in notes[0]


def save_arrays(folder: Path, tasks: list[str]) -> None:
    one_hot = np.eye(4)[np.random.default_rng(0).integers(0, 4, (3, 8))].transpose(0, 2, 1)
    one_hot[0, :, 6:] = 0
    np.savez(folder / "ohe.npz", one_hot)
    for k, task in enumerate(tasks):
        here = folder if len(tasks) == 1 else task_folder(folder, task)
        here.mkdir(exist_ok=True)
        np.savez(here / "shap.npz", one_hot * (k + 1) + 0.5)
    (folder / "explain.json").write_text(json.dumps({"tasks": tasks}))
    rows = "".join(f"{i}\tn{i}\tchr2\t{100 * i}\t{100 * i + 8}\t8\n" for i in range(3))
    (folder / "windows.tsv").write_text("row\tname\tchrom\tstart\tend\tlength\n" + rows)


def test_contributions_of_several_tasks_are_read_with_their_places(tmp_path):
    save_arrays(tmp_path, ["heart", "brain"])
    found = read_contributions(tmp_path)
    assert list(found.hypothetical) == ["heart", "brain"]
    np.testing.assert_allclose(found.actual("brain")[1], 2.5)
    assert found.codes[0, 6:].tolist() == [4, 4]
    assert (found.hypothetical["heart"][0, 6:] == 0).all()
    assert (found.located.chrom, found.located.first.tolist()) == (["chr2"] * 3, [0, 100, 200])
    assert list(read_contributions(tmp_path, ["brain"]).hypothetical) == ["brain"]


def test_a_slash_in_the_name_of_a_task_makes_no_folder(tmp_path):
    save_arrays(tmp_path, ["../heart", "brain"])
    assert list(read_contributions(tmp_path).hypothetical) == ["../heart", "brain"]
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {".._heart", "brain"}


def test_whose_contributions_they_are_must_be_known(tmp_path):
    save_arrays(tmp_path, ["heart"])
    with pytest.raises(ConfigError, match="--task"):
        read_contributions(tmp_path, ["heart", "brain"])
    with pytest.raises(ConfigError, match=r"not contributions to 'brain'.*They are to heart"):
        read_contributions(tmp_path, ["brain"])
    (tmp_path / "explain.json").write_text("[]")  # another tool's
    with pytest.raises(ConfigError, match="--task"):
        read_contributions(tmp_path)
    (tmp_path / "windows.tsv").write_text("row\tname\tstart\tend\n0\ta\t0\t8\n")
    with pytest.raises(FormatError, match="expected 3 rows"):
        read_contributions(tmp_path, ["heart"])


def test_hits_equal_a_scan_base_by_base():
    """memelite's FIMO: log2 odds against equal bases, both strands, above the score that its p-value asks for."""
    rng = np.random.default_rng(0)
    motif = Motif("m", rng.dirichlet(np.full(4, 0.5), 7))
    codes = rng.integers(0, 4, (5, 60))
    codes[0, 10:20] = 4
    one_hot = (codes[:, :, None] == np.arange(4)).astype(np.float32)
    found = find_hits(one_hot, [motif], p=0.01)
    odds = np.log2(motif.pwm + 1e-4) + 2
    expected = {}
    for strand, weights in (("+", odds), ("-", odds[::-1, ::-1])):
        for row in range(5):
            for start in range(54):
                if (codes[row, start : start + 7] == 4).any():
                    continue
                expected[row, start, strand] = (one_hot[row, start : start + 7] * weights).sum()
    assert found.height > 3
    least = found["score"].min()
    for row in found.iter_rows(named=True):
        assert row["end"] == row["start"] + 7
        assert abs(expected[row["row"], row["start"], row["strand"]] - row["score"]) < 1e-3
    known = {(r["row"], r["start"], r["strand"]) for r in found.iter_rows(named=True)}
    assert all(place in known for place, score in expected.items() if score > least + 0.2)  # a bin is 0.1
    assert find_hits(one_hot, [], p=0.01).height == 0
    assert find_hits(one_hot[:, :5], [motif], p=0.01).height == 0


def test_no_hit_hangs_over_an_end_or_an_n():
    texts = ["TTGACTCAGCTT", "TGACTCAGNNNN", "NTGACTCAGCAA"]  # shorter sequences are filled up with N
    one_hot = np.stack([(encode_many([text])[0][:, None] == np.arange(4)) for text in texts]).astype(np.float32)
    found = find_hits(one_hot, [sharp("TGACTCAGC")], p=1e-3)
    assert found.select("row", "start", "end").rows() == [(0, 1, 10), (2, 1, 10)]


def test_alike_motifs_are_alike_shifted_and_on_the_other_strand():
    a, b = sharp("TGACTCAGC").pwm, sharp("GGAAGTACC").pwm
    assert alike(a, a[::-1, ::-1])
    assert alike(a[1:], a[:-1])
    assert not alike(a, b)


def test_pairs_are_made_of_different_motifs_the_most_frequent_first():
    found = [
        FoundMotif(pattern(sharp(text), seqlets=count), [], called)
        for text, count, called in (
            ("TGACTCAGC", 30, ""), ("GCTGAGTCA", 90, ""), ("GGAAGTACC", 60, "ETS"), ("CATTACCGT", 50, "ETS"),
        )
    ]  # fmt: skip
    assert [motif.title for motif in representatives(found, 4)] == ["GCTGAGTCA", "ETS"]
    assert len(representatives(found, 1)) == 1


def test_q_values_by_hand():
    np.testing.assert_allclose(benjamini_hochberg(np.array([0.04, 0.01, 0.5, 0.03])), [0.16 / 3, 0.04, 0.5, 0.16 / 3])


def test_without_a_database_nothing_is_named():
    (found,) = name_patterns([pattern(sharp("TGACTCAGC"))], [], q=0.05)
    assert (found.called, found.title, found.matches) == ("", "TGACTCAGC", [])


@pytest.mark.data
@pytest.mark.slow
def test_motifs_of_one_database_are_called_the_same_in_the_other(data):
    jaspar = {m.label: m for m in read_meme(data / "motifs" / "JASPAR2024_CORE_vertebrates.meme")}
    hocomoco = read_meme(data / "motifs" / "HOCOMOCO_v12_CORE.meme")
    wanted = ["CTCF", "HNF1B", "REST"]
    turned = [Motif(name, jaspar[name].pwm[::-1, ::-1]) for name in wanted]
    found = name_patterns([pattern(motif) for motif in turned], hocomoco, q=0.05)
    assert [motif.called[:3] for motif in found] == [name[:3] for name in wanted]
    assert all(match.strand == "+" for motif in found for match in motif.matches[:1])  # each was turned to its name
    assert short_name(jaspar["REST"]) == "REST"
