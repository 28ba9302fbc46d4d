"""Edits of training sequences: what each does, and that nothing but the seed, the step and the row decides."""

from __future__ import annotations

import numpy as np
import pytest

from encre.data.dataset import Batch
from encre.errors import ConfigError
from encre.sequence.alphabet import decode, encode, reverse_complement
from encre.train.augmentation import EDITS, augmented
from encre.train.settings import TrainConfig

MOST = {"shift": 9, "mutate": 0.1, "insert": 7, "delete": 7, "invert": 12, "translocate": 11}


def batch(*, longest: int = 60, rows: int = 40, signals: np.ndarray | None = None) -> Batch:
    """Sequences of 20 to ``longest`` bases without N, padded."""
    rng = np.random.default_rng(3)
    length = rng.integers(20, longest + 1, rows)
    codes = rng.integers(0, 4, (rows, longest)).astype(np.uint8)
    codes[np.arange(longest) >= length[:, None]] = 4
    targets, mask = np.ones((rows, 2), np.float32), np.ones((rows, 2), bool)
    return Batch(codes, length, targets, mask, np.arange(100, 100 + rows), signals)


def edited(given: Batch, *, step: int = 0, spent: float = 0.0, seed: int = 0, **augment: float) -> Batch:
    return augmented(given, TrainConfig.parse({"seed": seed, "augment": augment}), step=step, spent=spent)


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_changes_real_bases_alone_and_keeps_every_length(name: str):
    given = batch()
    before = given.codes.copy()
    found = edited(given, **{name: MOST[name]})
    assert np.array_equal(given.codes, before), "the dataset's own batch stays as it is"
    assert found.codes.dtype == np.uint8
    padding = np.arange(60) >= given.length[:, None]
    assert (found.codes[padding] == 4).all()
    if name != "shift":
        assert (found.codes[~padding] < 4).all()
    assert (found.codes != before).any(axis=1).mean() > 0.6
    assert all(np.array_equal(found[at], given[at]) for at in (1, 2, 3, 4)), "length, targets, mask and index"


@pytest.mark.parametrize("name", EDITS)
def test_a_row_is_edited_alike_whoever_holds_it(name: str):
    """As under torchrun: a process has every other row, in a batch as wide as its own longest."""
    given = batch()
    whole = edited(given, step=7, **{name: MOST[name]})
    rows = np.arange(1, 40, 2)
    width = int(given.length[rows].max())
    part = Batch(given.codes[rows, :width], *(array[rows] for array in given[1:5]))
    assert np.array_equal(edited(part, step=7, **{name: MOST[name]}).codes, whole.codes[rows, :width])
    assert not np.array_equal(edited(given, step=8, **{name: MOST[name]}).codes, whole.codes)
    assert not np.array_equal(edited(given, step=7, seed=1, **{name: MOST[name]}).codes, whole.codes)


def test_what_each_edit_does_to_one_sequence():
    """A sequence in which every place can be told from its neighbours: the result names its origin."""
    text = "ACGTTGCAAGCTCCATGGATTACGCGTATC"
    seen: dict[str, set[str]] = {name: set() for name in EDITS}
    for name in EDITS:
        for step in range(60):
            one = Batch(encode(text)[None].copy(), np.array([30]), *(np.zeros((1, 1)),) * 2, np.array([5]))  # type: ignore[arg-type]
            seen[name].add(decode(edited(one, step=step, **{name: MOST[name]}).codes[0]))
    assert seen["shift"] == {("N" * by + text)[:30] for by in range(10)} | {text[by:] + "N" * by for by in range(10)}
    assert seen["translocate"] == {text[30 - by :] + text[: 30 - by] for by in range(12)}
    turned = decode(reverse_complement(encode(text)))
    spans = [(a, b) for a in range(31) for b in range(a, min(a + 12, 30) + 1)]
    assert seen["invert"] <= {text[:a] + turned[30 - b : 30 - a] + text[b:] for a, b in spans}
    assert all(sum(x != y for x, y in zip(found, text, strict=True)) in (1, 2, 3) for found in seen["mutate"])
    for found in seen["insert"]:
        assert any(
            text.startswith(found[:a]) and text[a:].startswith(found[a + n :])
            for n in range(8)
            for a in range(31 - n)
        )
    for found in seen["delete"]:
        assert any(found.startswith(text[:a] + text[a + n :]) for n in range(8) for a in range(31 - n))
    assert all(len(found) > 10 for found in seen.values())


def test_unknown_bases_stay_unknown():
    given = batch()
    given.codes[:, 3:6] = 4
    found = edited(given, mutate=1.0)
    assert (found.codes[:, 3:6] == 4).all()


def test_only_so_many_kinds_of_edit_fall_on_a_sequence():
    given = batch(rows=400)
    one = edited(given, per_sequence=1, shift=5, mutate=0.1)
    shifted = (
        one.codes[np.arange(60) < given.length[:, None]].size,
        (one.codes == 4).sum() - (given.codes == 4).sum(),
    )
    assert shifted[1] > 0
    moved = np.array([(a[:20] != b[:20]).mean() > 0.4 for a, b in zip(one.codes, given.codes, strict=True)])
    assert 0.3 < moved.mean() < 0.6, "half of the sequences are shifted, the others mutated"


def test_the_last_share_of_the_training_sees_what_is_there():
    given = batch()
    assert edited(given, spent=0.79, mutate=0.1).codes is not given.codes
    assert edited(given, spent=0.8, mutate=0.1) is given
    assert edited(given) is given


def test_bases_do_not_move_under_their_signals():
    given = batch(signals=np.zeros((40, 1, 60), np.float32))
    assert not np.array_equal(edited(given, mutate=0.2).codes, given.codes)
    with pytest.raises(ConfigError, match="away from their signals"):
        edited(given, mutate=0.2, shift=3)
