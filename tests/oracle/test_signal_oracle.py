"""Windows of a bigWig against pyBigWig, one window at a time; and what the real tracks say of real sites."""

from __future__ import annotations

import numpy as np
import pyBigWig
import pytest
from sklearn.metrics import roc_auc_score

from encre.data.rows import Rows
from encre.data.signals import SignalSettings, read_signals
from encre.genome.signal import SignalTrack
from encre.ledger import Ledger
from encre.sources.dhs import read_dhs


def slow(path, chrom, start, end, *, bin, reduce, missing):  # noqa: A002
    """The obvious way: values of one window, one bin after the other."""
    with pyBigWig.open(str(path)) as handle:
        lengths = handle.chroms()
        rows = []
        for c, s, e in zip(chrom, start.tolist(), end.tolist(), strict=True):
            values = np.full(e - s, np.nan)
            first, last = max(s, 0), min(e, lengths.get(c, 0))
            if first < last:
                known = handle.values(c, first, last, numpy=True).astype(np.float64)
                values[first - s : last - s] = np.where(np.isnan(known), missing, known)
            cells = [cell[~np.isnan(cell)] for cell in values.reshape(-1, bin)]
            how = np.max if reduce == "max" else np.mean
            rows.append([how(cell) if len(cell) else np.nan for cell in cells])
    return np.array(rows, dtype=np.float32)


def compare(path, chrom, start, width, assembly, **how):
    fast = SignalTrack(path, assembly).windows(chrom, start, start + width, **how)
    want = slow(path, chrom, start, start + width, **how)
    np.testing.assert_array_equal(np.isnan(fast), np.isnan(want))
    np.testing.assert_allclose(fast, want, rtol=1e-6)


HOW = [
    {"bin": 1, "reduce": "mean", "missing": float("nan")},
    {"bin": 16, "reduce": "mean", "missing": float("nan")},
    {"bin": 24, "reduce": "mean", "missing": 0.0},
    {"bin": 8, "reduce": "max", "missing": float("nan")},
]


@pytest.mark.parametrize("how", HOW, ids=str)
@pytest.mark.parametrize("form", ["intervals", "bases", "steps"])
def test_windows_equal_pybigwig(tmp_path, form, how):
    rng = np.random.default_rng(5)
    lengths = {"chrA": 70_000, "chrB": 3_000}
    path = tmp_path / "x.bw"
    with pyBigWig.open(str(path), "w") as out:
        out.addHeader(list(lengths.items()))
        for chrom, length in lengths.items():
            edges = np.unique(rng.integers(0, length, length // 12))
            start, end = edges[:-1:2], edges[1::2][: len(edges[:-1:2])]
            values = rng.gamma(1, 3, len(start))
            if form == "intervals":
                out.addEntries([chrom] * len(start), start, ends=end, values=values)
            elif form == "bases":
                out.addEntries(chrom, 100, values=rng.gamma(1, 3, length // 2), span=1, step=1)
            else:
                out.addEntries(
                    chrom, np.arange(0, length - 8, 9), values=rng.gamma(1, 3, len(range(0, length - 8, 9))), span=5
                )
    chrom = rng.choice(["chrA", "chrA", "chrA", "chrB"], 400).tolist()
    start = rng.integers(-60, 71_000, 400)
    start[:50] = np.sort(rng.integers(0, 300, 50))
    compare(path, chrom, start, 48, "custom:toy", **how)


@pytest.mark.data
@pytest.mark.parametrize("line", ["K562", "GM12878", "MCF7"])
def test_windows_equal_pybigwig_on_real_tracks(data, line):
    rng = np.random.default_rng(0)
    start = rng.integers(10_500_000, 50_818_400, 240)
    start[:120] = 20_000_000 + np.arange(0, 120 * 37, 37)
    for how in HOW:
        compare(data / f"signals/acc.{line}.chr22.bw", ["chr22"] * 240, start, 192, "GRCh38", **how)


@pytest.mark.data
def test_sites_open_in_a_cell_line_have_more_of_its_signal(data):
    elements = read_dhs()
    assert elements.codes is not None
    assert elements.offsets is not None
    rows = Rows(elements.table, elements.codes, elements.offsets)
    rows = rows.keep((elements.table["chrom"] == "chr22").to_numpy())
    tracks = {line: str(data / f"signals/acc.{line}.chr22.bw") for line in ("K562", "GM12878", "MCF7")}
    settings = SignalSettings.parse({"bin": 8, "missing": "zero", "tracks": tracks})
    ledger = Ledger()
    found = read_signals(rows, settings, train_mask=np.ones(len(rows), dtype=bool), ledger=ledger)
    assert len(rows) > 800
    assert found.values.shape == (len(rows), 3, 25)
    assert ledger.steps[0].notes["windows without any value of K562"] == 0
    level = dict(zip(tracks, found.values.astype(np.float32).mean(axis=2).T, strict=True))
    for line, least in (("K562", 0.85), ("GM12878", 0.85)):
        here = (rows.table[line] == 1).to_numpy()
        assert roc_auc_score(here, level[line]) > least
        assert roc_auc_score(here, level["MCF7"]) < 0.7, "another line's signal says little"
        assert level[line][here].mean() > level[line][~here].mean() + 0.5


@pytest.mark.data
def test_rows_on_other_chromosomes_are_counted_as_missing(data):
    elements = read_dhs()
    assert elements.codes is not None
    assert elements.offsets is not None
    rows = Rows(elements.table, elements.codes, elements.offsets)
    rows = rows.keep(elements.table["chrom"].is_in(["chr21", "chr22"]).to_numpy())
    there = (rows.table["chrom"] == "chr22").to_numpy()
    track = {"K562": str(data / "signals/acc.K562.chr22.bw")}
    ledger = Ledger()
    for missing in ("nan", "zero"):
        settings = SignalSettings.parse({"missing": missing, "tracks": track})
        found = read_signals(rows, settings, train_mask=there, ledger=ledger)
        assert np.isnan(found.values[~there]).all()
    assert ledger.steps[1].notes["windows without any value of K562"] == (~there).sum()
    assert found.tracks[0]["missing_share"] >= (~there).mean()
