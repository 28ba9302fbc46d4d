"""tangermeme's side of ``scoring.py``: saturation mutagenesis by both of its paths, and variant effects."""

import sys

import line
import network
import numpy as np
import torch
from tangermeme.saturation_mutagenesis import saturation_mutagenesis
from tangermeme.variant_effect import deletion_effect, insertion_effect, substitution_effect


def prepare(path):
    torch.set_num_threads(1)
    model = network.read(path)
    inside = sys.modules["tangermeme.saturation_mutagenesis"]
    captured = {}

    def predict(codes):
        with torch.no_grad():
            return model(network.one_hot(codes, torch.float32))

    def slow(codes, batch):
        found = saturation_mutagenesis(
            model, network.one_hot(codes), batch_size=batch, raw_outputs=True, device="cpu", fast=False
        )
        return found.y_hat.permute(0, 2, 1, 3) - found.y0[:, None, None]

    def whole(codes, batch):
        """As a user calls it, its capture of the model and its check of the fast path included.

        It would take the slow path for a job that it guesses at less than 30 s: the guess is left out, so that a
        quick machine cannot turn the one path into the other.
        """
        inside._FAST_MIN_SECONDS = 0.0
        found = saturation_mutagenesis(
            model, network.one_hot(codes), batch_size=batch, raw_outputs=True, device="cpu"
        )
        return found.y_hat.permute(0, 2, 1, 3) - found.y0[:, None, None]

    def fast(codes, batch):
        """The fast path by itself: what capturing the model costs is left out, and no job is too small for it."""
        letters = network.one_hot(codes)
        if codes.shape not in captured:
            cpu = torch.device("cpu")
            with torch.no_grad():
                captured[codes.shape] = inside._FastISM(
                    model, letters, None, 0, letters.shape[-1], cpu, torch.float32, False
                )
        path = captured[codes.shape]
        path.X, path._example = letters, None
        y0, found = inside.predict(model, letters, device="cpu"), []
        for i in range(len(letters)):
            edits, bases, places = inside._single_edits(letters[i], 0, letters.shape[-1])
            changed = path.predict_edits(i, bases, places, batch)
            found.append(inside._fill_identity(y0, i, edits, changed))
        y_hat = inside._stack_y_hat(found, len(letters), 4, letters.shape[-1])
        return y_hat.permute(0, 2, 1, 3) - y0[:, None, None]

    def variants(batch, **given):
        """One-hot windows are made here, within the time; reading a VCF and a genome is not in it."""

        def effect(function, windows, changes, **how):
            letters, changes = network.one_hot(given[windows]), torch.from_numpy(given[changes])
            found = function(model, letters, changes, batch_size=batch, device="cpu", **how)
            return (found.y_after - found.y_before).numpy()

        kept_left = effect(deletion_effect, "deleted_left", "deletions_left", left=False)
        kept_right = effect(deletion_effect, "deleted_right", "deletions_right", left=True)
        inserted = [effect(insertion_effect, "inserted", "insertions", left=left) for left in (False, True)]
        substituted = effect(substitution_effect, "substituted", "substitutions")
        return np.concatenate([substituted, (kept_left + kept_right) / 2, (inserted[0] + inserted[1]) / 2])

    return {"predict": predict, "slow": slow, "whole": whole, "fast": fast, "variants": variants}


line.serve(prepare)
