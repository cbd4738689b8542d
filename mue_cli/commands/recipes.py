"""`mue recipes`: experiments as data: list, show, check."""

from typing import TYPE_CHECKING, Annotated

import typer

from mue_cli.commands.display import answer, answer_json, friendly, say
from mue_cli.commands.options import JsonOption, SetOption

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLES = """Completion in an editor: `mue recipes schema > recipe.schema.json`, and as first line
of your recipe `# yaml-language-server: $schema=recipe.schema.json`."""

app = typer.Typer(
    help="List, show and check recipes: experiments as data.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME|FILE", show_default=False)]


@app.command("list")
@friendly
def list_recipes(as_json: JsonOption = False) -> None:
    """List the recipes that come with the program."""
    from mue_cli.recipe.names import find, names

    about = {name: _about(find(name)) for name in names()}
    if as_json:
        answer_json(about)
        return
    width = max(map(len, about), default=0)
    for name, text in about.items():
        answer(f"{name:{width}}  {text}")


@app.command("show")
@friendly
def show_recipe(
    recipe: NameArgument,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say of every field what it does and may be.")
    ] = False,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a whole recipe, defaults included."""
    from dataclasses import asdict

    from mue_cli.recipe.explain import explained
    from mue_cli.recipe.recipe import dump, load

    whole = load(recipe, overrides or ())
    if as_json:
        answer_json(asdict(whole))
    else:
        answer((explained if explain else dump)(whole).rstrip())


@app.command("schema", epilog=EXAMPLES)
@friendly
def print_schema() -> None:
    """Print the JSON Schema of recipe files."""
    from mue_cli.recipe.explain import schema

    answer_json(schema())


@app.command("check")
@friendly
def check(recipe: NameArgument, overrides: SetOption = None) -> None:
    """Check a recipe: keys, types, ranges, choices."""
    from mue_cli.recipe.recipe import load

    whole = load(recipe, overrides or ())
    say(f"{recipe} is a recipe: {whole.name}, task {whole.task}, data {whole.data.dataset}")


def _about(path: "Path") -> str:
    """Return the first sentence of the comment that a recipe opens with."""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("#").strip().partition(": ")[0].rstrip(".,")
