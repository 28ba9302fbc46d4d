"""The whole audit on the dataset card and on the report's page."""

from __future__ import annotations

import json
import re

from encre.data.build import DatasetConfig, build_dataset


def audited(encre, folder) -> dict:
    done = encre("data", "check", folder, "--near", "--neighbours", "--json", "-q")
    assert done.code == 0, done.err
    return json.loads(done.out)["audit"]


def test_the_report_shows_every_kind_of_leakage_every_shortcut_and_the_neighbour(encre, dataset, run_folder):
    assert encre("evaluate", run_folder, "-q").code == 0
    audit = audited(encre, dataset)
    about = json.loads((run_folder / "dataset.json").read_text())
    audit["leakage"]["kinds"]["near_duplicate"] |= {"pairs": 1234, "repeat_share": 0.8}
    audit["leakage"]["near_rows"]["test"] = 3
    audit["leakage"]["repeat_share"] = 0.4
    audit["shortcuts"]["by_kind"] = {"enhancer": {"other_class": dict(audit["shortcuts"]["tasks"]["enhancer"])}}
    audit["shortcuts"]["by_kind"]["enhancer"]["other_class"]["gc"] = 0.93
    (run_folder / "dataset.json").write_text(json.dumps(about | {"audit": audit}))
    assert encre("report", run_folder, "-q").code == 0
    page = (run_folder / "report.html").read_text(encoding="utf-8")
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page[page.index("</style>") :]))
    for words in (
        "nearly equal 1,234",
        "over all valid and test rows it is 40%",
        "This flatters models that memorise",
        "CpG obs/exp",
        "against other class",
        "the strongest is GC share on enhancer against other class with an AUROC of 0.930",
        "What a memory of training would score",
        "each answered with the label of its nearest training row",
    ):
        assert words in text, words


def test_the_card_of_a_build_shows_what_was_asked_for(encre, toy):
    values = ["--set", "audit.near_duplicates=true", "--set", "audit.neighbours=true"]
    done = encre("data", "build", toy.config, "--out", toy.folder / "out", "-q", *values)
    assert done.code == 0, done.err
    card = (toy.folder / "out" / "README.md").read_text()
    for words in (
        "| nearly equal | 0 |",
        "Nothing nearly equal",
        "| overlapping on the genome | 0 |",
        "CpG obs/exp alone",
        "chromosome alone",
        "What a memory of training would score",
    ):
        assert words in card, words


def test_a_limit_of_the_audit_fails_a_build_and_names_every_other_one_too(encre, toy):
    words = ["data", "build", toy.config, "--out", toy.folder / "out", "-q"]
    limits = ["--set", "audit.max_shortcut_auroc=0.5", "--set", "audit.max_neighbour_profit=0"]
    done = encre(*words, *limits, "--set", 'split={by="group"}')
    assert done.code == 3
    assert "max_shortcut_auroc" in done.err
    assert not (toy.folder / "out").exists()


def test_overlapping_elements_across_splits_fail_a_build(encre, toy, tmp_path):
    values = DatasetConfig.from_toml(toy.config).model_dump()
    values["sequence"] = {"mode": "window", "width": 1000}  # elements lie 600 bases apart
    values["split"] = {"by": "group", "valid_fraction": 0.2, "test_fraction": 0.2}
    built = build_dataset(DatasetConfig.parse(values), out=tmp_path / "set")
    found = built.audit["leakage"]["kinds"]["overlapping"]
    assert found["rows"]["test"] > 20
    leaked = audited(encre, tmp_path / "set")["leakage"]
    assert leaked["kinds"]["overlapping"] == found
    values["audit"] = {"max_overlap_leakage": 0}
    (tmp_path / "tight.toml").write_text(DatasetConfig.parse(values).to_toml())
    done = encre("data", "build", tmp_path / "tight.toml", "--out", tmp_path / "tight", "-q")
    assert done.code == 3
    assert "lie on bases of the genome" in done.err
