"""Per-biosample cCRE files of V4 and V3, and tissues folded from several of them."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from encre.errors import ConfigError, DataError, FormatError
from encre.sources.biosamples import Biosamples, fold
from encre.sources.screen import ScreenSettings, read_screen

FULL, PARTIAL = "All-data/Full-classification", "Missing-data/Partial-classification"
# chrom, start, end, accession, class
ROWS = [
    ("chr1", 100, 300, "EH38E01", "pELS"),
    ("chr1", 500, 700, "EH38E02", "dELS"),
    ("chr2", 100, 350, "EH38E03", "PLS"),
    ("chr2", 900, 1100, "EH38E04", "CA-CTCF"),
    ("chrX", 50, 250, "EH38E05", "CA"),
]


def registry(rows=ROWS) -> str:
    return "".join(f"{c}\t{s}\t{e}\tEH38D{a[-2:]}\t{a}\t{k}\n" for c, s, e, a, k in rows)


def biosample(classes, remark: str | None = FULL, rows=ROWS) -> str:
    lines = [
        f"{c}\t{s}\t{e}\t{a}\t0\t.\t{s}\t{e}\t1,2,3\t{k}" for (c, s, e, a, _), k in zip(rows, classes, strict=True)
    ]
    return "".join(line + (f"\t{remark}" if remark else "") + "\n" for line in lines)


@pytest.fixture
def read(tmp_path):
    """Read a registry with tissues: a text, or a list of texts and the keys of ``Biosamples``."""

    def write(name: str, text: str) -> str:
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    def read(*, text: str = registry(), assembly="GRCh38", classes=(), **tissues):
        chosen = {}
        for name, given in tissues.items():
            if isinstance(given, str):
                chosen[name] = write(f"{name}.bed", given)
            else:
                files, keys = given
                chosen[name] = {"files": [write(f"{name}{i}.bed", one) for i, one in enumerate(files)], **keys}
        settings = {"registry": write("registry.bed", text), "tissues": chosen, "genome": "", "classes": classes}
        return read_screen(ScreenSettings.parse(settings | {"assembly": assembly}))

    return read


def active(elements, tissue: str) -> list[float | None]:
    return [None if np.isnan(value) else value for value in elements.table[f"active_{tissue}"].to_list()]


def notes(elements, step: str) -> dict:
    return next(dict(s.notes) for s in elements.ledger.steps if s.name == step)


ONE = ["pELS", "Low-DNase", "PLS", "CA-only", "dELS"]
TWO = ["Low-DNase", "Low-DNase", "dELS", "CA-CTCF", "dELS"]
THREE = ["High-H3K27ac", "Unclassified", "High-H3K4me3,High-H3K27ac", "Unclassified", "Unclassified"]


class TestOneBiosample:
    def test_v4_with_all_data(self, read):
        elements = read(k562=biosample(ONE))
        assert active(elements, "k562") == [1, 0, 0, 0, 1]
        assert notes(elements, "join k562")["active"] == 2

    def test_without_dnase_nothing_is_measured(self, read):
        elements = read(k562=biosample(THREE, PARTIAL))
        assert active(elements, "k562") == [None] * 5
        assert notes(elements, "join k562")["not measured"] == 5

    def test_missing_ctcf_or_h3k4me3_leaves_the_enhancers(self, read):
        assert active(read(k562=biosample(ONE, PARTIAL)), "k562") == [1, 0, 0, 0, 1]

    def test_without_h3k27ac_what_is_open_and_no_promoter_is_not_measured(self, read):
        classes = ["CA-only", "Low-DNase", "PLS", "CA-CTCF", "DNase-H3K4me3"]
        elements = read(k562=biosample(classes, PARTIAL))
        assert active(elements, "k562") == [None, 0, 0, None, None]
        said = notes(elements, "join k562")
        assert said["rows not measured because the biosample has no H3K27ac"] == 3
        assert said["not measured"] == 3
        # The same classes with all data, or folded from many samples, are measured.
        assert active(read(k562=biosample(classes, FULL)), "k562") == [0] * 5
        assert active(read(k562=biosample(classes, "Aggregated-Samples")), "k562") == [0] * 5

    @pytest.mark.parametrize("remark", [FULL, None])
    def test_v3_with_seven_groups(self, read, remark):
        rows = [
            (*row[:4], k)
            for row, k in zip(ROWS, ["pELS", "dELS,CTCF-bound", "PLS", "CTCF-only", "dELS"], strict=True)
        ]
        classes = ["pELS,CTCF-bound", "Low-DNase", "DNase-only", "CTCF-only,CTCF-bound", "dELS"]
        elements = read(text=registry(rows), k562=biosample(classes, remark))
        assert active(elements, "k562") == [1, 0, 0, 0, 1]

    def test_gzip(self, read, tmp_path):
        plain = read(k562=biosample(ONE)).table
        (tmp_path / "k.7group.bed.gz").write_bytes(gzip.compress(biosample(ONE).encode()))
        settings = ScreenSettings(
            registry=str(tmp_path / "registry.bed"), tissues={"k562": str(tmp_path / "k.7group.bed.gz")}, genome=""
        )
        assert read_screen(settings).table.equals(plain)

    @pytest.mark.parametrize(
        ("text", "kind", "said"),
        [
            (biosample([*ONE[:4], "dELSS"]), FormatError, r"k562\.bed, line 5 \(class\).*'dELSS'.*'dELS'"),
            (biosample([*ONE[:4], "High-CTCF,dELS"]), FormatError, r"line 5 \(class\).*'High-CTCF,dELS'"),
            (biosample(ONE) + "chr1\t5\t9\n", FormatError, r"line 6: .*wrong number of columns.*expected 11"),
            (registry(), FormatError, r"line 1: this is not a SCREEN tissue file.*10 or 11"),
            (
                biosample(ONE, rows=[(*row[:3], f"EH38E9{i}", "") for i, row in enumerate(ROWS)]),
                DataError,
                "of another registry version: 5 of 5",
            ),
        ],
    )
    def test_bad_files_are_named(self, read, text, kind, said):
        for given in (text, ([biosample(ONE), text], {})):
            with pytest.raises(kind, match=said.replace(r"k562\.bed", r"k5621?\.bed")):
                read(k562=given)


class TestFold:
    FILES = (biosample(ONE), biosample(TWO), biosample(THREE, PARTIAL))

    @pytest.mark.parametrize(
        ("keys", "expected"),
        [
            ({}, [1, 0, 1, 0, 1]),
            ({"rule": "any"}, [1, 0, 1, 0, 1]),
            ({"rule": "majority"}, [0, 0, 0, 0, 1]),
            ({"rule": "at_least", "at_least": 2}, [0, 0, 0, 0, 1]),
            ({"rule": "at_least", "at_least": 3}, [0, 0, 0, 0, 0]),
        ],
    )
    def test_rules(self, read, keys, expected):
        assert active(read(brain=(self.FILES, keys)), "brain") == expected

    def test_the_ledger_tells_biosamples_and_agreement(self, read):
        elements = read(heart=biosample(TWO), brain=(self.FILES, {"rule": "majority"}))
        assert [step.name for step in elements.ledger.steps] == [
            "read registry",
            "join heart",
            "join brain: brain0.bed",
            "join brain: brain1.bed",
            "join brain: brain2.bed",
            "fold brain",
        ]
        assert notes(elements, "join brain: brain0.bed")["active"] == 2
        assert notes(elements, "join brain: brain2.bed")["not measured"] == 5
        assert notes(elements, "join brain: brain2.bed")["rows in the file"] == 5
        assert notes(elements, "fold brain") == {
            "rule": "majority",
            "biosamples": 3,
            "active": 1,
            "not measured": 0,
            "measured by several biosamples": 5,
            "of these, all biosamples agree": 3,
        }
        assert [file["name"] for file in elements.files] == [
            "registry.bed",
            "heart.bed",
            "brain0.bed",
            "brain1.bed",
            "brain2.bed",
        ]

    def test_what_nobody_measured_is_not_measured(self, read):
        elements = read(brain=([biosample(THREE, PARTIAL), biosample(THREE[::-1], PARTIAL)], {}))
        assert active(elements, "brain") == [None] * 5
        assert notes(elements, "fold brain")["not measured"] == 5

    def test_files_in_another_order_or_with_fewer_rows(self, read):
        lines = biosample(TWO).splitlines(keepends=True)
        settings = {"rule": "any"}
        plain = read(brain=([biosample(ONE), biosample(TWO)], settings))
        turned = read(brain=(["".join(lines[::-1]), biosample(ONE)], settings))
        assert active(plain, "brain") == active(turned, "brain")

    def test_one_file_folded_is_that_file(self, read):
        assert active(read(brain=([biosample(ONE)], {"rule": "majority"})), "brain") == active(
            read(brain=biosample(ONE)), "brain"
        )

    def test_more_than_there_are(self):
        with pytest.raises(ConfigError, match="at_least = 3 can never be reached by 2 biosamples"):
            fold([np.zeros(3, dtype=np.float32)] * 2, rule="at_least", at_least=3)

    def test_a_fast_fold_is_the_slow_one(self):
        rng = np.random.default_rng(0)
        values = rng.choice(np.array([0, 1, np.nan], dtype=np.float32), (7, 500), p=[0.4, 0.3, 0.3])
        values[:, :20] = np.nan
        for rule, at_least in (("any", 1), ("majority", 1), ("at_least", 2), ("at_least", 5)):
            folded = fold(iter(values), rule=rule, at_least=at_least)
            slow = [slow_rule(column, rule, at_least) for column in values.T]
            assert np.array_equal(folded.values, np.array(slow, dtype=np.float32), equal_nan=True)
            assert folded.values.dtype == np.float32
            measured = [[v for v in column if not np.isnan(v)] for column in values.T]
            several = [column for column in measured if len(column) > 1]
            assert folded.notes["measured by several biosamples"] == len(several)
            assert folded.notes["of these, all biosamples agree"] == sum(len(set(c)) == 1 for c in several)


def slow_rule(column, rule: str, at_least: int) -> float:
    """One element, counted by hand."""
    measured = [value for value in column if not np.isnan(value)]
    on = sum(value == 1 for value in measured)
    if not measured:
        return np.nan
    if rule == "any":
        return float(on >= 1)
    return float(on > len(measured) / 2) if rule == "majority" else float(on >= at_least)


class TestClasses:
    def test_only_these_classes_stay_and_the_rest_is_counted(self, read):
        elements = read(heart=biosample(ONE), classes=("pELS", "dELS"))
        assert elements.table["accession"].to_list() == ["EH38E01", "EH38E02"]
        assert active(elements, "heart") == [1, 0]
        step = elements.ledger.steps[-1]
        assert (step.name, step.rows_in, step.rows_out) == ("keep classes", 5, 2)
        assert step.dropped == {"PLS": 1, "CA-CTCF": 1, "CA": 1}

    def test_a_class_that_nobody_knows_or_has(self, read):
        with pytest.raises(ConfigError, match="'classes'.*no cCRE class 'dELs'.*Did you mean 'dELS'"):
            read(heart=biosample(ONE), classes=("dELs",))
        with pytest.raises(DataError, match=r"no element is of the classes to keep \(CTCF-only\).*got CA, CA-CTCF"):
            read(heart=biosample(ONE), classes=("CTCF-only",))


class TestMouse:
    ROWS = (("chr1", 100, 300, "EM10E01", "pELS"), ("chr19", 500, 700, "EM10E02", "dELS"))

    def test_mm10(self, read):
        text = registry(self.ROWS).replace("EH38D", "EM10D")
        elements = read(text=text, assembly="mm10", liver=biosample(["Low-DNase", "dELS"], FULL, self.ROWS))
        assert elements.table["accession"].to_list() == ["EM10E01", "EM10E02"]
        assert active(elements, "liver") == [0, 1]
        assert notes(elements, "join liver")["joined on"] == "accession"

    def test_a_chromosome_that_mice_lack(self, read):
        rows = [("chr22", 1, 200, "EM10E01", "PLS")]
        with pytest.raises(KeyError, match="'chr22' is not in the genome"):
            read(text=registry(rows), assembly="mm10", liver=biosample(["PLS"], FULL, rows))


class TestSettings:
    def settings(self, **tissues) -> ScreenSettings:
        return ScreenSettings.parse({"registry": "r.bed", "genome": "g.fa", "tissues": tissues})

    def test_order_of_tissues_survives_toml(self, tmp_path):
        written = self.settings(
            brain={"organ": "brain", "rule": "majority", "classification": ["tissue"]},
            heart="heart.bed",
            skin="",
            lung={"files": ["a.bed", "b.bed"], "rule": "at_least", "at_least": 2},
            liver={"files": ["c.bed"]},
        )
        assert written.tissues["liver"] == "c.bed"
        assert all(
            table["files"] for name, table in written.model_dump(mode="json")["tissues"].items() if name != "brain"
        )
        path = tmp_path / "source.toml"
        path.write_text(written.to_toml())
        again = ScreenSettings.from_toml(path)
        assert again == written
        assert list(again.tissues) == ["brain", "heart", "skin", "lung", "liver"]
        assert isinstance(again.tissues["brain"], Biosamples)

    def test_files_alone_stay_texts(self):
        assert self.settings(heart="h.bed", skin="").model_dump(mode="json")["tissues"] == {
            "heart": "h.bed",
            "skin": "",
        }

    @pytest.mark.parametrize(
        ("keys", "said"),
        [
            ({"organs": "brain"}, "unknown key 'organs' of 'brain'. Did you mean 'organ'"),
            ({}, "needs files, an organ or accessions"),
            ({"organ": "brain", "accessions": ["ENCSR000AAA"]}, "not both"),
            ({"organ": "brain", "rule": "most"}, "'any', 'majority' or 'at_least'"),
            ({"organ": "brain", "at_least": 2}, 'at_least belongs to rule = "at_least"'),
            ({"files": ["a", "b"], "rule": "at_least", "at_least": 3}, "more than the biosamples that are named"),
            ({"files": ["a", "a"]}, "a stands twice"),
            ({"files": ["a", ""]}, "an empty name"),
            ({"accessions": ["K562"]}, "'K562' is no accession of ENCODE"),
            ({"accessions": ["ENCSR000AAA"], "classification": ["tissue"]}, "among the biosamples of an organ"),
            ({"organ": "brain", "classification": ["cells"]}, "'tissue', 'primary cell'"),
        ],
    )
    def test_bad_tables(self, keys, said):
        with pytest.raises(ConfigError, match=said) as error:
            self.settings(brain=keys)
        assert "\n" not in str(error.value)

    def test_groups_are_what_the_lock_calls_them(self):
        assert Biosamples(organ="brain").groups == ("organ:brain",)
        both = Biosamples(organ="brain", classification=("tissue", "primary cell"))
        assert both.groups == ("organ:brain:primary cell:tissue",)
        assert Biosamples(accessions=("ENCSR000AAA", "ENCFF000AAA")).groups == ("ENCSR000AAA", "ENCFF000AAA")

    def test_an_organ_without_files_says_what_to_do(self, tmp_path):
        (tmp_path / "registry.bed").write_text(registry())
        settings = ScreenSettings(
            registry=str(tmp_path / "registry.bed"), tissues={"brain": Biosamples(organ="brain")}, genome=""
        )
        with pytest.raises(ConfigError, match=r"files of 'brain' are not here yet \(organ:brain\).*data download"):
            read_screen(settings)
