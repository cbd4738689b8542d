"""A recipe file, read and written: an experiment as data. It says only what differs from the
defaults.
"""

import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from mue_cli.errors import RecipeError
from mue_cli.recipe.names import find, names
from mue_cli.recipe.overrides import Override, override, place_of
from mue_cli.recipe.sections import (
    CalibrationSection,
    DataSection,
    EvaluationSection,
    ExitsSection,
    InferenceSection,
    ModelSection,
    Recipe,
    SearchSection,
    SkippedLayers,
    TrainingSection,
)
from mue_cli.recipe.yaml_text import read_yaml, to_yaml
from mue_cli.schema.schema import Place, build, show

__all__ = [  # the names that other rooms import from here
    "CalibrationSection",
    "DataSection",
    "EvaluationSection",
    "ExitsSection",
    "InferenceSection",
    "ModelSection",
    "Override",
    "Recipe",
    "SearchSection",
    "SkippedLayers",
    "TrainingSection",
    "dump",
    "find",
    "load",
    "names",
    "override",
    "read_yaml",
    "to_yaml",
]


def load(name_or_path: str | Path, overrides: Sequence[str | Override] = ()) -> Recipe:
    """Return the recipe of a file, or of a name such as "shapes-caption".

    overrides: "section.key=value" each, the value in YAML; a later one wins. Raises RecipeError,
    naming key and place.
    """
    path = find(name_or_path)
    raw, changes = read_yaml(path), [Override.of(each) for each in overrides]
    for change in changes:
        change.put_into(raw)

    def place(key: str) -> str:
        return place_of(key, changes, str(path))

    recipe = build(Recipe, raw, place)
    _check(recipe, place)
    return recipe


def dump(recipe: Recipe) -> str:
    """Return the whole recipe as YAML, defaults included; `load` reads the same recipe back."""
    return to_yaml(asdict(recipe))


def _check(recipe: Recipe, place: Place) -> None:
    """Refuse values that are right alone and wrong together."""
    if not re.fullmatch(r"\w[\w.-]{0,99}", recipe.name):
        message = f"`name` in {place('name')} is {show(recipe.name)}"
        raise RecipeError(
            f"{message}, expected letters, digits, dots and dashes", "it names the run folder"
        )
    if recipe.search.min_tokens > recipe.search.max_tokens:
        message = (
            f"`search.min_tokens` in {place('search.min_tokens')} is {recipe.search.min_tokens}"
        )
        raise RecipeError(
            f"{message}, expected at most `search.max_tokens`, which is {recipe.search.max_tokens}"
        )
