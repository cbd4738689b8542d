"""Recipes as text and data: the list of those that come with the program, one whole, the schema."""

from collections.abc import Mapping
from pathlib import Path

from mue_cli.recipe import explain
from mue_cli.recipe.names import find, names
from mue_cli.recipe.recipe import Recipe, dump


def named_recipes() -> dict[str, str]:
    """Return the name of every recipe that comes with the program, and what it is."""
    return {name: _about(find(name)) for name in names()}


def recipe_text(recipe: Recipe, explained: bool) -> str:
    """Return a whole recipe as YAML. explained: with the docstring of every field as a comment."""
    return (explain.explained if explained else dump)(recipe).rstrip()


def recipe_schema() -> Mapping[str, object]:
    """Return the JSON Schema of recipe files."""
    return explain.schema()


def _about(path: Path) -> str:
    """Return the first sentence of the comment that a recipe opens with."""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("#").strip().partition(": ")[0].rstrip(".,")
