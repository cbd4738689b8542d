"""Options that several commands share, and the recipe and run folder that they mean together."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer

from mue_cli.commands.display import say
from mue_cli.experiment.choices import DEFAULT_RECIPE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mue_cli.experiment.experiment import Experiment
    from mue_cli.experiment.progress import Progress


Recipe = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        "-r",
        metavar="NAME|FILE",
        help=f"Recipe, else --run's own or {DEFAULT_RECIPE}.",
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        "-s",
        metavar="SECTION.KEY=VALUE",
        help="One value of the recipe instead; repeatable.",
    ),
]


def folder(text: str) -> Path:
    """Return a folder's path; an empty one would mean this folder."""
    if not text:
        raise typer.BadParameter("it is empty; is a variable of your shell unset?")
    return Path(text)


Run = Annotated[
    Path | None,
    typer.Option(
        "--run",
        parser=folder,
        metavar="FOLDER",
        help="Run folder, else runs/<recipe name>.",
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        "--weights",
        metavar="FILE|FOLDER|HUB-ID",
        help="Weights: ours, Hugging Face's, fairseq's.",
    ),
]
Decompose = Annotated[
    bool | None,
    typer.Option("--decompose/--no-decompose", help="Image and text apart (Eq. 3), or joint."),
]
Device = Annotated[
    Literal["auto", "cpu", "cuda"],
    typer.Option(metavar="NAME", help="auto, cpu or cuda."),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")]
Seed = Annotated[
    int | None, typer.Option(min=0, metavar="N", help="Random seed, else the recipe's.")
]
Split = Annotated[str, typer.Option(metavar="NAME", help="train, val or test.")]
SpiceDir = Annotated[
    Path | None,
    typer.Option("--spice-dir", metavar="FOLDER", help="SPICE's jars, of CoreNLP 3.6.0."),
]


def method(choices: object) -> Any:
    """Return the option of a command that takes these methods, else the recipe's."""
    return typer.Option(metavar="NAME", help=f"{', '.join(get_args(choices))}.")


def opened(
    recipe: str | None,
    overrides: "Sequence[str] | None",
    run: Path | None,
    device: str = "auto",
    weights: str | None = None,
    seed: int | None = None,
    trained: bool = True,
    progress: "Progress | None" = None,
) -> "Experiment":
    """Return the experiment that the shared options mean; torch is not imported yet. What it has
    to say goes to `progress`, else to stderr; so does what it does not use of a recipe.
    """
    from mue_cli.experiment.differences import unused_note
    from mue_cli.experiment.experiment import Experiment
    from mue_cli.experiment.resolve import all_settings

    settings, tell = overrides or [], progress or _talk
    here = Experiment.open(recipe, run, device, weights, settings, seed, trained, tell)
    said = all_settings(settings, seed, weights)
    if recipe is not None and trained and (note := unused_note(recipe, here.recipe, said)):
        tell("recipe", 0, 0, note)
    return here


def _talk(label: str, done: int, total: int, note: str = "") -> None:
    """Say the lines of talk of a procedure that shows no progress."""
    if total <= 0:
        say(note)


def with_decompose(overrides: list[str] | None, decompose: bool | None) -> list[str]:
    """Return the settings of `--set` with what --decompose or --no-decompose says, None:
    nothing.
    """
    said = [] if decompose is None else [f"model.decompose={str(decompose).lower()}"]
    return [*(overrides or []), *said]
