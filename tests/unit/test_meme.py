"""MEME files: what is read, what is written, and what is refused with its line."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from encre.errors import FormatError, MissingFileError
from encre.sequence.meme import Motif, read_meme, write_meme

HEAD = (
    "MEME version 4\n\nALPHABET= ACGT\n\nstrands: + -\n\nBackground letter frequencies\nA 0.25 C 0.25 G 0.25 T 0.25\n"
)
ONE = """
MOTIF MA1.1 First label
letter-probability matrix: alength= 4 w= 2 nsites= 20 E= 0
 0.10 0.20 0.30 0.40
 1.00 0.00 0.00 0.00
URL http://example.org
"""


def write(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "motifs.meme"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_names_labels_sites_and_probabilities_are_read(tmp_path):
    second = ONE.replace("MA1.1 First label", "other").replace("w= 2 nsites= 20 E= 0", "")
    first, other = read_meme(write(tmp_path, HEAD + ONE + second))
    assert (first.name, first.label, first.sites, first.title) == ("MA1.1", "First label", 20.0, "MA1.1 First label")
    np.testing.assert_allclose(first.pwm, [[0.1, 0.2, 0.3, 0.4], [1, 0, 0, 0]])
    assert first.consensus == "TA"
    np.testing.assert_allclose(first.information[1], 2.0)
    assert (other.name, len(other), other.sites) == ("other", 2, 0.0)


def test_what_is_written_is_read_again(tmp_path):
    rng = np.random.default_rng(0)
    motifs = [Motif(f"m{i}", rng.dirichlet(np.ones(4), size=6 + i), label="x", sites=7) for i in range(3)]
    write_meme(tmp_path / "out.meme", motifs)
    again = read_meme(tmp_path / "out.meme")
    assert [(m.title, m.sites) for m in again] == [(m.title, m.sites) for m in motifs]
    for a, b in zip(again, motifs, strict=True):
        np.testing.assert_allclose(a.pwm, b.pwm, atol=2e-6)


def test_gzip_and_crlf_are_read(tmp_path):
    text = (HEAD + ONE).replace("\n", "\r\n").encode()
    assert read_meme(write(tmp_path, gzip.compress(text)))[0].name == "MA1.1"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (">MA1.1\nA [1 2 3]\n", 1, "'MEME version 4'"),
        ("\n\nchr1\t1\t2\n", 3, "'MEME version 4'"),
        ("MEME version 3\n" + ONE, 1, "4 or later"),
        (HEAD.replace("ACGT", "ACDEFGHIKLMNPQRSTVWY") + ONE, 3, "not DNA"),
        (HEAD + ONE.replace("alength= 4", "alength= 20"), 11, "alength= 4"),
        (HEAD + ONE.replace("0.10 0.20 0.30 0.40", "0.10 0.20 0.30"), 12, "four numbers"),
        (HEAD + ONE.replace("0.10 0.20 0.30 0.40", "10 20 30 40"), 12, "divide each row by its sum"),
        (HEAD + ONE.replace("0.10 0.20 0.30 0.40", "-0.10 0.40 0.30 0.40"), 12, "four numbers"),
        (HEAD + ONE.replace("0.10 0.20 0.30 0.40", "nan 0.2 0.3 0.5"), 12, "four numbers"),
        (HEAD + ONE.replace("w= 2", "w= 3"), 14, "ends too soon"),
        (HEAD + ONE.partition("letter")[0], 10, "has no matrix"),
        (HEAD + ONE.replace("MOTIF MA1.1 First label", "MOTIF"), 10, "has no name"),
        (HEAD + ONE + ONE, 16, "stands twice"),
        (b"\x93NUMPY\x00\xff", 1, "'MEME version 4'"),
    ],
)
def test_what_is_no_motif_file_is_named_with_its_line(tmp_path, text, line, words):
    path = write(tmp_path, text)
    with pytest.raises(FormatError) as caught:
        read_meme(path)
    assert f"motifs.meme, line {line}:" in str(caught.value)
    assert words in str(caught.value)


def test_an_empty_file_a_head_alone_and_a_missing_file(tmp_path):
    with pytest.raises(FormatError, match="empty"):
        read_meme(write(tmp_path, ""))
    with pytest.raises(FormatError, match="no motif"):
        read_meme(write(tmp_path, HEAD))
    with pytest.raises(MissingFileError):
        read_meme(tmp_path / "absent.meme")


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "count", "first", "consensus"),
    [
        ("JASPAR2024_CORE_vertebrates.meme", 879, "MA0002.3 Runx1", "CTGTGGTTT"),
        ("HOCOMOCO_v12_CORE.meme", 1443, "AHR.H12CORE.0.P.B", "GCTTGCGTGC"),
    ],
)
def test_the_databases_are_read_whole(data, name, count, first, consensus):
    motifs = read_meme(data / "motifs" / name)
    assert len(motifs) == count
    assert (motifs[0].title, motifs[0].consensus) == (first, consensus)
    assert all(np.allclose(motif.pwm.sum(axis=1), 1) for motif in motifs)
