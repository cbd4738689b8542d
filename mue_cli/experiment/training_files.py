"""The files of a training under way. Nothing of an earlier training goes before what replaces it is
whole.

A training anew, where there is one already, writes to `.new/` in the run folder. When its first
checkpoint is there, the earlier training's files go and these move to their places; a kill on the
way is made good by the next training. Results found with weights (thresholds, records) go in the
moment that the weights do. Where `.new/` itself holds a training that could be gone on with, that
waits in `.before/` until the new one could be.
"""

import json
import math
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from mue_cli.errors import CheckpointError, MueError
from mue_cli.experiment import clearing, run_folder
from mue_cli.experiment.run_folder import Run
from mue_cli.files import plain_file, read_text, replacing, staged, sweep, write_text
from mue_cli.recipe.recipe import Recipe

BEFORE = ".before"
READY, MOVING = "ready", "moving"

Save = Callable[[Path], None]


class TrainingFiles:
    """Where a training writes: the run folder, or beside what is there until that can go."""

    def __init__(self, run: Run, beside: bool) -> None:
        self._final = run
        self._results_cleared = False
        self.run = run.beside if beside else run

    def begin(self, recipe: Recipe, vocabulary: str) -> None:
        """Write what a training from its first step starts with, the vocabulary first: a
        recipe.yaml without one was written by somebody else.
        """
        if self.is_beside:
            if os.path.lexists(self.run.last_state):
                self.run.folder.rename(self._final.folder / BEFORE)
            elif self.run.folder.exists():
                shutil.rmtree(self.run.folder)
        self.run.train_log.unlink(missing_ok=True)
        run_folder.keep_tokenizer(self.run, vocabulary)
        run_folder.write_recipe(self.run, recipe)

    def go_on(self, recipe: Recipe, step: int) -> None:
        """Prepare to go on after a step: the log ends there."""
        cut_log(self.run.train_log, step)
        run_folder.write_recipe(self.run, recipe)

    def keep_weights(self, save_model: Save, save_head: Save | None, method: str) -> None:
        """Write the weights, with the exit head that was trained along, in place of the last."""
        with staged() as beside:
            save_model(beside(self.run.checkpoint))
            if save_head is not None:
                save_head(beside(self.run.exit_head(method)))
            if not self._results_cleared:
                clearing.clear_results(self.run)
                self._results_cleared = True
        if self.is_beside:
            (self.run.folder / READY).touch()
            finish_move(self._final)
            self.run = self._final

    def keep_state(self, values: Mapping[str, object]) -> None:
        """Write what resuming needs, and wait until the disk has it."""
        with (
            replacing(self.run.last_state, sync=True) as temporary,
            temporary.open("wb") as file,  # given a path, torch writes its name into the file
        ):
            torch.save(dict(values), file)
        shutil.rmtree(self._final.folder / BEFORE, ignore_errors=True)

    @property
    def is_beside(self) -> bool:
        return self.run.folder != self._final.folder


def settle(run: Run) -> None:
    """Make good what a kill left of a training anew: move it to its place where it has weights, and
    take back the one before it where it had kept nothing.
    """
    finish_move(run)
    before, beside = run.folder / BEFORE, run.beside
    if before.exists() and not os.path.lexists(beside.last_state):
        shutil.rmtree(beside.folder, ignore_errors=True)
        before.rename(beside.folder)
    shutil.rmtree(before, ignore_errors=True)


def finish_move(run: Run) -> None:
    """Bring a training that was written beside to its place, from wherever a kill left that."""
    beside = run.beside.folder
    ready, moving = beside / READY, beside / MOVING
    if ready.exists():
        clearing.clear(run)
        ready.rename(moving)
    if not moving.exists():
        return
    sweep(beside)
    for path in sorted(beside.iterdir()):
        if path != moving:
            path.replace(run.folder / path.name)
    shutil.rmtree(run.folder / BEFORE, ignore_errors=True)
    moving.unlink()
    beside.rmdir()


def files_to_resume(run: Run) -> TrainingFiles:
    """Return the files of the last training that was begun in a run folder."""
    return TrainingFiles(run, beside=run.beside.folder.exists())


def files_anew(run: Run, resume: bool, force: bool) -> TrainingFiles:
    """Return where a training writes that begins with its first step.

    Raises MueError where an earlier one would be lost unasked, or somebody else's recipe.yaml.
    """
    has_weights = os.path.lexists(run.checkpoint)
    if not force and (has_weights or run.is_begun):
        raise _refusal(run, resume, has_weights)
    refuse_strangers(run)
    return TrainingFiles(run, beside=has_weights or run.is_begun or run.beside.folder.exists())


def _refusal(run: Run, resume: bool, has_weights: bool) -> MueError:
    command = run.command("finetune")
    anew = "--force trains anew, --run FOLDER keeps both"
    if resume:
        what = f"`{run.folder}` has a checkpoint, and no {run.last_state.name} to go on from"
        return MueError(what, f"{command} {anew}")
    what = "already has a checkpoint" if has_weights else "holds a training that was stopped"
    return MueError(f"`{run.folder}` {what}", f"{command} --resume goes on, {anew}")


def refuse_strangers(run: Run) -> None:
    """Raise MueError for a folder whose recipe.yaml no training wrote."""
    if run.recipe.exists() and not run.tokenizer.exists():
        raise MueError(
            f"`{run.recipe}` was not written by `mue finetune`, which would replace it",
            "name another folder with --run, or move the file away",
        )


def read_state(path: Path) -> dict[str, Any]:
    """Return what a training kept for resuming. Raises CheckpointError when it cannot be read."""
    try:
        state = torch.load(plain_file(path), map_location="cpu", weights_only=True)
    except MueError as error:
        raise CheckpointError(error.message, "train anew with --force") from None
    except Exception as error:  # damaged bytes raise whatever they happen to lead to
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(
            f"cannot read `{path}`: {reason}", "train anew with --force"
        ) from None
    if not isinstance(state, dict) or not _is_place(state):
        raise CheckpointError(
            f"`{path}` is not what a training keeps for --resume", "train anew with --force"
        )
    return dict(state)


def _is_place(state: Mapping[str, Any]) -> bool:
    """Return whether a state says how far a training is, and holds what goes on from there."""
    step, best, random = (state.get(name) for name in ("step", "best", "random"))
    is_step = type(step) is int and step >= 0
    is_score = isinstance(best, float) and not math.isnan(best)
    is_random = isinstance(random, list) and all(isinstance(each, dict) for each in random)
    optimizer = state.get("optimizer")
    is_optimizer = isinstance(optimizer, dict) and {"state", "param_groups"} <= optimizer.keys()
    whole = isinstance(state.get("pending"), bool) and is_random and bool(random) and is_optimizer
    return is_step and is_score and whole


def cut_log(path: Path, last_step: int) -> None:
    """Drop what a log says of steps after the last one, and lines that were cut short."""
    if not path.exists():
        return
    lines = read_text(path).splitlines(keepends=True)
    write_text(path, "".join(line for line in lines if 0 < _step(line) <= last_step))


def _step(line: str) -> int:
    try:
        return int(json.loads(line)["step"]) if line.endswith("\n") else 0
    except (ValueError, KeyError, TypeError, RecursionError):
        return 0
