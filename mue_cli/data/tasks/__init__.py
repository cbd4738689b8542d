"""The tasks, one file each. A new one is a file here, its name in TASKS, and a recipe.

Nothing here imports torch or pyarrow.
"""

from collections.abc import Mapping

from mue_cli.data.tasks.captioning import (
    CAPTION,
    CAPTION_PROMPT,
    caption_target,
    clean_generated,
)
from mue_cli.data.tasks.task import Task, TextRow, TextRows
from mue_cli.data.tasks.visual_entailment import (
    ANSWERS,
    ENTAILMENT,
    LABELS,
    MAX_QUESTION_WORDS,
    entailment_source,
    is_cut,
)
from mue_cli.data.tasks.words import has_words

TASKS: Mapping[str, Task] = {task.name: task for task in (CAPTION, ENTAILMENT)}

WHOLE_WORDS = tuple(f" {answer}" for task in TASKS.values() for answer in task.answers)
"""Words that every learned vocabulary keeps whole: an answer is one token."""

__all__ = [
    "ANSWERS",
    "CAPTION",
    "CAPTION_PROMPT",
    "ENTAILMENT",
    "LABELS",
    "MAX_QUESTION_WORDS",
    "TASKS",
    "WHOLE_WORDS",
    "Task",
    "TextRow",
    "TextRows",
    "caption_target",
    "clean_generated",
    "entailment_source",
    "has_words",
    "is_cut",
]
