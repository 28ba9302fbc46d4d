"""Sequences as ``uint8`` codes, NumPy only: letters and strands, k-mers, shuffles; many at once, flat + offsets."""
