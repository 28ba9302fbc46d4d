"""What a model has to beat. No torch here; one family a file."""

from encre.models.baselines.base import Baseline
from encre.models.baselines.linear import Kmer4, Kmer5, Linear, kmer_frequencies
from encre.models.baselines.registry import BASELINES, ON_REQUEST, baseline_kinds

__all__ = [
    "BASELINES",
    "ON_REQUEST",
    "Baseline",
    "Kmer4",
    "Kmer5",
    "Linear",
    "baseline_kinds",
    "kmer_frequencies",
]
