"""`mue table`: the paper's tables with rows of your own runs."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mue_cli.commands.display import answer, answer_json, say
from mue_cli.commands.options import (
    JsonOption,
    RecipeOption,
    RunOption,
    SetOption,
    opened,
)
from mue_cli.errors import DataError, MissingStepError, MueError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mue_cli.experiment.experiment import Experiment
    from mue_cli.reports.entries import Entry
    from mue_cli.reports.tables import Table

EXAMPLES = """Examples

mue table 1

mue table 3 --recipe shapes-entailment --split val

mue table 4 --format latex > ablation.tex

mue table 2 --run runs/longer --json"""

NumberArgument = Annotated[
    int,
    typer.Argument(metavar="1|2|3|4", show_default=False, help="Number of the table in the paper."),
]
TableSplitOption = Annotated[
    str | None,
    typer.Option(
        "--split",
        metavar="NAME",
        show_default="test, for 2 what was measured",
        help="Part of the data: train, val or test.",
    ),
]
FormatOption = Annotated[
    Literal["text", "markdown", "csv", "latex"],
    typer.Option("--format", help="How the table is written."),
]


def table(
    number: NumberArgument,
    recipe: RecipeOption = None,
    overrides: SetOption = None,
    run: RunOption = None,
    split: TableSplitOption = None,
    form: FormatOption = "text",
    as_json: JsonOption = False,
) -> None:
    """Print a table of the paper, your rows beside its numbers: 1 the models, 2 the layers of each
    stream, 3 the trade-off, 4 the ablation.

    Reads what `mue evaluate` and `mue study` recorded; for 2 modality.npz, which `mue plot
    modality` writes, of the split it was measured on. Over several seeds a cell is the mean ± the
    sample standard deviation.
    """
    from mue_cli.reports.paper_tables import SUBJECTS
    from mue_cli.study.parts import SPLIT

    if number not in SUBJECTS:
        choices = ", ".join(f"{known} ({subject})" for known, subject in SUBJECTS.items())
        raise MueError(f"the paper has no Table {number} to print", f"choose one of {choices}")
    here = opened(recipe, overrides, run)
    tables, missing = (
        (_of_layers(here, split), []) if number == 2 else _of_entries(here, number, split or SPLIT)
    )
    if as_json:
        _answer_document(number, tables, missing)
    else:
        answer("\n".join(_render(table, form) for table in tables).rstrip("\n"))
    if missing:
        say(f"not run yet: {', '.join(missing)}; {_remedy(here, missing)}")


def _of_entries(here: "Experiment", number: int, split: str) -> "tuple[Sequence[Table], list[str]]":
    """Return a table of evaluated points, and the rows that are missing in it."""
    from mue_cli.reports.paper_tables import PAPER_TABLES, missing_rows

    entries = _entries(here, split)
    return (PAPER_TABLES[number](entries),), missing_rows(number, entries)


def _entries(here: "Experiment", split: str) -> "list[Entry]":
    from mue_cli import study
    from mue_cli.reports.entries import check_alike

    entries = study.need(here.run, split)
    _check_task(
        here,
        next(
            (entry.record.task for entry in entries if entry.record.task != here.recipe.task),
            here.recipe.task,
        ),
    )
    check_alike(entries, "table")
    return entries


def _of_layers(here: "Experiment", split: str | None) -> "Sequence[Table]":
    """Return the grid of exit layers, and the paper's combinations. Raises DataError for a grid of
    another split than was asked for.
    """
    path = _grid(here)
    from mue_cli.reports.exit_grid import ExitGrid
    from mue_cli.reports.layers_table import layers_tables

    grid = ExitGrid.load(path)
    measured = grid.about.get("split", split)
    if split not in (None, measured):
        hint = f"run: {here.run.command('plot modality')} --split {split}, or leave out --split"
        raise DataError(f"`{path}` was measured on the split {measured}, not on {split}", hint)
    data = " ".join(grid.about[key] for key in ("dataset", "split") if key in grid.about)
    return layers_tables(grid.scores.tolist(), grid.metric, grid.num_samples, data)


def _grid(here: "Experiment") -> Path:
    """Return modality.npz. Raises MissingStepError; in a study it belongs to a folder that encodes
    image and text apart.
    """
    from mue_cli.study import decomposed_run

    inner = None if here.run.modality.exists() else decomposed_run(here.run)
    if inner is None:
        return here.run.need(here.run.modality, "plot modality")
    hint = f"run: {inner.command('plot modality')}, then {inner.command('table 2')}"
    raise MissingStepError(
        f"no {inner.modality.name} in `{here.run.folder}`: a study has it in a folder of its own",
        hint,
    )


def _remedy(here: "Experiment", missing: "Sequence[str]") -> str:
    """Return what trains and evaluates missing rows."""
    from mue_cli.recipe.recipe import names
    from mue_cli.study.file import kept, study_command

    study = kept(here.run)
    if study is not None:
        others = all(name.removeprefix("the curve of ") not in study.rows for name in missing)
        return (
            f"the study `{study.name}` has no such row"
            if others
            else f"`{study_command(here.run)}` goes on with the study's"
        )
    name = here.recipe.name
    place = [] if here.run.folder == Path("runs") / name else ["--run", str(here.run.folder)]
    if name in names("study"):
        return f"`{shlex.join(['mue', 'study', name, *place])}` trains and evaluates all rows"
    return f"a study of the recipe `{name}` trains and evaluates all rows: mue study FILE"


def _check_task(here: "Experiment", found: str) -> None:
    if found != here.recipe.task:
        raise DataError(
            f"`{here.run.folder}` is a run of the task {found}, the recipe `{here.recipe.name}` "
            f"is for {here.recipe.task}",
            "name the recipe of that run with --recipe",
        )


def _render(table: "Table", form: str) -> str:
    from mue_cli.reports import tables

    renderings = {
        "text": tables.to_text,
        "markdown": tables.to_markdown,
        "csv": tables.to_csv,
        "latex": tables.to_latex,
    }
    return renderings[form](table)


def _answer_document(number: int, tables: "Sequence[Table]", missing: list[str]) -> None:
    from mue_cli.reports.tables import to_document

    answer_json(
        {
            "table": number,
            "tables": [to_document(table) for table in tables],
            "not_run_yet": missing,
        }
    )
