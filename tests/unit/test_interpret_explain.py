"""Contributions in the toy whose motifs are known: found by every method, placed on the genome, refused in words."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

import encre
from encre.errors import ConfigError, FolderError, MissingExtraError, SequenceError
from encre.genome.signal import SignalTrack
from encre.genome.store import Genome
from encre.interpret.attribution import Attributions, attribute, refuse_unconverged
from encre.interpret.explain import Explanation, error_words, explain
from encre.interpret.logos import MOST_LETTERS, strongest
from encre.interpret.places import places_of
from encre.interpret.references import make_references, shuffled
from encre.interpret.settings import METHODS, AttributionSettings, ConvergenceError, check_method
from encre.interpret.windows import windows_of
from encre.models.transformer import TransformerConfig
from encre.predict.inputs import Records, read_inputs
from encre.predict.predictor import Predictor, load
from toy_models import MOTIFS, motif_model, motif_tasks, random_text, save_motif_run

AT = 40  # where the heart motif is planted


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_motif_run(tmp_path_factory.mktemp("runs") / "motifs")


@pytest.fixture
def model(run: Path) -> Predictor:
    return load(run, device="cpu")


def planted(seed: int = 1) -> str:
    return random_text(100, seed, planted={AT: MOTIFS["heart"]})


@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_the_planted_motif(model: Predictor, method: str):
    settings = AttributionSettings(method, shuffles=5 if method == "shap" else None)
    found = attribute(model, [planted()], settings=settings)
    heart, brain = np.abs(found.contributions(0))
    width = len(MOTIFS["heart"])
    assert heart[AT : AT + width].sum() > 0.85 * heart.sum()
    assert (found.contributions(0)[0, AT : AT + width] > 0).all()
    assert brain[AT : AT + width].sum() < 0.5 * max(brain.sum(), 1e-9)


def logit_by_hand(text: str, motif: str) -> float:
    """What the toy model says: 1.5 for each base beyond four of the best match, on each strand, from -7.5."""
    other = motif.translate(str.maketrans("ACGT", "TGCA"))[::-1]
    padded = f"....{text}...."
    best = [
        max(sum(a == b for a, b in zip(padded[at : at + 9], one, strict=True)) for at in range(len(text)))
        for one in (motif, other)
    ]
    return -7.5 + 1.5 * sum(max(0, match - 4) for match in best)


def test_mutagenesis_is_what_it_is_by_hand(model: Predictor):
    text = planted()
    delta = encre.saturation_mutagenesis(model, text, task="heart")
    assert delta.shape == (4, 100)
    for at in range(AT - 3, AT + 12):
        for row, base in enumerate("ACGT"):
            expected = logit_by_hand(text[:at] + base + text[at + 1 :], MOTIFS["heart"])
            assert delta[row, at] == pytest.approx(expected - logit_by_hand(text, MOTIFS["heart"]), abs=1e-5)
    found = attribute(model, text, tasks=["heart"])
    np.testing.assert_allclose(found.hypothetical[0][0], delta - delta.mean(axis=0), atol=1e-5)
    assert found.deviation is not None
    assert found.deviation < 1e-5


def test_long_sequences_are_covered_by_windows_and_n_contributes_nothing(model: Predictor):
    text = planted() + "N" * 160 + planted(2)
    records = Records.from_sequences(["ACGTACGTAA", text], ["short", "long"])
    windows, only_n = windows_of(records, 100)
    assert only_n == 2  # 100-200 and 150-250
    assert windows.first[windows.record == 1].tolist() == [0, 50, 200, 250, 260]
    found = attribute(model, records)
    assert found.all_n == 2
    assert found.names == ["short"] + ["long"] * 5
    assert (found.contributions(2)[:, 50:] == 0).all()
    assert places_of(found.records, found.windows).find("long:301-309")[1:] == (50, 59)


def test_references_keep_n_where_it_is():
    codes = np.random.default_rng(0).integers(0, 4, (2, 60)).astype(np.uint8)
    codes[:, 20:25] = 4
    mixed = shuffled(codes, np.random.default_rng(1))
    np.testing.assert_array_equal(mixed == 4, codes == 4)
    assert (mixed != codes).any(axis=1).all()
    for part in (slice(0, 20), slice(25, 60)):
        pairs = [
            np.unique(rows[:, part][:, :-1] * 5 + rows[:, part][:, 1:], return_counts=True) for rows in (codes, mixed)
        ]
        np.testing.assert_array_equal(pairs[0], pairs[1])
    uniform = make_references("uniform", codes, count=1, rng=np.random.default_rng(0))
    assert set(uniform[0, 0, :, :20].ravel()) == {0.25}
    assert (uniform[0, 0, :, 20:25] == 0).all()


def test_the_seed_decides_the_shuffles(model: Predictor):
    ways = [AttributionSettings("shap", shuffles=3, seed=seed) for seed in (0, 0, 1)]
    one, same, other = (attribute(model, planted(), settings=settings).hypothetical[0] for settings in ways)
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 1e-4


def test_a_window_too_simple_to_shuffle_is_said(model: Predictor):
    found = attribute(model, ["A" * 60], settings=AttributionSettings("shap", shuffles=3))
    assert found.unshuffled == 1
    assert "too simple to shuffle" in " ".join(error_words(found, found.take(np.empty(0, np.int64))))


def test_what_does_not_converge_is_refused_or_listed_apart(model: Predictor, tmp_path: Path):
    records = Records.from_sequences([planted(), "A" * 100], ["planted", "simple"])
    # too few steps for so small an error: the sequence without a motif is exact all the same
    settings = AttributionSettings("integrated_gradients", limit=1e-6, steps=32)
    with pytest.raises(ConvergenceError, match=r"1 of 2 sequences.*'planted'.*at most 1e-06.*ism measures.*--limit"):
        attribute(model, records, settings=settings)
    with pytest.raises(ConvergenceError):
        explain(model, records, tmp_path / "no", asked=Explanation(settings))
    assert not (tmp_path / "no").exists()
    summary = explain(model, records, tmp_path / "out", asked=Explanation(settings, skip_unconverged=True))
    assert summary["left_out"]["unconverged"] == 1
    assert "1 of 2 windows did not converge" in " ".join(summary["words"])
    assert pl.read_csv(tmp_path / "out" / "unconverged.tsv", separator="\t")["name"].to_list() == ["planted"]
    assert np.load(tmp_path / "out" / "ohe.npz")["arr_0"].shape == (1, 4, 100)


def test_a_broken_sum_is_seen(model: Predictor):
    found = attribute(model, planted(), settings=AttributionSettings("deeplift"))
    wrong = Attributions(**{**vars(found), "error": found.error + 1.0})
    with pytest.raises(ConvergenceError, match="DeepLIFT does not converge"):
        refuse_unconverged(wrong)
    # The task that is named is the one above its limit, not the one with the greatest error.
    parts = {"error": np.array([[0.05, 0.02]]), "difference": np.array([[100.0, 0.5]])}
    with pytest.raises(ConvergenceError, match=rf"task {found.tasks[1]}.*got 0\.02"):
        refuse_unconverged(Attributions(**{**vars(found), **parts}))
    nothing = Attributions(**{**vars(found), "error": found.error * np.nan})
    assert nothing.unconverged.tolist() == [0]


def test_methods_and_settings_that_cannot_be_are_refused(model: Predictor):
    with pytest.raises(ConfigError, match=r"Did you mean 'deeplift'"):
        AttributionSettings("deeplfit")
    with pytest.raises(ConfigError, match=r"takes no reference 'uniform'.*Possible: shuffle"):
        AttributionSettings("shap", reference="uniform")
    with pytest.raises(ConfigError, match="Leave --reference out"):
        AttributionSettings("ism", reference="zero")
    with pytest.raises(ConfigError, match="goes with the reference 'shuffle'"):
        AttributionSettings("deeplift", shuffles=3)
    with pytest.raises(ConfigError, match="A limit goes with integrated_gradients, deeplift, shap"):
        AttributionSettings("gradient_x_input", limit=0.1)
    with pytest.raises(ConfigError, match="the method is named twice"):
        attribute(model, planted(), method="shap", settings=AttributionSettings("deeplift"))
    with pytest.raises(ConfigError, match="computed in fp32"):
        AttributionSettings("deeplift", precision="bf16")
    with pytest.raises(ConfigError, match="there is no task 'hart'"):
        attribute(model, planted(), tasks=["hart"])
    with pytest.raises(SequenceError, match="only N"):
        encre.saturation_mutagenesis(model, "N" * 50, task="heart")
    with pytest.raises(SequenceError, match="longer than the model's window"):
        encre.saturation_mutagenesis(model, "ACGT" * 50, task="heart")


def test_deeplift_on_a_transformer_names_what_is_possible():
    config = TransformerConfig(width=8, heads=2, layers=1, feed_forward=8)
    network = encre.build_model(config, tasks=motif_tasks()).eval()
    with pytest.raises(
        ConfigError, match=r"not possible.*Possible with it: ism, gradient_x_input, integrated_gradients"
    ):
        check_method(network, "deeplift")
    with pytest.raises(ConfigError, match=r"transformer on 3-mers, mean pooling"):
        check_method(network, "shap")


def test_without_the_extra_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch, model: Predictor, tmp_path: Path):
    monkeypatch.setitem(sys.modules, "tangermeme.deep_lift_shap", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'encre\[interpret\]'"):
        check_method(motif_model(), "shap")
    monkeypatch.setitem(sys.modules, "logomaker", None)
    with pytest.raises(MissingExtraError, match=r"logomaker.*pip install 'encre\[interpret\]'"):
        Explanation(logos=1).check(model, tmp_path / "out")


def test_an_occupied_folder_and_wrong_logo_regions_are_refused_first(model: Predictor, tmp_path: Path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    records = Records.from_sequences([planted()], ["one"])
    with pytest.raises(FolderError, match="not empty"):
        explain(model, records, tmp_path / "full")
    with pytest.raises(ConfigError, match=f"too long for a logo.*at most {MOST_LETTERS}"):
        explain(model, records, tmp_path / "out", asked=Explanation(logo_regions=["one:1-300"]))
    with pytest.raises(ConfigError, match="no explained window holds"):
        explain(model, records, tmp_path / "out", asked=Explanation(logo_regions=["one:90-110"]))
    assert not (tmp_path / "out").exists()


def test_the_strongest_part_of_a_long_window_is_shown(model: Predictor):
    found = attribute(model, [random_text(90, 1), planted()], tasks=["heart"])
    wide = Attributions(**{**vars(found), "hypothetical": [np.repeat(h, 4, axis=2) for h in found.hypothetical]})
    object.__setattr__(
        wide, "windows", windows_of(Records.from_sequences([random_text(360, 1), planted() * 4]), 400)[0]
    )
    assert [stretch.row for stretch in strongest(found, 0, 2)] == [1, 0]
    assert all(stretch.last - stretch.first == MOST_LETTERS for stretch in strongest(wide, 0, 2))


@pytest.fixture
def genome(tmp_path: Path) -> Genome:
    one = random_text(400, 3, planted={180: MOTIFS["heart"]})
    (tmp_path / "toy.fa").write_text(f">chrA\n{one}\n>chrB\n{'N' * 30}{random_text(270, 4)}\n")
    return Genome(tmp_path / "toy.fa", assembly="custom:toy")


def test_bigwigs_hold_the_mean_of_overlapping_windows(model: Predictor, genome: Genome, tmp_path: Path):
    # chrB:1-40 is widened beyond the chromosome's start; the two of chrA overlap
    (tmp_path / "r.bed").write_text("chrB\t0\t40\tedge\nchrA\t150\t230\tone\nchrA\t180\t250\ttwo\n")
    records = read_inputs(tmp_path / "r.bed", genome=genome, width=model.region_width)
    explain(model, records, tmp_path / "out", asked=Explanation(tasks=["heart"]), genome=genome)
    table = pl.read_parquet(tmp_path / "out" / "contributions.parquet")
    assert table.filter(name="one")["start"].to_list() == list(range(140, 240))
    track = SignalTrack(tmp_path / "out" / "contributions.bw", assembly="custom:toy")
    found = track.windows(["chrA"], np.array([0]), np.array([400]), bin=1)[0]
    means = table.filter(chrom="chrA").group_by("start").agg(pl.col("contribution_heart").mean()).sort("start")
    np.testing.assert_allclose(found[means["start"].to_numpy()], means["contribution_heart"], atol=1e-6)
    assert np.isnan(np.delete(found, means["start"].to_numpy())).all()
    assert np.abs(found[180:189]).min() > 0.5
    edge = track.windows(["chrB"], np.array([0]), np.array([300]), bin=1)[0]
    assert np.isnan(edge[:30]).all()  # N has no value
    assert np.isfinite(edge[30:70]).all()
    whole = table.with_columns(there=pl.col("base") != "N").filter(~pl.col("there"))
    assert (whole["contribution_heart"] == 0).all()


def test_several_lengths_are_padded_with_zeros_as_modisco_reads_them(model: Predictor, tmp_path: Path):
    records = Records.from_sequences([planted(), "ACGTN" * 6], ["long", "short"])
    explain(model, records, tmp_path / "out", asked=Explanation(tasks=["brain"]))
    ohe, shap = (np.load(tmp_path / "out" / f"{name}.npz")["arr_0"] for name in ("ohe", "shap"))
    assert ohe.shape == shap.shape == (2, 4, 100)
    assert ohe[0].sum(axis=0).tolist() == [1] * 100
    assert ohe[1].sum(axis=0).tolist() == ([1] * 4 + [0]) * 6 + [0] * 70
    assert (shap[1][:, 30:] == 0).all()
    windows = pl.read_csv(tmp_path / "out" / "windows.tsv", separator="\t")
    assert windows["length"].to_list() == [100, 30]
    sums = (ohe * shap).sum(axis=(1, 2))
    np.testing.assert_allclose(windows["sum_brain"], sums, rtol=1e-4, atol=1e-5)


def test_modisco_takes_the_files(model: Predictor, tmp_path: Path):
    from modiscolite.cli import _load_input

    explain(model, Records.from_sequences([planted()]), tmp_path / "out", asked=Explanation(tasks=["heart"]))
    for name in ("ohe", "shap"):
        assert _load_input(tmp_path / "out" / f"{name}.npz").shape == (1, 4, 100)
