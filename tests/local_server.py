"""A server on 127.0.0.1 that plays every failure of a download, and short words for asking it."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from encre.sources.catalogue import Entry
from encre.sources.download import download
from encre.sources.web import Web

DATA = b"".join(b"chr1\t%d\t%d\tEH38D%07d\tEH38E%07d\tdELS\n" % (i * 400, i * 400 + 200, i, i) for i in range(30_000))
PAGE = b"<!DOCTYPE html><html><body>Are you human?</body></html>"


class Server(ThreadingHTTPServer):
    """Serves ``files`` rightly, except where ``faults`` has a function for the path."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, Callable[[Handler, int], bool]] = {}
        self.log: list[tuple[str, str, str]] = []
        self.guard = threading.Lock()
        self.running, self.most = 0, 0

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{path}"

    def asked(self, path: str, method: str = "GET") -> list[str]:
        """The Range header of every request for a path."""
        return [ranges for kind, name, ranges in self.log if kind == method and name == path]

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no news."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer("HEAD")

    def do_GET(self) -> None:
        self.answer("GET")

    def answer(self, method: str) -> None:
        path = self.path.rpartition("/")[2]
        with self.server.guard:
            self.server.log.append((method, path, self.headers.get("Range", "")))
            self.server.running += 1
            self.server.most = max(self.server.most, self.server.running)
        try:
            fault = self.server.faults.get(path)
            count = len(self.server.asked(path))
            if not (method == "GET" and fault and fault(self, count)):
                self.serve(self.server.files.get(path))
        finally:
            with self.server.guard:
                self.server.running -= 1

    def serve(
        self, body: bytes | None, *, etag: str = "", ranges: bool = True, cut: int | None = None, **heads
    ) -> bool:
        """Answer as a good server does; ``cut`` closes the connection after so many bytes."""
        if body is None:
            return self.say(404, b"no such file")
        etag = etag or f'"{hashlib.md5(body).hexdigest()}"'
        asked = self.headers.get("Range")
        begin = 0
        status = 200
        if ranges and asked and self.headers.get("If-Range", etag) == etag:
            begin = int(asked.removeprefix("bytes=").rstrip("-"))
            status = 206
            if begin >= len(body):
                return self.say(416, b"", **{"Content-Range": f"bytes */{len(body)}"})
        self.send_response(status)
        headers = {"ETag": etag, "Content-Length": str(len(body) - begin), "Content-Type": "text/plain"}
        if status == 206:
            headers["Content-Range"] = f"bytes {begin}-{len(body) - 1}/{len(body)}"
        for name, value in (headers | {k.replace("_", "-"): v for k, v in heads.items()}).items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[begin : len(body) if cut is None else cut])
        if cut is not None:
            self.close_connection = True
        return True

    def say(self, status: int, body: bytes, **headers: str) -> bool:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)
        return True


def entry(*addresses: str, name: str = "one", form: str = "table", **more) -> Entry:
    return Entry(name, name, addresses, form, **more)


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def left_over(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "encre.lock")


def bring(one: Entry, folder: Path, web: Web) -> Path:
    (got,) = download([one], folder, web=web)
    return got.path
