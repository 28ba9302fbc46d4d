"""What is predicted: tasks, their groups, and the order in which a model's logits stand."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from encre.errors import ConfigError, FormatError, nearest

Kind = Literal["binary", "multilabel", "regression"]

#: The nine tissues of the main job, in SCREEN's file names.
TISSUES = ("brain", "blood", "muscle", "skin", "lung", "embryo", "large_intestine", "heart", "kidney")


@dataclass(frozen=True)
class Task:
    """One predicted quantity.

    Parameters
    ----------
    name
        Unique in its set, for example ``"enhancer"`` or ``"heart"``.
    group
        Tasks of one group share a head and a loss weight, for example ``"tissue"``.
    kind
        ``"binary"`` and ``"multilabel"`` take a sigmoid; ``"regression"`` takes the logit itself.
    target
        Column of ``elements.parquet`` that holds the target (defaults to ``name``).
    description
        One sentence for reports.
    """

    name: str
    group: str
    kind: Kind = "binary"
    target: str = ""
    description: str = ""

    def __post_init__(self) -> None:
        if not self.target:
            object.__setattr__(self, "target", self.name)


class TaskSet:
    """An ordered set of tasks; its order is the K axis of targets, masks and logits.

    Parameters
    ----------
    tasks
        The tasks; names must be unique.

    Raises
    ------
    ConfigError
        When two tasks share a name or there is none.
    """

    def __init__(self, tasks: Iterable[Task]) -> None:
        self.tasks: tuple[Task, ...] = tuple(tasks)
        names = [task.name for task in self.tasks]
        if not names:
            raise ConfigError("there is no task to predict", remedy="Name at least one target column.")
        if len(set(names)) != len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise ConfigError(f"task names must be unique; {', '.join(twice)} stands twice")

    def __iter__(self) -> Iterator[Task]:
        return iter(self.tasks)

    def __len__(self) -> int:
        return len(self.tasks)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TaskSet) and self.tasks == other.tasks

    def __hash__(self) -> int:
        return hash(self.tasks)

    def __repr__(self) -> str:
        return "TaskSet(" + ", ".join(f"{g}: {len(i)}" for g, i in self.groups.items()) + ")"

    @property
    def names(self) -> tuple[str, ...]:
        """Task names in K order."""
        return tuple(task.name for task in self.tasks)

    @property
    def groups(self) -> dict[str, tuple[int, ...]]:
        """Group name -> positions on the K axis, groups in order of first appearance."""
        found: dict[str, list[int]] = {}
        for position, task in enumerate(self.tasks):
            found.setdefault(task.group, []).append(position)
        return {group: tuple(positions) for group, positions in found.items()}

    def index(self, name: str) -> int:
        """Position of a task on the K axis; an unknown name is a :class:`ConfigError`."""
        if name not in self.names:
            raise ConfigError(f"there is no task '{name}'", remedy=nearest(name, self.names))
        return self.names.index(name)

    def to_json(self) -> str:
        """The set as the text of ``tasks.json``."""
        return json.dumps({"tasks": [asdict(task) for task in self.tasks]}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, *, where: str | Path = "tasks.json") -> TaskSet:
        """Read the text of ``tasks.json``; a damaged file is a :class:`FormatError`."""
        try:
            return cls(Task(**item) for item in json.loads(text)["tasks"])
        except (ValueError, TypeError, KeyError) as error:
            raise FormatError(
                f"not a task list ({error})", where=where, remedy="Rebuild the folder that holds it."
            ) from error


def screen_tasks(tissues: Iterable[str] = TISSUES) -> TaskSet:
    """The tasks of the SCREEN job: ``enhancer`` (pELS or dELS against the rest) and one per tissue.

    Parameters
    ----------
    tissues
        Tissue names; the nine of the main job by default. Targets are columns ``active_<tissue>``.
    """
    enhancer = Task("enhancer", "enhancer", "binary", description="cCRE class is pELS or dELS")
    return TaskSet(
        [enhancer]
        + [Task(t, "tissue", "multilabel", target=f"active_{t}", description=f"pELS or dELS in {t}") for t in tissues]
    )
