"""CREsted's side of ``scoring.py``: its mutagenesis, with Keras on PyTorch."""

import os

os.environ["KERAS_BACKEND"] = "torch"

import keras
import line
import numpy as np
import torch
from crested.tl import contribution_scores


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

    return {"predict": predict, "slow": slow}


line.serve(prepare)
