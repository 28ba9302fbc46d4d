"""Tissues folded from biosample files, against a reader that goes row by row with dictionaries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from encre.sources.screen import ScreenSettings, read_screen

N = 300
CLASSES = ("PLS", "pELS", "dELS", "CA-H3K4me3", "CA-CTCF", "CA-TF", "CA-only", "DNase-only", "Low-DNase")
BARE = ("High-H3K4me3", "High-H3K27ac", "High-CTCF", "High-H3K27ac,High-CTCF", "Unclassified")
FULL, PARTIAL = "All-data/Full-classification", "Missing-data/Partial-classification"


def write(folder: Path, rng: np.random.Generator) -> list[Path]:
    """A registry and biosamples of every kind: all data, no CTCF, no H3K27ac, no DNase; rows shuffled or missing."""
    rows = [(f"chr{1 + i % 5}", 1000 * i, 1000 * i + 150 + i % 200, f"EH38E{i:07d}") for i in range(N)]
    kinds = rng.choice(("PLS", "pELS", "dELS", "CA", "TF"), N)
    (folder / "registry.bed").write_text(
        "".join(f"{c}\t{s}\t{e}\tD\t{a}\t{k}\n" for (c, s, e, a), k in zip(rows, kinds, strict=True))
    )
    paths = []
    blind = [name for name in CLASSES if name not in ("pELS", "dELS")]
    for number in range(9):
        names, remark = ((CLASSES, FULL), (CLASSES, PARTIAL), (blind, PARTIAL), (BARE, PARTIAL))[number % 4]
        order = rng.permutation(N)[: N - 5 * (number % 3)] if number % 2 else np.arange(N)
        lines = []
        for i in order:
            c, s, e, a = rows[i]
            suffix = ",CTCF-bound" if names is CLASSES and rng.random() < 0.2 else ""
            lines.append(f"{c}\t{s}\t{e}\t{a}\t0\t.\t{s}\t{e}\t0,0,0\t{rng.choice(names)}{suffix}\t{remark}\n")
        paths.append(folder / f"{number}.bed")
        paths[-1].write_text("".join(lines))
    return paths


def slow_activity(path: Path) -> dict[str, float | None]:
    """Accession -> 1, 0 or None."""
    rows = [line.split("\t") for line in path.read_text().splitlines()]
    has_enhancer = any(fields[9].split(",")[0] in ("pELS", "dELS") for fields in rows)
    found = {}
    for fields in rows:
        name = fields[9].removesuffix(",CTCF-bound")
        if name.startswith("High-") or name == "Unclassified":
            found[fields[3]] = None
        elif name in ("pELS", "dELS"):
            found[fields[3]] = 1.0
        elif fields[10] == PARTIAL and not has_enhancer and name not in ("PLS", "Low-DNase"):
            found[fields[3]] = None
        else:
            found[fields[3]] = 0.0
    return found


@pytest.mark.parametrize(("rule", "at_least"), [("any", 1), ("majority", 1), ("at_least", 3)])
@pytest.mark.parametrize("join", ["accession", "coordinate"])
def test_a_folded_tissue_is_what_a_row_by_row_reader_says(tmp_path, rule, at_least, join):
    paths = write(tmp_path, np.random.default_rng(3))
    keys = {"files": [str(path) for path in paths], "rule": rule, "at_least": at_least}
    settings = {"registry": str(tmp_path / "registry.bed"), "genome": "", "join": join}
    table = read_screen(ScreenSettings.parse(settings | {"tissues": {"brain": keys}})).table
    said = [slow_activity(path) for path in paths]
    for accession, value in table.select("accession", "active_brain").iter_rows():
        measured = [found[accession] for found in said if found.get(accession) is not None]
        on = sum(measured)
        enough = {"any": on >= 1, "majority": 2 * on > len(measured), "at_least": on >= at_least}[rule]
        assert np.isnan(value) if not measured else value == float(enough)
