"""Sites in IUPAC letters, such as those of restriction enzymes: where they are, and what each substitution does."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from encre.errors import ConfigError

#: Letter -> the bases that it stands for (Cornish-Bowden, Nucleic Acids Res. 13:3021, 1985).
IUPAC = {
    "A": "A", "C": "C", "G": "G", "T": "T", "U": "T", "R": "AG", "Y": "CT", "S": "CG", "W": "AT", "K": "GT",
    "M": "AC", "B": "CGT", "D": "AGT", "H": "ACT", "V": "ACG", "N": "ACGT",
}  # fmt: skip


def read_site(text: str) -> list[np.ndarray]:
    """A site on both strands, each (w, 4) bool: which base fits at which place; one array for a palindrome.

    Raises
    ------
    ConfigError
        When it is empty, has another letter, or is of N alone, which every sequence holds.
    """
    letters = text.strip().upper()
    if not letters or any(letter not in IUPAC for letter in letters):
        raise ConfigError(
            "a forbidden site is written in IUPAC letters", expected="letters of ACGTRYSWKMBDHVN", got=f"'{text}'"
        )
    if set(letters) == {"N"}:
        raise ConfigError("every sequence holds this forbidden site", got=f"'{text}'")
    site = np.array([[base in IUPAC[letter] for base in "ACGT"] for letter in letters])
    other = np.ascontiguousarray(site[::-1, ::-1])  # A, C, G, T backwards is T, G, C, A: the complement
    return [site] if np.array_equal(site, other) else [site, other]


def sites_in(codes: np.ndarray, site: np.ndarray) -> np.ndarray:
    """Where a site (w, 4) begins in sequences (N, L) without N: (N, L - w + 1) bool, no column when it is longer."""
    count = max(0, codes.shape[1] - len(site) + 1)
    found = np.ones((len(codes), count), bool)
    for place, fits in enumerate(site if count else ()):
        found &= fits[codes[:, place : place + count]]
    return found


def sites_after(codes: np.ndarray, sites: Iterable[np.ndarray]) -> np.ndarray:
    """How many sites one sequence (L,) holds after every single substitution: (L, 4)."""
    out = np.zeros((len(codes), 4), np.int64)
    for site in sites:
        count = len(codes) - len(site) + 1
        if count < 1:
            continue
        misses = np.stack([~fits[codes[place : place + count]] for place, fits in enumerate(site)])
        wrong = misses.sum(axis=0)
        out += int((wrong == 0).sum())
        for place, fits in enumerate(site):
            # What stands at this place of each window is replaced by each base: its mismatches without, then with.
            after = (wrong - misses[place])[:, None] + ~fits
            out[place : place + count] += (after == 0).astype(np.int64) - (wrong == 0)[:, None]
    return out
