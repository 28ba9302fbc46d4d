"""Variant effects against windows made by editing strings and predicted one at a time, over every trunk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from scipy import stats

from encre.genome.store import Genome
from encre.models.checkpoint import save_model
from encre.models.cnn import CNNConfig
from encre.models.cnn_lstm import CNNLSTMConfig
from encre.models.model import build_model
from encre.models.transformer import TransformerConfig
from encre.predict.predictor import Predictor, load
from encre.predict.variants import windows as variant_windows
from encre.predict.variants.background import q_values
from encre.predict.variants.effects import VariantOptions, score_variants
from encre.tasks import screen_tasks

WIDTH = 60
TRUNKS: dict[str, Any] = {
    "cnn_one_hot": CNNConfig(input="one_hot", channels=(8, 8), kernel_sizes=(5, 3), pools=(2, 1)),
    "cnn_kmer": CNNConfig(channels=(8,), kernel_sizes=(5,), pools=(1,), embedding=4, pooling="mean"),
    "cnn_lstm": CNNLSTMConfig(channels=(8,), kernel_sizes=(3,), pools=(2,), embedding=4, lstm=4),
    "transformer": TransformerConfig(width=8, heads=2, layers=1, feed_forward=8, positions=64),
}
PLAIN = VariantOptions(background=0)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def dna() -> dict[str, str]:
    rng = np.random.default_rng(4)
    found = {name: "".join(rng.choice(list("ACGT"), length)) for name, length in (("chr1", 900), ("chr2", 400))}
    found["chr1"] = found["chr1"][:500] + "N" * 8 + found["chr1"][508:]
    return found


@pytest.fixture(scope="module")
def genome(dna: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Genome:
    folder = tmp_path_factory.mktemp("genome")
    (folder / "toy.fa").write_text("".join(f">{name}\n{text}\n" for name, text in dna.items()))
    return Genome(folder / "toy.fa", assembly="custom:toy", cache=folder / "cache")


def predictor(trunk: str, folder: Path, *, width: int = WIDTH) -> Predictor:
    torch.manual_seed(3)
    model = build_model(TRUNKS[trunk], tasks=screen_tasks(["brain", "heart"])).eval()
    sequence = {"mode": "window", "width": width, "jitter": 0, "min_length": width, "max_length": width}
    manifest = {"sequence": sequence, "dataset": {"name": "toy", "digest": "0" * 64, "path": ""}}
    return load(save_model(folder / trunk, model, manifest=manifest), device="cpu")


def logits(model: Predictor, texts: list[str]) -> np.ndarray:
    """Logits (N, K) of plain sequences."""
    return model.predict(texts).select(r"^logit_.*$").to_numpy()


def cut(text: str, start: int, end: int) -> str:
    """Bases of a chromosome, N where it has none."""
    return "".join(text[i] if 0 <= i < len(text) else "N" for i in range(start, end))


def edited(text: str, pos: int, ref: str, alt: str, *, shift: int = 0) -> tuple[str, str, str]:
    """Reference window, and the alternative's with the left and with the right side in place, by editing strings."""
    start = pos - 1
    assert text[start : start + len(ref)] == ref
    while ref and alt and ref[-1] == alt[-1]:
        ref, alt = ref[:-1], alt[:-1]
    while ref and alt and ref[0] == alt[0]:
        start, ref, alt = start + 1, ref[1:], alt[1:]
    begin = (2 * start + len(ref)) // 2 - WIDTH // 2 + shift
    far_left, far_right = cut(text, begin - WIDTH, start), cut(text, start + len(ref), begin + 2 * WIDTH)
    whole = far_left + alt + far_right
    behind = len(whole) - WIDTH
    return cut(text, begin, begin + WIDTH), whole[WIDTH : 2 * WIDTH], whole[behind - WIDTH : behind]


def naive(
    model: Predictor, dna: dict[str, str], rows: list[tuple[str, int, str, str]], *, shift: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Reference and alternative logits (N, K) of alleles."""
    texts = [text for chrom, *allele in rows for text in edited(dna[chrom], *allele, shift=shift)]  # type: ignore
    found = logits(model, texts).reshape(len(rows), 3, -1)
    return found[:, 0], (found[:, 1] + found[:, 2]) / 2


def alleles(dna: dict[str, str]) -> list[tuple[str, int, str, str]]:
    """All kinds, repeats and the ends of chromosomes included."""
    found = []
    rng = np.random.default_rng(8)
    for chrom, pos in (
        ("chr1", 3),
        ("chr1", 60),
        ("chr1", 61),
        ("chr1", 240),
        ("chr1", 495),
        ("chr2", 30),
        ("chr2", 380),
    ):
        text = dna[chrom]
        ref = text[pos - 1]
        found.append((chrom, pos, ref, "ACGT"[("ACGT".index(ref) + 1) % 4]))
        three = text[pos - 1 : pos + 2]
        if "N" not in three:
            found.append((chrom, pos, three, "".join("ACGT"[("ACGT".index(base) + 2) % 4] for base in three)))
        found.append((chrom, pos, ref, ref + "".join(rng.choice(list("ACGT"), int(rng.integers(1, 9))))))
        long = text[pos - 1 : pos + 4]
        found += [(chrom, pos, long, long[0]), (chrom, pos, long, "CAT")] if "N" not in long else []
    return [found[i] for i in rng.permutation(len(found)) if found[i][2] != found[i][3]]


def write_table(path: Path, rows: list[tuple[str, int, str, str]]) -> Path:
    path.write_text("chrom\tpos\tref\talt\n" + "".join("\t".join(map(str, row)) + "\n" for row in rows))
    return path


def read(table: pl.DataFrame, name: str) -> np.ndarray:
    return table.select(f"^{name}_.*$").to_numpy()


@pytest.mark.parametrize("trunk", TRUNKS)
def test_every_kind_equals_edited_strings(trunk: str, dna: dict[str, str], genome: Genome, tmp_path: Path):
    model, rows = predictor(trunk, tmp_path), alleles(dna)
    found = score_variants(model, write_table(tmp_path / "x.tsv", rows), genome, options=PLAIN)
    assert found.select("chrom", "pos", "ref", "alt").rows() == rows
    assert set(found["kind"].unique()) == {"SNV", "MNV", "insertion", "deletion", "delins"}
    reference, alternative = naive(model, dna, rows)
    np.testing.assert_allclose(read(found, "logit_ref"), reference, atol=1e-5)
    np.testing.assert_allclose(read(found, "logit_alt"), alternative, atol=1e-5)
    np.testing.assert_allclose(read(found, "delta_logit"), alternative - reference, atol=1e-5)


@pytest.mark.parametrize("combine", ["mean", "max"])
def test_shifts_equal_moved_windows(combine: str, dna: dict[str, str], genome: Genome, tmp_path: Path):
    model, rows = predictor("cnn_kmer", tmp_path), alleles(dna)
    options = VariantOptions(background=0, shifts=2, shift_step=7, combine=combine)
    found = score_variants(model, write_table(tmp_path / "x.tsv", rows), genome, options=options)
    pairs = [naive(model, dna, rows, shift=shift) for shift in (-14, -7, 0, 7, 14)]
    delta = np.array([alternative - reference for reference, alternative in pairs])
    largest = np.take_along_axis(delta, np.abs(delta).argmax(axis=0)[None], axis=0)[0]
    expected = delta.mean(axis=0) if combine == "mean" else largest
    np.testing.assert_allclose(read(found, "delta_logit"), expected, atol=1e-5)


@pytest.mark.parametrize("trunk", ["cnn_one_hot", "transformer"])
def test_saturation_equals_substituted_strings(trunk: str, dna: dict[str, str], genome: Genome, tmp_path: Path):
    model = predictor(trunk, tmp_path)
    (tmp_path / "x.bed").write_text("chr1\t100\t170\tone\nchr1\t498\t503\ttwo\n")
    options = VariantOptions(saturate=True, background=0)
    found = score_variants(model, tmp_path / "x.bed", genome, options=options)
    assert found.height == 3 * (70 + 2)  # three of the five bases of the second are N
    assert found["id"].to_list() == ["one"] * 210 + ["two"] * 6
    for row, delta in zip(found.rows(named=True)[::17], read(found, "delta_logit")[::17], strict=True):
        at = row["pos"] - 1
        # 70 bases are tiles of 24, 24 and 22, none wider than half of the window.
        first = 100 + (at - 100) // 24 * 24 if at < 200 else 498
        begin = (first + min(first + (24 if at < 200 else 5), 170 if at < 200 else 503)) // 2 - WIDTH // 2
        assert WIDTH // 4 <= at - begin < WIDTH - WIDTH // 4
        window = cut(dna["chr1"], begin, begin + WIDTH)
        changed = window[: at - begin] + row["alt"] + window[at - begin + 1 :]
        assert window[at - begin] == row["ref"]
        reference, alternative = logits(model, [window, changed])
        np.testing.assert_allclose(delta, alternative - reference, atol=1e-5)


@pytest.mark.parametrize("options", [PLAIN, VariantOptions(background=20, shifts=1)], ids=["plain", "shifts"])
def test_the_size_of_a_block_does_not_matter(
    options: VariantOptions, dna: dict[str, str], genome: Genome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    model, path = predictor("cnn_kmer", tmp_path), write_table(tmp_path / "x.tsv", alleles(dna))
    whole = score_variants(model, path, genome, options=options)
    monkeypatch.setattr(variant_windows, "_BLOCK_ROWS", 3)
    monkeypatch.setattr(variant_windows, "_BLOCK_CHANGES", 7)
    parts = score_variants(model, path, genome, options=options)
    assert whole.select("pos", "ref", "alt", "kind").equals(parts.select("pos", "ref", "alt", "kind"))
    np.testing.assert_allclose(read(whole, "delta_logit"), read(parts, "delta_logit"), atol=1e-5)


def test_random_changes_do_not_move_the_scores(dna: dict[str, str], genome: Genome, tmp_path: Path):
    model, path = predictor("cnn_kmer", tmp_path), write_table(tmp_path / "x.tsv", alleles(dna))
    plain = score_variants(model, path, genome, options=PLAIN)
    with_p = score_variants(model, path, genome, options=VariantOptions(background=40))
    np.testing.assert_allclose(read(plain, "delta_logit"), read(with_p, "delta_logit"), atol=1e-6)
    assert not any(name.startswith(("p_", "q_")) for name in plain.columns)
    assert with_p["p_heart"].is_between(1 / 41 - 1e-6, 1).all()


def test_q_values_are_those_of_scipy():
    p = np.random.default_rng(0).uniform(size=(50, 2)) ** 3
    p[7, 1] = np.nan
    found = q_values(p)
    np.testing.assert_allclose(found[:, 0], stats.false_discovery_control(p[:, 0]))
    known = ~np.isnan(p[:, 1])
    np.testing.assert_allclose(found[known, 1], stats.false_discovery_control(p[known, 1]))
    assert np.isnan(found[7, 1])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_one_strand_and_precision_reach_the_network(
    precision: Any, dna: dict[str, str], genome: Genome, tmp_path: Path
):
    model, path = predictor("cnn_kmer", tmp_path), write_table(tmp_path / "x.tsv", alleles(dna))
    both = score_variants(model, path, genome, options=VariantOptions(background=0, precision=precision))
    single = score_variants(model, path, genome, options=VariantOptions(background=0, both_strands=False))
    assert np.abs(read(both, "logit_ref") - read(single, "logit_ref")).max() > 1e-3
