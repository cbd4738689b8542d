"""`mue recipes`: experiments as data: list, show, check."""

from dataclasses import asdict
from typing import Annotated

import typer

from mue_cli.commands import options
from mue_cli.commands.display import answer, answer_json, say

LIST_EXAMPLES = ("mue recipes list",)
SHOW_EXAMPLES = (
    "mue recipes show shapes-caption > mine.yaml",
    "mue recipes show mine.yaml --explain",
)
SCHEMA_EXAMPLES = ("mue recipes schema > recipe.schema.json",)
CHECK_EXAMPLES = (
    "mue recipes check mine.yaml",
    "mue recipes check mine.yaml --set training.steps=100",
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME|FILE", help="A name or a YAML file.")]


def list_recipes(as_json: options.Json = False) -> None:
    """List the recipes that come with the program.

    Reads their files. Writes nothing.
    """
    from mue_cli.experiment.recipes import named_recipes

    about = named_recipes()
    if as_json:
        answer_json(about)
        return
    width = max(map(len, about), default=0)
    for name, text in about.items():
        answer(f"{name:{width}}  {text}")


def show(
    recipe: NameArgument,
    explain: Annotated[
        bool, typer.Option("--explain", help="What every field does and may be.")
    ] = False,
    overrides: options.Set = None,
    as_json: options.Json = False,
) -> None:
    """Print a whole recipe, defaults included.

    Reads the recipe. Writes nothing; what it prints is a recipe file.
    """
    from mue_cli.experiment.recipes import recipe_text

    whole = options.opened(recipe, overrides, None, trained=False).recipe
    if as_json:
        answer_json(asdict(whole))
    else:
        answer(recipe_text(whole, explain))


def schema() -> None:
    """Print the JSON Schema of recipe files.

    An editor completes and checks a recipe whose first line is
    `# yaml-language-server: $schema=recipe.schema.json`. Reads and writes nothing.
    """
    from mue_cli.experiment.recipes import recipe_schema

    answer_json(recipe_schema())


def check(recipe: NameArgument, overrides: options.Set = None) -> None:
    """Check a recipe: keys, types, ranges, choices.

    Reads the recipe. Writes nothing.
    """
    whole = options.opened(recipe, overrides, None, trained=False).recipe
    say(f"{recipe} is a recipe: {whole.name}, task {whole.task}, data {whole.data.dataset}")
