"""The names that a command line may give, known before anything heavy is imported."""

from typing import TYPE_CHECKING, Literal

from mue_cli.data.tasks import TASKS
from mue_cli.data.tasks.task import Question
from mue_cli.exits.catalogue import (
    CATALOGUE,
    ORACLE,
    CalibratedName,
    ExitingName,
    MethodName,
    RunnableName,
)

if TYPE_CHECKING:
    TaskName = str
else:
    TaskName = Literal[tuple(TASKS)]

DEFAULT_RECIPE = "shapes-caption"
DEFAULT_TASK = next(iter(TASKS))
DEMO_RECIPES = {name: task.demo for name, task in TASKS.items()}

__all__ = [
    "CATALOGUE",
    "DEFAULT_RECIPE",
    "DEFAULT_TASK",
    "DEMO_RECIPES",
    "ORACLE",
    "CalibratedName",
    "ExitingName",
    "MethodName",
    "Question",
    "RunnableName",
    "TaskName",
]
