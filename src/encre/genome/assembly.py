"""Assemblies: the names and lengths of their chromosomes, so that a wrong genome is named, not scored.

Lengths and accessions are those of the assembly reports at NCBI (GenBank and RefSeq), chromosomes only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from encre.errors import AssemblyMismatchError, ConfigError, nearest


@dataclass(frozen=True)
class Assembly:
    """A genome assembly.

    Parameters
    ----------
    name
        As it is written in configs, for example ``"GRCh38"``.
    lengths
        Chromosome name (UCSC style) -> length in bases, in karyotype order; empty for a custom assembly, which takes
        names and lengths from its FASTA as they are.
    aliases
        Other name of a chromosome -> its name here.
    """

    name: str
    lengths: Mapping[str, int] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_custom(self) -> bool:
        """Whether names and lengths are taken from the FASTA as they are."""
        return not self.lengths

    def canonical(self, name: str) -> str | None:
        """The UCSC name of a chromosome, or None when it is none (a scaffold, an alt, another assembly's accession).

        Parameters
        ----------
        name
            ``chr1``, ``1``, RefSeq ``NC_000001.11`` or GenBank ``CM000663.2``; ``chrM``, ``M``, ``MT``. A custom
            assembly returns every name as it is.
        """
        if self.is_custom or name in self.lengths:
            return name
        return self.aliases.get(name)


def get_assembly(name: str | Assembly | None) -> Assembly:
    """The assembly of a name: ``GRCh38``/``hg38`` and the like; None or ``custom:anything`` for any other organism.

    Parameters
    ----------
    name
        Also ``report:PATH``, an NCBI assembly report, for the names and lengths of any other assembly, or
        ``report+scaffolds:PATH`` for its scaffolds too.

    Raises
    ------
    ConfigError
        For an unknown name; the nearest known one is offered.
    MissingFileError, FormatError
        For a report that is not there, or is none.
    """
    if isinstance(name, Assembly):
        return name
    if name is None or name == "custom" or name.startswith("custom:"):
        return Assembly(name or "custom")
    kind, colon, path = name.partition(":")
    if colon and kind in ("report", "report+scaffolds"):
        from encre.genome.assembly_report import read_assembly_report

        return read_assembly_report(path, scaffolds=kind == "report+scaffolds")
    known = {key.lower(): assembly for key, assembly in ASSEMBLIES.items()}
    if name.lower() not in known:
        raise ConfigError(
            f"there is no assembly '{name}'",
            remedy=f"{nearest(name, ASSEMBLIES)} Write 'custom:{name}' to take names and lengths from the FASTA, or "
            "'report:PATH' to take them from an NCBI assembly report.",
        )
    return known[name.lower()]


def recognise(lengths: Mapping[str, int]) -> Assembly | None:
    """The known assembly that most of these names and lengths belong to, or None.

    Parameters
    ----------
    lengths
        Sequence name, in any naming style -> length in bases.
    """
    scores = {
        known.name: sum(known.lengths.get(known.canonical(name) or "") == n for name, n in lengths.items())
        for known in _KNOWN
    }
    ucsc_style = any(name.startswith("chr") for name in lengths)
    best = max(scores, key=lambda name: (scores[name], (name == "hg19") == ucsc_style))
    return get_assembly(best) if scores[best] else None


def check_lengths(lengths: Mapping[str, int], assembly: Assembly, *, where: object) -> None:
    """Refuse sequences that carry a chromosome's name and another length, or another assembly's accession.

    A genome that only lacks chromosomes is fine; so are scaffolds, which the assembly does not know.

    Raises
    ------
    AssemblyMismatchError
        Saying which chromosome, both lengths, and the assembly that the file looks like.
    """
    if assembly.is_custom:
        return
    for name, length in lengths.items():
        known = assembly.canonical(name)
        if known is not None and assembly.lengths[known] != length:
            said = f"{name} is {length:,} bp, {assembly.name}'s is {assembly.lengths[known]:,} bp"
            raise _mismatch(said, lengths, assembly, where)
        owner = None if known else _owner(name)
        if owner is not None:
            raise _mismatch(f"{name} is an accession of {owner.name}", lengths, assembly, where)


def check_some_known(names: Iterable[str], assembly: Assembly, *, where: object) -> None:
    """Refuse a genome in which not one sequence has a name of the assembly."""
    names = list(names)
    if assembly.is_custom or any(assembly.canonical(name) for name in names):
        return
    raise AssemblyMismatchError(
        f"none of its {len(names)} sequences has a name of {assembly.name}",
        where=where,
        expected="chr1, 1 or an accession as NC_000001.11",
        got=", ".join(names[:3]),
        remedy='Give the right genome, or write assembly = "custom:NAME" to take names and lengths as they are.',
    )


def _mismatch(said: str, lengths: Mapping[str, int], assembly: Assembly, where: object) -> AssemblyMismatchError:
    looks = recognise(lengths)
    guess = f" It looks like {looks.name}." if looks and looks is not assembly else ""
    choice = f'"{looks.name}"' if looks and looks is not assembly else '"custom:NAME"'
    return AssemblyMismatchError(
        f"this does not look like {assembly.name}: {said}.{guess}",
        where=where,
        remedy=f"Scoring it would return plausible numbers for other DNA. Give the {assembly.name} FASTA, or "
        f"assembly = {choice} if you mean it.",
    )


def _owner(accession: str) -> Assembly | None:
    """The known assembly whose accession this is; plain names as ``1`` belong to all."""
    if "." not in accession:
        return None
    return next((assembly for assembly in _KNOWN if accession in assembly.aliases), None)


def _human_like(
    name: str, chromosomes: str, lengths: str, *, refseq: Iterable[str], genbank: Iterable[str]
) -> Assembly:
    """Build an assembly from space-separated chromosomes, their lengths and accessions in the same order."""
    labels = chromosomes.split()
    sizes = {f"chr{label}": int(size) for label, size in zip(labels, lengths.split(), strict=True)}
    aliases = {label: f"chr{label}" for label in labels} | {"MT": "chrM", "chrMT": "chrM"}
    for accessions in (refseq, genbank):
        aliases |= {alias: f"chr{label}" for label, alias in zip(labels, accessions, strict=True)}
    return Assembly(name, sizes, aliases)


def _numbered(prefix: str, first: int, versions: str) -> list[str]:
    """Accessions that count up from ``first``, with one version each."""
    digits = 6
    return [f"{prefix}{first + i:0{digits}d}.{version}" for i, version in enumerate(versions.split())]


_HUMAN = "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 X Y M"
_MOUSE = "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 X Y M"

GRCH38 = _human_like(
    "GRCh38",
    _HUMAN,
    "248956422 242193529 198295559 190214555 181538259 170805979 159345973 145138636 138394717 133797422 135086622 "
    "133275309 114364328 107043718 101991189 90338345 83257441 80373285 58617616 64444167 46709983 50818468 "
    "156040895 57227415 16569",
    refseq=[
        *_numbered("NC_", 1, "11 12 12 12 10 12 14 11 12 11 10 12 11 9 10 10 11 10 10 11 9 11 11 10"),
        "NC_012920.1",
    ],
    genbank=[*_numbered("CM", 663, " ".join(["2"] * 24)), "J01415.2"],
)
GRCH37 = _human_like(
    "GRCh37",
    _HUMAN,
    "249250621 243199373 198022430 191154276 180915260 171115067 159138663 146364022 141213431 135534747 135006516 "
    "133851895 115169878 107349540 102531392 90354753 81195210 78077248 59128983 63025520 48129895 51304566 "
    "155270560 59373566 16569",
    refseq=[
        *_numbered("NC_", 1, "10 11 11 11 9 11 13 10 11 10 9 11 10 8 9 9 10 9 9 10 8 10 10 9"),
        "NC_012920.1",
    ],
    genbank=[*_numbered("CM", 663, " ".join(["1"] * 24)), "J01415.2"],
)
# UCSC's hg19 keeps an older mitochondrion as chrM, and names GRCh37's own chrMT.
HG19 = Assembly(
    "hg19",
    {**GRCH37.lengths, "chrM": 16571, "chrMT": 16569},
    {name: "chrMT" if home == "chrM" else home for name, home in GRCH37.aliases.items() if name != "M"}
    | {"M": "chrM", "NC_001807.4": "chrM"},
)
T2T = _human_like(
    "T2T-CHM13v2",
    _HUMAN,
    "248387328 242696752 201105948 193574945 182045439 172126628 160567428 146259331 150617247 134758134 135127769 "
    "133324548 113566686 101161492 99753195 96330374 84276897 80542538 61707364 66210255 45090682 51324926 "
    "154259566 62460029 16569",
    refseq=[*_numbered("NC_", 60925, " ".join(["1"] * 24)), "M"],
    genbank=[*(f"CP0682{77 - i}.2" for i in range(23)), "CP086569.2", "CP068254.1"],
)
GRCM38 = _human_like(
    "GRCm38",
    _MOUSE,
    "195471971 182113224 160039680 156508116 151834684 149736546 145441459 129401213 124595110 130694993 122082543 "
    "120129022 120421639 124902244 104043685 98207768 94987271 90702639 61431566 171031299 91744698 16299",
    refseq=[*_numbered("NC_", 67, "6 7 6 6 6 6 6 6 6 6 6 6 6 6 6 6 6 6 6 7 7"), "NC_005089.1"],
    genbank=[*_numbered("CM", 994, " ".join(["2"] * 21)), "AY172335.1"],
)
GRCM39 = _human_like(
    "GRCm39",
    _MOUSE,
    "195154279 181755017 159745316 156860686 151758149 149588044 144995196 130127694 124359700 130530862 121973369 "
    "120092757 120883175 125139656 104073951 98008968 95294699 90720763 61420004 169476592 91455967 16299",
    refseq=[*_numbered("NC_", 67, "7 8 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 8 8"), "NC_005089.1"],
    genbank=[*_numbered("CM", 994, " ".join(["3"] * 21)), "AY172335.1"],
)

_KNOWN = (GRCH38, GRCH37, HG19, T2T, GRCM38, GRCM39)

#: Every name that a config may write -> the assembly.
ASSEMBLIES: Mapping[str, Assembly] = {
    **{assembly.name: assembly for assembly in _KNOWN},
    "hg38": GRCH38,
    "hs1": T2T,
    "mm10": GRCM38,
    "mm39": GRCM39,
}
