"""From names to one recipe and one run folder: what `--recipe`, `--run`, `--set` mean together."""

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mue_cli.data.tasks import TASKS
from mue_cli.errors import MueError, RecipeError
from mue_cli.experiment.choices import DEFAULT_RECIPE
from mue_cli.experiment.run_folder import Run
from mue_cli.files import is_file
from mue_cli.recipe.recipe import Recipe, load
from mue_cli.schema.schema import did_you_mean

TRAINED_SECTIONS = ("seed", "data", "model", "training")
"""Sections that describe the checkpoint: after training they are read from the run folder."""


def resolve(
    recipe: str | None,
    overrides: Sequence[str],
    folder: Path | None,
    seed: int | None,
    trained: bool,
    weights: str | None,
) -> tuple[Recipe, Run]:
    """Return the recipe and the run folder that names mean.

    trained: after training, task, data, model and training come from the run's recipe.yaml, since
    they describe its checkpoint; overrides still replace single values, of the model only what is
    no part of its checkpoint. weights: what is used instead of the run's checkpoint. Raises
    RecipeError.
    """
    check_weights(weights)
    if folder and folder.exists() and not folder.is_dir():
        raise MueError(f"`{folder}` is a file, not a run folder", "name another folder with --run")
    settings = all_settings(overrides, seed)
    own = folder / "recipe.yaml" if folder else None
    default = str(own) if own and is_file(own) else DEFAULT_RECIPE
    name = default if recipe is None else recipe
    changes = all_settings(overrides, seed, weights)
    wanted = load(name, changes)
    _check_task(wanted, name)
    arguments = _arguments(recipe, settings, folder, weights)
    run = Run(folder or Path("runs") / wanted.name, arguments, weights)
    if weights and run.checkpoint.exists():
        raise MueError(
            f"`{run.folder}` has its own checkpoint, and --weights names another",
            "keep them apart: name a new folder with --run",
        )
    if trained and run.recipe.exists():
        wanted = _with_trained_sections(wanted, run, changes)
    return wanted, run


def all_settings(
    overrides: Sequence[str], seed: int | None, weights: str | None = None
) -> list[str]:
    """Return the settings that options mean: weights bring their own size."""
    size = ["model.preset=null"] if weights else []
    return [*size, *overrides, *([f"seed={seed}"] if seed is not None else [])]


def check_weights(weights: str | None) -> None:
    """Raise MueError for an empty name: it would mean none, and training would start from
    nothing.
    """
    if weights == "":
        raise MueError(
            "--weights is empty, expected a file, a folder or a hub id",
            "is a variable of your shell unset?",
        )


def starting_from(weights: str | None) -> list[str]:
    """Return the settings of a training that starts from weights and takes their size. Raises
    MueError for an empty name.
    """
    check_weights(weights)
    if weights is None:
        return []
    # YAML would take an escaped pair of surrogates for two characters.
    return [f"model.weights={json.dumps(weights, ensure_ascii=False)}", "model.preset=null"]


def _check_task(recipe: Recipe, place: str) -> None:
    """Refuse a task that does not exist, and data that do not serve it."""
    if recipe.task not in TASKS:
        raise RecipeError(
            f'`task` in `{place}` is "{recipe.task}", expected one of {", ".join(TASKS)}',
            did_you_mean(recipe.task, TASKS),
        )
    datasets = TASKS[recipe.task].datasets
    if recipe.data.dataset not in datasets:
        raise RecipeError(
            f'`data.dataset` in `{place}` is "{recipe.data.dataset}", expected one of '
            f"{', '.join(datasets)} for the task {recipe.task}",
            did_you_mean(recipe.data.dataset, datasets),
        )


def _with_trained_sections(recipe: Recipe, run: Run, settings: Sequence[str]) -> Recipe:
    own = [each for each in settings if re.split(r"[.=]", each)[0].strip() in TRAINED_SECTIONS]
    made = load(run.recipe, own)
    if made.task != recipe.task:
        raise RecipeError(
            f"`{run.folder}` was trained for the task {made.task}, the recipe `{recipe.name}` is "
            f"for {recipe.task}",
            "leave out --recipe",
        )
    before = load(run.recipe).model
    if run.checkpoint.exists() and replace(made.model, decompose=before.decompose) != before:
        raise RecipeError(
            f"the model differs from the one in `{run.recipe}`",
            "its checkpoint was trained with that one; to change it, name a new folder with --run",
        )
    return replace(recipe, seed=made.seed, data=made.data, model=made.model, training=made.training)


def _arguments(
    recipe: str | None, settings: Sequence[str], folder: Path | None, weights: str | None
) -> str:
    """Return the options that make another command mean the same run."""
    words = ["--recipe", recipe or DEFAULT_RECIPE] if recipe or folder is None else []
    words += [word for setting in settings for word in ("--set", setting)]
    words += ["--weights", weights] if weights else []
    return shlex.join([*words, *(("--run", str(folder)) if folder else ())])
