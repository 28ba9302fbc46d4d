"""The tracks of a scan are what one window at a time through the plain forward pass gives, on every trunk."""

from __future__ import annotations

import numpy as np
import pyBigWig
import pytest
import torch

from encre import Genome, ScanConfig, load, scan
from encre.genome.intervals import Interval
from encre.genome.signal import SignalTrack
from encre.models.inference import predict_logits
from encre.predict.scan import plan as scan_plan
from encre.predict.scan import score as scan_score
from toy_models import MOTIFS, random_text, save_motif_run
from toy_scans import TRUNKS, save_random_run, spotted_text, write_fasta

LENGTHS = {"chrA": 3_000, "tiny": 70, "chrB": 700}
REGIONS = ["chrA:1-900", "chrA:1,400-1,410", "chrA:2,000-3,000", "tiny", "chrB"]
MAX_N = 0.4


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scan")
    texts = {name: spotted_text(length, seed) for seed, (name, length) in enumerate(LENGTHS.items())}
    return Genome(write_fasta(folder / "toy.fa", texts), assembly="custom:toy", cache=folder)


def naive(predictor, genome: Genome, *, window: int, stride: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Logits (L, K) of the base-wise track of each chromosome, and the counts: all N, too many N, some N."""
    tracks = {name: np.full((length, 2), np.nan, np.float32) for name, length in genome.lengths.items()}
    counts = np.zeros(3, int)
    regions = scan_plan.read_scan_regions(REGIONS, genome)
    for name, length in genome.lengths.items():
        wanted = np.zeros(length, bool)
        for chrom, start, end in regions.rows():
            wanted[start : end if chrom == name else start] = True
        for begin in range(0, length - window + 1, stride):
            first = begin + window // 2 - stride // 2
            place = slice(max(first, 0), min(first + stride, length))
            if not wanted[place].any():
                continue
            codes = genome.fetch(Interval(name, begin, begin + window))
            share = float((codes == 4).mean())
            kind = 0 if share == 1 else 1 if share > MAX_N else 2 if share else None
            if kind is not None:
                counts[kind] += 1
            if kind not in (0, 1):
                tracks[name][place] = predict_logits(predictor.model, codes, np.array([0, window]))[0]
    return tracks, counts


@pytest.mark.parametrize(("trunk", "mode"), [*((t, "window") for t in TRUNKS), ("cnn", "element")])
@pytest.mark.parametrize("stride", [48, 130])
def test_tracks_equal_one_window_at_a_time(genome, tmp_path, monkeypatch, trunk, mode, stride):
    """N runs, chromosome ends, a chromosome shorter than a window, strides that do not divide it, several shards."""
    torch.set_num_threads(1)
    monkeypatch.setattr(scan_plan, "SHARD", 1_000)
    monkeypatch.setattr(scan_score, "_BASES", 500)
    monkeypatch.setattr(scan_score, "_FEW", 2)
    predictor = load(save_random_run(tmp_path / "run", TRUNKS[trunk], mode=mode, width=100))
    tracks, counts = naive(predictor, genome, window=100, stride=stride)
    for value in ("logit", "probability"):
        config = ScanConfig(stride=stride, max_n=MAX_N, value=value, base_rate=0.1)
        found = scan(predictor, genome, REGIONS, out=tmp_path / value, config=config)
        windows = found.summary["windows"]
        left_out = [windows[key] for key in ("left_out_only_n", "left_out_above_max_n", "scored_with_some_n")]
        assert left_out == counts.tolist()
        assert windows["total"] - windows["scored"] == counts[:2].sum()
        assert found.summary["regions"] == {"given": 5, "without_window": ["tiny:1-70"]}
        for column, task in enumerate(MOTIFS):
            with pyBigWig.open(str(found.tracks[task])) as reader:
                assert reader.chroms() == LENGTHS
                for name, logits in tracks.items():
                    expected = logits if value == "logit" else predictor.probabilities(logits, base_rate=0.1)
                    read = np.array(reader.values(name, 0, LENGTHS[name], numpy=True))
                    np.testing.assert_allclose(read, expected[:, column], rtol=0, atol=1e-5)
        track = SignalTrack(found.tracks["heart"], assembly=None)
        assert track.has("chrA")
        assert not track.has("tiny")


def test_a_planted_motif_is_the_summit(tmp_path):
    text = random_text(6_000, 5, planted={1_500: MOTIFS["heart"], 4_100: MOTIFS["brain"]})
    genome = Genome(write_fasta(tmp_path / "toy.fa", {"chr1": text}), assembly="custom:toy")
    predictor = load(save_motif_run(tmp_path / "run"))
    found = scan(predictor, genome, "genome", out=f"{tmp_path}/out/", config=ScanConfig(stride=10))
    for task, at in (("heart", 1_500), ("brain", 4_100)):
        rows = [line.split("\t") for line in found.peaks[task].read_text().splitlines() if line[0] != "#"]
        best = max(rows, key=lambda row: float(row[6]))
        # Every window that holds the motif scores alike: from the first that ends behind it to the last before it.
        assert int(best[1]) <= at - 80
        assert int(best[2]) >= at + 80
        assert found.summary["tasks"][task]["peaks"] == len(rows)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *(f"{task}.{ending}" for task in MOTIFS for ending in ("bw", "narrowPeak")),
        "scan.json",
    }
