"""Any Hugging Face language model of DNA as a trunk: a local folder, frozen, fully tuned, or with LoRA.

Nothing is ever downloaded, and no code of the folder is run. Features are those of the sequence's own tokens;
specials ([CLS], [SEP]) are given to the network and left out of what it hands on.
"""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from encre.errors import ConfigError, FolderError, FormatError, SequenceError
from encre.models.language_tokens import LanguageTokens, load_extra, read_language_tokens
from encre.models.layers import Extent
from encre.models.settings import ModelConfig
from encre.sequence.bpe import padded_ids

FOLDER = "language_model"
#: What of a folder makes a model and its tokenizer; the weights go where all weights of a run go.
_KEPT = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
)
#: Architectures whose positions begin behind the padding's id.
_OFFSET = {"esm", "roberta", "xlm-roberta", "camembert", "longformer"}
#: Parts that a folder may lack: they read what pre-training read, and are cut off here.
_SPARE = ("pooler", "contact_head")


class LanguageModelConfig(ModelConfig):
    """Settings of a language model as a trunk.

    Parameters
    ----------
    folder
        A local folder with ``config.json``, weights and a tokenizer, as ``save_pretrained`` writes it and the hub has
        it. A run folder keeps its own copy, the weights in ``weights.safetensors``.
    tuning
        ``"frozen"`` (the heads alone learn), ``"lora"`` (low-rank updates learn, Hu et al. 2022) or ``"full"``.
    layer
        Whose output is taken: -1 the last, 0 the embedding, 1 the first layer.
    lora_rank, lora_scale, lora_dropout
        Rank of the updates, their weight (alpha of LoRA, which is divided by the rank) and dropout before them.
    lora_targets
        Ends of the names of the linear layers that are updated; empty for all of them.
    pretrained
        False begins with random weights of the same architecture.
    """

    name: Literal["language_model"] = "language_model"  # pyright: ignore[reportIncompatibleVariableOverride]
    input: Literal["language_model"] = "language_model"  # pyright: ignore[reportIncompatibleVariableOverride]
    folder: str
    tuning: Literal["frozen", "lora", "full"] = "frozen"
    layer: int = -1
    lora_rank: int = Field(default=8, ge=1, le=4096)
    lora_scale: float = Field(default=16.0, gt=0)
    lora_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    lora_targets: tuple[str, ...] = ()
    pretrained: bool = True
    pooling: Literal["max", "mean", "attention"] = "mean"

    @cached_property
    def tokenizer(self) -> LanguageTokens:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The folder's own."""
        return read_language_tokens(self.place)

    @cached_property
    def place(self) -> Path:
        """The folder; what is none is refused."""
        place = Path(self.folder)
        if not (place / "config.json").is_file():
            raise FolderError(
                "this is not a folder of a language model",
                where=self.folder,
                expected="a local folder with config.json",
                remedy="Nothing is downloaded here: fetch it from the hub, `hf download OWNER/NAME --local-dir DIR`.",
            )
        return place

    @cached_property
    def texts(self) -> dict[str, str]:
        """What a run folder keeps, by name, read once: the folder may be gone when the training ends."""
        try:
            return {name: (self.place / name).read_text("utf-8") for name in _KEPT if (self.place / name).is_file()}
        except UnicodeDecodeError as error:
            raise FormatError("not a text file", where=self.place, got=str(error)) from error

    @cached_property
    def about(self) -> dict[str, Any]:
        """``config.json``."""
        try:
            return dict(json.loads(self.texts["config.json"]))
        except (ValueError, TypeError) as error:
            raise FormatError("not valid JSON", where=self.place / "config.json", got=str(error)) from error

    @property
    def positions(self) -> int | None:
        """Most tokens of a sequence, specials not counted; None where the folder states no limit."""
        limit = self.about.get("max_position_embeddings")
        if limit is None:
            return None
        if self.about.get("model_type") in _OFFSET:
            limit -= int(self.about.get("pad_token_id") or 0) + 1
        return limit - self.tokenizer.before - self.tokenizer.after

    @property
    def shortest(self) -> int:
        """A token."""
        return self.tokenizer.k or 1

    @property
    def longest(self) -> int | None:
        """What the positions can hold if every token is of the longest kind; None for any."""
        return None if self.positions is None else self.tokenizer.bases_of(self.positions)

    @property
    def widest(self) -> int:
        """The inside of the feed-forward part, or query, key and value."""
        hidden = int(self.about.get("hidden_size") or 768)
        each = max(int(self.about.get("intermediate_size") or 0), 3 * hidden)
        return max(each // (1 if self.tokenizer.k else self.tokenizer.longest_word), 1)

    def files(self) -> dict[str, str]:
        """The folder without its weights."""
        return {f"{FOLDER}/{name}": text for name, text in self.texts.items()}

    def inside(self, folder: Path) -> Self:
        """The same settings, with the run folder's copy, whose weights are the run's own."""
        return self.model_copy(update={"folder": str(folder / FOLDER), "pretrained": False})

    def build_trunk(self) -> LanguageModel:
        """The network, with what learns."""
        return LanguageModel(self)


class LanguageModel(nn.Module):
    """The network: ``(codes (B, L), length (B,)) -> (features (B, D, T), Extent)``."""

    def __init__(self, config: LanguageModelConfig) -> None:
        super().__init__()
        self.tokens, self.positions = config.tokenizer, config.positions
        self.tuning, self.layer = config.tuning, config.layer
        self.network = _network(config)
        self.width = int(self.network.config.hidden_size)
        depth = int(self.network.config.num_hidden_layers)
        if not -depth - 1 <= self.layer <= depth:
            known = f"{-depth - 1} to {depth}"
            raise ConfigError("there is no such layer", where=config.folder, expected=known, got=f"{self.layer}")
        if config.tuning == "frozen":
            self.network.requires_grad_(False)
        elif config.tuning == "lora":
            self.network = _with_lora(self.network, config)
        if config.tuning != "frozen":
            self._leave_out_what_is_unused()
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Switch the mode; a frozen network stays in evaluation, without dropout."""
        super().train(mode)
        if self.tuning == "frozen":
            self.network.eval()
        return self

    def forward(self, codes: Tensor, length: Tensor) -> tuple[Tensor, Extent]:
        """Features of a sequence's own tokens, zeros beyond the real ones."""
        ids, count = self.cut(codes, length)  # pyright: ignore[reportCallIssue]
        whole = Extent.of(count, ids.shape[1], codes.device)
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.tuning != "frozen"):
            features = self.read(ids, whole.mask)
        before, specials = self.tokens.before, self.tokens.before + self.tokens.after
        extent = Extent(whole.length - specials, whole.width - specials, full=whole.full)
        return extent.zero(features[:, before : before + extent.width].transpose(1, 2)), extent

    def read(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Features (B, T, D) of ids and padding mask (B, T), specials included."""
        if self.layer == -1:
            return self.network(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        found = self.network(input_ids=ids, attention_mask=mask.long(), output_hidden_states=True)
        return found.hidden_states[self.layer]

    @torch.compiler.disable
    def cut(self, codes: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Ids (B, T) on the codes' device, padded, and how many each sequence has, (B,) on the CPU."""
        rows = self.tokens.cut(codes.cpu().numpy(), length.cpu().numpy())
        ids, count = padded_ids(rows, self.tokens.padding_id)
        own = count - self.tokens.before - self.tokens.after
        if self.positions is not None and own.max(initial=0) > self.positions:
            row = int(np.argmax(own))
            raise SequenceError(
                f"a sequence of {int(length[row])} bases has more tokens than the language model takes",
                expected=f"at most {self.positions}",
                got=f"{int(own[row])}",
                remedy="Drop it, or cut it; bases that are N are often a token each.",
            )
        return torch.from_numpy(ids).to(codes.device, non_blocking=True), torch.from_numpy(count)

    def _leave_out_what_is_unused(self) -> None:
        """Parameters that the features do not depend on (layers behind the one that is read) do not learn.

        Under torchrun every parameter that learns must have a gradient.
        """
        self.network.eval()
        ids = torch.zeros(1, 3, dtype=torch.int64)
        with torch.enable_grad():
            self.read(ids, torch.ones_like(ids, dtype=torch.bool)).sum().backward()
        for parameter in self.network.parameters():
            parameter.requires_grad_(parameter.grad is not None)
            parameter.grad = None


def _network(config: LanguageModelConfig) -> Any:
    """The network of the folder, in float32, its spare parts cut off."""
    transformers = load_extra("transformers")
    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    place, model, report = str(config.place), transformers.AutoModel, None
    try:
        with _quiet(transformers):
            if config.pretrained:
                network, report = model.from_pretrained(place, dtype=torch.float32, output_loading_info=True, **local)
            else:
                settings = transformers.AutoConfig.from_pretrained(place, **local)
                network = model.from_config(settings, dtype=torch.float32, trust_remote_code=False)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise FolderError(
            "the language model cannot be read",
            where=config.folder,
            expected="an architecture that transformers knows, and its weights",
            got=str(error).strip().splitlines()[0],
            remedy="Models that come with code of their own are not run.",
        ) from error
    if report is not None:
        _check_whole(report, config)
    for name in _SPARE:
        if getattr(network, name, None) is not None:
            setattr(network, name, None)
    return network


def _check_whole(report: dict[str, Any], config: LanguageModelConfig) -> None:
    """Refuse a folder whose weights are not those of its architecture: the rest would be random."""
    missing = sorted(name for name in report["missing_keys"] if not name.startswith(_SPARE))
    missing += sorted(str(name) for name in report["mismatched_keys"])
    if missing:
        raise FolderError(
            f"the folder lacks {len(missing)} of the network's weights",
            where=config.folder,
            got=f"no '{missing[0]}'",
            remedy="Is it of an architecture with code of its own (DNABERT-2)? Such code is not run.",
        )


def _with_lora(network: Any, config: LanguageModelConfig) -> Any:
    peft = load_extra("peft")
    settings = peft.LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_scale,
        lora_dropout=config.lora_dropout,
        target_modules=list(config.lora_targets) or "all-linear",
    )
    try:
        with warnings.catch_warnings():  # peft asks transformers for what it calls otherwise by now
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
            return peft.get_peft_model(network, settings)
    except ValueError as error:
        raise ConfigError(
            "LoRA finds no such layer", where=config.folder, got=", ".join(config.lora_targets)
        ) from error


@contextlib.contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Without progress bars of loading, and without its report, which :func:`_check_whole` says in words."""
    logging = transformers.utils.logging
    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
