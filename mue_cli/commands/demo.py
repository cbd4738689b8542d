"""`mue demo`: all commands on drawn scenes, each line shown as it runs."""

import time
from pathlib import Path
from typing import Annotated

import typer

from mue_cli.commands import options
from mue_cli.commands.display import answer
from mue_cli.commands.lines import run_line
from mue_cli.experiment.choices import DEFAULT_RECIPE, DEFAULT_TASK, DEMO_RECIPES, TaskName

EXAMPLES = options.examples(
    "mue demo", "mue demo --task entailment", "mue demo --out somewhere-else"
)

TaskOption = Annotated[
    TaskName,
    typer.Option(help="Describe pictures, or judge sentences about them."),
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="FOLDER", show_default="this folder", help="Where data/ and runs/ go."
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        "-s",
        metavar="SECTION.KEY=VALUE",
        help="Replace one value of the recipe in every step.",
    ),
]
ScenesOption = Annotated[
    int | None,
    typer.Option(
        "--scenes", min=1, show_default="as mue prepare shapes", help="Scenes to train on."
    ),
]


def demo(
    task: TaskOption = DEFAULT_TASK,
    out: OutOption = None,
    scenes: ScenesOption = None,
    overrides: SetOption = None,
) -> None:
    """Run the whole pipeline on drawn scenes: prepare, finetune, calibrate, evaluate, plot.

    Every command line is printed before it runs and can be copied. Reads nothing; writes
    `data/shapes` and `runs/<recipe>`. Run again, it goes on where it stopped.
    """
    from mue_cli.experiment.run_folder import Run, records
    from mue_cli.reports.evaluation import evaluation_text

    recipe = DEMO_RECIPES[task]
    run = Run((out or Path()) / "runs" / recipe, f"--recipe {recipe}")
    options.opened(recipe, overrides, run.folder)  # a mistake is told before the data is made
    started = time.monotonic()
    for line in lines(recipe, out, run.last_state.exists(), scenes, overrides or []):
        if code := run_line(line):
            raise typer.Exit(code)
    evaluated = {record.method: record for record in records(run) if record.split == "test"}
    answer(f"done in {(time.monotonic() - started) / 60:.1f} minutes\n")
    answer(evaluation_text(evaluated["full"], evaluated["mue"]))
    for figure in sorted(run.plots.iterdir()):
        answer(str(figure))


def lines(
    recipe: str, out: Path | None, begun: bool, scenes: int | None, overrides: list[str]
) -> list[list[str]]:
    """Return the words of every command line of the demo, without the leading `mue`."""
    data = out / "data" / "shapes" if out else None
    shared = [
        *_option("--recipe", recipe if recipe != DEFAULT_RECIPE else None),
        *_option("--run", out / "runs" / recipe if out else None),
    ]
    settings = [*([f"data.root={data}"] if data else []), *overrides]
    shared += [word for setting in settings for word in ("--set", setting)]
    return [
        ["prepare", "shapes", *_option("--out", data), *_option("--train", scenes)],
        ["finetune", *shared, *(["--resume"] if begun else [])],
        ["calibrate", *shared],
        ["evaluate", "--method", "mue", *shared],
        ["plot", "saturation", *shared],
        ["plot", "tradeoff", *shared],
    ]


def _option(name: str, value: object) -> list[str]:
    return [] if value is None else [name, str(value)]
