"""An assembly from its NCBI assembly report: UCSC names, RefSeq and GenBank accessions, lengths.

The form (https://ftp.ncbi.nlm.nih.gov/genomes/README_assembly_reports.txt): comment lines with ``#``, then ten tab
columns: Sequence-Name, Sequence-Role, Assigned-Molecule, its location or type, GenBank-Accn, Relationship,
RefSeq-Accn, Assembly-Unit, Sequence-Length, UCSC-style-name; ``na`` where there is none.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from encre.errors import FormatError
from encre.files import read_bytes
from encre.genome.assembly import Assembly
from encre.tables import place

_COLUMNS = 10
_MOLECULE = "assembled-molecule"
_SCAFFOLDS = ("unlocalized-scaffold", "unplaced-scaffold")


def read_assembly_report(path: str | Path, *, scaffolds: bool = False) -> Assembly:
    """Read an assembly report.

    Parameters
    ----------
    path
        The report, plain or gzip.
    scaffolds
        Whether unlocalised and unplaced scaffolds belong to the assembly too; alternative loci and patches never do.

    Returns
    -------
    Assembly
        In the report's order. A sequence has its UCSC-style name or, where there is none, its Sequence-Name; its
        RefSeq and GenBank accessions, Sequence-Name and molecule are aliases. The name of the assembly ends in a part
        of the report's digest, so that a genome cache made with another report is not taken for its own.

    Raises
    ------
    MissingFileError
        When there is no such file.
    FormatError
        For a line that is not of this form, naming it, or a report without a sequence.
    """
    content = read_bytes(path)
    try:
        lines = content.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise FormatError("this is not an assembly report (it is not text)", where=path) from error
    lengths: dict[str, int] = {}
    aliases: dict[str, str] = {}
    title = "report"
    for number, line in enumerate(lines, start=1):
        if line.startswith("#"):
            if found := re.match(r"#\s*Assembly name:\s*(\S.*)", line):
                title = re.sub(r"[^\w.+-]+", "_", found[1].strip())
            continue
        if not line.strip():
            continue
        fields = _fields(line, place(path, number))
        if fields[1] != _MOLECULE and not (scaffolds and fields[1] in _SCAFFOLDS):
            continue
        known = [fields[i] for i in (9, 0) if fields[i] != "na"]
        if known[0] in lengths:
            raise FormatError(f"the sequence '{known[0]}' stands twice", where=place(path, number))
        lengths[known[0]] = int(fields[8])
        others = {fields[6], fields[4], fields[0], fields[2] if fields[1] == _MOLECULE else "na"} - {"na", known[0]}
        for alias in others:
            aliases.setdefault(alias, known[0])
    if not lengths:
        raise FormatError("the assembly report has no assembled molecule", where=path, expected=_MOLECULE)
    digest = hashlib.sha256(content).hexdigest()[:8]
    return Assembly(f"{title}-{digest}{'-scaffolds' if scaffolds else ''}", lengths, aliases)


def _fields(line: str, where: str) -> list[str]:
    """The ten fields of a line, checked; an empty one is ``na``."""
    fields = [field.strip() or "na" for field in line.split("\t")]
    if len(fields) != _COLUMNS:
        raise FormatError(
            "this is not a line of an NCBI assembly report",
            where=where,
            expected=f"{_COLUMNS} tab-separated columns",
            got=f"{len(fields)}",
            remedy="Take the file that ends in _assembly_report.txt.",
        )
    if fields[0] == "na":
        raise FormatError("the sequence has no name", where=where)
    if not fields[8].isdecimal() or int(fields[8]) < 1:
        raise FormatError("the length is not a number of bases", where=where, got=f"'{fields[8]}' in column 9")
    return fields
