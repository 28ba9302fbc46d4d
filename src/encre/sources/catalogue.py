"""What can be downloaded: one :class:`Entry` a file, with every address it is known to have had."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """A file that the catalogue knows.

    Parameters
    ----------
    name
        How configs and the lock call it, for example ``"screen-v4"``.
    title
        One line for people.
    addresses
        Where it stands, tried in this order: ``https://``, ``http://`` or ``file://``.
    form
        What it is: ``"registry"``, ``"tissue"``, ``"biosample"``, ``"genome"``, ``"assembly report"``, ``"sizes"``,
        ``"exclusion list"``, ``"tss"``, ``"signal"``.
    size
        Bytes, or None where nobody publishes it.
    md5, sha256
        Hex checksums, or "" where nobody publishes them.
    assembly
        Assembly that its coordinates belong to.
    licence, citation
        What its owner says, and the paper to cite.
    filename
        What it is called on disk; by default the last part of the first address.
    """

    name: str
    title: str
    addresses: tuple[str, ...]
    form: str
    size: int | None = None
    md5: str = ""
    sha256: str = ""
    assembly: str = "GRCh38"
    licence: str = ""
    citation: str = ""
    filename: str = ""
