"""A user's own BED, FASTA and tables, and the shipped data set."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from encre.config import Config
from encre.errors import (
    ConfigError,
    DataError,
    FormatError,
    IntervalError,
    SequenceError,
    UnknownChromosomeError,
)
from encre.sources.dhs import CELL_LINES, DhsSettings, read_dhs
from encre.sources.elements import COLUMNS
from encre.sources.own import (
    BedSettings,
    FastaSettings,
    TableSettings,
    read_own_bed,
    read_own_fasta,
    read_own_table,
)
from encre.sources.registry import SOURCES, read_source

TASKS = {"enhancer": ["active"], "tissue": ["heart", "brain"]}


def texts(elements) -> list[str]:
    letters = np.array(list("ACGTN"))[elements.codes]
    return ["".join(letters[a:b]) for a, b in zip(elements.offsets[:-1], elements.offsets[1:], strict=True)]


def targets(elements) -> list[list[float | None]]:
    names = [task.target for task in elements.tasks]
    return [[None if np.isnan(x) else x for x in row] for row in elements.table.select(names).rows()]


@pytest.fixture
def put(tmp_path):
    def put(name: str, text: str) -> str:
        (tmp_path / name).write_bytes(text.encode())
        return str(tmp_path / name)

    return put


@pytest.fixture
def bed(put):
    def bed(text: str, labels: str = "", **keywords):
        genome = put("toy.fa", ">chr1\n" + "ACGT" * 25 + "\n>chr2\n" + "GGCC" * 10 + "\n")
        settings = BedSettings(
            file=put("own.bed", text),
            genome=genome,
            assembly="custom:toy",
            tasks=TASKS,
            labels=labels and put("labels.tsv", labels),
            **keywords,
        )
        return read_own_bed(settings)

    return bed


class TestBed:
    HEADED = "#chrom\tstart\tend\tname\tactive\theart\tbrain\nchr1\t0\t10\ta\t1\t0\tNA\nchr2\t5\t20\tb\t0\t\t1\n"

    def test_header_names_the_targets(self, bed):
        elements = bed(self.HEADED)
        assert targets(elements) == [[1, 0, None], [0, None, 1]]
        assert elements.table.select("chrom", "start", "end", "accession").rows() == [
            ("chr1", 0, 10, "a"),
            ("chr2", 5, 20, "b"),
        ]
        assert elements.tasks.groups == {"enhancer": (0,), "tissue": (1, 2)}
        assert [task.kind for task in elements.tasks] == ["binary", "multilabel", "multilabel"]
        assert elements.codes is None

    def test_side_table_joins_on_the_name_and_counts(self, bed):
        labels = "name\tactive\theart\tbrain\nb\t0\t1\t0\nz\t1\t1\t1\na\t1\t\t0\n"
        elements = bed("chr1\t0\t10\ta\nchr2\t5\t20\tb\nchr1\t3\t9\tc\n", labels)
        assert elements.table["accession"].to_list() == ["a", "b"]
        assert targets(elements) == [[1, None, 0], [0, 1, 0]]
        step = elements.ledger.steps[-1]
        assert (step.rows_in, step.rows_out) == (3, 2)
        assert dict(step.dropped) == {"no row in the side table": 1}
        assert step.notes["of them without an element"] == 1
        # Background keeps away from the interval without a target, too.
        assert elements.places.rows() == [("chr1", 0, 10), ("chr2", 5, 20), ("chr1", 3, 9)]

    def test_split_column(self, bed):
        text = self.HEADED.replace("brain\n", "brain\tfold\n").replace("NA\n", "NA\tTraining\n")
        elements = bed(text.replace("\t1\n", "\t1\tvalidation\n"), split_column="fold")
        assert elements.table["split"].to_list() == ["train", "valid"]
        with pytest.raises(FormatError, match=r"line 2 \(fold\): this is no split.*got 'fold1'"):
            bed(text.replace("Training", "fold1").replace("\t1\n", "\t1\ttest\n"), split_column="fold")

    @pytest.mark.parametrize(
        ("line", "kind", "said"),
        [
            ("chr1\t9\t9\tc\t1\t1\t1", IntervalError, "line 4, column 3: the end is not beyond"),
            ("chr1\t9\t101\tc\t1\t1\t1", IntervalError, "line 4, column 3: .*beyond its chromosome.*at most 100"),
            ("chr3\t9\t11\tc\t1\t1\t1", UnknownChromosomeError, "line 4, column 1: .*'chr3'"),
            ("chr1\t9\t11\tc\t2\t1\t1", FormatError, r"line 4 \(active\): a target is 1, 0 or empty.*got 2"),
            ("chr1\t9\t11\tc\tyes\t1\t1", FormatError, r"line 4, column 5 \(active\): this is not a number"),
            ("chr1\t9\t11\tc\t1\t1", FormatError, "line 4: .*wrong number of columns"),
        ],
    )
    def test_bad_line_is_named(self, bed, line, kind, said):
        with pytest.raises(kind, match=rf"own\.bed, {said}"):
            bed(self.HEADED + line + "\n")

    def test_without_header_or_labels(self, bed):
        with pytest.raises(FormatError, match="targets' columns are not named.*header line"):
            bed("chr1\t0\t10\ta\n")

    def test_labels_of_other_names(self, bed):
        with pytest.raises(DataError, match="no row of the side table has the name of an element.*'a'.*'z'"):
            bed("chr1\t0\t10\ta\n", "name\tactive\theart\tbrain\nz\t1\t1\t1\n")
        with pytest.raises(FormatError, match=r"line 3 \(name\): the name 'a' stands twice"):
            bed("chr1\t0\t10\ta\n", "name\tactive\theart\tbrain\na\t1\t1\t1\na\t1\t1\t1\n")

    def test_target_with_a_taken_name(self, bed, put):
        with pytest.raises(ConfigError, match="'split'"):
            read_own_bed(BedSettings(file=put("x.bed", "x"), genome="", tasks={"a": ["split"]}))

    def test_measurements_stand_beside_classes(self, bed):
        text = "#chrom\tstart\tend\tactive\theart\tbrain\tz\nchr1\t0\t10\t1\t0\t1\t-2.5\nchr1\t9\t20\t1\t0\t1\tNA\n"
        elements = bed(text, regression={"score": ["z"]})
        assert targets(elements) == [[1, 0, 1, -2.5], [1, 0, 1, None]]
        assert [task.kind for task in elements.tasks][-1] == "regression"
        assert elements.ledger.steps[-1].notes["z measured"] == 1
        with pytest.raises(FormatError, match=r"line 2 \(z\): a target is a number or empty.*got inf"):
            bed(text.replace("-2.5", "inf"), regression={"score": ["z"]})
        with pytest.raises(ConfigError, match="'tissue' stands in tasks and in regression"):
            bed(text, regression={"tissue": ["z"]})


class TestFasta:
    @pytest.fixture
    def fasta(self, put):
        def fasta(text: str, labels: str = "", **keywords):
            labels = labels and put("labels.csv", labels)
            return read_own_fasta(FastaSettings(file=put("own.fa", text), tasks=TASKS, labels=labels, **keywords))

        return fasta

    def test_labels_by_name_in_the_header(self, fasta):
        elements = fasta(">a active=1 heart=0 brain=1\nACGT\nnn\n>b brain=0 active=0\nGGG\n")
        assert targets(elements) == [[1, 0, 1], [0, None, 0]]
        assert texts(elements) == ["ACGTNN", "GGG"]
        assert elements.table["accession"].to_list() == ["a", "b"]
        assert elements.table["chrom"].null_count() == 2

    def test_labels_between_bars(self, fasta):
        elements = fasta(">a|1|0|NA\nACGT\n>b|0|1|1\nGGG\n")
        assert targets(elements) == [[1, 0, None], [0, 1, 1]]
        assert elements.table["accession"].to_list() == ["a", "b"]

    def test_side_table_keeps_sequences_and_rows_together(self, fasta):
        text = ">a\nAAAA\n>c\nCC\n>b\nGGG\n"
        elements = fasta(text, "name,active,heart,brain,part\nb,0,1,1,test\na,1,0,,train\n", split_column="part")
        assert texts(elements) == ["AAAA", "GGG"]
        assert targets(elements) == [[1, 0, None], [0, 1, 1]]
        assert elements.table["split"].to_list() == ["train", "test"]

    def test_split_in_the_header(self, fasta):
        elements = fasta(
            ">a active=1 heart=0 brain=1 part=train\nAC\n>b active=0 heart=0 brain=1 part=test\nAC\n",
            split_column="part",
        )
        assert elements.table["split"].to_list() == ["train", "test"]

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (">a activ=1 heart=1 brain=0\nAC\n", "no header has 'active='.*Did you mean 'activ'"),
            (">a|1|0|1\nAC\n>b|1\nGT\n", "line 3: the header does not tell the targets"),
            (">a active=1 heart=1 brain=1\nAC\n>b active=5 heart=1 brain=1\nAC\n", r"line 3 \(active\): a target is"),
            (">a active=x heart=1 brain=1\nAC\n", r"line 1 \(active\): .*'x'"),
            ("no fasta\n", "line 1, column 1: this is not a FASTA"),
            (">a|1|0|1\n>b|1|0|1\nGT\n", "has no sequence"),
        ],
    )
    def test_bad_file(self, fasta, text, said):
        with pytest.raises(FormatError, match=said):
            fasta(text)


class TestTable:
    def read(self, path, **keywords):
        return read_own_table(TableSettings(file=path, tasks=TASKS, **keywords))

    def test_csv(self, put):
        path = put("t.csv", 'id,sequence,active,heart,brain,note\nx,acgt,1,0,,"a, b"\ny,GGNR,0,1,1,\n')
        elements = self.read(path)
        assert texts(elements) == ["ACGT", "GGNN"]
        assert targets(elements) == [[1, 0, None], [0, 1, 1]]
        assert elements.table["accession"].to_list() == ["x", "y"]

    def test_parquet_with_places_and_split(self, tmp_path):
        frame = pl.DataFrame(
            {
                "dna": ["ACGT", "GG"],
                "active": [True, False],
                "heart": [0, None],
                "brain": [1.0, 0.0],
                "chrom": ["chr1", "chr2"],
                "start": [5, 6],
                "end": [9, 8],
                "fold": ["train", "test"],
            }
        )
        frame.write_parquet(tmp_path / "t.parquet")
        elements = self.read(str(tmp_path / "t.parquet"), sequence="dna", split_column="fold")
        assert targets(elements) == [[1, 0, 1], [0, None, 0]]
        assert elements.table.select("chrom", "start", "end", "split").rows() == [
            ("chr1", 5, 9, "train"),
            ("chr2", 6, 8, "test"),
        ]

    @pytest.mark.parametrize(
        ("rows", "kind", "said"),
        [
            ("AC1T,1,0,1", SequenceError, r"line 3 \(sequence\): this is not a DNA sequence.*'AC1T'"),
            (",1,0,1", SequenceError, r"line 3 \(sequence\): the sequence is empty"),
            ("ACGT,0.5,0,1", FormatError, r"line 3 \(active\): a target is 1, 0 or empty"),
            ("ACGT,1,0", FormatError, "line 3: .*wrong number of columns"),
        ],
    )
    def test_bad_row_is_named(self, put, rows, kind, said):
        path = put("t.csv", f"sequence,active,heart,brain\nACGT,1,1,1\n{rows}\n")
        with pytest.raises(kind, match=rf"t\.csv, {said}"):
            self.read(path)

    def test_missing_column(self, put):
        with pytest.raises(FormatError, match="no column 'heart'"):
            self.read(put("t.csv", "sequence,active,brain\nACGT,1,1\n"))


@pytest.fixture(scope="module")
def elements():
    return read_dhs(DhsSettings())


class TestShippedSites:
    def test_counts_and_published_split(self, elements):
        table = elements.table
        assert len(elements) == 47_872
        assert elements.tasks.names == ("element", *CELL_LINES)
        assert table["element"].sum() == 47_872
        assert (table.select(CELL_LINES).sum_horizontal() == 1).all()
        assert all(table[name].sum() == 11_968 for name in CELL_LINES)
        assert table.filter(split="test")["chrom"].unique().to_list() == ["chr1"]
        assert table.filter(split="valid")["chrom"].unique().to_list() == ["chr2"]
        assert ((table["end"] - table["start"]) == 200).all()
        assert sorted(table["component"].unique()) == list(range(1, 17))
        assert len(elements.codes) == 47_872 * 200 == elements.offsets[-1]

    @pytest.mark.data
    def test_sequences_are_the_published_ones(self, elements, data):
        path = data / "dhs" / "dhs_200bp_4celltypes_hg38.tsv.gz"
        published = pl.read_csv(path, separator="\t", columns=["chr", "seq_start", "sequence", "TAG"])
        ours = pl.DataFrame(
            {
                "chr": elements.table["chrom"],
                "seq_start": elements.table["start"],
                "text": texts(elements),
                "line": np.array(CELL_LINES)[elements.table.select(CELL_LINES).to_numpy().argmax(axis=1)],
            }
        )
        both = published.join(ours, on=["chr", "seq_start"])
        assert both.height >= 47_788
        same = both.filter(pl.col("TAG").str.starts_with(pl.col("line")))
        assert (same["sequence"] == same["text"]).all()
        assert same.height >= 47_788


def test_every_source_is_registered_with_its_kind():
    for kind, (settings, read) in SOURCES.items():
        assert issubclass(settings, Config)
        assert settings.model_fields["kind"].default == kind
        assert callable(read)
    elements = read_source(DhsSettings())
    assert list(elements.table.columns[: len(COLUMNS)]) == list(COLUMNS)
