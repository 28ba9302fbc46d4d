"""Scanning a genome: shards of windows, tracks and peaks; torchrun and Ray."""
