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
    sampling
        ``"shuffled"`` (every row once), or ``"tissue_balanced"``: of the rows that are positive for a multi-label
        task, as many are drawn as there are, each task's positives about equally often (:mod:`encre.train.sampling`).
    loss
        Of binary and multi-label tasks: ``"cross_entropy"``, ``"focal"``, ``"asymmetric"``, ``"logit_adjusted"`` or
        ``"softmax"`` (with ``[model] head = "exclusive"``); see :mod:`encre.train.losses`.
    regression_loss
        Of regression tasks: ``"huber"``, ``"mse"``, ``"poisson"`` (with ``[model] link = "log"``) or ``"ranking"``.
    focal_gamma
        Of the focal loss: how little counts what is called well already; 0 is cross-entropy.
    asymmetric_positive, asymmetric_negative, asymmetric_margin
        Of the asymmetric loss: the same for positives and for negatives, and the probability below which a negative
        does not count at all.
    adjustment
        Of the logit adjustment: how much of the log odds of the positives in train is added.
    label_smoothing
        Share of each 0 and 1 that is spread over both classes.
    balance
        How the task groups' losses are summed: ``"fixed"`` (by ``group_weights``), ``"uncertainty"`` or
        ``"gradnorm"`` (by weights that are learned, beside ``group_weights``); :mod:`encre.train.losses.balance`.
    gradnorm_alpha
        Of GradNorm: how much harder a group is let pull whose loss falls more slowly.
    group_weights
        Weight of each task group's loss; 1 where nothing is said.
    class_weights
        ``"balanced"``: classes of a binary task weigh the same in sum, positives of a multi-label task weigh
        negatives / positives, as counted in train. ``"effective_number"``: each class by one over its effective
        number. ``"none"``: every row weighs the same.
    effective_beta
        Of ``"effective_number"``: 0 weighs all alike, 1 by one over the number of rows.
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
    curriculum
        Easy sequences first: ``"margin"`` (those of which logistic regression on 4-mers is sure), ``"length"`` (short
        ones), or ``"none"`` (:mod:`encre.train.curriculum`).
    curriculum_begin, curriculum_share
        Share of the sequences shown in the first epoch, and the share of the epochs after which all of them are.
    augment
        Random edits of the training sequences, ``[train.augment]``: see :class:`AugmentConfig`.
    start
        A run folder, or one of `encre pretrain`, whose weights the training begins with where name and shape agree
        (:mod:`encre.train.start`).
    frozen_epochs
        First epochs in which the trunk's weights stay and the rest alone learns.
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
    sampling: Literal["shuffled", "tissue_balanced"] = "shuffled"
    loss: Literal["cross_entropy", "focal", "asymmetric", "logit_adjusted", "softmax"] = "cross_entropy"
    regression_loss: Literal["huber", "mse", "poisson", "ranking"] = "huber"
    focal_gamma: float = Field(default=2.0, ge=0, le=10)
    asymmetric_positive: float = Field(default=0.0, ge=0, le=10)
    asymmetric_negative: float = Field(default=4.0, ge=0, le=10)
    asymmetric_margin: float = Field(default=0.05, ge=0, lt=1)
    adjustment: float = Field(default=1.0, ge=0, le=10)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    balance: Literal["fixed", "uncertainty", "gradnorm"] = "fixed"
    gradnorm_alpha: float = Field(default=1.5, ge=0, le=10)
    group_weights: dict[str, float] = Field(default_factory=dict)
    class_weights: Literal["balanced", "none", "effective_number"] = "balanced"
    effective_beta: float = Field(default=0.9999, ge=0, lt=1)
    tissue_loss_on: Literal["all", "enhancers"] = "all"
    logs: tuple[Literal["csv", "tensorboard"], ...] = ("csv",)
    checkpoint_every: int = Field(default=0, ge=0)
    averaging: Literal["none", "ema", "swa"] = "none"
    ema_decay: float = Field(default=0.999, ge=0, lt=1)
    swa_share: float = Field(default=0.25, gt=0, le=1)
    curriculum: Literal["none", "margin", "length"] = "none"
    curriculum_begin: float = Field(default=0.3, gt=0, le=1)
    curriculum_share: float = Field(default=0.5, ge=0, le=1)
    augment: AugmentConfig = AugmentConfig()
    start: str | None = None
    frozen_epochs: int = Field(default=0, ge=0)
    teacher: str | None = None
    teacher_weight: float = Field(default=0.5, ge=0, le=1)
    teacher_fills: bool = False


class PretrainConfig(Config):
    """How a model's trunk is pretrained on masked bases, ``[pretrain]`` (:mod:`encre.train.pretraining`).

    Parameters
    ----------
    seed
        As in :class:`TrainConfig`.
    steps
        Batches to learn from.
    max_minutes
        Stop after so long, and let the learning rate follow the time where it is ahead. None: steps alone decide.
    batch_size
        Windows of a step, over all processes together.
    learning_rate, weight_decay, warmup, clip, precision, device
        As in :class:`TrainConfig`.
    window
        Bases of a window of the genome; a dataset's rows are as long as they are.
    masked
        Share of the bases that are hidden and asked for.
    span
        Bases that are hidden together: one alone is all but told by its neighbours.
    valid_every, valid_windows
        Steps between two looks at the held-out windows, and how many those are.
    valid, test
        Chromosomes of a genome to be judged on, and to leave unread; where a dataset is given, those of its valid
        and test rows instead.
    """

    seed: int = Field(default=0, ge=0, lt=2**32)
    steps: int = Field(default=10_000, ge=1)
    max_minutes: float | None = Field(default=None, gt=0)
    batch_size: int = Field(default=64, ge=1, le=1_000_000)
    learning_rate: float = Field(default=1e-3, gt=0, le=10)
    weight_decay: float = Field(default=0.01, ge=0, le=10)
    warmup: float = Field(default=0.05, ge=0, lt=1)
    clip: float = Field(default=1.0, ge=0)
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    device: str = "auto"
    window: int = Field(default=512, ge=16, le=1_000_000)
    masked: float = Field(default=0.15, gt=0, lt=1)
    span: int = Field(default=6, ge=1, le=1000)
    valid_every: int = Field(default=500, ge=1)
    valid_windows: int = Field(default=1024, ge=1)
    valid: tuple[str, ...] = ("chr6", "chr21")
    test: tuple[str, ...] = ("chr5", "chr10", "chr14", "chr18", "chr20", "chr22")


class RunConfig(Config):
    """A training file: ``[model]`` (``name`` chooses the architecture), ``[train]``, and ``[pretrain]`` beside it."""

    model: dict[str, Any]
    train: TrainConfig = TrainConfig()
    pretrain: PretrainConfig = PretrainConfig()
