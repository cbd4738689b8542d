"""Options that several commands share, and the recipe and run folder that they mean together."""

import re
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from mue_cli.experiment.run_folder import Run
    from mue_cli.recipe.recipe import Recipe

DEFAULT_RECIPE = "shapes-caption"
TRAINED_SECTIONS = ("seed", "data", "model", "training")
"""Sections that describe the checkpoint: after training they are read from the run folder."""

RecipeOption = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        "-r",
        metavar="NAME|FILE",
        show_default=f"the run's own, else {DEFAULT_RECIPE}",
        help="Recipe: a name or a YAML file.",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        "-s",
        metavar="SECTION.KEY=VALUE",
        help="Replace one value of the recipe. May be repeated.",
    ),
]
RunOption = Annotated[
    Path | None,
    typer.Option(
        "--run",
        metavar="FOLDER",
        show_default="runs/<recipe name>",
        help="Run folder: what commands read and write.",
    ),
]
WeightsOption = Annotated[
    str | None,
    typer.Option(
        "--weights",
        metavar="FILE|FOLDER|HUB-ID",
        show_default=False,
        help="Weights to use: ours, Hugging Face's or fairseq's, or a model on the Hugging Face hub.",
    ),
]
DecomposeOption = Annotated[
    bool | None,
    typer.Option(
        "--decompose/--no-decompose",
        show_default="the recipe's model.decompose",
        help="Image and text encoded separately (Eq. 3).",
    ),
]
DeviceOption = Annotated[
    Literal["auto", "cpu", "cuda"],
    typer.Option(help="Where to compute; auto takes a GPU when there is one."),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document instead of text.")
]
SeedOption = Annotated[
    int | None, typer.Option(min=0, show_default="the recipe's", help="Seed of all that is random.")
]
SplitOption = Annotated[
    str, typer.Option(metavar="NAME", help="Part of the data: train, val or test.")
]


@dataclass(frozen=True)
class Experiment:
    """A recipe and the folder of its results."""

    recipe: "Recipe"
    run: "Run"


def experiment(
    recipe: str | None,
    overrides: list[str] | None,
    folder: Path | None,
    seed: int | None = None,
    trained: bool = True,
    weights: str | None = None,
) -> Experiment:
    """Return what the shared options mean.

    weights: what is used instead of the run's checkpoint.
    trained: after training, task, data, model and training come from the run's recipe.yaml, since
    they describe its checkpoint; `--set` still replaces single values, of the model only what is no
    part of its checkpoint. Raises RecipeError.
    """
    from mue_cli.errors import MueError
    from mue_cli.experiment.run_folder import Run
    from mue_cli.recipe.recipe import load

    check_weights(weights)
    if folder and folder.exists() and not folder.is_dir():
        raise MueError(f"`{folder}` is a file, not a run folder", "name another folder with --run")
    settings = [*(overrides or []), *([f"seed={seed}"] if seed is not None else [])]
    own = folder / "recipe.yaml" if folder else None
    name = recipe or (str(own) if own and own.is_file() else DEFAULT_RECIPE)
    changes = [
        *(["model.preset=null"] if weights else []),
        *settings,
    ]  # weights bring their size along
    found = load(name, changes)
    run = Run(
        folder or Path("runs") / found.name, _arguments(recipe, settings, folder, weights), weights
    )
    if weights and run.checkpoint.exists():
        raise MueError(
            f"`{run.folder}` has its own checkpoint, and --weights names another",
            "keep them apart: name a new folder with --run",
        )
    if trained and run.recipe.is_file():
        found = _with_trained_sections(found, run, changes)
    return Experiment(found, run)


def with_decompose(overrides: list[str] | None, decompose: bool | None) -> list[str]:
    """Return the settings of `--set` with what --decompose or --no-decompose says, None: nothing."""
    return [
        *(overrides or []),
        *([] if decompose is None else [f"model.decompose={str(decompose).lower()}"]),
    ]


def check_weights(weights: str | None) -> None:
    """Raise MueError for an empty --weights: it would mean none, and training would start from
    nothing.
    """
    from mue_cli.errors import MueError

    if weights == "":
        raise MueError(
            "--weights is empty, expected a file, a folder or a hub id",
            "is a variable of your shell unset?",
        )


def _with_trained_sections(recipe: "Recipe", run: "Run", settings: list[str]) -> "Recipe":
    from mue_cli.errors import RecipeError
    from mue_cli.recipe.recipe import load

    made = load(
        run.recipe,
        [
            setting
            for setting in settings
            if re.split(r"[.=]", setting)[0].strip() in TRAINED_SECTIONS
        ],
    )
    if made.task != recipe.task:
        raise RecipeError(
            f"`{run.folder}` was trained for the task {made.task}, the recipe `{recipe.name}` is for {recipe.task}",
            "leave out --recipe",
        )
    if run.checkpoint.exists() and replace(made.model, decompose=True) != replace(
        load(run.recipe).model, decompose=True
    ):
        raise RecipeError(
            f"the model differs from the one in `{run.recipe}`",
            "its checkpoint was trained with that one; to change it, name a new folder with --run",
        )
    return replace(recipe, seed=made.seed, data=made.data, model=made.model, training=made.training)


def _arguments(
    recipe: str | None, settings: list[str], folder: Path | None, weights: str | None
) -> str:
    """Return the options that make another command mean the same run."""
    words = ["--recipe", recipe or DEFAULT_RECIPE] if recipe or folder is None else []
    words += [word for setting in settings for word in ("--set", setting)]
    words += ["--weights", weights] if weights else []
    return shlex.join([*words, *(("--run", str(folder)) if folder else ())])
