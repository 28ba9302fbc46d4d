"""Heads for tasks that have to do with each other, and for measurements."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from encre.errors import ConfigError
from encre.interpret.settings import possible_methods
from encre.models.heads import HEADS, LinearHeads
from encre.models.model import build_model
from encre.models.registry import model_config
from encre.tasks import Task, TaskSet, screen_tasks

SCREEN = screen_tasks()


def heads(name: str, tasks: TaskSet = SCREEN, **values: object) -> LinearHeads:
    torch.manual_seed(0)
    return HEADS[name](5, tasks, model_config({"name": "cnn", "head": name, **values}))


def vectors(scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn(20, 5, generator=torch.Generator().manual_seed(1))


def test_exclusive_tasks_share_one_probability():
    found = heads("exclusive")
    p = found(vectors()).sigmoid()
    torch.testing.assert_close(p[:, 1:].sum(1), torch.ones(20))
    torch.testing.assert_close(p[:, 1:], found.outputs(vectors())[:, 1:].softmax(1))
    torch.testing.assert_close(p[:, 0], found.outputs(vectors())[:, 0].sigmoid(), msg="the binary task is its own")


def test_no_tissue_is_more_likely_than_the_enhancer():
    found = heads("hierarchical")
    logits, outputs = found(vectors().double().float()), found.outputs(vectors()).double()
    assert (logits[:, 1:] <= logits[:, :1]).all()
    product = outputs[:, :1].sigmoid() * outputs[:, 1:].sigmoid()
    torch.testing.assert_close(logits[:, 1:].double(), torch.logit(product), rtol=1e-4, atol=1e-4)
    far = found(vectors(1e4))
    far.sum().backward()
    assert torch.isfinite(far).all()
    assert all(torch.isfinite(parameter.grad).all() for parameter in found.parameters())


def test_relatives_in_the_tree_learn_from_each_other():
    found = heads("tree")
    before = found(vectors()).detach()
    torch.testing.assert_close(before, heads("linear")(vectors()).detach(), msg="it begins as a linear head")
    rate, brain = 0.1, SCREEN.index("brain")
    found(vectors())[:, brain].mean().backward()
    with torch.no_grad():
        for parameter in found.parameters():
            if parameter.grad is not None:
                parameter.add_(parameter.grad, alpha=rate)
    moved = (found(vectors()) - before).mean(0).tolist()
    by_name = dict(zip(SCREEN.names, moved, strict=True))
    assert by_name["brain"] > by_name["skin"] > by_name["lung"] > 0, "itself, a relative, a tissue of another layer"
    assert by_name["lung"] == pytest.approx(by_name["embryo"])
    assert by_name["enhancer"] == 0


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({"a": ["hart"]}, "'hart' is no task and no node.*heart"),
        ({"a": ["heart"], "b": ["heart"]}, "'heart' has two parents, 'a' and 'b'"),
        ({"a": ["b", "heart"], "b": ["a"]}, "its own ancestor"),
    ],
)
def test_a_wrong_tree_is_said_in_words(tree: dict[str, list[str]], said: str):
    with pytest.raises(ConfigError, match=said):
        heads("tree", tree=tree)


@pytest.mark.parametrize("name", ["exclusive", "hierarchical", "tree"])
def test_heads_of_groups_need_a_group(name: str):
    with pytest.raises(ConfigError, match=f'head = "{name}" needs'):
        heads(name, TaskSet([Task("enhancer", "enhancer")]))


@pytest.mark.parametrize("link", ["identity", "log"])
def test_predictions_of_measurements_begin_at_the_mean_in_their_unit(link: str):
    tasks = TaskSet([Task("x", "x"), Task("y", "m", "regression"), Task("z", "m", "regression")])
    found = heads("linear", tasks, link=link)
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.zero_()
    found.set_units(np.array([0.3, 5.0, 900.0]), np.array([0.4, 2.0, 300.0]))
    torch.testing.assert_close(found(vectors())[0], torch.tensor([0.0, 5.0, 900.0]))
    with torch.no_grad():
        found["m"].bias += 1
    step = {"identity": [0.0, 7.0, 1200.0], "log": [0.0, 5 * np.e, 900 * np.e]}
    torch.testing.assert_close(found(vectors())[0], torch.tensor(step[link], dtype=torch.float32))


def test_deeplift_is_offered_where_it_has_a_rule_for_the_head():
    def methods(**values: object) -> list[str]:
        config = model_config({"name": "cnn", "input": "one_hot", "channels": [4], "pools": [1], **values})
        return possible_methods(build_model(config, tasks=SCREEN))

    for head in ("linear", "tree", "exclusive"):
        assert "deeplift" in methods(kernel_sizes=[3], head=head)
    assert "deeplift" not in methods(kernel_sizes=[3], head="hierarchical")
    assert "integrated_gradients" in methods(kernel_sizes=[3], head="hierarchical")
