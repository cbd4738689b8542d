"""`mue demo`: all commands on drawn scenes, each line shown as it runs."""

import time
from pathlib import Path
from typing import Annotated

import typer

from mue_cli.commands import options
from mue_cli.commands.display import answer
from mue_cli.commands.lines import run_line
from mue_cli.experiment.choices import DEFAULT_TASK, DEMO_RECIPES, TaskName

EXAMPLES = (
    "mue demo",
    "mue demo --quick",
    "mue demo --task entailment",
    "mue demo --out somewhere-else",
)

TaskOption = Annotated[
    TaskName,
    typer.Option(metavar="NAME", help="caption or entailment."),
]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", metavar="FOLDER", help="Where data/ and runs/ go, else here."),
]
ScenesOption = Annotated[
    int | None,
    typer.Option("--scenes", min=1, metavar="N", help="Scenes to train on."),
]


QuickOption = Annotated[
    bool, typer.Option("--quick", help="In a minute or two; its numbers are no result.")
]


def demo(
    task: TaskOption = DEFAULT_TASK,
    quick: QuickOption = False,
    out: OutOption = None,
    scenes: ScenesOption = None,
    overrides: options.Set = None,
) -> None:
    """Run all on drawn scenes: prepare, finetune, calibrate, evaluate, plot, predict, report.

    Every command line is printed before it runs and can be copied. Reads nothing; writes
    `data/shapes` and `runs/<recipe>`. Run again, it goes on where it stopped.
    """
    from mue_cli.experiment.demo import NO_RESULT, QUICK, lines
    from mue_cli.experiment.run_folder import Run, records
    from mue_cli.reports.evaluation import evaluation_text

    recipe = f"{DEMO_RECIPES[task]}{QUICK * quick}"
    run = Run((out or Path()) / "runs" / recipe, f"--recipe {recipe}")
    here = options.opened(recipe, overrides, run.folder)  # a mistake is told before data are made
    generates = here.task.generates
    if quick:
        answer(NO_RESULT)
    started = time.monotonic()
    for line in lines(recipe, out, run.is_begun, scenes, overrides or [], generates):
        if code := run_line(line):
            raise typer.Exit(code)
    evaluated = {record.method: record for record in records(run) if record.split == "test"}
    answer(f"done in {(time.monotonic() - started) / 60:.1f} minutes\n")
    answer(evaluation_text(evaluated["full"], evaluated["mue"]))
    if quick:
        answer(NO_RESULT)
    for figure in sorted(run.plots.iterdir()):
        answer(str(figure))
