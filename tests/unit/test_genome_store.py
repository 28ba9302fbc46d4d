"""The genome cache: import, reuse, fetch, gather; FASTA and 2bit."""

from __future__ import annotations

import gzip
import os
import struct
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from encre.errors import (
    AssemblyMismatchError,
    FormatError,
    IntervalError,
    MissingFileError,
    ResourceError,
    UnknownChromosomeError,
)
from encre.genome import cache as cache_module
from encre.genome.assembly import Assembly
from encre.genome.fasta import read_fasta
from encre.genome.intervals import Interval
from encre.genome.store import Genome
from encre.progress import PlainProgress

TOY = Assembly("toy", {"chr1": 12, "chr2": 7}, {"1": "chr1", "NC_1.1": "chr1", "2": "chr2"})
FASTA = ">chr1 first\nACGTN\nacgtr\nGG\n>scaffold\nTTTT\n>chr2\nCCCCCCC\n"


def codes(text: str) -> list[int]:
    return ["ACGTN".index(letter) for letter in text]


@pytest.fixture
def write(tmp_path):
    def write(content: str | bytes = FASTA, name: str = "toy.fa") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


@pytest.fixture
def toy(write, tmp_path):
    return Genome(write(), assembly=TOY, cache=tmp_path / "cache")


def twobit(records: dict[str, str], order: str = "<") -> bytes:
    """A 2bit file by the book, lower case as mask blocks."""

    def blocks(flags: list[bool]) -> bytes:
        edges = np.flatnonzero(np.diff(np.array([False, *flags, False]).astype(int)))
        starts, ends = edges[::2], edges[1::2]
        numbers = [len(starts), *starts.tolist(), *(ends - starts).tolist()]
        return struct.pack(f"{order}{len(numbers)}I", *numbers)

    bodies = []
    for text in records.values():
        digits = ["TCAG".find(letter) if letter in "TCAG" else 0 for letter in text.upper()]
        digits += [0] * (-len(digits) % 4)
        packed = bytes(
            sum(d << s for d, s in zip(digits[i : i + 4], (6, 4, 2, 0), strict=True))
            for i in range(0, len(digits), 4)
        )
        head = struct.pack(f"{order}I", len(text))
        ns, masks = blocks([x in "Nn" for x in text]), blocks([x.islower() for x in text])
        bodies.append(head + ns + masks + struct.pack(f"{order}I", 0) + packed)
    index_size = 16 + sum(5 + len(name) for name in records)
    offsets = index_size + np.cumsum([0, *map(len, bodies)])
    index = b"".join(
        bytes([len(name)]) + name.encode() + struct.pack(f"{order}I", offset)
        for name, offset in zip(records, offsets.tolist(), strict=False)
    )
    return struct.pack(f"{order}4I", 0x1A412743, 0, len(records), 0) + index + b"".join(bodies)


class TestImport:
    def test_known_chromosomes_are_kept_under_their_names(self, toy):
        assert toy.lengths == {"chr1": 12, "chr2": 7}
        assert toy.fetch(Interval("chr1", 0, 12)).tolist() == codes("ACGTNACGTNGG")

    def test_soft_mask_is_beside_the_codes(self, toy):
        assert toy.soft_masked(Interval("chr1", 3, 11)).tolist() == [False, False, *[True] * 5, False]

    def test_scaffolds_on_request(self, write, tmp_path):
        genome = Genome(write(), assembly=TOY, cache=tmp_path / "c", keep_scaffolds=True)
        assert genome.lengths == {"chr1": 12, "scaffold": 4, "chr2": 7}
        assert genome.fetch(Interval("scaffold", 0, 4)).tolist() == codes("TTTT")

    def test_what_is_left_out_is_counted_aloud(self, write, tmp_path, capsys):
        """Scaffolds and patches used to go without a word."""
        Genome(write(), assembly=TOY, cache=tmp_path / "c", progress=PlainProgress())
        said = capsys.readouterr().err
        assert "2 of 3 sequences kept; toy does not name the others (scaffolds, alternative loci …)" in said
        assert "19 of 19 bp" in said

    def test_other_naming_styles(self, write, tmp_path):
        genome = Genome(write(FASTA.replace(">chr1", ">NC_1.1").replace(">chr2", ">2")), assembly=TOY, cache=tmp_path)
        assert genome.lengths == {"chr1": 12, "chr2": 7}
        assert genome.fetch(Interval("1", 0, 2)).tolist() == codes("AC")

    def test_custom_assembly_takes_names_and_lengths_as_they_are(self, write, tmp_path):
        genome = Genome(write(), assembly="custom:newt", cache=tmp_path / "c")
        assert genome.lengths == {"chr1": 12, "scaffold": 4, "chr2": 7}

    @pytest.mark.parametrize(
        "change",
        [
            lambda text: text.replace(b"\n", b"\r\n"),
            lambda text: b"\n\n" + text.rstrip(b"\n"),
            gzip.compress,
            lambda text: gzip.compress(text[:20]) + gzip.compress(text[20:]),
            lambda text: twobit({"chr1": "ACGTNacgtnGG", "scaffold": "TTTT", "chr2": "CCCCCCC"}),
            lambda text: twobit({"chr1": "ACGTNacgtnGG", "scaffold": "TTTT", "chr2": "CCCCCCC"}, ">"),
        ],
        ids=["crlf", "blank lines", "gzip", "gzip members", "2bit", "2bit big-endian"],
    )
    def test_forms_of_one_genome_give_one_cache(self, toy, write, tmp_path, change):
        other = Genome(write(change(FASTA.encode()), "other"), assembly=TOY, cache=tmp_path / "other-cache")
        assert other.lengths == toy.lengths
        assert (other.cache / "bases.u8").read_bytes() == (toy.cache / "bases.u8").read_bytes()

    def test_records_may_span_chunks(self, write, tmp_path, monkeypatch):
        monkeypatch.setattr("encre.genome.fasta._CHUNK", 3)
        genome = Genome(write(), assembly=TOY, cache=tmp_path / "c")
        assert genome.fetch(Interval("chr1", 0, 12)).tolist() == codes("ACGTNACGTNGG")

    def test_twobit_pieces(self, write, tmp_path, monkeypatch):
        monkeypatch.setattr("encre.genome.twobit._CHUNK", 8)
        text = "NNNNACGTacgtacNNacGTACGTTTTTTa"
        genome = Genome(write(twobit({"x": text}), "x.2bit"), assembly=None, cache=tmp_path / "c")
        assert genome.fetch(Interval("x", 0, len(text))).tolist() == codes(text.upper())
        assert genome.soft_masked(Interval("x", 0, len(text))).tolist() == [x.islower() for x in text]


class TestCache:
    def imports(self, monkeypatch) -> list[Path]:
        seen: list[Path] = []
        real = cache_module._import
        monkeypatch.setattr(cache_module, "_import", lambda path, *a, **k: (seen.append(path), real(path, *a, **k)))
        return seen

    def test_reused_while_the_source_is_unchanged(self, write, tmp_path, monkeypatch):
        seen, path = self.imports(monkeypatch), write()
        for _ in range(3):
            Genome(path, assembly=TOY, cache=tmp_path / "c")
        path.touch()  # another time, the same bytes
        copy = write(name="copy.fa")
        Genome(path, assembly=TOY, cache=tmp_path / "c")
        Genome(copy, assembly=TOY, cache=tmp_path / "c")
        assert seen == [path]

    def test_made_anew_when_the_source_changes(self, write, tmp_path):
        path = write()
        before = Genome(path, assembly=TOY, cache=tmp_path / "c")
        write(FASTA.replace("CCCCCCC", "GGGGGGG"))
        os.utime(path, ns=(1, 1))
        after = Genome(path, assembly=TOY, cache=tmp_path / "c")
        assert after.digest != before.digest
        assert after.fetch(Interval("chr2", 0, 7)).tolist() == codes("GGGGGGG")

    @pytest.mark.parametrize("damage", ["bases", "index", "version"])
    def test_made_anew_when_damaged(self, write, tmp_path, damage):
        path = write()
        folder = Genome(path, assembly=TOY, cache=tmp_path / "c").cache
        if damage == "bases":
            (folder / "bases.u8").write_bytes(b"\0")
        elif damage == "index":
            (folder / "index.json").write_text("{")
        else:
            index = (folder / "index.json").read_text()
            (folder / "index.json").write_text(index.replace('"version": 1', '"version": 0'))
        assert Genome(path, assembly=TOY, cache=tmp_path / "c").fetch(Interval("chr2", 0, 2)).tolist() == [1, 1]

    def test_environment_names_the_place(self, write, tmp_path, monkeypatch):
        monkeypatch.setenv("ENCRE_CACHE", str(tmp_path / "mine"))
        assert Genome(write(), assembly=TOY).cache.is_relative_to(tmp_path / "mine")

    def test_nothing_is_left_of_a_failed_import(self, write, tmp_path):
        with pytest.raises(AssemblyMismatchError):
            Genome(write(FASTA.replace("CCCCCCC", "CCC")), assembly=TOY, cache=tmp_path / "c")
        assert not [p for p in (tmp_path / "c" / "genomes").iterdir() if p.name != "sources"]

    def test_full_disk_is_said_and_leaves_nothing(self, write, tmp_path, monkeypatch):
        def full(*args, **keywords):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(cache_module, "_import", full)
        with pytest.raises(ResourceError, match="disk filled up"):
            Genome(write(), assembly=TOY, cache=tmp_path / "c")
        assert not [p for p in (tmp_path / "c" / "genomes").iterdir() if p.name != "sources"]


class TestBadSources:
    @pytest.mark.parametrize(
        ("content", "where", "what"),
        [
            ("chr1\t1\t2\n", "line 1, column 1", "not a FASTA"),
            ("\n\nACGT\n", "line 3, column 1", "not a FASTA"),
            (b"\0\1\2\3\4", "line 1, column 1", "binary"),
            (">chr1\nACGT\nAC5T\n", "line 3, column 3", "no letter"),
            (">chr1\nACGT\n>\nACGT\n", "line 3, column 1", "no name"),
            (FASTA + ">chr2\nCCCCCCC\n", "line 9", "'chr2' stands twice"),
            (FASTA + ">2\nCCCCCCC\n", "line 9", "'chr2' stands twice"),
            (FASTA + ">empty\n", "line 9", "no bases"),
            (FASTA + ">empty", "line 9", "no bases"),
        ],
    )
    def test_place_and_reason(self, write, tmp_path, content, where, what):
        path = write(content)
        with pytest.raises(FormatError) as error:
            Genome(path, assembly=TOY, cache=tmp_path / "c")
        assert f"{path}, {where}" in str(error.value)
        assert what in str(error.value)

    @pytest.mark.parametrize("content", ["", "\n\n"])
    def test_empty(self, write, tmp_path, content):
        with pytest.raises(FormatError, match="empty"):
            Genome(write(content), assembly=TOY, cache=tmp_path / "c")

    def test_missing(self, tmp_path):
        with pytest.raises(MissingFileError, match=r"no\.fa"):
            Genome(tmp_path / "no.fa", cache=tmp_path / "c")

    def test_truncated_gzip(self, write, tmp_path):
        noise = np.random.default_rng(0).choice(list("ACGT"), 50_000)
        whole = gzip.compress(f">chr1\n{''.join(noise)}\n".encode())
        with pytest.raises(FormatError, match="truncated"):
            Genome(write(whole[: len(whole) // 2], "x.fa.gz"), assembly=None, cache=tmp_path / "c")

    def test_truncated_twobit(self, write, tmp_path):
        whole = twobit({"x": "ACGT" * 50})
        for size in (10, 20, 30, len(whole) - 3):
            with pytest.raises(FormatError, match="cut off"):
                Genome(write(whole[:size], f"{size}.2bit"), assembly=None, cache=tmp_path / "c")

    def test_wrong_assembly(self, write, tmp_path):
        with pytest.raises(AssemblyMismatchError, match=r"toy\.fa.*chr1 is 12 bp, GRCh38's is 248,956,422 bp"):
            Genome(write(), assembly="GRCh38", cache=tmp_path / "c")
        with pytest.raises(AssemblyMismatchError, match="none of its 1 sequences"):
            Genome(write(">s1\nACGT\n"), assembly="GRCh38", cache=tmp_path / "c")
        with pytest.raises(AssemblyMismatchError, match="chr1 is 4 bp"):
            Genome(write(twobit({"chr1": "ACGT"}), "x.2bit"), assembly="GRCh38", cache=tmp_path / "c")


class TestFetchAndGather:
    def test_off_the_end_only_with_padding(self, toy):
        with pytest.raises(IntervalError, match=r"chr2:5-9 .*within 0-7"):
            toy.fetch(Interval("chr2", 5, 9))
        assert toy.fetch(Interval("chr2", 5, 9), pad="N").tolist() == codes("CCNN")
        assert toy.fetch(Interval("chr2", 50, 52), pad="N").tolist() == codes("NN")

    def test_padding_on_the_left_needs_plain_numbers(self, toy):
        flat, offsets = toy.gather(["chr2", "chr1"], np.array([-2, -1]), np.array([2, 14]), pad="N")
        assert offsets.tolist() == [0, 4, 19]
        assert flat.tolist() == codes("NNCC" + "NACGTNACGTNGGNN")

    def test_unknown_chromosome_offers_the_nearest(self, toy):
        with pytest.raises(UnknownChromosomeError, match=r"'chr22'.*Did you mean 'chr2'"):
            toy.fetch(Interval("chr22", 0, 1))

    def test_reversed_row_is_refused(self, toy):
        with pytest.raises(IntervalError, match="not beyond the start"):
            toy.gather(["chr1", "chr1"], np.array([0, 5]), np.array([3, 5]), pad="N")

    def test_nothing_asked_nothing_given(self, toy):
        flat, offsets = toy.gather([], np.zeros(0, int), np.zeros(0, int))
        assert (flat.tolist(), offsets.tolist()) == ([], [0])

    @pytest.mark.parametrize("kind", [list, np.array, pl.Series, lambda x: pl.Series(x, dtype=pl.Categorical)])
    def test_many_rows_equal_one_by_one(self, toy, kind):
        rng = np.random.default_rng(3)
        chrom = rng.choice(["chr1", "chr2"], 300)
        start = rng.integers(-5, 10, 300)
        end = start + rng.integers(1, 9, 300)
        flat, offsets = toy.gather(kind(chrom.tolist()), start, end, pad="N")
        text = {"chr1": "ACGTNACGTNGG", "chr2": "CCCCCCC"}
        for i in range(300):
            padded = "N" * 10 + text[chrom[i]] + "N" * 30
            expected = codes(padded[10 + start[i] : 10 + end[i]])
            assert flat[offsets[i] : offsets[i + 1]].tolist() == expected


class TestReadFasta:
    def test_flat_codes_names_and_lines(self, write):
        records = read_fasta(write())
        assert records.names == ["chr1", "scaffold", "chr2"]
        assert records.headers[0] == "chr1 first"
        assert records.offsets.tolist() == [0, 12, 16, 23]
        assert records.codes.tolist() == codes("ACGTNACGTNGGTTTTCCCCCCC")
        assert records.lines == [1, 5, 7]

    def test_empty_record_names_its_line(self, write):
        with pytest.raises(FormatError, match=r"line 3.*|'b' has no sequence"):
            read_fasta(write(">a\nAC\n>b\n>c\nAC\n"))
