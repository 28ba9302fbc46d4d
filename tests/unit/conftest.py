"""Fixtures of the downloads' tests."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from encre.sources.web import Web
from local_server import Server


@pytest.fixture
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture
def naps() -> list[float]:
    return []


@pytest.fixture
def web(naps: list[float]) -> Web:
    return Web(connect=2, read=2, wait=naps.append)
