"""Tiny Hugging Face folders as DNABERT and the Nucleotide Transformer have them: random weights, made on the spot."""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

import torch

from encre.sequence.vocabulary import SPECIALS


def kmers(k: int, letters: str = "ACGT") -> list[str]:
    return ["".join(word) for word in itertools.product(letters, repeat=k)]


def write_bert(folder: Path, *, k: int = 3, positions: int = 64) -> Path:
    """A BERT of two layers over overlapping k-mers, its vocabulary in DNABERT's order of letters: A, T, C, G."""
    from transformers import BertConfig, BertModel

    words = [*SPECIALS, *kmers(k, "ATCG")]
    config = BertConfig(vocab_size=len(words), **_small(positions=positions))
    _save(BertModel, config, folder)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    return folder


def write_esm(folder: Path) -> Path:
    """An ESM of two layers over 2-mers side by side, as the Nucleotide Transformer has 6-mers; no [SEP]."""
    from transformers import EsmConfig, EsmModel

    words = ["<unk>", "<pad>", "<mask>", "<cls>", "<eos>", "<bos>", *kmers(2), *"ATCGN"]
    more = {"pad_token_id": 1, "mask_token_id": 2, "position_embedding_type": "rotary", "token_dropout": False}
    _save(EsmModel, EsmConfig(vocab_size=len(words), **_small(positions=66), **more), folder)
    (folder / "vocab.txt").write_text("\n".join(words))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "EsmTokenizer", "eos_token": null}')
    return folder


@cache
def tiny_bert() -> str:
    """One folder of :func:`write_bert` for the whole process."""
    folder = Path(tempfile.mkdtemp(prefix="encre-bert-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return str(write_bert(folder))


def _small(*, positions: int) -> dict[str, int]:
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    return sizes | {"max_position_embeddings": positions}


def _save(kind: type, config: object, folder: Path) -> None:
    with (
        torch.random.fork_rng(devices=[]),
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stderr(nowhere),
    ):
        torch.manual_seed(5)
        kind(config).save_pretrained(folder)
