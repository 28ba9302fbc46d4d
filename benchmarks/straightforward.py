"""The straightforward way that notebooks of this field build such a dataset: pandas merges and a loop per base.

Written for the benchmark alone, from the description of the reference system: registry and tissue files through
``pandas.read_csv`` and ``merge``, the genome read line by line into a dict of strings, then for each element a loop
over bases to clean it, to reverse-complement it, and over its 3-mers to make tokens (base 4, 64 for N and padding),
and a text table with a column a token and a column a mask (348 + 348).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd

POSITIONS = 348
DIGIT = {"A": 0, "C": 1, "G": 2, "T": 3}
COMPLEMENT = {"A": "T", "C": "G", "G": "C", "T": "A", "N": "N"}


def read_genome(path: Path) -> dict[str, str]:
    """Name -> sequence."""
    genome: dict[str, str] = {}
    name, lines = "", []
    with path.open() as handle:
        for line in handle:
            if line.startswith(">"):
                if name:
                    genome[name] = "".join(lines)
                name, lines = line[1:].split()[0], []
            else:
                lines.append(line.strip())
    genome[name] = "".join(lines)
    return genome


def clean(sequence: str) -> str:
    """Upper case, non-ACGT to N, a base at a time."""
    return "".join(base if base in "ACGT" else "N" for base in sequence.upper())


def reverse_complement(sequence: str) -> str:
    """A base at a time."""
    return "".join(COMPLEMENT[base] for base in reversed(sequence))


def tokenize(sequence: str) -> tuple[list[int], list[int]]:
    """3-mer ids in base 4, 64 for a k-mer with N and for padding; and the mask."""
    tokens = []
    for i in range(len(sequence) - 2):
        value = 0
        for base in sequence[i : i + 3]:
            if base not in DIGIT:
                value = 64
                break
            value = value * 4 + DIGIT[base]
        tokens.append(value)
    tokens = tokens[:POSITIONS]
    mask = [1] * len(tokens) + [0] * (POSITIONS - len(tokens))
    return tokens + [64] * (POSITIONS - len(tokens)), mask


def build(registry: Path, tissues: dict[str, Path], genome: dict[str, str], out: Path, *, rows: int) -> int:
    """Build the first ``rows`` elements into a text table; returns its bytes."""
    names = ["chrom", "start", "end", "d", "e", "ccre"]
    table = pd.read_csv(registry, sep="\t", header=None, names=names, nrows=rows)
    for tissue, path in tissues.items():
        names = ["chrom", "start", "end", "e", "s", "st", "ts", "te", "rgb", "tissue_class", "data"]
        other = pd.read_csv(path, sep="\t", header=None, names=names, nrows=rows)
        table = table.merge(other[["e", "tissue_class"]], on="e", how="left")
        table[f"active_{tissue}"] = table.pop("tissue_class").isin(["pELS", "dELS"]).astype(int)
    table["enhancer"] = table["ccre"].isin(["pELS", "dELS"]).astype(int)
    records = []
    for _, row in table.iterrows():
        sequence = clean(genome[row["chrom"]][row["start"] : row["end"]])
        canonical = min(sequence, reverse_complement(sequence))
        tokens, mask = tokenize(canonical)
        record = row.to_dict()
        record["group"] = hashlib.md5(canonical.encode()).hexdigest()
        record.update({f"token_{i}": token for i, token in enumerate(tokens)})
        record.update({f"mask_{i}": value for i, value in enumerate(mask)})
        records.append(record)
    pd.DataFrame(records).to_csv(out, index=False)
    return out.stat().st_size
