"""What a build's TOML may say, and how a wrong key is answered."""

from __future__ import annotations

import pytest

from encre.data.build import DatasetConfig
from encre.errors import ConfigError


def test_defaults_are_the_fields_chromosome_split():
    config = DatasetConfig.parse({"source": {"kind": "dhs"}})
    assert config.split.by == "chromosome"
    assert config.split.test == ("chr5", "chr10", "chr14", "chr18", "chr20", "chr22")
    assert config.split.valid == ("chr6", "chr21")
    assert config.sequence.mode == "element"


def test_paths_are_relative_to_the_config_file(tmp_path):
    path = tmp_path / "screen.toml"
    path.write_text(
        '[source]\nkind = "screen"\nregistry = "r.bed"\ngenome = "/abs/g.fa"\n'
        '[source.tissues]\nheart = "t/heart.bed"\nbrain = ""\n'
    )
    source = DatasetConfig.from_toml(path).source.model_dump()
    assert source["registry"] == str(tmp_path / "r.bed")
    assert source["genome"] == "/abs/g.fa"
    assert source["tissues"] == {"heart": str(tmp_path / "t" / "heart.bed"), "brain": ""}


def test_a_config_comes_back_from_its_own_toml(tmp_path):
    values = {"source": {"kind": "screen", "registry": "/r", "genome": "/g"}, "audit": {"max_exact_leakage": 0}}
    config = DatasetConfig.parse(values | {"sequence": {"mode": "window", "width": 500, "jitter": 8}})
    path = tmp_path / "config.toml"
    path.write_text(config.to_toml())
    assert DatasetConfig.from_toml(path) == config


def test_overrides_reach_the_source(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text('[source]\nkind = "dhs"\n')
    config = DatasetConfig.from_toml(path, overrides=["split.by=group", "negatives.per_element=3"])
    assert (config.split.by, config.negatives.per_element) == ("group", 3)


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"source": {"kind": "dsh"}}, r"no source of kind 'dsh'.*Did you mean 'dhs'"),
        ({"source": {"kind": "screen", "registri": "x"}}, r"unknown key 'registri' in \[source\].*'registry'"),
        ({"source": {"kind": "screen", "registry": "x"}}, r"key 'genome' in \[source\] is missing"),
        ({}, r"key 'source' .* is missing"),
        ({"sequence": {"widht": 3}}, r"unknown key 'widht' in \[sequence\].*'width'"),
        ({"sequence": {"mode": "window"}}, r"needs a width"),
        ({"sequence": {"jitter": 3}}, r"belong to mode 'window'"),
        ({"sequence": {"max_n_share": 2}}, r"'max_n_share' in \[sequence\]"),
        ({"sequence": {"min_length": 9, "max_length": 8}}, r"max_length is below min_length"),
        ({"negatives": {"kinds": ["dinucleotide_shufle"]}}, r"Did you mean 'dinucleotide_shuffle'"),
        ({"negatives": {"per_element": 0}}, r"'per_element' in \[negatives\]"),
        ({"split": {"valid": ["chr5"]}}, r"chr5 stands in both"),
        ({"split": {"valid_fraction": 0.5, "test_fraction": 0.5}}, r"nothing to train on"),
        ({"audit": {"max_shortcut_auroc": 0.4}}, r"'max_shortcut_auroc' in \[audit\]"),
    ],
)
def test_what_is_wrong_is_said(tables, said):
    values = ({"source": {"kind": "dhs"}} | tables) if tables else {}
    with pytest.raises(ConfigError, match=said):
        DatasetConfig.parse(values, where="data.toml")
