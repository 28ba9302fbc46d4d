"""Downloads against a local server that plays every failure; nothing here reaches beyond 127.0.0.1."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import socket
import time
from collections.abc import Callable
from email.utils import formatdate

import pytest

from encre.errors import ConfigError, MissingFileError, ResourceError
from encre.progress import Progress
from encre.sources import download as downloads
from encre.sources.download import download, plan
from encre.sources.lock import read_lock
from encre.sources.web import Web
from local_server import DATA, PAGE, Handler, bring, entry, left_over, md5

pytestmark = pytest.mark.usefixtures("_no_proxy")


# --------------------------------------------------------------------------------------------- when all is well


def test_a_file_comes_whole_and_is_locked(server, web, tmp_path):
    server.files["a.bed"] = DATA
    path = bring(entry(server.url("a.bed"), licence="free"), tmp_path / "files", web)
    assert path == tmp_path / "files" / "a.bed"
    assert path.read_bytes() == DATA
    assert left_over(path.parent) == ["a.bed"]
    locked = read_lock(path.parent / "encre.lock")["one"]
    assert (locked.file, locked.address, locked.size) == ("a.bed", server.url("a.bed"), len(DATA))
    assert (locked.md5, locked.sha256) == (md5(DATA), hashlib.sha256(DATA).hexdigest())
    assert locked.licence == "free"
    assert locked.date.endswith("+00:00")


def test_a_file_that_is_there_and_right_is_not_asked_for_again(server, web, tmp_path):
    server.files["a.bed"] = DATA
    one = entry(server.url("a.bed"))
    bring(one, tmp_path, web)
    before = len(server.log)
    (again,) = download([one], tmp_path, web=web)
    assert not again.new
    assert len(server.log) == before


def test_a_file_put_there_by_hand_is_taken_when_it_passes(server, web, tmp_path):
    (tmp_path / "a.bed").write_bytes(DATA)
    (got,) = download([entry(server.url("a.bed"), md5=md5(DATA))], tmp_path, web=web)
    assert not got.new
    assert read_lock(tmp_path / "encre.lock")["one"].address == ""
    assert server.log == []


def test_a_file_that_changed_since_is_fetched_again(server, web, tmp_path):
    server.files["a.bed"] = DATA
    one = entry(server.url("a.bed"))
    bring(one, tmp_path, web).write_bytes(b"X" + DATA[1:])
    (again,) = download([one], tmp_path, web=web)
    assert again.new
    assert again.path.read_bytes() == DATA


def test_a_new_checksum_in_the_catalogue_fetches_again(server, web, tmp_path):
    server.files["a.bed"] = DATA
    bring(entry(server.url("a.bed")), tmp_path, web)
    server.files["a.bed"] = DATA[::-1]
    (again,) = download([entry(server.url("a.bed"), md5=md5(DATA[::-1]))], tmp_path, web=web)
    assert again.new
    assert again.path.read_bytes() == DATA[::-1]


def test_redirects_are_followed(server, web, tmp_path):
    server.files["there.bed"] = DATA
    server.faults["here.bed"] = lambda h, n: h.say(302, b"", Location="/there.bed")
    path = bring(entry(server.url("here.bed")), tmp_path, web)
    assert path.name == "here.bed"
    assert path.read_bytes() == DATA


def test_a_ring_of_redirects_is_left(server, web, tmp_path):
    server.faults["a.bed"] = lambda h, n: h.say(302, b"", Location="/a.bed")
    with pytest.raises(MissingFileError, match="too many redirects"):
        bring(entry(server.url("a.bed")), tmp_path, web)


def test_file_addresses(server, web, tmp_path):
    mirror = tmp_path / "my mirror" / "a.bed"
    mirror.parent.mkdir()
    mirror.write_bytes(DATA)
    missing = (tmp_path / "nowhere.bed").as_uri()
    path = bring(entry(missing, mirror.as_uri(), md5=md5(DATA), filename="x.bed"), tmp_path / "files", web)
    assert path.name == "x.bed"
    assert path.read_bytes() == DATA
    assert mirror.exists()


def test_gz_stays_gz_and_shows_in_the_name(server, web, tmp_path):
    server.files["a.bed.gz"] = gzip.compress(DATA)
    one = entry(server.url("a.bed"), server.url("a.bed.gz"), filename="registry.bed")
    path = bring(one, tmp_path, web)
    assert path.name == "registry.bed.gz"
    assert path.read_bytes() == server.files["a.bed.gz"]


def test_a_plain_file_that_the_server_packs_on_the_way_is_unpacked(server, web, tmp_path):
    packed = gzip.compress(DATA)
    server.faults["a.bed"] = lambda h, n: h.serve(packed, Content_Encoding="gzip")
    server.faults["b.bed.gz"] = lambda h, n: h.serve(packed, Content_Encoding="x-gzip")
    assert bring(entry(server.url("a.bed")), tmp_path, web).read_bytes() == DATA
    assert bring(entry(server.url("b.bed.gz"), name="two"), tmp_path, web).read_bytes() == packed


def test_several_come_at_once_with_one_display(server, tmp_path):
    class Seen(Progress):
        labels: list = []  # noqa: RUF012

        def track(self, label, total, unit="seq"):
            self.labels.append((label, total, unit))
            return super().track(label, total, unit)

    def slow(h, n):
        time.sleep(0.15)
        return False

    names = [f"{i}.bed" for i in range(8)]
    server.files |= dict.fromkeys(names, DATA)
    server.faults |= dict.fromkeys(names, slow)
    entries = [entry(server.url(name), name=name) for name in names]
    got = download(entries, tmp_path, jobs=4, progress=Seen(), web=Web())
    assert [one.entry.name for one in got] == names
    assert 2 <= server.most <= 8
    assert Seen.labels == [("download", round(8 * len(DATA) / 1e6), "MB")]
    assert set(read_lock(tmp_path / "encre.lock")) == set(names)


def test_two_entries_of_one_filename_are_refused(server, web, tmp_path):
    one, two = entry(server.url("a.bed")), entry(server.url("x/a.bed"), name="two")
    with pytest.raises(ConfigError, match=r"'one' and 'two' would both be called a\.bed.*filename"):
        download([one, two], tmp_path, web=web)
    assert server.log == []


def test_the_same_entry_twice_comes_once(server, web, tmp_path):
    server.files["a.bed"] = DATA
    one = entry(server.url("a.bed"))
    assert len(download([one, one], tmp_path, web=web)) == 1


# ------------------------------------------------------------------------------ answers that are not the file


BAD: dict[str, tuple[Callable[[Handler, int], bool], str]] = {
    "404": (lambda h, n: h.say(404, b"gone"), "answered 404 Not Found"),
    "403": (lambda h, n: h.say(403, b"no"), "answered 403 Forbidden"),
    "html": (
        lambda h, n: h.say(200, PAGE, **{"Content-Type": "text/html; charset=utf-8"}),
        "web page instead of data",
    ),
    "html unlabelled": (lambda h, n: h.serve((b"\n  " + PAGE).ljust(len(DATA))), "web page instead of data"),
    "wrong size": (lambda h, n: h.serve(DATA + b"more"), f"offers {len(DATA) + 4:,} bytes instead of {len(DATA):,}"),
    "wrong hash": (lambda h, n: h.serve(DATA[::-1]), "has another MD5"),
    "empty": (lambda h, n: h.serve(b"", Content_Length="0"), "offers 0 bytes instead of"),
    "shorter length than body": (lambda h, n: h.serve(DATA, Content_Length="1000"), "offers 1,000 bytes"),
    "always busy": (lambda h, n: h.say(503, b"busy"), "answered 503 Service Unavailable"),
    "always cut": (lambda h, n: h.serve(DATA, ranges=False, cut=5000), "broke off after 5,000 of"),
    "nobody there": (lambda h, n: h.connection.shutdown(socket.SHUT_RDWR) or True, "did not answer"),
}


@pytest.mark.parametrize("kind", BAD)
def test_the_next_mirror_is_tried(server, web, tmp_path, kind):
    fault, said = BAD[kind]
    server.faults["a.bed"] = fault
    server.files["mirror.bed"] = DATA
    known = {"size": len(DATA), "md5": md5(DATA), "filename": "a.bed"}
    path = bring(entry(server.url("a.bed"), server.url("mirror.bed"), **known), tmp_path, web)
    assert path.read_bytes() == DATA
    assert read_lock(tmp_path / "encre.lock")["one"].address == server.url("mirror.bed")
    assert left_over(tmp_path) == ["a.bed"]

    with pytest.raises(MissingFileError) as error:
        bring(entry(server.url("a.bed"), name="two", **(known | {"filename": "two.bed"})), tmp_path, web)
    text = str(error.value)
    assert "\n" not in text
    for word in ("'two'", server.url("a.bed"), said, str(tmp_path / "two.bed"), "[catalogue.two]"):
        assert word in text
    assert not (tmp_path / "two.bed").exists()


def test_every_address_and_its_answer_is_told(server, web, tmp_path):
    server.faults["b.bed"] = BAD["html"][0]
    with pytest.raises(MissingFileError) as error:
        bring(entry(server.url("a.bed"), server.url("b.bed"), "file:///not/there"), tmp_path, web)
    text = str(error.value)
    assert f"{server.url('a.bed')} answered 404 Not Found; {server.url('b.bed')} gave a web page" in text
    assert "file:///not/there cannot be read (No such file or directory)" in text


def test_one_that_fails_does_not_stop_the_others(server, web, tmp_path):
    server.files["b.bed"] = DATA
    entries = [
        entry(server.url("a.bed")),
        entry(server.url("b.bed"), name="two"),
        entry(server.url("c.bed"), name="3"),
    ]
    with pytest.raises(MissingFileError) as error:
        download(entries, tmp_path, web=web)
    assert "'one' could not" in str(error.value)
    assert "'3' could not" in str(error.value)
    assert (tmp_path / "b.bed").read_bytes() == DATA
    assert set(read_lock(tmp_path / "encre.lock")) == {"two"}


def test_a_truncated_gzip_without_a_checksum_is_not_taken(server, web, tmp_path):
    whole = gzip.compress(DATA)
    server.files |= {"a.gz": whole[:-9], "b.gz": whole, "c.gz": DATA}
    addresses = [server.url(f"{name}.gz") for name in "cab"]
    path = bring(entry(*addresses, filename="x.gz"), tmp_path, web)
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (DATA.replace(b"\tdELS\n", b"\n"), "5 columns instead of 6 or 10 in line 1"),
        (DATA[:-30], "columns instead of 6 in line 30,000"),
        (DATA[: DATA.rindex(b"chr1")], "29,999 rows instead of 30,000"),
        (DATA.replace(b"dELS", b"CTCF-only"), "'CTCF-only' too many, no 'dELS'"),
    ],
)
def test_a_registry_of_another_form_version_or_length_is_not_taken(server, web, tmp_path, body, said):
    server.files |= {"a.bed": body, "b.bed": DATA}
    given = {"form": "registry", "rows": 30_000, "classes": ("dELS",)}
    with pytest.raises(MissingFileError, match=said):
        bring(entry(server.url("a.bed"), **given), tmp_path, web)
    assert bring(entry(server.url("b.bed"), **given), tmp_path, web).read_bytes() == DATA


# -------------------------------------------------------------------------------------------- busy servers


def test_retry_after_is_honoured(server, web, naps, tmp_path):
    server.files["a.bed"] = DATA
    server.faults["a.bed"] = lambda h, n: n == 1 and h.say(429, b"slow down", **{"Retry-After": "7"})
    bring(entry(server.url("a.bed")), tmp_path, web)
    assert naps == [7]


def test_busy_servers_are_asked_again_less_and_less_often(server, web, naps, tmp_path):
    server.files["a.bed"] = DATA
    server.faults["a.bed"] = lambda h, n: n <= 4 and h.say(503, b"busy")
    bring(entry(server.url("a.bed")), tmp_path, web)
    assert naps == [1, 2, 4, 8]


def test_retry_after_tomorrow_goes_to_the_mirror(server, web, naps, tmp_path):
    server.faults["a.bed"] = lambda h, n: h.say(
        503, b"", **{"Retry-After": formatdate(time.time() + 86_400, usegmt=True)}
    )
    server.files["b.bed"] = DATA
    one = entry(server.url("a.bed"), server.url("b.bed"), filename="a.bed")
    assert bring(one, tmp_path, web).read_bytes() == DATA
    assert naps == []


# ------------------------------------------------------------------------------------ disk, offline, dry run


def test_room_is_asked_before_the_first_byte(server, web, tmp_path, monkeypatch):
    server.files |= {"a.bed": DATA, "b.bed": DATA}
    free = shutil.disk_usage(tmp_path)._replace(free=len(DATA) + 5)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    entries = [entry(server.url("a.bed"), size=len(DATA)), entry(server.url("b.bed"), name="two")]
    with pytest.raises(ResourceError, match=r"not room.*expected 3.1 MB free; got 1.6 MB"):
        download(entries, tmp_path, web=web)
    assert server.asked("a.bed") == server.asked("b.bed") == []
    assert server.asked("b.bed", "HEAD") == [""], "its length is not in the catalogue"
    assert left_over(tmp_path) == []


def test_a_disk_that_fills_up_keeps_what_came(server, web, tmp_path, monkeypatch):
    server.files["a.bed"] = DATA

    def full(response, job, have):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("encre.sources.fetch._receive", full)
    with pytest.raises(ResourceError, match="disk filled up.*goes on from there"):
        bring(entry(server.url("a.bed")), tmp_path, web)
    assert not (tmp_path / "a.bed").exists()


def test_two_downloads_into_one_folder(server, web, tmp_path):
    with downloads._held(tmp_path), pytest.raises(ResourceError, match="another download"):
        download([entry(server.url("a.bed"))], tmp_path, web=web)


def test_offline_uses_only_what_the_lock_names(server, web, tmp_path):
    server.files |= {"a.bed": DATA, "b.bed": DATA}
    one, two = entry(server.url("a.bed")), entry(server.url("b.bed"), name="two")
    with pytest.raises(MissingFileError, match=r"2 of 2 files are missing: one \(the lock does not name it\); two"):
        download([one, two], tmp_path, offline=True)
    path = bring(one, tmp_path, web)
    server.log.clear()
    assert download([one], tmp_path, offline=True)[0].path == path
    path.write_bytes(DATA[:-1] + b"X")
    with pytest.raises(MissingFileError, match="1 of 1 files are missing.*SHA-256 is another"):
        download([one], tmp_path, offline=True)
    path.unlink()
    with pytest.raises(MissingFileError, match="is not there"):
        download([one], tmp_path, offline=True)
    assert server.log == []


def test_a_plan_writes_nothing(server, web, tmp_path):
    server.files |= {"a.bed": DATA, "b.bed": DATA}
    one, two = entry(server.url("a.bed")), entry(server.url("b.bed"), name="two", size=5)
    server.faults["c.bed"] = BAD["html"][0]
    three = entry(server.url("c.bed"), server.url("a.bed"), name="three", filename="c.bed")
    planned = plan([one, two, three], tmp_path / "new", web=web)
    assert [(p.entry.name, p.locked, p.size) for p in planned] == [
        ("one", None, len(DATA)),
        ("two", None, 5),
        ("three", None, len(DATA)),
    ]
    assert not (tmp_path / "new").exists()
    assert {method for method, _, _ in server.log} == {"HEAD"}


def test_a_plan_says_what_is_there_and_what_is_wrong(server, web, tmp_path):
    server.files["a.bed"] = DATA
    bring(entry(server.url("a.bed")), tmp_path, web)
    (tmp_path / "b.bed").write_bytes(DATA[:-1])
    there, wrong = plan(
        [entry(server.url("a.bed")), entry(server.url("b.bed"), name="two", size=len(DATA))], tmp_path
    )
    assert there.locked is not None
    assert wrong.locked is None
    assert "bytes instead of" in wrong.note


# -------------------------------------------------------------------------------------------------- proxies


def test_the_proxy_of_the_environment_is_used(server, web, tmp_path, monkeypatch):
    server.files["a.bed"] = DATA
    monkeypatch.setenv("http_proxy", server.url(""))
    path = bring(entry("http://downloads.invalid/a.bed"), tmp_path, web)
    assert path.read_bytes() == DATA


def test_no_proxy_goes_straight(server, web, tmp_path, monkeypatch):
    server.files["a.bed"] = DATA
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert bring(entry(server.url("a.bed")), tmp_path, web).read_bytes() == DATA


def test_a_proxy_that_cannot_be_used(server, web, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", "gopher://127.0.0.1:1")
    with pytest.raises(ConfigError, match="proxy of the environment"):
        bring(entry("http://downloads.invalid/a.bed"), tmp_path, web)
