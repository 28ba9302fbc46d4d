"""CREsted's side, with Keras on PyTorch: of ``scoring.py`` its mutagenesis, of ``training.py`` its training."""

import os
import tempfile
import time
from pathlib import Path

os.environ["KERAS_BACKEND"] = "torch"

import anndata
import crested
import keras
import line
import numpy as np
import pandas as pd
import torch
from crested.tl import TaskConfig, contribution_scores
from crested.tl.data import AnnDataModule


def build(path):
    """The network of ``network.py`` in Keras: one-hot (N, L, 4) -> logits (N, K)."""
    stored = np.load(path)
    inputs = keras.Input((None, 4))
    x, weights = inputs, []
    for layer, pool in enumerate(stored["pools"].tolist()):
        weight, bias = stored[f"weight{layer}"], stored[f"bias{layer}"]
        convolution = keras.layers.Conv1D(weight.shape[0], weight.shape[2], padding="same", activation="relu")
        x = convolution(x)
        weights.append((convolution, [weight.transpose(2, 1, 0), bias]))
        if pool > 1:
            x = keras.layers.ZeroPadding1D((0, int(pool) - 1))(x)  # a rest counts as one, as in network.py
            x = keras.layers.MaxPooling1D(int(pool))(x)
    head = keras.layers.Dense(stored["weight"].shape[0])
    model = keras.Model(inputs, head(keras.layers.GlobalMaxPooling1D()(x)))
    for layer, values in [*weights, (head, [stored["weight"].T, stored["bias"]])]:
        layer.set_weights(values)
    return model


def one_hot(codes):
    return np.concatenate([np.eye(4, dtype=np.float32), np.zeros((1, 4), np.float32)])[codes]


class Clock(keras.callbacks.Callback):
    """Notes when each training step, its batch drawn and its metrics noted, is done."""

    def on_train_begin(self, logs=None):
        self.done = []

    def on_train_batch_end(self, batch, logs=None):
        self.done.append(time.perf_counter())


def prepare(path):
    torch.set_num_threads(1)
    model = build(path)

    def predict(codes):
        return model.predict(one_hot(codes), verbose=0)

    def slow(codes, batch):
        scores, _ = contribution_scores(
            one_hot(codes), None, model, method="mutagenesis", batch_size=batch, verbose=False
        )
        return scores.transpose(0, 2, 3, 1)

    def train(codes, targets, valid, batch):
        """Its dataset, its trainer, one epoch from the same weights: seconds of each step but the first.

        Windows stand one after the other on a chromosome. Its default metrics cost more and are left out.
        """
        count, width = codes.shape
        with tempfile.TemporaryDirectory() as folder:
            fasta, sizes = Path(folder, "genome.fa"), Path(folder, "sizes")
            text = np.frombuffer(b"ACGTN", np.uint8)[codes.reshape(-1)].tobytes().decode()
            lines = (text[at : at + 60] for at in range(0, len(text), 60))
            fasta.write_text("\n".join([">chr1", *lines]) + "\n")
            sizes.write_text(f"chr1\t{len(text)}\n")
            regions = [f"chr1:{row * width}-{(row + 1) * width}" for row in range(count)]
            split = np.where(np.arange(count) < count - int(valid), "train", "val")
            table = anndata.AnnData(targets.T.astype(np.float32), var=pd.DataFrame({"split": split}, index=regions))
            data = AnnDataModule(
                table,
                genome=crested.Genome(fasta, sizes),
                batch_size=int(batch),
                always_reverse_complement=False,
                random_reverse_complement=True,
            )
            settings = TaskConfig(keras.optimizers.Adam(1e-3), keras.losses.BinaryCrossentropy(from_logits=True), [])
            clock = Clock()
            trainer = crested.tl.Crested(data, build(path), settings, project_name=folder, run_name="run")
            trainer.fit(epochs=1, custom_callbacks=[clock])
        return np.diff(clock.done)

    return {"predict": predict, "slow": slow, "train": train}


line.serve(prepare)
