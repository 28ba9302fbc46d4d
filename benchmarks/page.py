"""Rows of a benchmark into a page of the docs, between two markers.

python benchmarks/scoring.py --json | python benchmarks/page.py scoring [--page docs/benchmarks.md]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]


def put(text: str, page: Path, name: str, *, heading: str = "") -> None:
    """Replace what stands between the markers of that name; without markers, add them at the end under a heading."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    block = f"{begin}\n\n{text}\n\n{end}"
    old = page.read_text(encoding="utf-8") if page.exists() else ""
    if begin in old:
        before, rest = old.split(begin, 1)
        new = before + block + rest.split(end, 1)[1]
    else:
        new = f"{old.rstrip()}\n\n{heading}\n\n{block}\n".lstrip()
    page.write_text(new, encoding="utf-8")


def table_of(rows: list[dict[str, Any]]) -> str:
    """The rows as the pages show them: value, target, met, spread."""
    lines = ["| row | value | target | met | spread, n |", "|---|---|---|---|---|"]
    for row in rows:
        value, target, unit = row["value"], row["target"], f" {row['unit']}" if row["unit"] else ""
        if value is None:
            lines.append(f"| {row['row']} | not measured: {row['why']} | {shown(target)}{unit} | - | |")
            continue
        sign = "≤" if row["met"] == (value <= target) else "≥"
        spread = f"{shown(row['spread'][0])} to {shown(row['spread'][1])}, " if row["n"] > 1 else ""
        met = "yes" if row["met"] else "**no**"
        limits = f"{sign} {shown(target)}{unit}"
        lines.append(f"| {row['row']} | {shown(value)}{unit} | {limits} | {met} | {spread}{row['n']} |")
    return "\n".join(lines)


def shown(value: float) -> str:
    """Three digits, without an exponent where that reads as well."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="of the markers")
    parser.add_argument("--page", type=Path, default=REPOSITORY / "docs" / "benchmarks.md")
    options = parser.parse_args()
    rows = [json.loads(line) for line in sys.stdin if line.startswith("{")]
    if not rows:
        raise SystemExit("there is no row on stdin")
    put(table_of(rows), options.page, options.name)


if __name__ == "__main__":
    main()
