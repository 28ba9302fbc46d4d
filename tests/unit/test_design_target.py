"""The target's grammar and what it scores."""

from __future__ import annotations

import numpy as np
import pytest

from encre.errors import ConfigError
from encre.interpret.design.target import Objective
from encre.tasks import Task, TaskSet

TASKS = TaskSet([Task("heart", "tissue"), Task("brain", "tissue"), Task("large_intestine", "tissue")])
LOGITS = np.array([[1.0, 2.0, 3.0], [-1.0, 0.5, 2.0]])


@pytest.mark.parametrize(
    ("text", "scores", "stated"),
    [
        ("heart up", [1, -1], "logit(heart)"),
        ("heart up, brain down", [-1, -1.5], "logit(heart) - logit(brain)"),
        ("heart up 2, brain DOWN 0.5", [1, -2.25], "2 x logit(heart) - 0.5 x logit(brain)"),
        ("heart = 1.5", [-0.5, -2.5], "- |logit(heart) - 1.5|"),
        ("large_intestine=-1 * 2", [-8, -6], "- 2 x |logit(large_intestine) + 1|"),
    ],
)
def test_a_target_is_a_weighted_sum_of_logits(text: str, scores: list[float], stated: str):
    objective = Objective.parse(text, TASKS)
    assert objective.score(LOGITS, TASKS).tolist() == pytest.approx(scores)
    assert str(objective) == stated


def test_another_model_with_its_tasks_in_another_order_scores_alike():
    objective = Objective.parse("heart up, brain down", TASKS)
    other = TaskSet([Task("brain", "t"), Task("lung", "t"), Task("heart", "t")])
    assert objective.score(LOGITS[:, [1, 2, 0]], other).tolist() == objective.score(LOGITS, TASKS).tolist()
    assert objective.lacking(TaskSet([Task("heart", "t")])) == ["brain"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("hart up", "Did you mean 'heart'"),
        ("heart upp", "Did you mean 'up'"),
        ("heart up, heart down", "two things of 'heart'"),
        ("heart up, heart = 2", "two things of 'heart'"),
        ("heart", "does not read"),
        ("heart up -1", "above 0"),
        ("heart up 0", "above 0"),
    ],
)
def test_a_target_that_cannot_be_is_said(text: str, said: str):
    with pytest.raises(ConfigError, match=said):
        Objective.parse(text, TASKS)
