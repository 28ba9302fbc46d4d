"""Design in the toy model, whose two motifs are known: what is found, kept, refused, and told apart."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from encre.errors import ConfigError, MissingExtraError, SequenceError
from encre.interpret.design.constraints import Constraints
from encre.interpret.design.designs import NOT_JUDGED, design
from encre.interpret.design.evolution import children_of
from encre.interpret.design.greedy import best_edit
from encre.interpret.design.problem import Problem
from encre.interpret.design.search import closest
from encre.interpret.design.settings import DesignSettings
from encre.interpret.design.target import Objective
from encre.models.checkpoint import save_model
from encre.models.inference import predict_logits
from encre.models.model import build_model
from encre.models.registry import model_config
from encre.predict.predictor import Predictor, load
from encre.sequence.alphabet import encode
from encre.tasks import Task, TaskSet
from toy_models import MOTIFS, motif_model, random_text, save_motif_run

TARGET = "heart up, brain down"
HEART, BRAIN = MOTIFS["heart"], MOTIFS["brain"]
SMALL = {
    "cnn": {"channels": [6, 6], "embedding": 4},
    "cnn_lstm": {"channels": [6, 6], "kernel_sizes": [3, 3], "pools": [2, 1], "embedding": 4, "lstm": 4},
    "transformer": {"width": 8, "layers": 1, "heads": 2, "feed_forward": 8},
}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return load(save_motif_run(tmp_path_factory.mktemp("runs") / "toy", width=80))


def run_of(folder: Path, name: str, **values: object) -> Predictor:
    """A random model of an architecture, as a run."""
    torch.manual_seed(3)
    tasks = TaskSet([Task("heart", "tissue"), Task("brain", "tissue")])
    net = build_model(model_config({"name": name, **SMALL[name], **values}), tasks=tasks).eval()
    shape = {"mode": "element", "width": None, "min_length": 20, "max_length": 100}
    return load(
        save_model(folder, net, manifest={"sequence": shape, "dataset": {"name": "toy", "digest": "", "path": ""}})
    )


def other_strand(text: str) -> str:
    return text.translate(str.maketrans("ACGT", "TGCA"))[::-1]


def holds(text: str, motif: str) -> bool:
    return motif in text or other_strand(motif) in text


# ------------------------------------------------------------------------------------------- what is found


@pytest.mark.parametrize(("method", "steps"), [("greedy", 20), ("evolution", 40), ("gradient", 60)])
def test_every_method_finds_the_heart_motif_and_avoids_the_brain_motif(model: Predictor, method: str, steps: int):
    starts = [random_text(60, 2, planted={20: BRAIN}), random_text(60, 7, planted={20: BRAIN})]
    found = design(model, TARGET, start=starts, method=method, steps=steps, max_edits=10)
    for text, start, edits in found.table.select("sequence", "start_sequence", "edits").iter_rows():
        assert holds(start, BRAIN)
        assert holds(text, HEART)
        assert not holds(text, BRAIN)
        assert edits <= 10
    assert (found.table["gain"] > 6).all()
    assert found.table["score"].is_sorted(descending=True)


@pytest.mark.parametrize("motif", ["heart", "brain"])
def test_down_takes_a_planted_motif_out(model: Predictor, motif: str):
    start = random_text(60, 5, planted={20: MOTIFS[motif]})
    found = design(model, f"{motif} down", start=[start], max_edits=1)
    (change,) = found.table["changes"].to_list()
    assert 20 <= int(change.split(">")[0][:-1]) < 29


def test_a_logit_can_be_asked_for(model: Predictor):
    found = design(model, "heart = -1.5", start=[random_text(60, 1)], steps=10)
    assert found.table["logit_heart"][0] == pytest.approx(-1.5, abs=1e-4)
    assert found.summary["objective"] == "- |logit(heart) + 1.5|"


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("method", ["greedy", "evolution", "gradient"])
def test_every_trunk_and_kmers_can_be_designed_with(tmp_path: Path, name: str, method: str):
    predictor = run_of(tmp_path / "run", name)
    found = design(predictor, TARGET, start="random", length=30, count=1, method=method, steps=3, population=8)
    assert found.table["gain"][0] > 0
    again = predictor.predict(found.table["sequence"].to_list())
    score = again["logit_heart"] - again["logit_brain"]
    assert found.table["score"].to_list() == pytest.approx(score.to_list(), abs=1e-5)


def test_wide_kmers_have_no_gradient_and_it_is_said_what_is_possible(tmp_path: Path):
    predictor = run_of(tmp_path / "run", "cnn", k=5)
    with pytest.raises(ConfigError, match="Possible with this model: greedy, evolution"):
        design(predictor, TARGET, method="gradient", length=30)
    assert design(predictor, TARGET, method="greedy", length=30, steps=1).table.height == 1


def test_without_ledidi_the_remedy_is_said(model: Predictor, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ledidi", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'encre\[interpret\]'.*greedy, evolution"):
        design(model, TARGET, method="gradient", length=60)


def test_the_model_is_left_as_it_was(model: Predictor):
    before = [(p.requires_grad, p.detach().clone()) for p in model.model.parameters()]
    design(model, TARGET, method="gradient", length=40, steps=5)
    for (wanted, value), parameter in zip(before, model.model.parameters(), strict=True):
        assert parameter.requires_grad == wanted
        assert parameter.grad is None
        assert torch.equal(parameter, value)


def test_children_of_two_parents_keep_to_the_limit_of_edits(model: Predictor):
    """Regression: a child of two parents could carry more edits than either when its mutation undid one."""
    constraints = Constraints(DesignSettings(max_edits=4))
    problem = Problem(model.model, Objective.parse(TARGET, model.tasks), constraints)
    start, parents = np.zeros(30, np.uint8), np.zeros((200, 30), np.uint8)
    parents[:, ::4] = 1  # eight edits, as a crossover can join
    children = children_of(problem, start, parents, np.random.default_rng(0))
    assert constraints.hold(children, start).all()


# ------------------------------------------------------------------------------------------- oracle


@pytest.mark.parametrize("name", SMALL)
def test_a_greedy_step_is_the_best_of_all_single_edits(tmp_path: Path, name: str):
    predictor = run_of(tmp_path / "run", name)
    constraints = Constraints(DesignSettings(gc=(0.3, 0.7), forbid=("GATC", "RGY"), keep=((5, 9),), max_edits=4))
    problem = Problem(predictor.model, Objective.parse(TARGET, predictor.tasks), constraints)
    start = constraints.mend(encode(random_text(24, 11)), encode(random_text(24, 11)), np.random.default_rng(0))
    assert start is not None
    place, base, score = best_edit(problem, start, start) or (0, 0, 0)
    best: tuple[float, int, int] = (-np.inf, 0, 0)
    for at in range(24):
        for letter in range(4):
            changed = start.copy()
            changed[at] = letter
            if letter != start[at] and constraints.hold(changed[None], start)[0]:
                heart, brain = predict_logits(predictor.model, changed, np.array([0, 24]))[0].astype(float)
                best = max(best, (heart - brain, at, letter))
    assert (place, base) == best[1:]
    assert score == pytest.approx(best[0], abs=1e-5)


# ------------------------------------------------------------------------------------------- constraints and starts


def test_what_is_kept_stays_and_flanks_are_written(model: Predictor):
    start = random_text(60, 2, planted={30: BRAIN})
    found = design(
        model, TARGET, start=[start], keep=[(28, 41)], flanks=("ACGTT", "GGA"), forbid=["GGATCC", "CAnnTG"]
    )
    (text,) = found.table["sequence"]
    assert text[28:41] == start[28:41], "the brain motif must stay"
    assert text.startswith("ACGTT")
    assert text.endswith("GGA")
    assert found.table["edits"][0] == sum(a != b for a, b in zip(text[5:-3], start[5:-3], strict=True))


def test_a_start_that_breaks_a_constraint_is_mended_and_counted(model: Predictor):
    start = random_text(60, 2, planted={30: "GGTCTC"})
    found = design(model, TARGET, start=[start, random_text(60, 3)], forbid=["GGTCTC"], steps=2)
    assert not any(holds(text, "GGTCTC") for text in found.table["sequence"])
    assert any("1 of 2 starts broke a constraint" in note for note in found.summary["notes"])


def test_random_starts_follow_the_range_of_gc(model: Predictor):
    found = design(model, TARGET, count=3, length=60, gc=(0.2, 0.3), steps=1)
    assert found.table["start_gc"].is_between(0.2, 0.3).all()
    assert design(model, TARGET, length=60, start_gc=0.9, steps=1).table["start_gc"][0] > 0.75


def test_shuffled_starts_keep_their_dinucleotides(model: Predictor):
    start = random_text(60, 4)
    found = design(model, TARGET, start=[start], shuffle=True, steps=1)
    (text,) = found.table["start_sequence"]
    assert text != start
    assert sorted(text[i : i + 2] for i in range(59)) == sorted(start[i : i + 2] for i in range(59))


def test_designs_of_one_start_are_kept_apart(model: Predictor):
    found = design(model, TARGET, start=[random_text(60, 7)], count=4, apart=5, method="greedy")
    codes = [encode(text) for text in found.table["sequence"]]
    for number, one in enumerate(codes):
        others = codes[:number] + codes[number + 1 :]
        assert closest(one, others) == found.table["closest"][number] >= 5
    assert found.summary["settings"]["apart"] == {"60": 5}


def test_what_cannot_be_kept_apart_is_counted(model: Predictor):
    fixed = {"keep": [(1, 60)], "max_edits": 1, "apart": 1}  # one free base: at most four designs
    found = design(model, TARGET, start=[random_text(60, 7)], count=6, **fixed)
    assert found.table["sequence"].n_unique() == found.table.height
    assert found.summary["counts"]["left_out_as_alike"] == 6 - found.table.height > 0
    assert any("could not be kept apart" in note for note in found.summary["notes"])


def test_a_reverse_complement_is_no_other_design():
    one = encode("AACCGGTTAC")
    assert closest(one, [encode(other_strand("AACCGGTTAC"))]) == 0
    assert closest(one, [encode("AACCGGTTACC")]) == 10


# ------------------------------------------------------------------------------------------- repeatable


@pytest.mark.parametrize("method", ["greedy", "evolution", "gradient"])
def test_same_seed_same_designs(model: Predictor, method: str):
    asked = {"method": method, "steps": 8, "population": 12, "count": 2, "length": 40, "gc": (0.4, 0.6)}
    one, two = (design(model, TARGET, seed=5, **asked) for _ in range(2))
    assert one.table.equals(two.table)
    assert one.paths.equals(two.paths)
    assert not design(model, TARGET, seed=6, **asked).table.equals(one.table)


def test_more_designs_leave_the_first_as_they_were(model: Predictor):
    asked = {"length": 40, "steps": 4}
    few, many = (design(model, TARGET, count=count, **asked).table["sequence"] for count in (2, 5))
    assert set(few) <= set(many)


# ------------------------------------------------------------------------------------------- judges


def judge_run(folder: Path, *, heart: float) -> Predictor:
    """The toy model with another weight on the heart motif."""
    net = motif_model()
    with torch.no_grad():
        net.heads["tissue"].weight[0] *= heart  # type: ignore[operator]
    shape = {"mode": "window", "width": 80, "jitter": 0, "min_length": 80, "max_length": 80}
    return load(
        save_model(folder, net, manifest={"sequence": shape, "dataset": {"name": "toy", "digest": "", "path": ""}})
    )


def test_judges_change_the_ranking_by_their_worst(model: Predictor, tmp_path: Path):
    judges = [judge_run(tmp_path / "fond", heart=2.0), judge_run(tmp_path / "averse", heart=-1.0)]
    starts = [random_text(60, 1), random_text(60, 2), random_text(60, 8)]
    asked = {"start": starts, "max_edits": 3}
    alone, judged = design(model, TARGET, **asked), design(model, TARGET, judges=judges, **asked)
    table = judged.table
    worst = table.select(pl.min_horizontal("score_fond", "score_averse")).to_series()
    assert table["judges_worst"].to_list() == worst.to_list()
    assert table["judges_worst"].is_sorted(descending=True)
    assert not table["score"].is_sorted(descending=True), "the judge who dislikes the heart motif turns the order"
    assert set(table["sequence"]) == set(alone.table["sequence"]), "judges take no part in the search"
    assert judged.summary["judged"].startswith("0 of 3 designs are better than their start to every judge")
    assert alone.summary["judged"] == NOT_JUDGED


def test_a_judge_with_a_narrower_window_is_said(model: Predictor, tmp_path: Path):
    judge = load(save_motif_run(tmp_path / "narrow", width=40))
    for length, said in ((60, 1), (40, 0)):
        found = design(model, TARGET, judges=[judge], length=length, steps=1)
        assert sum("reads 40 bases at a time" in note for note in found.summary["notes"]) == said


def test_a_judge_must_be_another_model_that_knows_the_tasks(model: Predictor, tmp_path: Path):
    with pytest.raises(ConfigError, match="is the model that designs"):
        design(model, TARGET, judges=[model], length=60)
    judge = judge_run(tmp_path / "judge", heart=1.0)
    with pytest.raises(ConfigError, match="is another judge"):
        design(model, TARGET, judges=[judge, judge], length=60)
    stranger = run_of(tmp_path / "stranger", "cnn")
    stranger = Predictor(stranger.model, TaskSet([Task("lung", "t")]), None, stranger.manifest, stranger.path)
    with pytest.raises(ConfigError, match="does not predict 'heart'"):
        design(model, TARGET, judges=[stranger], length=60)


# ------------------------------------------------------------------------------------------- contradictions


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"max_edits": 0}, "nothing to design"),
        ({"gc": (0.6, 0.4)}, "lowest and a highest"),
        ({"gc": (40, 60)}, "from 0 to 1"),
        ({"gc": (0.501, 0.502)}, "no number of G and C out of 60 bases"),
        ({"gc": (0.9, 1.0), "keep": [(0, 40)]}, r"20 of 60 bases may change"),
        ({"gc": (0.9, 1.0), "max_edits": 5}, "at most 5 of them"),
        ({"forbid": ["GAATTC"], "keep": [(8, 20)]}, "GAATTC lies within bases that must not change, at 10:16"),
        ({"forbid": ["GAATTC"], "flanks": ("GAATTC", "")}, "GAATTC lies within"),
        ({"forbid": ["GAAXTC"]}, "IUPAC"),
        ({"forbid": ["NNN"]}, "every sequence holds"),
        ({"forbid": ["W", "S"]}, "no sequence that satisfies every constraint"),
        ({"flanks": ("ACGU!", "")}, "not DNA"),
        ({"flanks": ("ACGN", "")}, "known bases"),
        ({"flanks": ("A" * 40, "C" * 40)}, "longer than the design"),
        ({"keep": [(0, 60)]}, "nothing to design"),
        ({"keep": [(50, 70)]}, "beyond the design"),
        ({"keep": [(9, 9)]}, "no interval"),
        ({"apart": 9, "max_edits": 4}, "apart"),
        ({"length": 50}, "another length than is asked for"),
        ({"method": "annealing"}, "method"),
        ({"max_edit": 3}, "Did you mean 'max_edits'"),
        ({"start_gc": 0.5}, "for random starts"),
    ],
)
def test_contradictions_are_refused_before_any_work(
    model: Predictor, asked: dict, said: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("encre.models.inference.predict_logits", None)
    with pytest.raises(ConfigError, match=said):
        design(model, TARGET, start=[random_text(60, 1, planted={10: "GAATTC"})], **asked)


@pytest.mark.parametrize("length", [81, 500])
def test_a_length_that_the_model_does_not_read_is_refused(model: Predictor, length: int):
    with pytest.raises(SequenceError, match="1 to 80 bases"):
        design(model, TARGET, length=length)
    with pytest.raises(SequenceError, match="longer than"):
        design(model, TARGET, start=["A" * length])


def test_a_length_below_the_kmer_is_refused(tmp_path: Path):
    with pytest.raises(SequenceError, match="shorter than"):
        design(run_of(tmp_path / "run", "cnn"), TARGET, length=2)


def test_starts_need_known_bases(model: Predictor):
    with pytest.raises(SequenceError, match="known bases"):
        design(model, TARGET, start=["ACGTNACGT"])
