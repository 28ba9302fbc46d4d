"""The genome store against pysam (FASTA) and py2bit (2bit), base by base."""

from __future__ import annotations

import numpy as np
import pytest

from encre.genome.assembly import GRCH38
from encre.genome.intervals import Interval
from encre.genome.store import Genome

pysam = pytest.importorskip("pysam")


def letters(codes: np.ndarray) -> str:
    return "".join("ACGTN"[code] for code in codes)


def test_store_equals_pysam_on_bgzip(tmp_path):
    rng = np.random.default_rng(0)
    texts = {f"c{i}": "".join(rng.choice(list("ACGTNacgtn"), rng.integers(200, 900))) for i in range(4)}
    wrapped = ("\n".join(t[i : i + 37] for i in range(0, len(t), 37)) for t in texts.values())
    plain = tmp_path / "x.fa"
    plain.write_text("".join(f">{name}\n{text}\n" for name, text in zip(texts, wrapped, strict=True)))
    pysam.tabix_compress(str(plain), str(tmp_path / "x.fa.gz"))
    genome = Genome(tmp_path / "x.fa.gz", assembly=None, cache=tmp_path / "cache")
    with pysam.FastaFile(str(plain)) as oracle:
        for _ in range(200):
            name = str(rng.choice(list(texts)))
            start = int(rng.integers(0, len(texts[name]) - 1))
            end = int(rng.integers(start + 1, len(texts[name]) + 1))
            said = oracle.fetch(name, start, end)
            assert letters(genome.fetch(Interval(name, start, end))) == said.upper()
            assert genome.soft_masked(Interval(name, start, end)).tolist() == [x.islower() for x in said]


def write_twobit(path, name: str, text: str) -> None:
    """One record, with N and mask blocks, by the book."""
    codes = np.array(["TCAG".find(x) if x in "TCAG" else 0 for x in text.upper()] + [0] * (-len(text) % 4))
    packed = (codes.reshape(-1, 4) << np.array([6, 4, 2, 0])).sum(axis=1).astype(np.uint8).tobytes()
    numbers = [len(text)]
    for flags in ([x in "Nn" for x in text], [x.islower() for x in text]):
        edges = np.flatnonzero(np.diff(np.array([0, *flags, 0])))
        numbers += [len(edges) // 2, *edges[::2].tolist(), *(edges[1::2] - edges[::2]).tolist()]
    head = np.array([0x1A412743, 0, 1, 0], "<u4").tobytes() + bytes([len(name)]) + name.encode()
    body = np.array([len(head) + 4, *numbers, 0], "<u4").tobytes()
    path.write_bytes(head + body + packed)


def test_store_equals_py2bit(tmp_path):
    py2bit = pytest.importorskip("py2bit")
    rng = np.random.default_rng(2)
    pieces = [rng.choice(list(letters), rng.integers(1, 60)) for letters in ["ACGT", "acgt", "N", "n"] * 40]
    text = "".join("".join(piece) for piece in pieces)
    write_twobit(tmp_path / "x.2bit", "c", text)
    genome = Genome(tmp_path / "x.2bit", assembly=None, cache=tmp_path / "cache")
    oracle = py2bit.open(str(tmp_path / "x.2bit"), True)
    said = oracle.sequence("c")
    oracle.close()
    assert letters(genome.fetch(Interval("c", 0, len(text)))) == said.upper() == text.upper()
    assert genome.soft_masked(Interval("c", 0, len(text))).tolist() == [x.islower() for x in text]


@pytest.mark.data
@pytest.mark.slow
def test_real_assembly_equals_pysam(data):
    path = data / "genome" / "hg38.sparse.fa.gz"
    genome = Genome(path)
    assert genome.lengths == {name: n for name, n in GRCH38.lengths.items() if name != "chrM"}
    rng = np.random.default_rng(1)
    known = [line.split("\t")[:3] for line in (data / "genome" / "known_intervals.bed").read_text().splitlines()]
    rows = [known[i] for i in rng.choice(len(known), 150, replace=False)]
    chrom = [row[0] for row in rows]
    start = np.array([int(row[1]) for row in rows]) - 20
    end = np.minimum(np.array([int(row[2]) for row in rows]) + 20, start + 3000)
    codes, offsets = genome.gather(chrom, start, end)
    with pysam.FastaFile(str(path)) as oracle:
        for i, name in enumerate(chrom):
            assert letters(codes[offsets[i] : offsets[i + 1]]) == oracle.fetch(name, start[i], end[i]).upper()
