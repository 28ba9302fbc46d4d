"""The training loop: one dataset, one model, one folder, from the first step to the manifest on four screens.

rows of an epoch -> batches -> this process's share -> logits -> loss -> gradient -> AdamW
after each epoch: score on valid -> best weights, state for resuming; at the end: the run folder
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from encre.errors import DataError
from encre.files import refuse_occupied
from encre.models.checkpoint import write_weights
from encre.models.device import autocast, choose_precision
from encre.models.model import EnhancerModel, build_model
from encre.models.settings import ModelConfig
from encre.progress import SILENT, Progress
from encre.reproducibility import stream_seed
from encre.train.averaging import make_average
from encre.train.distillation import TAUGHT, softened_targets
from encre.train.feed import Feed
from encre.train.history import epoch_log
from encre.train.losses import make_loss
from encre.train.optimizer import make_optimizer, rate_at, set_rate
from encre.train.outcome import BEST, LAST, Run, identity, write_run
from encre.train.sampling import share
from encre.train.score import ValidData, overall, validate
from encre.train.settings import TrainConfig
from encre.train.start import begin_from, hold_trunk, told
from encre.train.state import State, load_state, save_state
from encre.train.team import Team, join_team
from encre.train.tracks import columns, with_tracks

if TYPE_CHECKING:
    from encre.data.dataset import Batch, Dataset

_NEWS = 20  # steps between two looks at the loss: each look waits for the device


def fit(
    model_config: ModelConfig,
    dataset: Dataset,
    train_config: TrainConfig,
    *,
    out: str | Path,
    resume: bool = False,
    progress: Progress = SILENT,
    on_epoch: Callable[[dict[str, Any]], None] | None = None,
) -> Run:
    """Train a model and write its run folder.

    While it trains, ``out`` holds ``state/`` alone; the manifest comes last, so an interrupted training is
    never mistaken for a finished one, and ``resume=True`` continues it to the same weights as an unbroken one.
    Started by ``torchrun``, the processes share each batch, and the loss curve is that of one process
    (dropout aside: each process draws its own).

    Parameters
    ----------
    model_config, dataset, train_config
        Settings of the architecture, an opened dataset, settings of the training.
    out
        The run folder to make; new or empty unless ``resume``.
    resume
        Continue what ``out`` holds; begin where it holds nothing; do nothing where it is finished.
    progress
        Follows the sequences of each epoch.
    on_epoch
        Called with each epoch's row of the history; what it raises ends the training.

    Raises
    ------
    FolderError
        When ``out`` is occupied, or its state is damaged.
    ConfigError
        When ``out`` holds the state of a training with other settings or data.
    SequenceError
        When the dataset has sequences that the model cannot take.
    DataError
        When the loss stops being a number.
    """
    out = Path(out)
    if resume and (out / "manifest.json").is_file():
        progress.say(f"{out} is finished already")
        return Run.open(out)
    if not (resume and ((out / LAST).is_file() or (out / TAUGHT).is_file())):
        refuse_occupied(out)
    with join_team(train_config.device) as team:
        gpus = [team.device] if team.device.type == "cuda" else []
        with torch.random.fork_rng(gpus):  # the caller's random state comes back at the end
            training = Training(model_config, dataset, train_config, out=out, team=team)
            training.run(progress if team.leads else SILENT, on_epoch=on_epoch)
        team.wait()
    return Run.open(out)


class Training:
    """Everything that one training holds; :meth:`run` is the loop."""

    def __init__(
        self, model_config: ModelConfig, dataset: Dataset, config: TrainConfig, *, out: Path, team: Team
    ) -> None:
        self.dataset, self.config, self.out, self.team = dataset, config, out, team
        torch.manual_seed(stream_seed(config.seed, "train", "weights"))
        self.model = build_model(with_tracks(model_config, dataset), tasks=dataset.tasks).to(team.device)
        tracks = columns(self.model.config, dataset)
        for subset in (dataset.train, dataset.valid):
            self.model.check_lengths(subset.length, where=str(dataset.path))
        self.valid = ValidData.of(dataset.valid, tracks)
        start = None if (out / LAST).is_file() else begin_from(self.model, dataset, config)
        loss = make_loss(dataset.tasks, config, targets=dataset.train.targets, mask=dataset.train.target_mask)
        self.loss = loss.to(team.device)
        self.loss.prepare(self.model)
        self.average = make_average(self.model, config)
        self.optimizer = make_optimizer(self.model, config, loss=self.loss)
        self.precision: Literal["fp32", "bf16"] = choose_precision(config.precision, team.device)
        self.feed = Feed(dataset, config, tracks=tracks)
        self.identity = identity(self.model, dataset, config)
        self.state = State(start=start)
        if (out / LAST).is_file():
            held = {"optimizer": self.optimizer, "identity": self.identity}
            self.state = load_state(out / LAST, self._modules(), **held)
        self.begun = time.monotonic() - self.state.seconds
        self.forward = team.share(self._compiled())

    def _modules(self) -> dict[str, nn.Module]:
        """Everything with weights that a resumed training needs, by the name that it has in the state."""
        average = {} if self.average is None else {"average": self.average}
        return {"model": self.model, "loss": self.loss, **average}

    @property
    def judged(self) -> EnhancerModel:
        """The model whose weights are validated and kept."""
        return self.model if self.average is None else self.average.model

    def _compiled(self) -> nn.Module:
        """The model, compiled where that was asked for and pays: in fp32 on a CPU it is slower."""
        pays = self.precision == "bf16" or self.team.device.type != "cpu"
        return torch.compile(self.model) if self.config.compile and pays else self.model  # pyright: ignore

    def run(self, progress: Progress, *, on_epoch: Callable[[dict[str, Any]], None] | None = None) -> None:
        """Train to the end, and write the run folder."""
        self.feed.soft = softened_targets(self.dataset, self.config, out=self.out, team=self.team, progress=progress)
        for line in told(self.state.start) if not self.state.steps else ():
            progress.say(line)
        with epoch_log(self.out, self.config if self.team.leads else None) as log:
            while not self._done():
                self._epoch(progress)
                self._judge()
                log(self.state.history[-1])
                if on_epoch is not None:
                    on_epoch(self.state.history[-1])
        if self.team.leads:
            ran = {"device": str(self.team.device), "precision": self.precision, "world_size": self.team.world}
            ran |= {"teacher": self.feed.soft.teacher} if self.feed.soft else {}
            write_run(self.out, self.model, self.state, dataset=self.dataset, config=self.config, ran=ran)

    def _done(self) -> bool:
        state, patience = self.state, self.config.patience
        if state.epoch == 0:
            return False
        return self._spent() >= 1 or (patience is not None and state.epoch - state.best_epoch >= patience)

    def _spent(self) -> float:
        """Share of the training that is behind us: by steps, or by time where that is ahead."""
        by_steps = self.state.steps / (self.feed.steps * self.config.epochs)
        if self.config.max_minutes is None:
            return by_steps
        by_time = (time.monotonic() - self.begun) / (60 * self.config.max_minutes)
        return self.team.from_leader(max(by_steps, by_time))

    def _epoch(self, progress: Progress) -> None:
        state, config, team = self.state, self.config, self.team
        left = self.feed.batches(state.epoch)[state.step :]
        losses = torch.zeros((), device=team.device)
        self.model.train()
        with progress.track(f"{self.model.config.name} epoch {state.epoch + 1}", sum(map(len, left))) as advance:
            for batch in left:
                if (spent := self._spent()) >= 1 and state.step:
                    break
                set_rate(self.optimizer, rate_at(spent, config))
                rows = share(batch, team.rank, team.world)
                losses += self.step(self.feed.batch(rows, epoch=state.epoch, step=state.steps, spent=spent))
                if self.average is not None:
                    self.average.update(self.model, spent=spent)
                state.advance(len(batch))
                if config.checkpoint_every and state.steps % config.checkpoint_every == 0:
                    losses = self._fold(losses)
                    self._save()
                advance(len(batch), "" if state.step % _NEWS else self._news(losses))
        self._fold(losses)

    def step(self, batch: Batch) -> Tensor:
        """One step on this process's share of a batch; returns its share of the loss."""
        # Each step's dropout draws from a stream of its own, so resuming needs no random state.
        torch.manual_seed(stream_seed(self.config.seed, "train", "step", self.state.steps, self.team.rank))
        device = self.team.device
        arrays = (batch.codes, batch.targets, batch.target_mask)
        codes, targets, mask = (torch.from_numpy(array).to(device, non_blocking=True) for array in arrays)
        signals = None if batch.signals is None else torch.from_numpy(batch.signals).to(device, non_blocking=True)
        self.optimizer.zero_grad(set_to_none=True)
        with autocast(self.precision, device):
            logits = self.forward(codes, torch.from_numpy(batch.length), signals)
        loss = self.loss(logits, targets, mask)
        (loss * self.team.world).backward()  # DDP averages the gradients, and the loss is a sum over processes
        hold_trunk(self.model, self.config, epoch=self.state.epoch)
        if self.config.clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        self.optimizer.step()
        return loss.detach()

    def _news(self, losses: Tensor) -> str:
        return f"loss {(self.state.loss + float(losses) * self.team.world) / self.state.step:.4f}"

    def _fold(self, losses: Tensor) -> Tensor:
        """Add the losses of all processes to the state, and begin a new sum."""
        self.state.loss += float(self.team.sum(losses))
        self._check(self.state.loss)
        return torch.zeros_like(losses)

    def _check(self, loss: float) -> None:
        """Refuse to go on from a loss that is not a number; nothing has been kept of it."""
        if not np.isfinite(loss):
            raise DataError(
                f"the loss is no longer a number in epoch {self.state.epoch + 1}",
                where=self.out,
                remedy="Lower learning_rate, or set clip; the last state is one from before.",
            )

    def _judge(self) -> None:
        """Close the epoch: score on valid, note it, keep the best weights and the state."""
        rate = self.optimizer.param_groups[0]["lr"]
        found = validate(self.judged, self.valid, self.loss, config=self.config, team=self.team)
        self._check(found["valid_loss"])
        better = self.state.close_epoch(overall(found), found, rate=rate, seconds=time.monotonic() - self.begun)
        if better and self.team.leads:
            write_weights(self.out / BEST, self.judged.state_dict())
        self._save()

    def _save(self) -> None:
        self.state.seconds = time.monotonic() - self.begun
        if self.team.leads:
            held = {"optimizer": self.optimizer, "identity": self.identity}
            save_state(self.out / LAST, self.state, self._modules(), **held)
