"""Pretraining without labels: hidden bases of windows are named, from the first step to a folder to begin from.

windows of a step -> masks -> this process's share -> logits of the hidden bases -> loss -> AdamW
now and then: accuracy on held-out windows -> best weights, state for resuming; at the end: the folder
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tomli_w
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from encre.errors import DataError
from encre.files import read_manifest, refuse_occupied, staged_file, write_json
from encre.models.checkpoint import WEIGHTS, read_weights, write_weights
from encre.models.device import autocast, choose_precision
from encre.models.processes import sum_over_processes
from encre.models.settings import ModelConfig
from encre.progress import SILENT, Progress
from encre.reproducibility import provenance, sha256_file, stream, stream_seed
from encre.train.history import write_history
from encre.train.optimizer import make_optimizer, rate_at, set_rate
from encre.train.outcome import BEST, LAST
from encre.train.pretraining.baseline import baselines
from encre.train.pretraining.masking import Masked, masked
from encre.train.pretraining.model import MaskedBases
from encre.train.pretraining.windows import Windows
from encre.train.sampling import share
from encre.train.settings import PretrainConfig, TrainConfig
from encre.train.start import PRETRAINED
from encre.train.state import State, load_state, save_state
from encre.train.team import Team, join_team

_COUNTED = 4096  # windows in which the baselines count
_NEWS = 20  # steps between two looks at the loss: each look waits for the device


def pretrain(
    model_config: ModelConfig,
    windows: Windows,
    config: PretrainConfig,
    *,
    out: str | Path,
    resume: bool = False,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Pretrain a model's trunk on masked bases and write a folder that ``[train] start`` takes.

    Resuming is exact, and processes of ``torchrun`` share each batch, as in :func:`encre.train.loop.fit`.

    Parameters
    ----------
    model_config
        The model that will be trained later; its trunk is pretrained.
    windows
        Where the sequences come from.
    config
        Settings.
    out
        The folder to make; new or empty unless ``resume``.
    resume
        Continue what ``out`` holds; begin where it holds nothing; do nothing where it is finished.
    progress
        Follows the sequences.

    Returns
    -------
    dict
        The folder's manifest; ``evaluation`` has the accuracy on held-out bases beside that of the baselines.

    Raises
    ------
    ConfigError
        When the model cannot be pretrained so, or ``out`` holds a training with other settings or data.
    FolderError, SequenceError, DataError
        When ``out`` is occupied, a sequence is too long for the model, or the loss stops being a number.
    """
    out = Path(out)
    if resume and (out / "manifest.json").is_file():
        progress.say(f"{out} is finished already")
    else:
        if not (resume and (out / LAST).is_file()):
            refuse_occupied(out)
        with join_team(config.device) as team:
            gpus = [team.device] if team.device.type == "cuda" else []
            with torch.random.fork_rng(gpus):  # the caller's random state comes back at the end
                Pretraining(model_config, windows, config, out=out, team=team).run(progress if team.leads else SILENT)
            team.wait()
    return read_manifest(out, kind=str(PRETRAINED["kind"]), version=int(PRETRAINED["version"]))


class Pretraining:
    """Everything that one pretraining holds; :meth:`run` is the loop."""

    def __init__(
        self, model_config: ModelConfig, windows: Windows, config: PretrainConfig, *, out: Path, team: Team
    ) -> None:
        self.windows, self.config, self.out, self.team = windows, config, out, team
        torch.manual_seed(stream_seed(config.seed, "pretrain", "weights"))
        self.model = MaskedBases(model_config, window=windows.longest).to(team.device)
        self.rates = TrainConfig(
            learning_rate=config.learning_rate, weight_decay=config.weight_decay, warmup=config.warmup
        )
        self.optimizer = make_optimizer(self.model, self.rates)
        self.precision: Literal["fp32", "bf16"] = choose_precision(config.precision, team.device)
        self.valid = self.windows.valid(self._stream("valid"), config.valid_windows)
        self.hidden = self._masked(*self.valid, self._stream("valid masks"), mixed=False)
        self.identity = {
            "model": model_config.model_dump(mode="json"),
            "pretrain": config.model_dump(mode="json", exclude={"device"}),
            **windows.about,
        }
        self.state = State()
        if (out / LAST).is_file():
            held = {"optimizer": self.optimizer, "identity": self.identity}
            self.state = load_state(out / LAST, {"model": self.model}, **held)
        self.begun = time.monotonic() - self.state.seconds
        self.forward = team.share(self.model)

    def run(self, progress: Progress) -> None:
        """Pretrain to the end, and write the folder."""
        while self.state.epoch == 0 or self._spent() < 1:
            self._stretch(progress)
            self._judge(progress)
        if self.team.leads:
            self._write(progress)

    def _stream(self, *names: str | int) -> np.random.Generator:
        return stream(self.config.seed, "pretrain", *names)

    def _masked(
        self, codes: np.ndarray, length: np.ndarray, rng: np.random.Generator, *, mixed: bool = True
    ) -> Masked:
        return masked(codes, length, rng, share=self.config.masked, span=self.config.span, mixed=mixed)

    def _spent(self) -> float:
        """Share of the pretraining that is behind us: by steps, or by time where that is ahead."""
        by_steps = self.state.steps / self.config.steps
        if self.config.max_minutes is None:
            return by_steps
        return self.team.from_leader(max(by_steps, (time.monotonic() - self.begun) / (60 * self.config.max_minutes)))

    def _stretch(self, progress: Progress) -> None:
        """The steps up to the next look at the held-out windows."""
        state, config = self.state, self.config
        count = min(config.valid_every, config.steps - state.steps)
        losses = torch.zeros((), device=self.team.device)
        self.model.train()
        with progress.track(f"{self.model.config.name} masked bases", count * config.batch_size) as advance:
            for _ in range(count):
                if (spent := self._spent()) >= 1 and state.step:
                    break
                set_rate(self.optimizer, rate_at(spent, self.rates))
                losses += self.step()
                state.advance(config.batch_size)
                news = "" if state.step % _NEWS else f"loss {float(losses) * self.team.world / state.step:.4f}"
                advance(config.batch_size, news)
        state.loss = float(self.team.sum(losses))

    def step(self) -> Tensor:
        """One step on this process's share of a batch; returns its share of the loss."""
        steps, config = self.state.steps, self.config
        codes, length = self.windows.train(self._stream("windows", steps), config.batch_size)
        hidden = self._masked(codes, length, self._stream("masks", steps))
        rows = share(np.arange(len(codes)), self.team.rank, self.team.world)
        torch.manual_seed(stream_seed(config.seed, "pretrain", "step", steps, self.team.rank))
        self.optimizer.zero_grad(set_to_none=True)
        found, truth = self._named(self.forward, codes[rows], length[rows], Masked(*(x[rows] for x in hidden)))
        count = sum_over_processes(torch.tensor(float(len(truth)), device=self.team.device)).clamp(min=1)
        loss = F.cross_entropy(found, truth, reduction="sum") / count
        (loss * self.team.world).backward()  # DDP averages the gradients, and the loss is a sum over processes
        if config.clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), config.clip)
        self.optimizer.step()
        return loss.detach()

    def _named(
        self, model: nn.Module, codes: np.ndarray, length: np.ndarray, hidden: Masked
    ) -> tuple[Tensor, Tensor]:
        """Logits (M, 4) of the hidden bases, and what they are (M,)."""
        device = self.team.device
        with autocast(self.precision, device):
            logits, read = model(torch.from_numpy(hidden.codes).to(device), torch.from_numpy(length))
        asked = torch.from_numpy(hidden.asked).to(device) & read
        return logits[asked].float(), torch.from_numpy(codes).to(device)[asked].long()

    def _judge(self, progress: Progress) -> None:
        """Accuracy on the held-out windows; keep the best weights and the state."""
        codes, length = self.valid
        part = self.team.part(len(codes))
        sums = torch.zeros(3, dtype=torch.float64)
        self.model.eval()
        with torch.inference_mode():
            for first in range(part.start, part.stop, self.config.batch_size):
                rows = slice(first, min(first + self.config.batch_size, part.stop))
                hidden = Masked(*(x[rows] for x in self.hidden))
                found, truth = self._named(self.model, codes[rows], length[rows], hidden)
                right = (found.argmax(1) == truth).sum()
                sums += torch.stack(
                    [F.cross_entropy(found, truth, reduction="sum"), right, right * 0 + len(truth)]
                ).cpu()
        loss, right, count = self.team.sum(sums).tolist()
        if not np.isfinite(loss + self.state.loss):
            raise DataError(
                "the loss is no longer a number", where=self.out, remedy="Lower learning_rate, or set clip."
            )
        row = {"valid_loss": loss / max(count, 1), "valid_accuracy": right / max(count, 1)}
        rate, seconds = self.optimizer.param_groups[0]["lr"], time.monotonic() - self.begun
        better = self.state.close_epoch(-row["valid_loss"], row, rate=rate, seconds=seconds)
        self.state.seconds = seconds
        progress.say(f"step {self.state.steps:,}: {row['valid_accuracy']:.4f} of the hidden held-out bases are named")
        if self.team.leads:
            if better:
                write_weights(self.out / BEST, self.model.state_dict())
            held = {"optimizer": self.optimizer, "identity": self.identity}
            save_state(self.out / LAST, self.state, {"model": self.model}, **held)

    def _write(self, progress: Progress) -> None:
        """Write the folder around the best weights; the manifest comes last."""
        out, state, model_config = self.out, self.state, self.model.config
        best = state.history[state.best_epoch - 1]
        counted, _ = self.windows.train(self._stream("baselines"), _COUNTED)
        others = baselines(counted, self.valid[0], *self.hidden)
        progress.say(
            "; ".join([f"accuracy {best['valid_accuracy']:.4f}", *(f"{k} {v:.4f}" for k, v in others.items())])
        )
        write_weights(out / WEIGHTS, read_weights(out / BEST))
        tables = {"model": model_config.inside(Path()), "pretrain": self.config}
        plain = {name: part.model_dump(mode="json", exclude_none=True) for name, part in tables.items()}
        texts = model_config.files() | {"config.toml": tomli_w.dumps(plain)}
        for name, text in texts.items():
            with staged_file(out / name) as staged:
                staged.write_text(text, encoding="utf-8")
        write_history(out / "history.csv", state.history)
        ran = {"seconds": round(state.seconds, 1), "steps": state.steps, "sequences": state.sequences}
        ran |= {"device": str(self.team.device), "precision": self.precision, "world_size": self.team.world}
        manifest = {
            "format": PRETRAINED,
            "model": model_config.name,
            "parameters": sum(parameter.numel() for parameter in self.model.trunk.parameters()),
            **self.windows.about,
            "training": ran | {"seed": self.config.seed, "best_step": best["step"]},
            "evaluation": {"accuracy": best["valid_accuracy"], "loss": best["valid_loss"], "baselines": others}
            | {"windows": len(self.valid[0]), "bases": int(self.hidden.asked.sum())},
            "provenance": provenance(),
            "files": {name: sha256_file(out / name) for name in (WEIGHTS, *texts)},
        }
        write_json(out / "manifest.json", manifest)
        (out / BEST).unlink()
