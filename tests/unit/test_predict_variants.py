"""Variants on a toy genome with planted motifs: what is read, judged, compared, and what an effect looks like."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from encre.errors import AssemblyMismatchError, ConfigError, EncreError, FormatError, IntervalError
from encre.genome.intervals import Interval
from encre.genome.store import Genome
from encre.predict.predictor import Predictor, load
from encre.predict.variants.background import draw_background, groups_of, name_of_group, p_values
from encre.predict.variants.checks import Changes, check_variants
from encre.predict.variants.effects import VariantOptions, score, score_variants
from encre.predict.variants.inputs import read_saturation, read_variants
from encre.predict.variants.windows import centred
from encre.sequence.alphabet import encode_many
from toy_models import MOTIFS, random_text, save_motif_run

PLAIN = VariantOptions(background=0)
TEXT = random_text(3000, seed=5, planted={1000: MOTIFS["heart"], 1600: MOTIFS["brain"][:-1] + "A"})
CHR2 = random_text(500, seed=6)


@pytest.fixture(scope="module")
def genome(tmp_path_factory: pytest.TempPathFactory) -> Genome:
    folder = tmp_path_factory.mktemp("genome")
    soft = TEXT[:700] + TEXT[700:800].lower() + TEXT[800:2000] + "N" * 50 + TEXT[2050:]
    (folder / "toy.fa").write_text(f">chr1\n{soft}\n>chr2\n{CHR2}\n")
    return Genome(folder / "toy.fa", assembly="custom:toy", cache=folder / "cache")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return load(save_motif_run(tmp_path_factory.mktemp("run") / "motifs"), device="cpu")


def table(folder: Path, *rows: str, header: str = "chrom\tpos\tref\talt", name: str = "x.tsv") -> Path:
    (folder / name).write_text("\n".join([header, *rows]) + "\n")
    return folder / name


def other(base: str) -> str:
    return "ACGT"[("ACGT".index(base) + 1) % 4]


# ------------------------------------------------------------------------------------------ effects


def test_destroying_a_motif_lowers_its_task_alone_and_completing_one_raises_its(model, genome, tmp_path: Path):
    middle = 1000 + 4
    rows = [
        f"chr1\t{middle + 1}\t{TEXT[middle]}\t{other(TEXT[middle])}",
        f"chr1\t{1600 + 9}\tA\t{MOTIFS['brain'][-1]}",
        f"chr1\t{middle}\t{TEXT[middle - 1 : middle + 3]}\t{TEXT[middle - 1]}",
    ]
    found = score_variants(model, table(tmp_path, *rows), genome)
    assert found["kind"].to_list() == ["SNV", "SNV", "deletion"]
    heart, brain = found["delta_logit_heart"].to_list(), found["delta_logit_brain"].to_list()
    assert heart[0] <= -1.49
    assert brain[0] == pytest.approx(0)
    assert brain[1] >= 1.49
    assert heart[1] == pytest.approx(0)
    assert heart[2] <= -1.5
    change = found["delta_probability_heart"][0]
    before, after = (1 / (1 + np.exp(-found[f"logit_{side}_heart"][0])) for side in ("ref", "alt"))
    assert change == pytest.approx(after - before, abs=1e-6)
    assert found["p_heart"][0] < 0.1
    assert found["p_brain"][0] == 1
    assert found["q_heart"][0] >= found["p_heart"][0]


def test_without_calibration_the_change_of_probability_is_empty(genome, tmp_path: Path):
    model = load(save_motif_run(tmp_path / "run", calibrated=False), device="cpu")
    path = table(tmp_path, f"chr1\t100\t{TEXT[99]}\t{other(TEXT[99])}")
    assert score_variants(model, path, genome, options=PLAIN)["delta_probability_heart"].to_list() == [None]


def test_saturation_finds_the_motif(model, genome, tmp_path: Path):
    (tmp_path / "x.bed").write_text("chr1\t980\t1030\tpeak\n")
    found = score(model, tmp_path / "x.bed", genome, options=VariantOptions(saturate=True))
    weak = found.table.group_by("pos", maintain_order=True).agg(pl.col("delta_logit_heart").min())
    hurt = set(weak.filter(pl.col("delta_logit_heart") < -0.5)["pos"].to_list())
    assert hurt >= set(range(1001, 1010))
    assert len(hurt) <= 11
    assert found.summary["kinds"] == {"SNV": 150}
    # Compared with each other: the motif's 27 share the smallest p of their kinds of substitution.
    assert found.table.filter(pl.col("delta_logit_heart") < -1)["p_heart"].max() < 0.5
    again = score(model, tmp_path / "x.bed", genome, options=VariantOptions(saturate=True, region="chr1:1001-1009"))
    assert again.table.height == 27


def test_windows_off_the_end_hold_n_and_say_so(model, genome, tmp_path: Path):
    path = table(tmp_path, f"chr2\t1\t{CHR2[0]}\t{other(CHR2[0])}", f"chr2\t250\t{CHR2[249]}\t{other(CHR2[249])}")
    found = score(model, path, genome, options=PLAIN)
    assert found.table["n_share"].to_list() == [0.5, 0]
    assert found.summary["windows_with_n"] == 1


def test_shifts_stay_within_the_central_half(model, genome, tmp_path: Path):
    path = table(tmp_path, f"chr1\t100\t{TEXT[99]}\t{other(TEXT[99])}")
    with pytest.raises(ConfigError, match="at most 25 bp"):
        score_variants(model, path, genome, options=VariantOptions(shifts=3, shift_step=10))
    for wrong in ({"combine": "median"}, {"shifts": -1}, {"precision": "fp8"}, {"background": -1}):
        with pytest.raises(ConfigError):
            score_variants(model, path, genome, options=VariantOptions(**wrong))


# ------------------------------------------------------------------------------------------ reading


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("#CHROM\tPOS\tREF\tALT\trsID", "x.tsv"),
        ("Chr,Position,Reference,Alternative,ID", "x.csv"),
        ("chromosome\tpos\tref_allele\talt_allele\tvariant", "x.txt"),
    ],
)
def test_tables_with_the_usual_spellings(genome, tmp_path: Path, header: str, name: str):
    comma = "," if name.endswith("csv") else "\t"
    rows = [comma.join(("chr1", "7", "A", "G", "one")), comma.join(("chr2", "8", "C", "T", "two"))]
    found = read_variants(table(tmp_path, *rows, header=header, name=name), genome).table
    assert found.select("line", "chrom", "pos", "ref", "alt", "id").rows() == [
        (2, "chr1", 7, "A", "G", "one"),
        (3, "chr2", 8, "C", "T", "two"),
    ]


def test_parquet_and_several_alternatives(genome, tmp_path: Path):
    frame = pl.DataFrame({"chrom": ["chr1", "chr2"], "pos": [7, 8], "ref": ["A", "C"], "alt": ["G,T", "T"], "x": 0})
    frame.write_parquet(tmp_path / "x.parquet")
    found = read_variants(tmp_path / "x.parquet", genome).table
    assert found.select("record", "allele", "alt").rows() == [(0, 1, "G"), (0, 2, "T"), (1, 1, "T")]


def test_a_table_without_a_column_names_the_spellings(genome, tmp_path: Path):
    with pytest.raises(FormatError, match="no column 'pos'") as caught:
        read_variants(table(tmp_path, "chr1\t7\tA\tG", header="chrom\tstart\tref\talt"), genome)
    assert "1-based" in str(caught.value)


def test_region_of_a_table(genome, tmp_path: Path):
    path = table(tmp_path, "chr1\t7\tA\tG", "chr1\t9\tACGT\tA", "chr2\t10\tA\tG")
    found = read_variants(path, genome, region=Interval.from_region("chr1:10-20"))
    assert found.table.select("line", "record", "pos").rows() == [(3, 0, 9)]
    with pytest.raises(FormatError, match="holds no variant"):
        read_variants(path, genome, region=Interval.from_region("chr1:100-200"))
    with pytest.raises(IntervalError):
        read_variants(path, genome, region=Interval.from_region("chr2:400-900"))


# ------------------------------------------------------------------------------------------ judging

REF = TEXT[99]
BAD: list[tuple[str, str, str]] = [
    ("star", f"chr1\t100\t{REF}\t*", "another record"),
    ("symbolic", f"chr1\t100\t{REF}\t<DEL>", "symbolic"),
    ("breakend", f"chr1\t100\t{REF}\t{REF}[chr2:40[", "breakend"),
    ("single breakend", f"chr1\t100\t{REF}\t.{REF}", "breakend"),
    ("no alternative", f"chr1\t100\t{REF}\t.", "no alternative"),
    ("empty alternative", f"chr1\t100\t{REF}\t", "no alternative"),
    ("N", f"chr1\t100\t{REF}\tN", "letters other than"),
    ("IUPAC reference", "chr1\t100\tR\tA", "letters other than"),
    ("digits", f"chr1\t100\t{REF}\t7", "letters other than"),
    ("unanchored insertion", "chr1\t100\t-\tAC", "the base before it"),
    ("unknown chromosome", "chr9\t100\tA\tC", "lacks the chromosome"),
    ("position 0", "chr1\t0\tA\tC", "before the first base"),
    ("beyond the end", "chr2\t501\tA\tC", "beyond the end"),
    ("deletion over the edge", f"chr2\t498\t{CHR2[497:]}A\t{CHR2[497]}", "beyond the end"),
    ("no change", f"chr1\t100\t{REF}\t{REF.lower()}", "ALT equals REF"),
    ("too long", f"chr1\t100\t{REF}\t{REF + 'AC' * 30}", "half of the model's window"),
]


@pytest.mark.parametrize(("row", "said"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_what_has_no_sequence_is_an_error_or_listed(genome, tmp_path: Path, row: str, said: str):
    good = f"chr1\t200\t{TEXT[199].lower()}\t{other(TEXT[199])}"
    source = read_variants(table(tmp_path, good, row, row), genome)
    with pytest.raises(EncreError, match=r"line 3 \(chr") as caught:
        check_variants(source, genome, width=100)
    assert said in str(caught.value)
    assert "1 more of 3 alleles" in str(caught.value)
    checked = check_variants(source, genome, width=100, skip_unsupported=True)
    assert checked.scored.tolist() == [0]
    assert sum(checked.reasons.values()) == 2
    assert all(said in reason for reason in checked.reasons)


def snvs(at: range, *, shift: int = 0, swap: bool = False) -> list[str]:
    """Single-nucleotide rows of chr1; ``shift`` moves REF away from where it stands."""
    rows = []
    for pos in at:
        ref = TEXT[pos - 1]
        pair = (other(ref), ref) if swap else (ref, other(ref))
        rows.append(f"chr1\t{pos + shift}\t{pair[0]}\t{pair[1]}")
    return rows


def test_a_wrong_reference_is_an_error_that_guesses_why(genome, tmp_path: Path):
    def refused(*rows: str) -> EncreError:
        with pytest.raises(EncreError, match=r"line \d+ \(chr1") as caught:
            check_variants(read_variants(table(tmp_path, *rows), genome), genome, width=100)
        return caught.value

    good = snvs(range(200, 300))
    assert "alleles look swapped" in str(refused(*good, *snvs(range(300, 310), swap=True)))
    assert "positions look 0-based" in str(refused(*snvs(range(200, 300), shift=-1)))
    elsewhere = refused(*snvs(range(200, 300), shift=77))
    assert isinstance(elsewhere, AssemblyMismatchError)
    assert "another assembly" in str(elsewhere)
    wrong = "ACGT"[("ACGT".index(TEXT[399]) + 2) % 4]
    single = refused(*good, f"chr1\t400\t{wrong}\t{other(wrong)}")
    assert "line 102" in str(single)
    assert "the assembly seems right" in str(single)
    assert f"expected REF {TEXT[399]}" in str(single)


def test_mismatches_are_listed_with_what_the_genome_has(genome, tmp_path: Path):
    rows = [*snvs(range(200, 203)), *snvs(range(300, 301), swap=True), "chr1\t2010\tA\tC"]
    source = read_variants(table(tmp_path, *rows), genome)
    checked = check_variants(source, genome, width=100, skip_mismatched=True)
    assert checked.scored.tolist() == [0, 1, 2]
    assert checked.table["genome"].to_list() == [None, None, None, TEXT[299], "N"]
    assert checked.reasons == {"REF and ALT look swapped": 1, "REF differs from the genome": 1}


def test_every_row_stays_in_the_table(model, genome, tmp_path: Path):
    path = table(tmp_path, *snvs(range(200, 202)), "chr1\t300\tA\t<DEL>", *snvs(range(400, 401), swap=True))
    options = VariantOptions(background=0, skip_mismatched=True, skip_unsupported=True)
    found = score_variants(model, path, genome, options=options)
    assert found.height == 4
    assert found["reason"].is_null().to_list() == [True, True, False, False]
    assert found["delta_logit_heart"].is_null().to_list() == [False, False, True, True]
    none = table(tmp_path, "chr1\t300\tA\t<DEL>")
    for saved in (options, VariantOptions(skip_unsupported=True)):
        assert score_variants(model, none, genome, options=saved)["kind"].to_list() == [None]


# ------------------------------------------------------------------------------ random changes


def changes_of(*rows: tuple[int, int, str]) -> Changes:
    start, end, text = (list(column) for column in zip(*rows, strict=True))
    codes, offsets = encode_many([str(t) for t in text])
    return Changes(np.zeros(len(rows), np.int64), np.array(start), np.array(end), codes, offsets)


def test_groups_are_strand_collapsed_substitutions_and_lengths(genome):
    for at, alt in ((100, "A"), (101, "C"), (102, "G"), (103, "T"), (104, "A"), (105, "T")):
        ref = TEXT[at]
        if ref == alt:
            continue
        pair = f"{ref}>{alt}" if ref in "CT" else f"{'TGCA'['ACGT'.index(ref)]}>{'TGCA'['ACGT'.index(alt)]}"
        assert name_of_group(int(groups_of(changes_of((at, at + 1, alt)), genome)[0])) == pair
    several = changes_of((10, 10, "ACGTA"), (20, 21, ""), (30, 33, "A"), (40, 42, "GG"))
    names = [name_of_group(group) for group in groups_of(several, genome).tolist()]
    assert names == ["insertion of 4-7 bp", "deletion of 1 bp", "delins of 2-3 bp", "MNV of 2-3 bp"]


def test_random_changes_match_and_avoid_the_files_own(genome):
    own = changes_of(
        *((at, at + 1, other(TEXT[at])) for at in range(300, 1500, 7)), (1200, 1204, ""), (1300, 1300, "GAT")
    )
    begin = centred(own, 100)
    drawn = draw_background(own, genome, begin=begin, width=100, count=60, seed=1)
    groups = groups_of(own, genome)
    assert set(np.unique(drawn.group)) == set(np.unique(groups))
    assert (groups_of(drawn.changes, genome) == drawn.group).all()
    assert (np.diff(drawn.owner) >= 0).all()
    inside = drawn.changes.start - begin[drawn.owner]
    assert inside.min() >= 25
    assert (drawn.changes.end - begin[drawn.owner]).max() <= 75
    places = set(own.start.tolist()) | set(range(1200, 1204))
    assert not places & set(drawn.changes.start[drawn.group < 6].tolist())
    single = drawn.group < 6
    assert drawn.matched[single].mean() > 0.9
    for group in np.unique(groups).tolist():
        assert 40 <= (drawn.group == group).sum() <= 60  # deletions find little room between the file's own
    deletions = drawn.changes.end - drawn.changes.start
    assert (deletions[drawn.group == groups[-2]] == 4).all()
    assert (drawn.changes.added[drawn.group == groups[-1]] == 3).all()
    again = draw_background(own, genome, begin=begin, width=100, count=60, seed=1)
    assert (again.changes.start == drawn.changes.start).all()
    others = draw_background(own, genome, begin=begin, width=100, count=60, seed=2)
    assert not np.array_equal(others.changes.start, drawn.changes.start)


def test_a_few_bases_give_a_few_random_changes(genome):
    own = changes_of((300, 301, other(TEXT[300])))
    drawn = draw_background(own, genome, begin=centred(own, 100), width=100, count=1000, seed=0)
    assert 5 <= len(drawn.owner) <= 49
    assert len(set(drawn.changes.start.tolist())) == len(drawn.owner)


def test_p_values_are_counted():
    null = np.array([[0.0], [1.0], [-2.0], [3.0]])
    p = p_values(np.array([[2.0], [-4.0], [0.0], [9.0]]), np.array([0, 0, 0, 1]), null=null, null_group=np.zeros(4))
    np.testing.assert_allclose(p[:3, 0], [3 / 5, 1 / 5, 1])
    assert np.isnan(p[3, 0]), "no random change of its kind"
    own = p_values(null, np.zeros(4), null=null, null_group=np.zeros(4), among_own=True)
    np.testing.assert_allclose(own[:, 0], [1, 3 / 4, 2 / 4, 1 / 4])


def test_p_values_of_random_variants_are_uniform(model, genome, tmp_path: Path):
    rng = np.random.default_rng(3)
    places = np.sort(rng.choice(np.arange(300, 1900), 250, replace=False))
    rows = [f"chr1\t{at + 1}\t{TEXT[at]}\t{rng.choice([b for b in 'ACGT' if b != TEXT[at]])}" for at in places]
    found = score_variants(model, table(tmp_path, *rows), genome, options=VariantOptions(background=300))
    changed = found.filter(pl.col("delta_logit_heart").abs() > 1e-6)["p_heart"].to_numpy()
    assert 0.02 < (found["p_heart"].to_numpy() < 0.2).mean() < 0.35
    assert len(changed)
    assert found["q_heart"].min() > 0.02


def test_saturation_covers_each_base_from_the_central_half(genome, tmp_path: Path):
    (tmp_path / "x.bed").write_text("chr1\t10\t11\nchr1\t700\t1003\nchr2\t0\t50\n")
    source = read_saturation(tmp_path / "x.bed", genome, width=100)
    assert source.window is not None
    assert source.table.height == 3 * (1 + 303 + 50)
    inside = source.table["pos"].to_numpy() - 1 - source.window
    assert inside.min() >= 25
    assert inside.max() < 75
    assert len(np.unique(source.window)) == 1 + 7 + 1
    assert source.table.unique(["chrom", "pos", "alt"]).height == source.table.height
    assert (source.table["ref"] != source.table["alt"]).all()


def test_saturation_counts_the_bases_n_of_a_region_alone(tmp_path: Path):
    (tmp_path / "n.fa").write_text(">chrN\n" + "A" * 50 + "N" * 20 + "C" * 50 + "\n")
    gaps = Genome(tmp_path / "n.fa", assembly="custom:toy", cache=tmp_path)
    (tmp_path / "x.bed").write_text("chrN\t40\t80\nchrN\t69\t71\n")
    for region, lost in ((None, 21), (Interval("chrN", 45, 60), 10), (Interval("chrN", 69, 75), 2)):
        source = read_saturation(tmp_path / "x.bed", gaps, width=20, region=region)
        assert source.unknown == lost


def test_how_it_was_scored_is_said_and_kept(model, genome, tmp_path: Path):
    (tmp_path / "x.bed").write_text("chr1\t700\t702\n")
    options = VariantOptions(saturate=True, shifts=2, shift_step=5, combine="max", background=0)
    found = score(model, tmp_path / "x.bed", genome, options=options)
    assert "Each in 4 more windows, moved by multiples of 5 bp; the max over all." in found.words
    assert (found.summary["how"]["combine"], found.summary["how"]["seed"]) == ("max", 0)
