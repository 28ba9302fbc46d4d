"""Name in a config -> loss of the entries of a group."""

from __future__ import annotations

from encre.train.losses.asymmetric import Asymmetric
from encre.train.losses.base import EntryLoss
from encre.train.losses.cross_entropy import CrossEntropy, Softmax
from encre.train.losses.focal import Focal
from encre.train.losses.logit_adjusted import LogitAdjusted
from encre.train.losses.ranking import Ranking
from encre.train.losses.regression import Huber, Poisson, SquaredError

#: ``[train] loss`` -> loss of binary and multi-label groups; a new one is a file beside this one and a line here
LOSSES: dict[str, type[EntryLoss]] = {
    "cross_entropy": CrossEntropy,
    "focal": Focal,
    "asymmetric": Asymmetric,
    "logit_adjusted": LogitAdjusted,
    "softmax": Softmax,
}

#: ``[train] regression_loss`` -> loss of regression groups
REGRESSION_LOSSES: dict[str, type[EntryLoss]] = {
    "huber": Huber,
    "mse": SquaredError,
    "poisson": Poisson,
    "ranking": Ranking,
}
