"""Downloads that break off and go on, against a local server."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from encre.errors import MissingFileError
from encre.sources.download import plan
from encre.sources.web import Web
from local_server import DATA, Handler, bring, entry, left_over, md5

pytestmark = pytest.mark.usefixtures("_no_proxy")


def test_a_connection_cut_in_the_middle_goes_on_from_there(server, web, tmp_path):
    server.files["a.bed"] = DATA
    server.faults["a.bed"] = lambda h, n: n <= 2 and h.serve(DATA, cut=300_000 * n)
    assert bring(entry(server.url("a.bed")), tmp_path, web).read_bytes() == DATA
    assert server.asked("a.bed") == ["", "bytes=300000-", "bytes=600000-"]


def test_many_cuts_are_fine_as_long_as_bytes_come(server, web, tmp_path):
    server.files["a.bed"] = DATA
    server.faults["a.bed"] = lambda h, n: n * 100_000 < len(DATA) and h.serve(DATA, cut=100_000 * n)
    assert bring(entry(server.url("a.bed")), tmp_path, web).read_bytes() == DATA
    assert len(server.asked("a.bed")) > 8


def test_a_server_that_ignores_ranges_begins_anew(server, web, tmp_path):
    server.faults["a.bed"] = lambda h, n: h.serve(DATA, ranges=False, cut=300_000 if n == 1 else None)
    assert bring(entry(server.url("a.bed"), md5=md5(DATA)), tmp_path, web).read_bytes() == DATA
    assert server.asked("a.bed")[1] == "bytes=300000-"


def test_another_version_is_never_appended(server, web, tmp_path):
    new = DATA.replace(b"dELS", b"pELS")
    server.files["a.bed"] = new
    server.faults["a.bed"] = lambda h, n: n == 1 and h.serve(DATA, cut=300_000)
    assert bring(entry(server.url("a.bed")), tmp_path, web).read_bytes() == new


def test_nor_by_a_server_that_ignores_if_range(server, web, tmp_path):
    """It answers 206 with the rest of the new version."""
    new = DATA.replace(b"dELS", b"pELS")

    def fault(h: Handler, n: int) -> bool:
        if n == 1:
            return h.serve(DATA, cut=300_000)
        del h.headers["If-Range"]
        return h.serve(new)

    server.faults["a.bed"] = fault
    assert bring(entry(server.url("a.bed")), tmp_path, web).read_bytes() == new


def test_without_etag_or_date_or_checksum_a_part_is_not_trusted(server, web, tmp_path):
    server.faults["a.bed"] = lambda h, n: h.serve(DATA, ETag="", cut=300_000 if n == 1 else None)
    assert bring(entry(server.url("a.bed")), tmp_path, web).read_bytes() == DATA
    assert server.asked("a.bed") == ["", ""]
    server.log.clear()
    one = entry(server.url("a.bed"), name="two", md5=md5(DATA), filename="two.bed")
    assert bring(one, tmp_path, web).read_bytes() == DATA
    assert server.asked("a.bed") == ["", "bytes=300000-"], "a checksum would tell"


def test_a_length_longer_than_the_file_is_found_out(server, web, tmp_path):
    server.faults["a.bed"] = lambda h, n: h.serve(DATA, Content_Length=str(len(DATA) + 500), cut=len(DATA))
    with pytest.raises(MissingFileError, match=r"broke off after 1,5\d\d,\d\d\d"):
        bring(entry(server.url("a.bed")), tmp_path, web)
    server.log.clear()

    def fault(h: Handler, n: int) -> bool:
        return n == 1 and h.serve(DATA, Content_Length=str(len(DATA) + 500), cut=len(DATA))

    server.files["a.bed"], server.faults["a.bed"] = DATA, fault
    one = entry(server.url("a.bed"), name="two", md5=md5(DATA), filename="two.bed")
    assert bring(one, tmp_path, web).read_bytes() == DATA, "the checksum says that all of it has come"


def test_a_length_shorter_than_the_file_is_found_out_by_its_form(server, web, tmp_path):
    server.faults["a.bed"] = lambda h, n: h.serve(DATA, Content_Length="1000")
    server.files["b.bed"] = DATA
    one = entry(server.url("a.bed"), server.url("b.bed"), form="registry", rows=30_000, filename="a.bed")
    assert bring(one, tmp_path, web).read_bytes() == DATA


def test_a_server_that_falls_silent(server, tmp_path):
    def fault(h: Handler, n: int) -> bool:
        if n > 1:
            return False
        h.send_response(200)
        h.send_header("Content-Length", str(len(DATA)))
        h.send_header("ETag", f'"{md5(DATA)}"')
        h.end_headers()
        h.wfile.write(DATA[:5000])
        h.wfile.flush()
        time.sleep(1)
        return True

    server.files["a.bed"], server.faults["a.bed"] = DATA, fault
    path = bring(entry(server.url("a.bed")), tmp_path, Web(read=0.2, wait=lambda s: None))
    assert path.read_bytes() == DATA
    assert server.asked("a.bed") == ["", "bytes=5000-"]


def test_a_second_run_goes_on_where_the_first_broke_off(server, web, tmp_path):
    server.faults["a.bed"] = lambda h, n: h.serve(DATA, ranges=False, cut=300_000)
    one = entry(server.url("a.bed"))
    with pytest.raises(MissingFileError, match="broke off after 300,000 of"):
        bring(one, tmp_path, web)
    assert left_over(tmp_path) == ["a.bed.partial", "a.bed.partial.json"]
    assert plan([one], tmp_path)[0].begun == 300_000
    server.files["a.bed"] = DATA
    server.faults.clear()
    server.log.clear()
    assert bring(one, tmp_path, Web(wait=lambda s: None)).read_bytes() == DATA
    assert server.asked("a.bed") == ["bytes=300000-"]


def test_a_part_of_one_mirror_is_not_continued_from_another(server, web, tmp_path):
    server.faults["a.bed"] = lambda h, n: h.serve(DATA, ranges=False, cut=300_000)
    server.files["b.bed"] = DATA.replace(b"dELS", b"pELS")
    one = entry(server.url("a.bed"), server.url("b.bed"), filename="a.bed")
    assert bring(one, tmp_path, web).read_bytes() == server.files["b.bed"]
    assert server.asked("b.bed") == [""]
    assert left_over(tmp_path) == ["a.bed"]


def test_ctrl_c_leaves_a_part_to_go_on_from_and_no_whole(server, tmp_path):
    def fault(h: Handler, n: int) -> bool:
        if n > 1:
            return False
        h.send_response(200)
        h.send_header("Content-Length", str(len(DATA)))
        h.send_header("ETag", f'"{md5(DATA)}"')
        h.end_headers()
        h.wfile.write(DATA[:600_000])
        h.wfile.flush()
        time.sleep(20)
        return True

    server.files["a.bed"], server.faults["a.bed"] = DATA, fault
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from encre.sources.catalogue import Entry\nfrom encre.sources.download import download\n"
        f"download([Entry('one', 'one', ({server.url('a.bed')!r},), 'table')], {str(tmp_path)!r})"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
    partial = tmp_path / "a.bed.partial"
    until = time.monotonic() + 20
    while not (partial.exists() and partial.stat().st_size >= 500_000) and time.monotonic() < until:
        time.sleep(0.02)
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=15)
    assert time.monotonic() - begun < 5, "it does not wait for the server"
    assert b"KeyboardInterrupt" in said
    assert left_over(tmp_path) == ["a.bed.partial", "a.bed.partial.json"]
    size = partial.stat().st_size
    assert partial.read_bytes() == DATA[:size]
    assert bring(entry(server.url("a.bed")), tmp_path, Web()).read_bytes() == DATA
    assert server.asked("a.bed") == ["", f"bytes={size}-"]
