"""Whatever the text, wrapping and packing of a FASTA or BED: what goes in comes out."""

from __future__ import annotations

import gzip

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from encre.genome.fasta import read_fasta
from encre.genome.intervals import Interval, pack
from encre.tables import Column, read_rows

sequences = st.text("ACGTNacgtnRY", min_size=1, max_size=60)
positions = st.tuples(st.integers(0, 2**31), st.integers(1, 2**19))


@settings(deadline=None, max_examples=60)
@given(
    st.lists(sequences, min_size=1, max_size=6), st.integers(1, 70), st.sampled_from(["\n", "\r\n"]), st.booleans()
)
def test_fasta_round_trip(tmp_path_factory, texts, width, line_end, packed):
    lines = []
    for i, text in enumerate(texts):
        lines += [f">s{i} note", *(text[j : j + width] for j in range(0, len(text), width))]
    content = (line_end.join(lines) + line_end).encode()
    path = tmp_path_factory.mktemp("fasta") / "x.fa"
    path.write_bytes(gzip.compress(content) if packed else content)
    records = read_fasta(path)
    assert records.names == [f"s{i}" for i in range(len(texts))]
    assert np.diff(records.offsets).tolist() == [len(text) for text in texts]
    plain = "".join(letter if letter in "ACGT" else "N" for letter in "".join(texts).upper())
    assert "".join("ACGTN"[code] for code in records.codes) == plain


@given(st.from_regex(r"chr[0-9XY]{1,2}", fullmatch=True), positions)
def test_region_round_trip(chrom, position):
    interval = Interval(chrom, position[0], position[0] + position[1])
    assert Interval.from_region(interval.region) == interval


@given(st.lists(st.tuples(st.integers(0, 2047), positions), min_size=1, max_size=20, unique=True))
def test_packed_keys_tell_intervals_apart(rows):
    chrom = np.array([row[0] for row in rows])
    start = np.array([row[1][0] for row in rows])
    keys = pack(chrom, start, start + np.array([row[1][1] for row in rows]))
    assert len(np.unique(keys)) == len(rows)
    assert [rows[i] for i in np.argsort(keys)] == sorted(rows)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.sampled_from(["row", "#c", "", "track x"]), st.integers(0, 10**9)), min_size=1, max_size=12
    ),
    st.sampled_from(["\n", "\r\n"]),
)
def test_every_row_keeps_its_line(tmp_path_factory, lines, line_end):
    written = [f"chr1\t{number}\t{number + 1}" if kind == "row" else kind for kind, number in lines]
    rows = [(i, number) for i, (kind, number) in enumerate(lines, start=1) if kind == "row"]
    written.append("chr1\t7\t8")
    rows.append((len(written), 7))
    path = tmp_path_factory.mktemp("bed") / "x.bed"
    path.write_bytes((line_end.join(written) + line_end).encode())
    frame = read_rows(path, columns=[Column("chrom"), Column("start", "int", 0), Column("end", "int", 0)])
    assert list(zip(frame["line"].to_list(), frame["start"].to_list(), strict=True)) == rows
