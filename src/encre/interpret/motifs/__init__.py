"""Motifs that a model has learnt: patterns, names, hits, effects, pairs."""
