"""The words to the user: one paragraph with where, expected, got and the remedy; strict configs."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field

from encre.config import Config, override
from encre.errors import ConfigError, EncreError, FormatError, GateError, MissingFileError, nearest


class Inner(Config):
    learning_rate: float = Field(1e-3, gt=0)
    precision: Literal["auto", "fp32"] = "auto"


class Outer(Config):
    train: Inner = Inner()
    name: str


def test_message_says_what_where_expected_got_remedy_in_one_line():
    error = FormatError(
        "the start is wrong", where="a.bed, line 3", expected="a number", got="'x'", remedy="Mend it."
    )
    assert str(error) == "a.bed, line 3: the start is wrong (expected a number; got 'x'). Mend it."
    assert error.exit_code == 2
    assert GateError("leak").exit_code == 3


@pytest.mark.parametrize(("kind", "builtin"), [(FormatError, ValueError), (MissingFileError, FileNotFoundError)])
def test_errors_are_the_builtin_that_fits(kind: type[EncreError], builtin: type[Exception]):
    with pytest.raises(builtin, match="gone"):
        raise kind("gone", where="x")


def test_an_error_survives_a_process_boundary():
    error = pickle.loads(pickle.dumps(FormatError("bad", where="f", remedy="Mend.")))
    assert (type(error), str(error)) == (FormatError, "f: bad. Mend.")


def test_unknown_key_names_table_file_and_nearest(tmp_path: Path):
    file = tmp_path / "train.toml"
    file.write_text('name = "x"\n[train]\nlearning_rates = 1.0\n')
    with pytest.raises(
        ConfigError, match=r"train.toml: unknown key 'learning_rates' in \[train\]. Did you mean 'learning_rate'"
    ):
        Outer.from_toml(file)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"name": "x", "train": {"learning_rate": 0}}, "greater than 0"),
        ({"name": "x", "train": {"precision": "fp8"}}, "'auto' or 'fp32'"),
        ({}, "'name' at the top level is missing"),
    ],
)
def test_values_out_of_range_are_refused_with_the_range(values: dict, said: str):
    with pytest.raises(ConfigError, match=said):
        Outer.parse(values, where="c.toml")


def test_overrides_reach_into_tables_and_read_toml_values():
    base = {"name": "x", "train": {"learning_rate": 0.5}}
    changed = override(base, ["train.learning_rate=0.1", "train.precision=fp32", "name='y z'"])
    assert Outer.parse(changed) == Outer(name="y z", train=Inner(learning_rate=0.1, precision="fp32"))
    assert base["train"]["learning_rate"] == 0.5, "the file's values must not be changed in place"


def test_override_without_equals_is_refused():
    with pytest.raises(ConfigError, match="table.key=value"):
        override({}, ["train"])


def test_toml_round_trip(tmp_path: Path):
    file = tmp_path / "c.toml"
    config = Outer(name="x", train=Inner(learning_rate=3e-4))
    file.write_text(config.to_toml())
    assert Outer.from_toml(file) == config


def test_broken_toml_and_missing_file_are_said(tmp_path: Path):
    (tmp_path / "b.toml").write_text("a = = 1")
    with pytest.raises(ConfigError, match="not valid TOML"):
        Outer.from_toml(tmp_path / "b.toml")
    with pytest.raises(MissingFileError, match="no such config"):
        Outer.from_toml(tmp_path / "none.toml")


def test_nearest_offers_the_closest_or_lists_all():
    assert nearest("dEELS", ["dELS", "PLS"]) == "Did you mean 'dELS'?"
    assert nearest("zzz", ["dELS", "PLS"]) == "Known: PLS, dELS."
