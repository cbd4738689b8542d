"""The files of a training under way. Nothing of an earlier training goes before what replaces it is
whole.

A training anew, where there is a checkpoint already, writes to `.new/` in the run folder. When its
first checkpoint is there, the earlier training's files go and these move to their places; a kill on
the way is made good by the next training. Results found with weights (thresholds, records) go in
the moment that the weights do.
"""

import json
import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from mue_cli.errors import CheckpointError, MueError
from mue_cli.experiment import run_folder
from mue_cli.experiment.run_folder import Run
from mue_cli.files import plain_file, read_text, replacing, staged, sweep, write_text
from mue_cli.recipe.recipe import Recipe

BESIDE = ".new"
READY, MOVING = "ready", "moving"

Save = Callable[[Path], None]


class TrainingFiles:
    """Where a training writes: the run folder, or beside what is there until that can go."""

    def __init__(self, run: Run, beside: bool) -> None:
        self._final = run
        self._results_cleared = False
        self.run = replace(run, folder=run.folder / BESIDE) if beside else run

    def begin(self, recipe: Recipe, vocabulary: str) -> None:
        """Write what a training from its first step starts with, the vocabulary first: a
        recipe.yaml without one was written by somebody else.
        """
        if self._is_beside and self.run.folder.exists():
            shutil.rmtree(self.run.folder)
        for path in (self.run.train_log, self.run.last_state):
            path.unlink(missing_ok=True)
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
                run_folder.clear_results(self.run)
                self._results_cleared = True
        if self._is_beside:
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

    @property
    def _is_beside(self) -> bool:
        return self.run.folder != self._final.folder


def finish_move(run: Run) -> None:
    """Bring a training that was written beside to its place, from wherever a kill left that."""
    beside = run.folder / BESIDE
    ready, moving = beside / READY, beside / MOVING
    if ready.exists():
        run_folder.clear(run)
        ready.rename(moving)
    if not moving.exists():
        return
    sweep(beside)
    for path in sorted(beside.iterdir()):
        if path != moving:
            path.replace(run.folder / path.name)
    moving.unlink()
    beside.rmdir()


def files_to_resume(run: Run) -> TrainingFiles:
    """Return the files of the last training that was begun in a run folder."""
    return TrainingFiles(run, beside=(run.folder / BESIDE).exists())


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
