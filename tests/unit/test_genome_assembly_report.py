"""Assemblies from NCBI assembly reports, and the built-in table against a published one."""

from __future__ import annotations

from pathlib import Path

import pytest

from encre.errors import AssemblyMismatchError, ConfigError, FormatError, MissingFileError
from encre.genome.assembly import GRCH38, get_assembly
from encre.genome.assembly_report import read_assembly_report
from encre.genome.store import Genome

ROWS = [
    "I\tassembled-molecule\tI\tChromosome\tBK006935.2\t=\tNC_001133.9\tPrimary Assembly\t60\tchrI",
    "II\tassembled-molecule\tII\tChromosome\tBK006936.2\t=\tNC_001134.8\tPrimary Assembly\t80\tchrII",
    "Scf1\tunlocalized-scaffold\tII\tChromosome\tKI270706.1\t=\tNT_187361.1\tPrimary Assembly\t40\tchrII_KI270706v1",
    "Scf2\tunplaced-scaffold\tna\tna\tKI270302.1\t=\tNT_187396.1\tPrimary Assembly\t30\tna",
    "ALT1\talt-scaffold\tI\tChromosome\tKI270762.1\t=\tNT_187515.1\tALT_REF_LOCI_1\t50\tchrI_KI270762v1_alt",
    "P1\tfix-patch\tI\tChromosome\tKN196472.1\t=\tNW_009646194.1\tPATCHES\t20\tna",
    "MT\tassembled-molecule\tMT\tMitochondrion\tAY123456.1\t=\tNC_001224.1\tnon-nuclear\t10\tchrM",
    "2micron\tassembled-molecule\tna\tSegment\tna\t<>\tNC_001398.1\tnon-nuclear\t12\tna",
]
HEAD = "# Assembly name:  R64 (test)\r\n# Organism name:  yeast\r\n#\r\n# Sequence-Name\tSequence-Role\r\n"


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "R64_assembly_report.txt"
    path.write_bytes((HEAD + "".join(f"{row}\r\n" for row in ROWS)).encode())
    return path


def test_assembled_molecules_only(report):
    assembly = get_assembly(f"report:{report}")
    assert dict(assembly.lengths) == {"chrI": 60, "chrII": 80, "chrM": 10, "2micron": 12}
    assert assembly.name.startswith("R64_test_-")
    for name, home in [
        ("NC_001133.9", "chrI"),
        ("BK006936.2", "chrII"),
        ("II", "chrII"),
        ("MT", "chrM"),
        ("NC_001398.1", "2micron"),
        ("NT_187396.1", None),
        ("chrI_KI270762v1_alt", None),
        ("na", None),
    ]:
        assert assembly.canonical(name) == home


def test_scaffolds_when_asked(report):
    assembly = get_assembly(f"report+scaffolds:{report}")
    assert dict(assembly.lengths) == {
        "chrI": 60, "chrII": 80, "chrII_KI270706v1": 40, "Scf2": 30, "chrM": 10, "2micron": 12
    }  # fmt: skip
    assert assembly.canonical("NT_187361.1") == "chrII_KI270706v1"
    assert assembly.canonical("II") == "chrII"
    assert assembly.canonical("P1") is None
    assert assembly.name != get_assembly(f"report:{report}").name


def test_a_refseq_genome_gets_its_ucsc_names(report, tmp_path):
    fasta = tmp_path / "genome.fna"
    fasta.write_text(f">NC_001133.9 chromosome I\n{'A' * 60}\n>NC_001134.8\n{'c' * 80}\n>NT_187396.1\n{'G' * 30}\n")
    genome = Genome(fasta, assembly=f"report:{report}")
    assert dict(genome.lengths) == {"chrI": 60, "chrII": 80}
    assert set(Genome(fasta, assembly=f"report+scaffolds:{report}").lengths) == {"chrI", "chrII", "Scf2"}


def test_a_genome_of_another_length_is_refused(report, tmp_path):
    fasta = tmp_path / "genome.fna"
    fasta.write_text(f">NC_001133.9\n{'A' * 59}\n")
    with pytest.raises(AssemblyMismatchError, match="59 bp"):
        Genome(fasta, assembly=f"report:{report}")


def test_another_report_is_another_assembly(report):
    before = get_assembly(f"report:{report}").name
    report.write_bytes(report.read_bytes() + b"# a comment\n")
    assert get_assembly(f"report:{report}").name != before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace("\tchrII\r", "\r"), "line 6.*10 tab-separated columns; got 9"),
        (lambda text: text.replace("\t80\t", "\tmany\t"), "line 6.*length.*'many' in column 9"),
        (lambda text: text.replace("chrII\r", "chrI\r"), "line 6.*'chrI' stands twice"),
        (lambda text: HEAD, "no assembled molecule"),
        (lambda text: "", "empty"),
    ],
)
def test_bad_reports_are_refused_by_line(report, change, said):
    report.write_bytes(change(report.read_bytes().decode()).encode())
    with pytest.raises(FormatError, match=said):
        read_assembly_report(report)


def test_a_missing_report_and_an_unknown_name():
    with pytest.raises(MissingFileError):
        get_assembly("report:/not/there.txt")
    with pytest.raises(ConfigError, match="report:PATH"):
        get_assembly("sacCer3")


@pytest.mark.data
def test_the_built_in_grch38_is_the_published_one(data: Path):
    lines = (data / "genome" / "refseq_aliases.tsv").read_text().splitlines()[1:]
    assert len(lines) == len(GRCH38.lengths) == 25
    for line in lines:
        ucsc, refseq, genbank, length = line.split("\t")
        assert GRCH38.lengths[ucsc] == int(length)
        assert GRCH38.canonical(refseq) == GRCH38.canonical(genbank) == ucsc
