"""gReLU's side: of ``scoring.py`` its ISM and its variant effects (substitutions of one base only), of
``training.py`` its training.
"""

import logging
import time
import warnings

import line
import network
import numpy as np
import pandas as pd
import torch
from grelu.data.dataset import DFSeqDataset
from grelu.interpret.score import ISM_predict
from grelu.lightning import LightningModel
from grelu.variant import predict_variant_effects
from torch import nn


class Timed(LightningModel):
    """Notes when each training step, its batch drawn and its loss logged, is done."""

    def on_train_start(self):
        self.done = []

    def on_train_batch_end(self, *_):
        self.done.append(time.perf_counter())


class Trunk(nn.Module):
    """The network as gReLU's models are: logits (N, K, 1)."""

    def __init__(self, layers):
        super().__init__()
        self.layers = layers

    def forward(self, x):
        return self.layers(x).unsqueeze(-1)


def prepare(path):
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    # It asks for "medium", which lets a CPU compute in bf16: all sides are to compute in fp32.
    torch.set_float32_matmul_precision = lambda kind: None
    layers = network.read(path)
    tasks = layers[-1].out_features
    settings = {"model_type": "ConvModel", "n_tasks": tasks}
    model = LightningModel(settings, {"task": "regression", "loss": "mse", "num_workers": 0})
    model.model = Trunk(layers)
    model.data_params = {"tasks": {"name": [f"task{i}" for i in range(tasks)]}, "train": {"seq_len": 512}}
    model.eval()

    def predict(codes):
        with torch.no_grad():
            return layers(network.one_hot(codes, torch.float32))

    def slow(codes, batch):
        texts = ["".join("ACGT"[code] for code in row) for row in codes]
        made = ISM_predict(texts, model, devices="cpu", num_workers=0, batch_size=batch, return_df=False)
        made = made[..., 0] if made.shape[-1] == 1 else made
        made = made.reshape(len(codes), codes.shape[1], 4, tasks)
        first = made[np.arange(len(codes)), 0, codes[:, 0]]
        return made - first[:, None, None]

    def variants(genome, table, width, batch):
        frame = pd.read_csv(table, sep="\t")
        return predict_variant_effects(
            frame,
            model,
            devices="cpu",
            seq_len=width,
            batch_size=batch,
            num_workers=0,
            genome=genome,
            compare_func="subtract",
            return_ad=False,
        )[..., 0]

    def train(codes, targets, valid, batch):
        """Its dataset, its trainer, one epoch from the same weights: seconds of each step but the first."""
        frame = pd.DataFrame({"seq": ["".join("ACGTN"[code] for code in row) for row in codes]})
        for task in range(targets.shape[1]):
            frame[f"task{task}"] = targets[:, task]
        fitted = {"task": "binary", "loss": "bce", "lr": 1e-3, "batch_size": int(batch), "num_workers": 0}
        fitted |= {"logger": "csv", "devices": "cpu", "max_epochs": 1, "checkpoint": True, "early_stopping": False}
        timed = Timed(settings, fitted)
        timed.model = Trunk(network.read(path).train())
        parts = [frame.iloc[: -int(valid)], frame.iloc[-int(valid) :].reset_index(drop=True)]
        timed.train_on_dataset(*(DFSeqDataset(part, rc=part is parts[0]) for part in parts))
        return np.diff(timed.done)

    return {"predict": predict, "slow": slow, "variants": variants, "train": train}


line.serve(prepare)
