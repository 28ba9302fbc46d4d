"""The training loop: one dataset, one model, one folder; from the first step to the manifest on four screens.

    rows of an epoch -> batches -> this process's share -> logits -> loss -> gradient -> AdamW
    after each epoch: score on valid -> state for resuming, best weights; at the end: the run folder
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from encre.errors import DataError
from encre.files import read_manifest, refuse_occupied
from encre.models.checkpoint import FORMAT, read_weights, save_model, write_weights
from encre.models.device import autocast, choose_precision
from encre.models.model import build_model
from encre.models.settings import ModelConfig
from encre.progress import SILENT, Advance, Progress
from encre.reproducibility import provenance, stream_seed
from encre.train import history, sampling, score
from encre.train.losses import make_loss
from encre.train.optimizer import make_optimizer, rate_at, set_rate
from encre.train.settings import TrainConfig
from encre.train.state import State, load_state, save_state
from encre.train.team import Team, join_team

if TYPE_CHECKING:
    from encre.data.dataset import Batch, Dataset

_NEWS = 20  # steps between two looks at the loss, which waits for the device


@dataclass(frozen=True)
class Run:
    """A finished training: its folder and its manifest."""

    path: Path
    manifest: dict[str, Any]


def fit(
    model_config: ModelConfig,
    dataset: Dataset,
    train_config: TrainConfig,
    *,
    out: str | Path,
    resume: bool = False,
    progress: Progress = SILENT,
) -> Run:
    """Train a model and write its run folder.

    While it trains, ``out`` holds ``state/`` alone; the manifest comes last, so an interrupted training is
    never mistaken for a finished one, and ``resume=True`` continues it to the same weights as an unbroken one.
    Started by ``torchrun``, the processes share each batch, and the loss curve is that of one process
    (dropout aside: each process draws its own).

    Parameters
    ----------
    model_config
        Settings of the architecture.
    dataset
        An opened dataset.
    train_config
        Settings of the training.
    out
        The run folder to make; new or empty unless ``resume``.
    resume
        Continue what ``out`` holds; begin where it holds nothing; do nothing where it is finished.
    progress
        Follows the sequences of each epoch.

    Raises
    ------
    FolderError
        When ``out`` is occupied.
    SequenceError
        When the dataset has sequences that the model cannot take.
    DataError
        When the loss stops being a number.
    """
    out = Path(out)
    if resume and (out / "manifest.json").is_file():
        progress.say(f"{out} is finished already")
        return Run(out, read_manifest(out, kind=FORMAT["kind"], version=FORMAT["version"]))
    if not (resume and (out / "state" / "last.safetensors").is_file()):
        refuse_occupied(out)
    with join_team(train_config.device) as team:
        gpus = [team.device] if team.device.type == "cuda" else []
        with torch.random.fork_rng(gpus):  # the caller's random state comes back at the end
            training = Training(model_config, dataset, train_config, out=out, team=team, progress=progress)
            training.run()
        team.wait()
    return Run(out, read_manifest(out, kind=FORMAT["kind"], version=FORMAT["version"]))


class Training:
    """Everything that one training holds; :meth:`run` is the loop."""

    def __init__(
        self,
        model_config: ModelConfig,
        dataset: Dataset,
        config: TrainConfig,
        *,
        out: Path,
        team: Team,
        progress: Progress,
    ) -> None:
        self.dataset, self.config, self.out, self.team = dataset, config, out, team
        self.progress = progress if team.leads else SILENT
        self.train = dataset.train
        self.length = np.asarray(self.train.length)
        if len(self.length) < team.world:
            raise DataError(f"{len(self.length)} training rows cannot be shared by {team.world} processes")
        torch.manual_seed(stream_seed(config.seed, "train", "weights"))
        self.model = build_model(model_config, tasks=dataset.tasks).to(team.device)
        valid = dataset.valid
        for subset in (self.train, valid):
            self.model.check_lengths(np.asarray(subset.length), where=str(dataset.path))
        self.valid = score.ValidData(valid.codes, valid.offsets, valid.targets, valid.target_mask)
        loss = make_loss(dataset.tasks, config, targets=self.train.targets, mask=self.train.target_mask)
        self.loss = loss.to(team.device)
        self.optimizer = make_optimizer(self.model, config)
        self.precision = choose_precision(config.precision, team.device)
        kinds = self.train.elements["kind"] if "kind" in self.train.elements.columns else None
        self.synthetic = np.zeros(len(self.length), bool) if kinds is None else (kinds != "element").to_numpy()
        self.steps_per_epoch = len(self._batches(0))
        self.identity = self._identity()
        self.state, self.begun = State(), time.monotonic()
        if (self.last_state).is_file():
            keep = {"model": self.model, "optimizer": self.optimizer}
            self.state = load_state(self.last_state, identity=self.identity, **keep)
            self.begun -= self.state.seconds
        self.forward = self._wrap()

    @property
    def last_state(self) -> Path:
        """Where the state for resuming lies."""
        return self.out / "state" / "last.safetensors"

    def _identity(self) -> dict[str, Any]:
        """Which training this is; what may differ on resuming is left out."""
        free = {"device", "logs", "checkpoint_every"}
        return {
            "model": self.model.config.model_dump(mode="json"),
            "train": self.config.model_dump(mode="json", exclude=free),
            "dataset": self.dataset.digest,
        }

    def _wrap(self) -> nn.Module:
        """The model as the steps call it: compiled where that pays, shared where there are processes."""
        wrapped: nn.Module = self.model
        if self.config.compile and (self.precision == "bf16" or self.team.device.type != "cpu"):
            wrapped = torch.compile(wrapped)  # pyright: ignore[reportAssignmentType]
        if self.team.world > 1:
            ids = [self.team.device.index] if self.team.device.type == "cuda" else None
            wrapped = DistributedDataParallel(wrapped, device_ids=ids, broadcast_buffers=False)
        return wrapped

    def run(self) -> None:
        """Train to the end, and write the run folder."""
        board = None
        if self.team.leads and "tensorboard" in self.config.logs:
            board = history.tensorboard_writer(self.out / "tensorboard")
        while not self._done():
            self._epoch()
            self._judge()
            if board is not None:
                history.log_row(board, self.state.history[-1])
        if board is not None:
            board.close()
        if self.team.leads:
            self._finish()

    def _done(self) -> bool:
        state, patience = self.state, self.config.patience
        stale = state.epoch - state.best_epoch
        return state.epoch >= self.config.epochs or bool(patience and stale >= patience) or self._spent() >= 1

    def _spent(self) -> float:
        """Share of the training that is behind us: by steps, or by time where that is ahead."""
        by_steps = self.state.steps / (self.steps_per_epoch * self.config.epochs)
        if self.config.max_minutes is None:
            return by_steps
        by_time = (time.monotonic() - self.begun) / (60 * self.config.max_minutes)
        # an epoch's end alone ends the training when steps lead
        return self.team.from_leader(max(by_steps, by_time))

    def _batches(self, epoch: int) -> list[np.ndarray]:
        rows = sampling.epoch_rows(self.synthetic, self.config, epoch)
        return sampling.batches(rows, self.length, self.config, epoch=epoch)

    def _epoch(self) -> None:
        state, config = self.state, self.config
        cut = self._batches(state.epoch)
        jitter = int(self.dataset.manifest["sequence"].get("jitter") or 0)
        reverse, shift = sampling.augmentation(len(self.length), config, epoch=state.epoch, jitter=jitter)
        self.model.train()
        losses = torch.zeros((), device=self.team.device)
        label = f"{self.model.config.name} epoch {state.epoch + 1}"
        with self.progress.track(label, sum(map(len, cut[state.step :]))) as advance:
            for batch in cut[state.step :]:
                spent = self._spent()
                if spent >= 1:
                    break
                set_rate(self.optimizer, rate_at(spent, config))
                rows = sampling.share(batch, self.team.rank, self.team.world)
                flips, shifts = sampling.pick(reverse, rows), sampling.pick(shift, rows)
                losses += self._step(self.train.batch(rows, reverse=flips, shift=shifts))
                state.step, state.steps, state.sequences = state.step + 1, state.steps + 1, state.sequences + len(batch)
                if config.checkpoint_every and state.steps % config.checkpoint_every == 0:
                    losses = self._fold(losses)
                    self._save()
                self._tell(advance, len(batch), losses)
        self._fold(losses)

    def _step(self, batch: Batch) -> torch.Tensor:
        """One step on this process's share; returns its share of the loss."""
        # Each step draws (dropout) from a stream of its own, so resuming needs no random state.
        torch.manual_seed(stream_seed(self.config.seed, "train", "step", self.state.steps, self.team.rank))
        device = self.team.device
        codes, targets, mask = (
            torch.from_numpy(part).to(device, non_blocking=True)
            for part in (batch.codes, batch.targets, batch.target_mask)
        )
        self.optimizer.zero_grad(set_to_none=True)
        with autocast(self.precision, device):
            logits = self.forward(codes, torch.from_numpy(batch.length))
        loss = self.loss(logits, targets, mask)
        (loss * self.team.world).backward()  # DDP averages gradients; the loss is a sum over processes
        if self.config.clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        self.optimizer.step()
        return loss.detach()

    def _fold(self, losses: torch.Tensor) -> torch.Tensor:
        """Add the losses of all processes to the state; refuse to go on from one that is not a number."""
        self.state.loss += float(self.team.sum(losses))
        if not np.isfinite(self.state.loss):
            raise DataError(
                f"the loss is no longer a number in epoch {self.state.epoch + 1}",
                where=self.out,
                remedy="Lower learning_rate, or set clip; nothing of this epoch was kept.",
            )
        return torch.zeros_like(losses)

    def _tell(self, advance: Advance, n: int, losses: torch.Tensor) -> None:
        state = self.state
        if state.step % _NEWS:
            advance(n, "")
            return
        mean = (state.loss + float(losses) * self.team.world) / state.step
        advance(n, f"loss {mean:.4f}")

    def _judge(self) -> None:
        """Close the epoch: score on valid, note it, keep the best weights and the state."""
        state, rate = self.state, self.optimizer.param_groups[0]["lr"]
        found = score.validate(self.model, self.valid, self.loss, config=self.config, team=self.team)
        state.epoch += 1
        value = score.overall(found)
        better = value > state.best
        if better:
            state.best, state.best_epoch = value, state.epoch
        state.seconds = time.monotonic() - self.begun
        row = {"epoch": state.epoch, "step": state.steps, "sequences": state.sequences}
        row |= {"seconds": round(state.seconds, 3), "learning_rate": rate, "train_loss": state.loss / max(state.step, 1)}
        state.history.append(row | found)
        state.step, state.loss = 0, 0.0
        if better and self.team.leads:
            self.last_state.parent.mkdir(parents=True, exist_ok=True)
            write_weights(self.out / "state" / "best.safetensors", self.model.state_dict())
        self._save()

    def _save(self) -> None:
        self.state.seconds = time.monotonic() - self.begun
        if self.team.leads:
            keep = {"model": self.model, "optimizer": self.optimizer}
            save_state(self.last_state, self.state, identity=self.identity, **keep)

    def _finish(self) -> None:
        """Write the run folder around the best weights; the manifest comes last."""
        best = self.out / "state" / "best.safetensors"
        self.model.load_state_dict(read_weights(best))
        state = self.state
        history.write_history(self.out / "history.csv", state.history)
        training = {
            "seconds": round(state.seconds, 1),
            "sequences": state.sequences,
            "steps": state.steps,
            "epochs": state.epoch,
            "best_epoch": state.best_epoch,
            "best_valid_auprc": state.history[state.best_epoch - 1]["valid_auprc"],
            "seed": self.config.seed,
            "device": str(self.team.device),
            "precision": self.precision,
            "world_size": self.team.world,
            "threads": torch.get_num_threads(),
        }
        data = self.dataset
        source = {"digest": data.digest, "name": data.manifest.get("name", ""), "path": str(data.path)}
        manifest = {"dataset": source, "sequence": data.manifest["sequence"], "training": training}
        manifest["provenance"] = provenance()
        save_model(self.out, self.model, manifest=manifest, train=self.config.model_dump(mode="json", exclude_none=True))
        best.unlink()
