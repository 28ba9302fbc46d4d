"""Laws of contributions: windows cover every base, shuffles keep what they must, sums come out for any sequence."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from encre.interpret.gradients import Pairs
from encre.interpret.mutagenesis import base_logits, hypothetical
from encre.interpret.references import make_references, one_hot, shuffled
from encre.interpret.twin import make_twin, reverse_strand
from encre.interpret.windows import windows_of
from encre.predict.inputs import Records
from encre.sequence.alphabet import encode, reverse_complement
from toy_models import motif_model

dna = st.text("ACGTN", min_size=2, max_size=70)
MODEL = motif_model()


@given(st.lists(dna, min_size=1, max_size=5), st.integers(2, 40))
def test_windows_cover_every_known_base(texts: list[str], width: int):
    records = Records.from_sequences(texts)
    windows, left_out = windows_of(records, width)
    seen = [np.zeros(len(text), bool) for text in texts]
    for row, (record, first) in enumerate(zip(windows.record, windows.first, strict=True)):
        codes = windows.codes[windows.offsets[row] : windows.offsets[row + 1]]
        assert len(codes) == min(width, len(texts[record]))
        np.testing.assert_array_equal(codes, encode(texts[record])[first : first + len(codes)])
        seen[record][first : first + len(codes)] = True
    for text, covered in zip(texts, seen, strict=True):
        assert all(base == "N" for base, there in zip(text, covered, strict=True) if not there)
    assert left_out or all(covered.all() for covered in seen)


@given(dna, st.integers(0, 3))
def test_shuffles_keep_n_and_composition(text: str, seed: int):
    codes = encode(text)[None]
    mixed = shuffled(codes, np.random.default_rng(seed))
    np.testing.assert_array_equal(mixed == 4, codes == 4)
    np.testing.assert_array_equal(np.bincount(mixed[0], minlength=5), np.bincount(codes[0], minlength=5))


@settings(max_examples=30, deadline=None)
@given(dna)
def test_mutagenesis_of_the_other_strand_is_the_same_read_backwards(text: str):
    codes = encode(text)[None].copy()
    found = hypothetical(base_logits(MODEL, codes)[1])
    other = hypothetical(base_logits(MODEL, np.ascontiguousarray(reverse_complement(codes)))[1])
    np.testing.assert_allclose(found, other[..., ::-1, ::-1], atol=1e-5)
    np.testing.assert_allclose(found.sum(axis=2), 0, atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(dna.filter(lambda text: set(text) != {"N"}), st.sampled_from(["uniform", "zero", "shuffle"]))
def test_deeplift_sums_up_for_any_sequence(text: str, reference: str):
    from encre.interpret.deeplift import deeplift

    codes = encode(text)[None].copy()
    references = make_references(reference, codes, count=2, rng=np.random.default_rng(0))
    pairs = Pairs(codes, one_hot(codes), references, np.array([0, 1]))
    found = deeplift(MODEL, pairs)
    assert found.errors(pairs).max() < 1e-4


@settings(max_examples=20, deadline=None)
@given(dna)
def test_the_twin_reads_either_strand(text: str):
    import torch

    codes = encode(text)[None]
    x = torch.from_numpy(one_hot(codes))
    with torch.inference_mode():
        other = make_twin(MODEL, len(text))(reverse_strand(x))
        turned = torch.from_numpy(np.ascontiguousarray(reverse_complement(codes)))
        torch.testing.assert_close(other, MODEL(turned, torch.tensor([len(text)])), atol=1e-5, rtol=1e-5)
