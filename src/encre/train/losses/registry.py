"""Name in a config -> loss of the entries of a group."""

from __future__ import annotations

from encre.train.losses.base import EntryLoss
from encre.train.losses.cross_entropy import CrossEntropy
from encre.train.losses.regression import Huber, Poisson, SquaredError

#: ``[train] loss`` -> loss of binary and multi-label groups; a new one is a file beside this one and a line here
LOSSES: dict[str, type[EntryLoss]] = {"cross_entropy": CrossEntropy}

#: ``[train] regression_loss`` -> loss of regression groups
REGRESSION_LOSSES: dict[str, type[EntryLoss]] = {"huber": Huber, "mse": SquaredError, "poisson": Poisson}
