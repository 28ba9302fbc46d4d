"""Local Hugging Face folders as trunks: which tokens, what learns, what a run folder keeps, what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from encre.errors import ConfigError, FolderError, FormatError, SequenceError
from encre.models.checkpoint import load_model, save_model
from encre.models.inference import padded, predict_logits
from encre.models.language_model import LanguageModelConfig
from encre.models.model import EnhancerModel, build_model
from encre.sequence.alphabet import encode
from encre.tasks import screen_tasks
from encre.train.optimizer import make_optimizer
from encre.train.settings import TrainConfig
from toy_language_models import tiny_bert, write_bert, write_esm

TASKS = screen_tasks(["heart"])


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {"bert": tiny_bert(), "esm": str(write_esm(tmp_path_factory.mktemp("esm")))}


def built(folder: str, **settings) -> EnhancerModel:
    torch.manual_seed(0)
    return build_model(LanguageModelConfig(folder=folder, **settings), tasks=TASKS).eval()


def flat(lengths: list[int]) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return np.random.default_rng(1).integers(0, 5, offsets[-1]).astype(np.uint8), offsets


def test_bert_reads_overlapping_kmers_between_its_specials(folders):
    tokens = LanguageModelConfig(folder=folders["bert"]).tokenizer
    ids = tokens.cut(np.stack([encode("AAATN"), encode("AAANN")]), np.array([5, 3]))
    assert ids == [[2, 5, 6, 1, 3], [2, 5, 3]]  # [CLS] AAA AAT [UNK] [SEP], as DNABERT's file numbers them
    assert (tokens.before, tokens.after, tokens.k) == (1, 1, 3)


def test_esm_reads_kmers_side_by_side_and_single_letters_where_none_fits(folders):
    tokens = LanguageModelConfig(folder=folders["esm"]).tokenizer
    words = (Path(folders["esm"]) / "vocab.txt").read_text().split("\n")
    ids = tokens.cut(encode("ACGTNAC")[None], np.array([7]))
    assert [words[i] for i in ids[0]] == ["<cls>", "AC", "GT", "N", "AC"]
    assert (tokens.before, tokens.after, tokens.k, tokens.longest_word) == (1, 0, None, 2)


def test_features_are_those_of_the_network_itself_without_specials(folders):
    from transformers import AutoModel

    model = built(folders["bert"])
    network = AutoModel.from_config(model.trunk.network.config)
    network.load_state_dict(model.trunk.network.state_dict(), strict=False)
    codes = encode("ACGTTGCAGT")[None].copy()
    ids = model.trunk.tokens.cut(codes, np.array([10]))
    with torch.no_grad():
        expected = network.eval()(torch.tensor(ids)).last_hidden_state[0, 1:-1]
        found, extent = model.trunk(torch.from_numpy(codes), torch.tensor([10]))
    assert extent.length.tolist() == [8]
    torch.testing.assert_close(found[0].T, expected)


@pytest.mark.parametrize("name", ["bert", "esm"])
@pytest.mark.parametrize("layer", [-1, 1])
def test_padding_and_company_never_move_a_logit(name, layer, folders):
    model, lengths = built(folders[name], layer=layer), [40, 7, 23]
    codes, offsets = flat(lengths)
    batch = np.pad(padded(codes, offsets, np.arange(3)), ((0, 0), (0, 9)), constant_values=4)
    together = model(torch.from_numpy(batch), torch.tensor(lengths))
    alone = [model(torch.from_numpy(batch[i : i + 1, :n]), torch.tensor([n])) for i, n in enumerate(lengths)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=1e-4)


def test_a_frozen_network_never_learns_nor_drops_out(folders):
    model = built(folders["bert"]).train()
    codes = torch.from_numpy(encode("ACGTTGCAGT")[None].copy())
    length = torch.tensor([10])
    assert torch.equal(model.embed(codes, length), model.embed(codes, length))
    assert not any(p.requires_grad for p in model.trunk.parameters())
    optimizer = make_optimizer(model, TrainConfig())
    learns = sum(p.numel() for group in optimizer.param_groups for p in group["params"])
    assert learns == sum(p.numel() for p in model.heads.parameters())


@pytest.mark.parametrize("layer", [-1, 1])
@pytest.mark.parametrize("name", ["bert", "esm"])
def test_fully_tuned_all_that_the_features_depend_on_learns_and_drops_out(name, layer, folders):
    model = built(folders[name], tuning="full", layer=layer).train()
    codes = torch.from_numpy(encode("ACGTTGCAGT" * 2)[None].copy())
    length = torch.tensor([20])
    assert not torch.equal(model.embed(codes, length), model.embed(codes, length))
    model(codes, length).sum().backward()
    learns = {key for key, value in model.named_parameters() if value.requires_grad}
    assert learns == {key for key, value in model.named_parameters() if value.grad is not None}
    assert any("layer.0" in key for key in learns)
    assert any("layer.1" in key for key in learns) == (layer == -1)


def test_lora_moves_its_own_weights_alone(folders):
    model = built(folders["bert"], tuning="lora", lora_rank=2, lora_targets=("query", "value")).train()
    learns = [key for key, value in model.trunk.named_parameters() if value.requires_grad]
    assert len(learns) == 2 * 2 * 2  # A and B of query and value in two layers
    assert all("lora_" in key for key in learns)
    before = {key: value.clone() for key, value in model.trunk.state_dict().items()}
    optimizer = make_optimizer(model, TrainConfig())
    codes = torch.from_numpy(encode("ACGTTGCAGT")[None].copy())
    for _ in range(2):  # B begins at zero, so that A moves from the second step on
        model(codes, torch.tensor([10])).sum().backward()
        optimizer.step()
    moved = {key for key, value in model.trunk.state_dict().items() if not torch.equal(value, before[key])}
    assert moved == set(learns)
    with pytest.raises(ConfigError, match=r"LoRA finds no such layer \(got nowhere\)"):
        built(folders["bert"], tuning="lora", lora_targets=("nowhere",))


@pytest.mark.parametrize("tuning", ["frozen", "lora", "full"])
@pytest.mark.parametrize("write", [write_bert, write_esm])
def test_a_run_folder_needs_the_first_folder_no_more(write, tuning, tmp_path):
    source = write(tmp_path / "source")
    model = built(str(source), tuning=tuning)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01)
    codes, offsets = flat([30, 11])
    expected = predict_logits(model, codes, offsets)
    shutil.rmtree(source)
    save_model(tmp_path / "run", model, manifest={})
    (tmp_path / "run").rename(tmp_path / "moved")
    loaded = load_model(tmp_path / "moved")
    np.testing.assert_array_equal(predict_logits(loaded.model, codes, offsets), expected)
    save_model(tmp_path / "again", loaded.model, manifest={})  # as a joined or averaged run is
    np.testing.assert_array_equal(predict_logits(load_model(tmp_path / "again").model, codes, offsets), expected)
    (tmp_path / "moved" / "language_model" / "vocab.txt").write_text("other")
    with pytest.raises(FolderError, match=r"vocab.txt: the file is not the one"):
        load_model(tmp_path / "moved")


def test_a_byte_pair_folder_is_read_by_tokenizers(tmp_path):
    from encre.sequence.bpe import train_byte_pairs

    folder = write_bert(tmp_path / "bpe")
    (folder / "vocab.txt").unlink()
    text = "".join(np.random.default_rng(0).choice(list("ACGT"), 4000))
    (folder / "tokenizer.json").write_text(train_byte_pairs([text], vocabulary_size=69).to_json())
    tokens = LanguageModelConfig(folder=str(folder)).tokenizer
    ids = tokens.cut(encode("ACGTACGTN")[None], np.array([9]))[0]
    assert (ids[0], ids[-1], ids[-2]) == (2, 3, 1)
    assert built(str(folder))(torch.from_numpy(encode("ACGTN")[None].copy()), torch.tensor([5])).shape == (1, 2)


def test_what_cannot_be_used_is_refused_in_words(folders, tmp_path):
    with pytest.raises(FolderError, match=r"owner/name: this is not a folder of a language model.*hf download"):
        built("owner/name")
    with pytest.raises(ConfigError, match=r"no such layer \(expected -3 to 2; got 3\)"):
        built(folders["bert"], layer=3)
    folder = write_bert(tmp_path / "foreign")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(FolderError, match=r"the folder lacks \d+ of the network's weights \(got no 'encoder.layer.2"):
        built(str(folder))
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 48}))
    with pytest.raises(FolderError, match=r"cannot be read"):
        built(str(folder))
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "own", "auto_map": {"AutoModel": "x.Y"}}))
    with pytest.raises(FolderError, match=r"cannot be read.*code of their own are not run"):
        built(str(folder))
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\n")
    with pytest.raises(FormatError, match=r"does not read DNA"):
        built(str(folder))


def test_more_tokens_than_positions_are_refused(folders):
    bert, esm = built(folders["bert"]), built(folders["esm"])
    assert bert.config.longest == 62 + 2
    assert esm.config.longest == 2 * (66 - 2 - 1)
    with pytest.raises(SequenceError, match=r"at most 64 bases"):
        bert.check_lengths(np.array([65]))
    codes = torch.full((1, 100), 4, dtype=torch.uint8)  # a token each
    with pytest.raises(SequenceError, match=r"100 bases has more tokens .*at most 63; got 100"):
        esm(codes, torch.tensor([100]))
