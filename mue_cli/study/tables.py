"""The paper's tables of an experiment: rows of its study, or of its own evaluations."""

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mue_cli.errors import DataError, MissingStepError
from mue_cli.experiment.experiment import Experiment
from mue_cli.experiment.inputs import about_of
from mue_cli.recipe.recipe import names
from mue_cli.reports.entries import Entry, check_alike, row_title
from mue_cli.reports.exit_grid import ExitGrid
from mue_cli.reports.inputs import DATA_INPUTS, WEIGHTS, differing
from mue_cli.reports.layers_table import layers_tables
from mue_cli.reports.paper_tables import PAPER_TABLES, missing_rows
from mue_cli.reports.tables import Table
from mue_cli.study.entries import need
from mue_cli.study.file import decomposed_run, kept, study_command
from mue_cli.study.notes import notes
from mue_cli.study.parts import SPLIT
from mue_cli.study.stale import stale

MEASURED = (*DATA_INPUTS, "search", "precision")
"""What a grid of exit layers depends on, besides the weights."""


def paper_tables(
    experiment: Experiment, number: int, split: str | None
) -> tuple[Sequence[Table], list[str]]:
    """Return the tables of a number in the paper, and the rows that are missing in them.

    split: None for test, of the layers' table for the one that was measured. Raises DataError,
    MissingStepError.
    """
    if number == 2:
        return _of_layers(experiment, split), []
    return _of_entries(experiment, number, split or SPLIT)


def _of_entries(
    experiment: Experiment, number: int, split: str
) -> tuple[Sequence[Table], list[str]]:
    """Return a table of evaluated points, and the rows that are missing in it."""
    entries = _entries(experiment, split)
    table, missing = PAPER_TABLES[number](entries), missing_rows(number, entries)
    here = {row[0] for row in table.rows} | set(map(row_title, missing))
    said = [note.text for note in notes(experiment.run, split) if row_title(note.row) in here]
    left_out = [
        each.name
        for each in stale(experiment.run, split)
        if each.left_out and row_title(each.row) in here and each.row not in missing
    ]
    return (replace(table, caption=(*table.caption, *said)),), [*missing, *left_out]


def _entries(experiment: Experiment, split: str) -> list[Entry]:
    entries = need(experiment.run, split)
    _check_task(
        experiment,
        next(
            (entry.record.task for entry in entries if entry.record.task != experiment.recipe.task),
            experiment.recipe.task,
        ),
    )
    check_alike(entries, "table")
    return entries


def _of_layers(experiment: Experiment, split: str | None) -> Sequence[Table]:
    """Return the grid of exit layers, and the paper's combinations. Raises DataError for a grid of
    another split than was asked for.
    """
    path = _grid(experiment)
    grid = ExitGrid.load(path)
    measured = grid.about.get("split", split)
    if split not in (None, measured):
        hint = (
            f"run: {experiment.run.command('plot modality')} --split {split}, or leave out --split"
        )
        raise DataError(f"`{path}` was measured on the split {measured}, not on {split}", hint)
    _check_measured(experiment, grid, path)
    data = " ".join(grid.about[key] for key in ("dataset", "split") if key in grid.about)
    return layers_tables(grid.scores.tolist(), grid.metric, grid.num_samples, data)


def _check_measured(experiment: Experiment, grid: ExitGrid, path: Path) -> None:
    """Raise DataError for a grid that was measured otherwise than is asked for now; one of weights
    that `--weights` named is of those.
    """
    now = about_of(experiment, grid.about.get("split", SPLIT))
    own = not grid.about.get("weights")
    for name in differing(grid.about, now, (*MEASURED, *([WEIGHTS] if own else []))):
        raise DataError(
            f"`{path}` was measured with {name} {grid.about[name]}, now it is {now[name]}",
            f"run: {experiment.run.command('plot modality')}",
        )


def _grid(experiment: Experiment) -> Path:
    """Return modality.npz. Raises MissingStepError; in a study it belongs to a folder that encodes
    image and text apart.
    """
    inner = None if experiment.run.modality.exists() else decomposed_run(experiment.run)
    if inner is None:
        return experiment.run.need(experiment.run.modality, "plot modality")
    hint = f"run: {inner.command('plot modality')}, then {inner.command('table 2')}"
    raise MissingStepError(
        f"no {inner.modality.name} in `{experiment.run.folder}`: a study has it in a folder of "
        "its own",
        hint,
    )


def remedy(experiment: Experiment, missing: Sequence[str]) -> str:
    """Return what trains and evaluates missing rows."""
    study = kept(experiment.run)
    if study is not None:
        others = not any(map(study.rows.__contains__, map(_row, missing)))
        return (
            f"the study `{study.name}` has no such row"
            if others
            else f"`{study_command(experiment.run)}` goes on with the study's"
        )
    name = experiment.recipe.name
    place = (
        []
        if experiment.run.folder == Path("runs") / name
        else ["--run", str(experiment.run.folder)]
    )
    if name in names("study"):
        return f"`{shlex.join(['mue', 'study', name, *place])}` trains and evaluates all rows"
    return f"a study of the recipe `{name}` trains and evaluates all rows: mue study FILE"


def _row(missing: str) -> str:
    """Return the row that is missing, or whose curve or seed is."""
    return missing.removeprefix("the curve of ").partition(" of seed ")[0]


def _check_task(experiment: Experiment, task: str) -> None:
    if task != experiment.recipe.task:
        raise DataError(
            f"`{experiment.run.folder}` is a run of the task {task}, the recipe "
            f"`{experiment.recipe.name}` is for {experiment.recipe.task}",
            "name the recipe of that run with --recipe",
        )
