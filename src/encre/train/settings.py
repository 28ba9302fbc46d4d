"""Settings of training. No torch here, so that a config is checked in milliseconds."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from encre.config import Config


class AugmentConfig(Config):
    """Random edits of the training sequences, as in EvoAug (Lee et al. 2023); every length stays as it is.

    Parameters
    ----------
    shift
        Move the sequence by up to so many bases to either side; what is pushed out is lost, the freed end is N.
        For windows cut from a genome, the dataset's jitter does better.
    mutate
        Share of the bases to draw for a substitution by one of the three others.
    insert, delete
        Put in, or take out, up to so many bases in one place; bases beyond the end are lost, a freed end is filled
        with random ones.
    invert
        Turn a stretch of up to so many bases into its reverse complement.
    translocate
        Cut up to so many bases off the end and put them before the beginning.
    per_sequence
        So many of the kinds that are not 0 are drawn for each sequence, afresh in each step.
    finetune_share
        Last share of the training that sees the sequences as they are.
    """

    shift: int = Field(default=0, ge=0)
    mutate: float = Field(default=0.0, ge=0, le=1)
    insert: int = Field(default=0, ge=0)
    delete: int = Field(default=0, ge=0)
    invert: int = Field(default=0, ge=0)
    translocate: int = Field(default=0, ge=0)
    per_sequence: int = Field(default=2, ge=1)
    finetune_share: float = Field(default=0.2, ge=0, le=1)


class TrainConfig(Config):
    """How a model is trained.

    Parameters
    ----------
    seed
        Every random number of a run comes from named streams of it. The same seed, data, settings, machine
        and number of threads give the same weights bit for bit, interrupted and resumed or not; the order
        of the rows does not depend on the batch size or on the number of processes.
    epochs
        Passes over the training rows at most.
    max_minutes
        Stop after so long (on top of it comes the last look at the valid split), and let the learning rate
        follow the share of time instead of steps where it is ahead. The result then depends on the machine's
        speed. None: steps alone decide.
    batch_size
        Sequences of a step, over all processes together.
    learning_rate, weight_decay
        Of AdamW (Loshchilov and Hutter 2019) at the peak; norms, biases and embeddings do not decay.
    warmup
        Share of the training in which the learning rate rises; it then falls along half a cosine to 0.
    clip
        Largest norm of the gradient; 0 for no clipping.
    patience
        Stop when the score on valid has not risen for so many epochs; None: never.
    precision
        ``"auto"`` (bf16 where the device computes in it), ``"fp32"`` or ``"bf16"``.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"`` ...
    compile
        ``torch.compile`` the model; pays in bf16 on long runs over sequences of one length (the first eight
        lengths are compiled anew). Left out in fp32 on a CPU, where it is slower.
    bucketing
        Put sequences of like length into a batch (in shuffled pools of 8 batches).
    reverse_complement
        Show each sequence as either strand, by a coin a row and epoch.
    jitter
        Shift windows by up to the dataset's flank; of no effect on elements as they are.
    synthetic_per_element
        Synthetic rows (shuffles and the like) drawn for each real row, afresh in every epoch.
    loss
        Of binary and multi-label tasks: a key in :data:`encre.train.losses.LOSSES`.
    regression_loss
        Of regression tasks: ``"huber"``, ``"mse"`` or ``"poisson"`` (with ``[model] link = "log"``).
    group_weights
        Weight of each task group's loss; 1 where nothing is said.
    class_weights
        ``"balanced"``: classes of a binary task weigh the same in sum, positives of a multi-label task weigh
        negatives / positives, as counted in train. ``"none"``: every row weighs the same.
    tissue_loss_on
        ``"enhancers"``: multi-label tasks learn only from rows whose binary task is positive. ``"all"``.
    logs
        ``"csv"`` (always written) and ``"tensorboard"``.
    checkpoint_every
        Steps between two states for ``--resume``; 0: at the end of each epoch only.
    averaging
        Which weights are validated and kept: ``"none"`` (as they are), ``"ema"`` (exponential moving average) or
        ``"swa"`` (equal mean over the last steps); see :mod:`encre.train.averaging`.
    ema_decay
        What is left of the moving average at each step; less in the first steps. Half of it is from the last
        ``log(2) / (1 - ema_decay)`` steps.
    swa_share
        Last share of the training over which ``"swa"`` averages, at a learning rate that stays as it then is.
    augment
        Random edits of the training sequences, ``[train.augment]``: see :class:`AugmentConfig`.
    start
        A run folder whose weights the training begins with, where name and shape agree.
    teacher
        A run folder, such as an ensemble, whose predictions for the training rows soften the targets
        (:mod:`encre.train.distillation`); evaluate it first, so that it gives calibrated probabilities.
    teacher_weight
        Share of the teacher in a target that was measured: 0 none, 1 the teacher alone.
    teacher_fills
        Learn entries that were not measured from the teacher alone; otherwise they stay masked.
    """

    seed: int = Field(default=0, ge=0, lt=2**32)
    epochs: int = Field(default=20, ge=1, le=100_000)
    max_minutes: float | None = Field(default=None, gt=0)
    batch_size: int = Field(default=64, ge=1, le=1_000_000)
    learning_rate: float = Field(default=1e-3, gt=0, le=10)
    weight_decay: float = Field(default=0.01, ge=0, le=10)
    warmup: float = Field(default=0.05, ge=0, lt=1)
    clip: float = Field(default=1.0, ge=0)
    patience: int | None = Field(default=5, ge=1)
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    device: str = "auto"
    compile: bool = False
    bucketing: bool = True
    reverse_complement: bool = True
    jitter: bool = True
    synthetic_per_element: float = Field(default=1.0, ge=0)
    loss: Literal["cross_entropy"] = "cross_entropy"
    regression_loss: Literal["huber", "mse", "poisson"] = "huber"
    group_weights: dict[str, float] = Field(default_factory=dict)
    class_weights: Literal["balanced", "none"] = "balanced"
    tissue_loss_on: Literal["all", "enhancers"] = "all"
    logs: tuple[Literal["csv", "tensorboard"], ...] = ("csv",)
    checkpoint_every: int = Field(default=0, ge=0)
    averaging: Literal["none", "ema", "swa"] = "none"
    ema_decay: float = Field(default=0.999, ge=0, lt=1)
    swa_share: float = Field(default=0.25, gt=0, le=1)
    augment: AugmentConfig = AugmentConfig()
    start: str | None = None
    teacher: str | None = None
    teacher_weight: float = Field(default=0.5, ge=0, le=1)
    teacher_fills: bool = False


class RunConfig(Config):
    """A training file: ``[model]`` (``name`` chooses the architecture) and ``[train]``."""

    model: dict[str, Any]
    train: TrainConfig = TrainConfig()
