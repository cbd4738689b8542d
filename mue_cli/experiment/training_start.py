"""How a training begins: where it writes, from what it goes on, and what forbids that."""

import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from mue_cli.errors import RecipeError
from mue_cli.exits.catalogue import CATALOGUE
from mue_cli.experiment.experiment import Experiment
from mue_cli.experiment.run_folder import Run
from mue_cli.experiment.training_files import (
    TrainingFiles,
    files_anew,
    files_to_resume,
    read_state,
)
from mue_cli.model.tokenizer import Tokenizer
from mue_cli.recipe.recipe import Recipe, load
from mue_cli.schema.schema import show

FREE = {
    *("training.checkpoint_every", "training.tensorboard", "data.root"),
    *("training.validate_every", "training.validation_samples"),
}
"""Settings that may change on the way without changing what is learned."""
DATA = "data"
"""In the kept state: the fingerprint of the data; former versions kept none."""
STEPS = "training.steps"
"""More or fewer of them may be asked for on the way, but the learning rate falls with them."""


def place(
    experiment: Experiment, resume: bool, force: bool
) -> tuple[TrainingFiles, dict[str, Any] | None]:
    """Return where to write, and the state to go on from, None for the first step.

    Raises MueError where an earlier training would be lost unasked, RecipeError when the model has
    changed since, CheckpointError for a damaged state.
    """
    recipe, run = experiment.recipe, experiment.run
    if not resume:
        return files_anew(run, resume, force), None
    files = files_to_resume(run)
    if not os.path.lexists(files.run.last_state):  # a link to nowhere is an error, not a beginning
        files = files_anew(run, resume, force or files.is_beside)  # --force began that one
        note = f"nothing to resume in `{run.folder}`: starting from the first step"
        experiment.progress("finetune", 0, 0, note)
        return files, None
    _check_unchanged(recipe, files.run)
    state = read_state(files.run.last_state)
    changes = _changes(load(files.run.recipe), recipe)
    others = [each for name, each in changes.items() if name != STEPS]
    if others and state["step"] >= recipe.training.steps:
        raise RecipeError(
            f"the training in `{run.folder}` is done, {state['step']} steps with {others[0][0]}; "
            f"now it is {others[0][1]}",
            f"{run.command('finetune')} --force trains anew",
        )
    if state["step"] > recipe.training.steps:
        raise RecipeError(
            f"the training in `{run.folder}` has done {state['step']} steps, "
            f"and training.steps is {recipe.training.steps}",
            f"training.steps={state['step']} takes it as it is; --force trains anew",
        )
    notes = [f"note: {before} up to here, {now} from here on" for before, now in changes.values()]
    for note in (*notes, f"going on after step {state['step']} of {recipe.training.steps}"):
        experiment.progress("finetune", 0, 0, note)
    return files, state


def _check_unchanged(recipe: Recipe, run: Run) -> None:
    """Raise RecipeError when a training cannot go on under a recipe."""
    began = load(run.recipe)
    before, now = ((each.model, each.training.freeze_resnet) for each in (began, recipe))
    if before != now:
        raise RecipeError(
            f"the model differs from the one in `{run.recipe}`",
            "--resume cannot change it; take another --run folder",
        )
    methods = (began.exits.method, recipe.exits.method)
    if methods[0] != methods[1] and any(_trains_a_head(name) for name in methods):
        raise RecipeError(
            f"`{run.recipe}` says the method {methods[0]}, now it is {methods[1]}",
            f"go on with --method {methods[0]}",
        )


def _changes(began: Recipe, recipe: Recipe) -> dict[str, tuple[str, str]]:
    """Return the settings that steer training and differ, by name: as they were and as they are."""
    changes = [("seed", began.seed, recipe.seed)]
    for section in ("data", "training"):
        before, now = (asdict(getattr(each, section)) for each in (began, recipe))
        changes += [(f"{section}.{name}", before[name], now[name]) for name in now]
    return {
        name: (f"{name} {show(before)}", f"{name} {show(now)}")
        for name, before, now in changes
        if before != now and name not in FREE
    }


def check_data(
    experiment: Experiment, run: Run, tokenizer: Tokenizer, state: Mapping[str, Any] | None
) -> None:
    """Raise RecipeError when a training cannot go on with the data: with another vocabulary, or
    other pictures and texts than it began with. Where they lie does not matter.
    """
    if state is None:
        return
    root = experiment.data.root
    if Tokenizer.load(run.tokenizer).to_json() != tokenizer.to_json():
        raise RecipeError(
            f"the vocabulary of `{root}` is not the run's",
            "the data was prepared anew: train anew with --force",
        )
    if state.get(DATA, experiment.data.fingerprint) != experiment.data.fingerprint:
        raise RecipeError(
            f"`{root}` holds other data than the training in `{run.folder}` has learned from",
            "name the folder that it began with: --set data.root=FOLDER; "
            "or begin anew on this data with --force",
        )


def _trains_a_head(name: str) -> bool:
    return name in CATALOGUE and CATALOGUE[name].training == "model and head"
