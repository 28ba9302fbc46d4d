"""Shared by all tests: where the development data lies, and a genome cache of their own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("ENCRE_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not DATA.is_dir():
        skip = pytest.mark.skip(reason=f"the development data is not at {DATA} (set ENCRE_DATA)")
        for item in items:
            if "data" in item.keywords:
                item.add_marker(skip)


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of development data; use only in tests marked ``data``."""
    return DATA


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Genome caches of tests go to a folder of the test session, never to the user's."""
    base = tmp_path_factory.getbasetemp() / "cache"
    monkeypatch.setenv("ENCRE_CACHE", str(base))
