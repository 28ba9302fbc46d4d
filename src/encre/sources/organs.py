"""The organ of a biosample: ENCODE's ``organ_slims`` and term name brought to one word each."""

from __future__ import annotations

import re
from collections.abc import Iterable

#: Part of an organ slim -> organ; the first line that stands in any of a biosample's slims decides.
ORGAN_RULES: tuple[tuple[str, str], ...] = (
    ("blood vessel", "blood vessel"),
    ("blood", "blood"),
    ("brain", "brain"),
    ("large intestine", "large intestine"),
    ("kidney", "kidney"),
    ("musculature of body", "muscle"),
    ("skin of body", "skin"),
    ("small intestine", "small intestine"),
    ("ovary", "ovary"),
    ("mammary gland", "breast"),
    ("lung", "lung"),
    ("heart", "heart"),
    ("adipose", "adipose"),
    ("adrenal", "adrenal"),
    ("bone marrow", "bone marrow"),
    ("breast", "breast"),
    ("liver", "liver"),
    ("thymus", "thymus"),
    ("thyroid", "thyroid"),
    ("spleen", "spleen"),
    ("uterus", "uterus"),
    ("placenta", "placenta"),
    ("prostate", "prostate"),
    ("testis", "testis"),
    ("nerve", "nerve"),
    ("pancreas", "pancreas"),
    ("mouth", "mouth"),
    ("esophagus", "esophagus"),
    ("eye", "eye"),
    ("extraembryonic component", "embryo"),
    ("embryo", "embryo"),
    ("limb", "limb"),
    ("bone", "bone"),
    ("connective tissue", "connective tissue"),
)
#: Where a biosample has no organ slim: how its name (or a word of it) begins -> organ.
NAME_RULES: tuple[tuple[str, str], ...] = (
    ("neur", "brain"),
    ("cardio", "heart"),
    ("T cell", "blood"),
    ("GM", "blood"),
)
# ENCODE's whole term, where a rule is only a part of it.
_WHOLE = {
    "adipose": "adipose tissue",
    "adrenal": "adrenal gland",
    "thyroid": "thyroid gland",
    "prostate": "prostate gland",
    "bone": "bone element",
}
_SLIMS = "biosample_ontology.organ_slims"


def organ_of(slims: Iterable[str], biosample: str) -> str:
    """The organ of a biosample; "" where no rule knows it.

    Parameters
    ----------
    slims
        ``biosample_ontology.organ_slims``.
    biosample
        Its term name, used only when there is no slim.
    """
    slims = list(slims)
    for part, organ in ORGAN_RULES:
        if any(part in slim for slim in slims):
            return organ
    if not slims:
        for begin, organ in NAME_RULES:
            if re.search(rf"\b{begin}", biosample, re.IGNORECASE):
                return organ
    return ""


def terms_of(organ: str) -> list[tuple[tuple[str, str], ...]]:
    """The search conditions that between them find every biosample of an organ (and some of others).

    Parameters
    ----------
    organ
        Of :data:`ORGAN_RULES`; another word is taken as ENCODE's own term.
    """
    parts = [part for part, name in ORGAN_RULES if name == organ] or [organ]
    conditions = [((_SLIMS, _WHOLE.get(part, part)),) for part in parts]
    if organ in {name for _, name in NAME_RULES}:
        conditions.append(((f"{_SLIMS}!", "*"),))  # those without any slim are told by their names
    return conditions
