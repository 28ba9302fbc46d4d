"""Public names. Regression: ``encre.evaluate`` turned into a module once a package of its name was imported."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import encre


def test_public_names_stay_what_they_are_after_everything_is_imported():
    for module in pkgutil.walk_packages(encre.__path__, "encre."):
        if module.name != "encre.__main__":
            importlib.import_module(module.name)
    for name in (n for n in dir(encre) if n != "__version__"):
        assert not inspect.ismodule(getattr(encre, name)), name
        assert callable(getattr(encre, name)), name


def test_an_unknown_name_is_an_attribute_error():
    assert not hasattr(encre, "no_such_name")
