"""The catalogue, the lock, and what a config refers to."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path

import pytest

from encre.errors import ConfigError, FormatError, MissingFileError
from encre.sources.catalogue import Entry, distinct, find, load_catalogue
from encre.sources.lock import Locked, read_groups, read_lock, resolve, write_lock
from encre.sources.references import bring, references, resolve_references, wanted
from encre.tasks import TISSUES

DATA = b"chr1\t0\t200\n" * 50


class TestCatalogue:
    def test_every_entry_can_be_downloaded_beside_every_other(self):
        entries = distinct(load_catalogue().values())
        assert len(entries) > 60
        for entry in entries:
            assert all(address.startswith("https://") for address in entry.addresses)
            assert not any("{" in text for text in (entry.name, entry.title, *entry.addresses))

    def test_the_main_job_is_all_there(self):
        catalogue = load_catalogue()
        assert (catalogue["screen-v4"].rows, catalogue["screen-v3"].rows, catalogue["screen-v2"].rows) == (
            2_348_854,
            1_063_878,
            926_535,
        )
        for tissue in TISSUES:
            entry = catalogue[f"screen-v4-{tissue}"]
            assert entry.addresses == (f"https://downloads.wenglab.org/{tissue}.noccl.cCREs.bed",)
            assert (entry.form, entry.rows) == ("tissue", 2_348_854)
            assert (f"screen-v4-{tissue}-all" in catalogue) == (tissue not in ("embryo", "heart"))
        assert catalogue["grch38-refseq"].md5 == "c30471567037b2b2389d43c908c653e1"

    def test_an_unknown_name(self):
        with pytest.raises(
            ConfigError, match=r"no 'screen-v5'.*Did you mean 'screen-v[234]'.*\[catalogue\.screen-v5\]"
        ):
            find("@screen-v5", load_catalogue())
        with pytest.raises(ConfigError, match="data download --list"):
            find("zzz", load_catalogue())

    def test_a_config_adds_entries_and_changes_known_ones(self):
        extra = {
            "mine": {"addresses": ["file:///data/mine.bed"], "form": "table", "assembly": "GRCm38"},
            "screen-v4": {"addresses": ["https://mirror.example/V4.bed"]},
        }
        catalogue = load_catalogue(extra)
        assert catalogue["mine"].title == "mine"
        assert catalogue["mine"].file_at("file:///data/mine.bed") == "mine.bed"
        assert catalogue["screen-v4"].addresses == ("https://mirror.example/V4.bed",)
        assert catalogue["screen-v4"].rows == 2_348_854, "it is still checked as V4"

    @pytest.mark.parametrize(
        ("values", "said"),
        [
            ({"form": "table"}, "'addresses'.*missing"),
            ({"addresses": ["https://a/b"]}, "'form'.*missing"),
            ({"addresses": ["ftp://a/b"], "form": "table"}, "https://, http:// or file://"),
            ({"addresses": ["https://a/b"], "form": "tabel"}, "'form'"),
            ({"addresses": ["https://a/b"], "form": "table", "md5": "xyz"}, "'md5'"),
            ({"addresses": ["https://a/b"], "form": "table", "filename": "../b"}, "'filename'"),
            ({"addresses": ["https://a/b"], "form": "table", "adress": "x"}, "Did you mean 'addresses'"),
            ("https://a/b", "not a table"),
        ],
    )
    def test_bad_entries(self, values, said):
        with pytest.raises(ConfigError, match=said) as error:
            load_catalogue({"mine": values})
        assert "[catalogue.mine]" in str(error.value)


def locked(path: Path, lock: Path) -> Locked:
    content = path.read_bytes()
    return Locked(
        path.relative_to(lock.parent).as_posix(),
        "https://a.example/b",
        hashlib.sha256(content).hexdigest(),
        hashlib.md5(content).hexdigest(),
        len(content),
        "2026-01-01T00:00:00+00:00",
        "free",
    )


class TestLock:
    def test_it_is_toml_and_merges(self, tmp_path):
        (tmp_path / "a").write_bytes(DATA)
        (tmp_path / "b").write_bytes(DATA * 2)
        lock = tmp_path / "encre.lock"
        a, b = (locked(tmp_path / name, lock) for name in "ab")
        write_lock(lock, {"b": b}, groups={"organ:brain": ["b"]})
        write_lock(lock, {"a": a})
        assert read_lock(lock) == {"a": a, "b": b}
        assert read_groups(lock) == {"organ:brain": ["b"]}
        content = tomllib.loads(lock.read_text())
        assert set(content["files"]["a"]) == {"file", "address", "sha256", "md5", "size", "date", "licence"}
        assert resolve("a", lock) == tmp_path / "a"

    def test_what_is_missing_or_changed_is_said(self, tmp_path):
        lock = tmp_path / "encre.lock"
        (tmp_path / "a").write_bytes(DATA)
        write_lock(lock, {"a": locked(tmp_path / "a", lock)})
        with pytest.raises(MissingFileError, match="'b' has not been downloaded"):
            resolve("b", lock)
        (tmp_path / "a").write_bytes(DATA[:-1] + b"x")
        with pytest.raises(MissingFileError, match="SHA-256"):
            resolve("a", lock)
        (tmp_path / "a").write_bytes(DATA[:-1])
        with pytest.raises(MissingFileError, match="549 bytes instead of 550"):
            resolve("a", lock)

    @pytest.mark.parametrize("text", ["[files", '[files.a]\nfile = "x"\n', "files = 3\n", '[groups]\na = "x"\n'])
    def test_a_damaged_lock(self, tmp_path, text):
        lock = tmp_path / "encre.lock"
        lock.write_text(text)
        with pytest.raises(FormatError, match="lock.*Remove it and download again"):
            write_lock(lock, {})
        assert lock.read_text() == text

    def test_a_folder_may_move_with_its_lock(self, tmp_path):
        old = tmp_path / "old"
        (old / "files").mkdir(parents=True)
        (old / "files" / "a").write_bytes(DATA)
        write_lock(old / "encre.lock", {"a": locked(old / "files" / "a", old / "encre.lock")})
        old.rename(tmp_path / "new")
        assert resolve("a", tmp_path / "new" / "encre.lock") == tmp_path / "new" / "files" / "a"


CONFIG = """
[source]
kind = "screen"
registry = "@mine"
genome = "genome.fa"

[source.tissues]
brain = "@two"
lung = ""

[negatives]
exclude = ["@two", "own.bed"]

[catalogue.mine]
addresses = ["{mine}"]
form = "table"

[catalogue.two]
addresses = ["file:///nowhere/two.bed", "{two}"]
form = "table"

[download]
folder = "got"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    for name in ("mine.bed", "two.bed"):
        (mirror / name).write_bytes(DATA + name.encode())
    path = tmp_path / "job" / "dataset.toml"
    path.parent.mkdir()
    path.write_text(CONFIG.format(mine=(mirror / "mine.bed").as_uri(), two=(mirror / "two.bed").as_uri()))
    return path


def read(config: Path) -> dict:
    return tomllib.loads(config.read_text())


class TestReferences:
    def test_they_are_found_anywhere_once(self, config):
        assert references(read(config)) == ["mine", "two"]
        assert references({"a": {"b": ["@x", {"c": "@y"}]}, "d": "not@this", "catalogue": {"e": "@z"}}) == ["x", "y"]
        with pytest.raises(ConfigError, match="names no file"):
            references({"a": "@"})

    def test_before_the_download_the_remedy_is_told(self, config):
        with pytest.raises(MissingFileError, match=f"'@mine' has not been downloaded.*encre data download {config}"):
            resolve_references(read(config), config_path=config)

    def test_after_it_they_are_paths(self, config):
        want = wanted([str(config)])
        assert (want.folder, want.lock) == (config.parent / "got", config.parent / "encre.lock")
        bring(want)
        values = resolve_references(read(config), config_path=config)
        two = str(config.parent / "got" / "two.bed")
        assert values["source"]["registry"] == str(config.parent / "got" / "mine.bed")
        assert values["source"]["genome"] == "genome.fa"
        assert values["source"]["tissues"] == {"brain": two, "lung": ""}
        assert values["negatives"]["exclude"] == [two, "own.bed"]
        assert values["catalogue"] == read(config)["catalogue"]
        assert read_lock(want.lock)["two"].address.endswith("/mirror/two.bed")

    def test_a_file_that_changed_since_is_refused(self, config):
        bring(wanted([str(config)]))
        (config.parent / "got" / "two.bed").write_bytes(DATA)
        with pytest.raises(MissingFileError, match="'@two' cannot be used.*bytes instead of"):
            resolve_references(read(config), config_path=config)

    def test_a_config_without_references_needs_no_lock(self, tmp_path):
        values = {"source": {"registry": "a.bed", "tissues": {"brain": "b.bed"}}}
        assert resolve_references(values, config_path=tmp_path / "x.toml") == values

    def test_unknown_names_are_refused(self, config):
        config.write_text(config.read_text().replace('"@mine"', '"@mien"'))
        with pytest.raises(ConfigError, match="Did you mean 'mine'"):
            resolve_references(read(config), config_path=config)
        with pytest.raises(ConfigError, match="Did you mean 'mine'"):
            wanted([str(config)])

    def test_a_config_that_refers_to_nothing(self, tmp_path):
        (tmp_path / "x.toml").write_text('[source]\nkind = "dhs"\n')
        with pytest.raises(ConfigError, match="refers to no file"):
            wanted([str(tmp_path / "x.toml")])


class TestBiosamples:
    """Tissues made of ENCODE's biosamples: the lock remembers which files an organ had."""

    @pytest.fixture
    def organ(self, config, monkeypatch):
        config.write_text(config.read_text().replace('lung = ""', 'lung = { organ = "lung", rule = "majority" }'))
        mirror = config.parent.parent / "mirror"
        entries = []
        for name in ("ENCFF000AAA", "ENCFF000BBB"):
            (mirror / f"{name}.bed").write_bytes(DATA + name.encode())
            entries.append(Entry(name, name, ((mirror / f"{name}.bed").as_uri(),), "biosample"))
        monkeypatch.setattr("encre.sources.encode.entries_of_config", lambda values, **more: {"organ:lung": entries})
        return config

    def test_their_files_come_and_are_resolved(self, organ, monkeypatch):
        with pytest.raises(MissingFileError, match="offline.*'lung'"):
            wanted([str(organ)], offline=True)
        bring(wanted([str(organ)]))
        monkeypatch.delattr("encre.sources.encode.entries_of_config")  # ENCODE is not asked again
        files = [str(organ.parent / "got" / f"ENCFF000{last}.bed") for last in ("AAA", "BBB")]
        values = resolve_references(read(organ), config_path=organ)
        assert values["source"]["tissues"]["lung"] == {"organ": "lung", "rule": "majority", "files": files}
        again = bring(wanted([str(organ)], offline=True), offline=True)
        assert [one.entry.name for one in again] == ["mine", "two", "ENCFF000AAA", "ENCFF000BBB"]

    def test_before_the_download_the_remedy_is_told(self, organ):
        bring(wanted([str(organ)])._replace(groups={}))
        with pytest.raises(
            MissingFileError, match=r"'lung' \(organ:lung\) have not been downloaded.*Run: encre data"
        ):
            resolve_references(read(organ), config_path=organ)
