"""What every input layer of the registry keeps, under a trunk of convolutions and, where it can be, a Transformer."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from encre.models.checkpoint import load_model, save_model
from encre.models.inference import padded, predict_logits
from encre.models.inputs import INPUTS
from encre.models.layers import Extent
from encre.models.model import EnhancerModel, build_model
from encre.models.registry import model_config
from encre.models.settings import InputName
from encre.sequence.bpe import train_byte_pairs
from encre.sequence.tokenizers import KmerTokenizer
from encre.sequence.vocabulary import SPECIALS
from encre.tasks import screen_tasks

#: Some settings of each input; {vocabulary} is a file of the test's own.
SETTINGS: dict[str, dict[str, Any]] = {
    "one_hot": {"input": "one_hot"},
    "3-mers": {"input": "kmer"},
    "3-mers side by side": {"input": "kmer", "stride": 3},
    "4-mers at stride 3": {"input": "kmer", "k": 4, "stride": 3},
    "2-mers of a vocabulary": {"input": "kmer", "k": 2, "vocabulary": "vocab.txt"},
    "canonical 3-mers": {"input": "canonical_kmer"},
    "canonical 4-mers at stride 2": {"input": "canonical_kmer", "k": 4, "stride": 2},
    "byte pairs": {"input": "bpe", "vocabulary": "pairs.json"},
}
TRUNKS = {
    "cnn": {"channels": [6, 6], "pools": [2, 1], "embedding": 4, "norm": "batch"},
    "transformer": {"width": 8, "layers": 1, "heads": 2, "feed_forward": 8, "dropout": 0.0},
}
CASES = [(trunk, name) for trunk in TRUNKS for name in SETTINGS if (trunk, name) != ("transformer", "one_hot")]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vocabularies")
    (folder / "vocab.txt").write_text("\n".join([*SPECIALS, *reversed(KmerTokenizer(2).words()[:-1])]))
    text = "".join(np.random.default_rng(0).choice(list("ACGT"), 5_000))
    (folder / "pairs.json").write_text(train_byte_pairs([text], vocabulary_size=48).to_json())
    return folder


def built(trunk: str, name: str, files: Path) -> EnhancerModel:
    torch.manual_seed(2)
    settings = {"name": trunk, **TRUNKS[trunk], **SETTINGS[name]}
    if "vocabulary" in settings:
        settings["vocabulary"] = str(files / settings["vocabulary"])
    return build_model(model_config(settings), tasks=screen_tasks(["heart"])).eval()


def flat(lengths: list[int]) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return np.random.default_rng(3).integers(0, 5, offsets[-1]).astype(np.uint8), offsets


def test_every_input_is_tried_and_can_be_named():
    assert {settings["input"] for settings in SETTINGS.values()} == set(INPUTS) == set(get_args(InputName))


@pytest.mark.parametrize(("trunk", "name"), CASES)
def test_padding_and_company_never_move_a_logit(trunk: str, name: str, files: Path):
    model, lengths = built(trunk, name, files), [4, 61, 33, 20]
    codes, offsets = flat(lengths)
    batch = np.pad(padded(codes, offsets, np.arange(4)), ((0, 0), (0, 11)), constant_values=4)
    with torch.no_grad():
        together = model(torch.from_numpy(batch), torch.tensor(lengths))
        alone = [model(torch.from_numpy(batch[i : i + 1, :n]), torch.tensor([n])) for i, n in enumerate(lengths)]
    torch.testing.assert_close(together, torch.cat(alone), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize(("trunk", "name"), CASES)
def test_tokens_and_their_extent_agree(trunk: str, name: str, files: Path):
    model, length = built(trunk, name, files), torch.tensor([41, 17])
    codes = torch.from_numpy(np.random.default_rng(0).integers(0, 4, (2, 41), dtype=np.uint8))
    tokens, extent = model.trunk.input(codes, Extent.of(length, 41, codes.device))
    assert tokens.shape == (2, extent.width, model.trunk.input.width)
    assert int(extent.length.max()) <= extent.width
    assert model.config.longest is None or model.config.longest >= 41
    if name != "byte pairs":
        assert extent.length.tolist() == model.config.tokenizer.lengths(length).tolist()


@pytest.mark.parametrize(("trunk", "name"), CASES)
def test_a_run_folder_needs_no_file_of_its_own(trunk: str, name: str, files: Path, tmp_path: Path):
    model = built(trunk, name, files)
    codes, offsets = flat([30, 44])
    save_model(tmp_path / "run", model, manifest={})
    assert str(files) not in (tmp_path / "run" / "config.toml").read_text()
    (tmp_path / "run").rename(tmp_path / "moved")
    loaded = load_model(tmp_path / "moved")
    assert loaded.config.tokenizer == model.config.tokenizer
    np.testing.assert_array_equal(predict_logits(loaded.model, codes, offsets), predict_logits(model, codes, offsets))


@pytest.mark.parametrize("name", ["canonical 3-mers", "3-mers"])
def test_canonical_tokens_alone_say_the_same_of_both_strands(name: str, files: Path):
    torch.manual_seed(0)
    settings = {
        "name": "cnn",
        "channels": [8],
        "kernel_sizes": [1],
        "pools": [1],
        "pooling": "mean",
        **SETTINGS[name],
    }
    model = build_model(model_config(settings), tasks=screen_tasks(["heart"])).eval()
    codes = np.random.default_rng(5).integers(0, 4, (3, 50), dtype=np.uint8)
    both = [torch.from_numpy(np.ascontiguousarray(x)) for x in (codes, 3 - codes[:, ::-1])]
    with torch.no_grad():
        one, other = (model(x, torch.full((3,), 50)) for x in both)
    assert torch.allclose(one, other, atol=1e-6) == (name == "canonical 3-mers")
