"""The Hugging Face Trainer's side of ``training.py``: BertModel on a dataset's elements, bucketed by length."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from transformers import BertConfig, BertModel, PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.utils import logging

from encre.data.dataset import Dataset
from encre.sequence.tokenizers import kmer_ids

#: The reference's sizes; 64 k-mers, one for what holds an N, one for padding.
SIZES = {
    "vocab_size": 66,
    "hidden_size": 256,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "intermediate_size": 1024,
    "max_position_embeddings": 348,
}


class Classifier(nn.Module):
    """BertModel, the mean over real tokens, and a linear head for K tasks."""

    def __init__(self, config: BertConfig, tasks: int) -> None:
        super().__init__()
        self.bert, self.head = BertModel(config, add_pooling_layer=False), nn.Linear(config.hidden_size, tasks)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """What the Trainer wants: ``loss`` and ``logits`` (B, K)."""
        hidden = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        share = attention_mask / attention_mask.sum(1, keepdim=True)
        logits = self.head((hidden * share[..., None]).sum(1))
        return {"loss": nn.functional.binary_cross_entropy_with_logits(logits.float(), labels), "logits": logits}


class Elements(torch.utils.data.Dataset[dict[str, Any]]):
    """The first rows of the train split as a Trainer takes them: one item a row, its tokens ready."""

    def __init__(self, data: Dataset, count: int) -> None:
        length, targets = data.train.length, data.train.targets
        self.items = []
        for row in range(count):
            ids = kmer_ids(torch.from_numpy(data.train.batch(np.array([row])).codes).long(), 3)[0]
            wanted = torch.from_numpy(np.nan_to_num(targets[row]))
            self.items.append({"input_ids": ids, "labels": wanted, "length": int(length[row]) - 2})

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, row: int) -> dict[str, Any]:
        return self.items[row]


def together(items: list[dict[str, Any]]) -> dict[str, Tensor]:
    """A batch, padded to its longest."""
    pad = nn.utils.rnn.pad_sequence
    ids = pad([item["input_ids"] for item in items], batch_first=True, padding_value=65)
    return {
        "input_ids": ids,
        "attention_mask": (ids != 65).long(),
        "labels": torch.stack([item["labels"] for item in items]),
    }


class Clock(TrainerCallback):
    """Seconds between the begin of an epoch's first step and its end."""

    def on_epoch_begin(self, *_: Any, **__: Any) -> None:
        self.begun = time.perf_counter()

    def on_epoch_end(self, *_: Any, **__: Any) -> None:
        self.seconds = time.perf_counter() - self.begun


class Bert:
    """An epoch of the Trainer, as often as asked.

    Parameters
    ----------
    elements
        What it trains on.
    batch_size, bf16
        Of its arguments; length bucketing is on, saving and reporting are off.
    attention_dropout
        BertModel's own is 0.1.
    """

    def __init__(
        self, elements: Elements, work: Path, *, batch_size: int, bf16: bool, attention_dropout: float = 0.1
    ) -> None:
        logging.set_verbosity_error()
        tasks = len(elements[0]["labels"])
        self.model = Classifier(BertConfig(attention_probs_dropout_prob=attention_dropout, **SIZES), tasks)
        self.elements, self.clock = elements, Clock()
        self.arguments = TrainingArguments(
            output_dir=str(work),
            per_device_train_batch_size=batch_size,
            num_train_epochs=1,
            train_sampling_strategy="group_by_length",
            length_column_name="length",
            remove_unused_columns=False,
            bf16=bf16,
            use_cpu=True,
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
            dataloader_pin_memory=False,
        )

    def __call__(self) -> float:
        """Seconds of one epoch."""
        AcceleratorState._reset_state()  # one precision a process is all that it foresees
        trainer = Trainer(self.model, self.arguments, train_dataset=self.elements, data_collator=together)
        trainer.add_callback(self.clock)
        trainer.remove_callback(PrinterCallback)  # it writes to stdout, where the rows go
        trainer.train()
        return self.clock.seconds
