"""The independent checker: the constraints once more, on text and with regular expressions alone."""

from __future__ import annotations

import re

from encre.interpret.design.settings import DesignSettings

_CLASSES = {
    "A": "A", "C": "C", "G": "G", "T": "T", "U": "T", "R": "[AG]", "Y": "[CT]", "S": "[CG]", "W": "[AT]", "K": "[GT]",
    "M": "[AC]", "B": "[CGT]", "D": "[AGT]", "H": "[ACT]", "V": "[ACG]", "N": "[ACGT]",
}  # fmt: skip
_OTHER_STRAND = str.maketrans("ACGT", "TGCA")


def broken_constraints(design: str, start: str, settings: DesignSettings) -> list[str]:
    """What a design breaks, in words; empty when it satisfies every constraint.

    Parameters
    ----------
    design
        Its letters.
    start
        The start's letters, flanks written.
    settings
        What was asked for.
    """
    found = []
    if not re.fullmatch("[ACGT]+", design):
        found.append("it holds other letters than A, C, G and T")
    if len(design) != len(start):
        found.append(f"it has {len(design)} bases, its start {len(start)}")
    left, right = (flank.strip().upper() for flank in settings.flanks)
    if not (design.startswith(left) and design.endswith(right)):
        found.append("a flank is not there")
    for begin, end in settings.keep:
        if design[begin:end] != start[begin:end]:
            found.append(f"{begin}:{end} changed")
    edits = sum(a != b for a, b in zip(design, start, strict=False))
    if settings.max_edits is not None and edits > settings.max_edits:
        found.append(f"it has {edits} edits")
    if settings.gc is not None:
        share = (design.count("G") + design.count("C")) / len(design)
        if not settings.gc[0] - 1e-9 <= share <= settings.gc[1] + 1e-9:
            found.append(f"{share:.4f} of it is G or C")
    for site in settings.forbid:
        pattern = "".join(_CLASSES[letter] for letter in site.strip().upper())
        if any(re.search(pattern, strand) for strand in (design, design.translate(_OTHER_STRAND)[::-1])):
            found.append(f"it holds {site}")
    return found
