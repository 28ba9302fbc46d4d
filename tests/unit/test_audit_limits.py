"""The limits of [audit], and the audit in words."""

from __future__ import annotations

import re

import pytest

from encre.data import audit_words as words
from encre.data.audit import AuditSettings, check_audit, failures
from encre.errors import ConfigError, GateError

ROW = {"row": 3, "split": "train", "kind": "element"}
TWIN = {"row": 9, "split": "test", "kind": "element"}


def found(**leakage):
    """An audit of 100 rows a split, with 6 pairs of equal sequences and some of every other kind."""
    none = {"train": 0, "valid": 0, "test": 0}
    kind = {"pairs": 2, "rows": none | {"test": 2}, "by_splits": {}, "repeat_share": 0.9, "examples": []}
    return {
        "leakage": {
            "pairs": 6,
            "exact": 4,
            "reverse_complement": 2,
            "groups": 2,
            "by_splits": {"train-test": 6},
            "rows": none | {"train": 2, "test": 3},
            "examples": [{"group": "g", "rows": [ROW, TWIN]}],
            "kinds": dict.fromkeys(("exact", "reverse_complement", "shifted", "near_duplicate"), kind)
            | {"overlapping": kind | {"rows": none | {"valid": 1, "test": 7}}},
            "near_rows": none | {"train": 4, "test": 5},
            "leaked_rows": none | {"train": 9, "valid": 1, "test": 12},
            "sizes": {"train": 100, "valid": 100, "test": 100},
            "repeat_share": 0.4,
            "searched": {"similarity": 0.9, "min_overlap": 0.5},
        }
        | leakage,
        "shortcuts": {
            "split": "test",
            "tasks": {"on": {"length": 0.5, "gc": 0.3, "positives": 9, "negatives": 9}},
            "by_kind": {"on": {"background": {"length": 0.9, "gc": 0.5, "positives": 9, "negatives": 9}}},
            "absent": {"repeat_share": "no genome"},
            "flag": 0.6,
            "flagged": [],
        },
        "neighbours": {
            "split": "test",
            "sampled": 100,
            "leaked": 12,
            "tasks": {
                "on": {
                    "all": {"n": 100, "accuracy": 0.8, "mcc": 0.6, "auroc": 0.8},
                    "without_leaked": {"n": 88, "accuracy": 0.7, "mcc": 0.4, "auroc": None},
                    "profit": {"accuracy": 0.1, "mcc": 0.2, "auroc": None},
                },
                "heart": {"reason": "a regression has no classes"},
            },
        },
    }


def test_no_limit_fails_nothing():
    assert failures(found(), AuditSettings()) == []
    check_audit(found(), AuditSettings())


@pytest.mark.parametrize(
    ("limit", "allowed", "too_low", "says"),
    [
        ("max_exact_leakage", 6, 5, r"6 pairs.*4 exact, 2 reverse complement.*train row 3 and test row 9"),
        ("max_overlap_leakage", 8, 7, "8 valid and test rows lie on bases of the genome"),
        ("max_near_leakage", 5, 4, "5 valid and test rows have a shifted or nearly equal partner"),
        ("max_shortcut_auroc", 0.9, 0.85, r"length alone reaches an AUROC of 0.900.*'on' against.*'background'"),
        ("max_neighbour_profit", 0.2, 0.05, "raise the accuracy of the nearest training neighbour.*'on' by 0.100"),
    ],
)
def test_each_limit_passes_at_it_and_fails_beyond_it(limit, allowed, too_low, says):
    assert failures(found(), AuditSettings(**{limit: allowed})) == []
    (clause,) = failures(found(), AuditSettings(**{limit: too_low}))
    assert re.search(says, clause)
    assert limit in clause
    with pytest.raises(GateError, match=says) as caught:
        check_audit(found(), AuditSettings(**{limit: too_low}))
    assert caught.value.exit_code == 3
    assert caught.value.remedy


def test_a_shortcut_counts_in_either_direction_and_against_one_kind():
    (clause,) = failures(found(), AuditSettings(max_shortcut_auroc=0.65))
    assert "and 1 more" in clause  # gc, 0.3 the other way round


def test_one_error_names_every_limit_that_is_exceeded():
    settings = AuditSettings(
        max_exact_leakage=0, max_overlap_leakage=0, max_near_leakage=0, max_shortcut_auroc=0.6, max_neighbour_profit=0
    )
    assert len(failures(found(), settings)) == 5
    with pytest.raises(GateError, match=r"5 limits of \[audit\] are exceeded") as caught:
        check_audit(found(), settings)
    for limit in AuditSettings.model_fields:
        assert not limit.startswith("max_") or limit in str(caught.value)


def test_a_limit_that_cannot_be_judged_fails_instead_of_passing():
    bare = found(near_rows=None, searched=None)
    bare["leakage"]["kinds"]["overlapping"] = {"pairs": None, "reason": "no coordinates"}
    bare["shortcuts"] = None
    del bare["neighbours"]
    for limit in ("max_overlap_leakage", "max_near_leakage", "max_shortcut_auroc", "max_neighbour_profit"):
        (clause,) = failures(bare, AuditSettings(**{limit: 1}))
        assert f"{limit} cannot be judged" in clause


def test_a_limit_asks_for_its_search():
    assert AuditSettings(max_near_leakage=3).wants_near
    assert AuditSettings(max_neighbour_profit=0.1).wants_neighbours
    assert not AuditSettings().wants_near
    assert not AuditSettings().wants_neighbours
    with pytest.raises(ConfigError, match="max_near_leakage"):
        AuditSettings(max_near_leakage=-1)


def test_the_words_say_counts_shares_and_what_repeats_mean():
    leakage = found()["leakage"]
    said = words.leak_sentence(leakage)
    assert "6 pairs of identical or reverse-complement sequences" in said
    assert "12 (12.0%) of 100 test rows have a partner" in said
    assert "90% alike over at least 50%" in said
    assert "over all valid and test rows it is 40%" in words.repeat_sentence(leakage)
    rows = {row.words: row for row in words.leak_rows(leakage)}
    assert rows["overlapping on the genome"].test == "7 (7.0%)"
    assert rows["nearly equal"].repeats == "90%"
    on, heart = words.neighbour_rows(found()["neighbours"])
    assert on == ("on", ["0.800", "0.700", "+0.100", "0.800", "-", "-"])
    assert heart == ("heart", ["-"] * 6)
    assert "100 test rows" in words.neighbour_head(found()["neighbours"])
    assert "without the 12 that leak" in words.neighbour_head(found()["neighbours"])


def test_a_clean_dataset_is_said_to_be_clean_only_as_far_as_was_looked():
    none = {"train": 0, "valid": 0, "test": 0}
    clean = {"pairs": 0, "rows": none, "leaked_rows": none, "near_rows": None, "searched": None}
    assert "were not looked for" in words.leak_sentence(found(**clean)["leakage"])
    searched = clean | {"near_rows": none, "searched": {"similarity": 0.9, "min_overlap": 0.5}}
    assert "Nothing nearly equal" in words.leak_sentence(found(**searched)["leakage"])


def test_the_audit_of_an_older_dataset_can_still_be_shown():
    old = {"pairs": 7, "exact": 5, "reverse_complement": 2, "by_splits": {"train-test": 7}, "rows": {"test": 6}}
    assert "6 test rows have a twin elsewhere" in words.leak_sentence(old)
    assert [(row.words, row.pairs) for row in words.leak_rows(old)] == [
        ("identical sequences", 5),
        ("reverse complements", 2),
    ]
    shortcuts = {"split": "test", "tasks": {"on": {"length": 0.7, "gc": 0.5, "n_share": None}}}
    assert words.shortcut_names(shortcuts) == ["length", "gc", "n_share"]
    assert [row.scores for row in words.shortcut_rows(shortcuts)] == [[0.7, 0.5, None]]
