"""What the scoring benchmark compares is the same thing on both sides: tangermeme agrees to 1e-5, indels included."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

import encre
from encre.predict.variants.effects import VariantOptions, score_variants

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def given():
    """``benchmarks/scoring_inputs.py`` and ``benchmarks/peers/network.py``."""
    paths = [str(BENCHMARKS), str(BENCHMARKS / "peers")]
    sys.path[:0] = paths
    try:
        import network
        import scoring_inputs
    finally:
        del sys.path[: len(paths)]
    scoring_inputs.plain = network
    return scoring_inputs


@pytest.fixture(scope="module")
def models(given, tmp_path_factory):
    """The network as encre has it, as plain modules, and as a run folder."""
    folder = tmp_path_factory.mktemp("network")
    model = given.network()
    plain = given.plain.read(given.write_plain(model, folder / "network.npz"))
    return model, plain, given.write_run(model, folder / "run")


@pytest.mark.parametrize("length", [350, 512])
def test_the_plain_network_is_the_same_network(given, models, length):
    model, plain, _ = models
    codes = given.random_codes(4, length)
    codes[0, :20] = 4
    with torch.no_grad():
        ours = model(torch.from_numpy(codes), torch.full((4,), length))
        theirs = plain(given.plain.one_hot(codes, torch.float32))
    assert model.parameters_count == 128_330
    assert float((ours - theirs).abs().max()) < 1e-5
    assert float(ours.std(0).min()) > 0.1  # or the tolerance would say little


def test_variants_agree_with_tangermeme(given, models, tmp_path):
    effects = pytest.importorskip("tangermeme.variant_effect")
    _, plain, run = models
    codes = given.random_codes(20_000, seed=6)
    found = given.variants_on(codes, 80)
    vcf = given.write_vcf(found, tmp_path / "v.vcf", chrom="chr1", length=len(codes))
    genome = encre.Genome(given.write_fasta(codes, tmp_path / "g.fa", name="chr1"), assembly="custom:toy")
    options = VariantOptions(background=0, both_strands=False)
    table = score_variants(encre.load(run, device="cpu"), vcf, genome, options=options)
    ours = table.select(pl.col("^delta_logit_.*$")).to_numpy()[given.by_kind(found)]
    windows = given.tangermeme_windows(codes, found)

    def effect(name, sequences, changes, **how):
        letters, changes = given.plain.one_hot(windows[sequences]), torch.from_numpy(windows[changes])
        before, after = getattr(effects, f"{name}_effect")(plain, letters, changes, device="cpu", **how)
        return (after - before).numpy()

    deleted = [
        effect("deletion", f"deleted_{side}", f"deletions_{side}", left=side == "right") for side in ("left", "right")
    ]
    inserted = [effect("insertion", "inserted", "insertions", left=left) for left in (False, True)]
    substituted = effect("substitution", "substituted", "substitutions")
    theirs = np.concatenate([substituted, sum(deleted) / 2, sum(inserted) / 2])
    assert (len(substituted), len(deleted[0]), len(inserted[0])) == (72, 4, 4)
    assert float(np.abs(ours - theirs).max()) < 1e-5


def test_mutagenesis_agrees_with_tangermeme(given, models):
    mutagenesis = pytest.importorskip("tangermeme.saturation_mutagenesis")
    from encre.models.substitution import every_substitution, substituted_logits

    model, plain, _ = models
    codes = given.random_codes(1, 120, seed=3)
    changes = every_substitution(codes)
    before, after = substituted_logits(model, codes, changes, both_strands=False)
    letters = given.plain.one_hot(codes)
    found = mutagenesis.saturation_mutagenesis(plain, letters, raw_outputs=True, device="cpu", fast=False)
    slow = found.y_hat[0].numpy()[changes.bases[:, 0], changes.start]
    assert float(np.abs(before - found.y0.numpy()).max()) < 1e-5
    assert float(np.abs(after - slow).max()) < 1e-5
