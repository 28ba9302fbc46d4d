"""Whatever is asked of a design, what comes out satisfies it, or it is said that it cannot be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from encre.errors import ConfigError
from encre.interpret.design.check import broken_constraints
from encre.interpret.design.constraints import Constraints
from encre.interpret.design.designs import design
from encre.interpret.design.settings import DesignSettings
from encre.interpret.design.sites import read_site, sites_after, sites_in
from encre.predict.predictor import Predictor
from encre.sequence.alphabet import decode
from toy_models import motif_model, random_text

texts = st.text("ACGT", min_size=12, max_size=40)
sites = st.lists(st.text("ACGTRYSWKMBDHVN", min_size=3, max_size=6).filter(lambda s: set(s) != {"N"}), max_size=3)


def codes_of(text: str) -> np.ndarray:
    return np.array(["ACGT".index(letter) for letter in text], np.uint8)


@given(texts, sites, st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted))
@settings(deadline=None, max_examples=60)
def test_the_cost_of_every_substitution_is_the_cost_of_the_substituted_sequence(text, forbid, gc):
    constraints = Constraints(DesignSettings(forbid=tuple(forbid), gc=tuple(gc)))
    codes = codes_of(text)
    after = constraints.cost_after(codes)
    for place in range(len(codes)):
        for base in range(4):
            changed = codes.copy()
            changed[place] = base
            assert after[place, base] == constraints.cost(changed[None])[0]


@given(texts, sites)
@settings(deadline=None, max_examples=60)
def test_sites_are_found_on_both_strands_as_by_regular_expression(text, forbid):
    codes = codes_of(text)
    asked = DesignSettings(forbid=tuple(forbid))
    found = sum(sites_in(codes[None], strand).sum() for site in forbid for strand in read_site(site))
    assert bool(found) == bool(broken_constraints(text, text, asked))
    assert (sites_after(codes, [])[0] == 0).all()


@given(
    start=st.text("ACGT", min_size=30, max_size=30),
    forbid=st.lists(st.text("ACGTRYSWN", min_size=4, max_size=6).filter(lambda s: set(s) != {"N"}), max_size=2),
    gc=st.one_of(st.none(), st.tuples(st.floats(0.2, 0.5), st.floats(0.5, 0.8))),
    keep=st.lists(st.tuples(st.integers(0, 20), st.integers(1, 8)).map(lambda x: (x[0], x[0] + x[1])), max_size=2),
    flanks=st.tuples(st.text("ACGT", max_size=3), st.text("ACGT", max_size=3)),
    max_edits=st.one_of(st.none(), st.integers(1, 6)),
    method=st.sampled_from(["greedy", "evolution"]),
)
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_designs_satisfy_every_constraint_or_are_refused(start, forbid, gc, keep, flanks, max_edits, method):
    torch.set_num_threads(1)
    asked = {"forbid": forbid, "gc": gc, "keep": keep, "flanks": flanks, "max_edits": max_edits, "method": method}
    asked |= {"steps": 4, "population": 8, "count": 2}
    try:
        found = design(model(), "heart up, brain down", start=[start], **asked)
    except ConfigError:
        return
    chosen = DesignSettings.parse(asked)
    begun = decode(Constraints(chosen).flanked(codes_of(start)))
    assert found.table["start_sequence"].to_list() == [begun] * found.table.height
    assert found.table["sequence"].n_unique() == found.table.height, "no design twice"
    for text, edits in found.table.select("sequence", "edits").iter_rows():
        assert broken_constraints(text, begun, chosen) == []
        assert edits == sum(a != b for a, b in zip(text, begun, strict=True))


def model() -> Predictor:
    net = motif_model()
    shape = {"mode": "window", "width": 60, "jitter": 0, "min_length": 60, "max_length": 60}
    return Predictor(net, net.tasks, None, {"model": "cnn", "sequence": shape}, Path("toy"))


START = random_text(30, 1)


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        (START, []),
        (START[:8] + "A" * 5 + START[13:], ["holds AAAA"]),
        (START[:8] + "T" * 5 + START[13:], ["holds AAAA"]),
        (START[:5] + "GCGCGCGCGCGCGCGCGCGCGCGC" + START[29:], ["8:9 changed", "edits", "G or C"]),
        (START[:29], ["29 bases, its start 30", "flank"]),
        ("N" + START[1:], ["letters", "flank"]),
    ],
)
def test_the_checker_sees_what_is_broken(text: str, broken: list[str]):
    flanks = (START[:2], START[-2:])
    asked = DesignSettings(forbid=("AAAA",), gc=(0.2, 0.8), keep=((8, 9),), max_edits=8, flanks=flanks)
    found = broken_constraints(text, START, asked)
    assert bool(found) == bool(broken)
    for word in broken:
        assert any(word in said for said in found), (word, found)
