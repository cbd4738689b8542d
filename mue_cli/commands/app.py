"""The command line's table of contents."""

import inspect
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from mue_cli import __version__
from mue_cli.commands import (
    bench,
    calibrate,
    demo,
    doctor,
    evaluate,
    exit_layers,
    export,
    finetune,
    plot,
    predict,
    prepare,
    recipes,
    report,
    study,
    table,
)
from mue_cli.commands.boundary import friendly
from mue_cli.commands.display import answer, say

# typer shows help at 80 columns unless told: a line an option is worth more
SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 120}
WHAT = "Dynamic early exiting in unified vision-language models: MuE on OFA."

WAY = (
    "mue demo --quick",
    "mue prepare shapes; mue finetune; mue calibrate; mue evaluate; mue report",
    "mue predict photo.jpg",
)
"""The way through the commands."""


def _shown(examples: Sequence[str]) -> str:
    """Return examples as a paragraph whose lines stay as they are, which \\b says."""
    return "\n  ".join(("\b\nExamples:", *examples))


app = typer.Typer(
    help=f"{WHAT}\n\n{_shown(WAY)}",
    epilog="What to do next here: mue. More of a command: mue COMMAND --help",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings=SETTINGS,
)


GROUPS = {
    "prepare": "Make a data set that the other commands read.",
    "plot": "Draw the paper's figures from your own runs.",
    "recipes": "List, show and check recipes: experiments as data.",
}
ABOUT = {
    "prepare shapes": "Draw scenes of coloured shapes; needs no download.",
    "prepare coco": "COCO captions, 2014 or 2017.",
    "prepare flickr8k": "Flickr8k captions, or your own in its form.",
    "prepare snli-ve": "SNLI-VE, visual entailment.",
    "finetune": "Train a model with several exits.",
    "calibrate": "Choose thresholds for a reduction, or for a largest drop.",
    "evaluate": "Score a method, and count what it saves.",
    "bench": "Say where the time goes, and whether exiting pays here.",
    "predict": "Caption your own pictures.",
    "plot saturation": "How alike neighbouring layers are.",
    "plot tradeoff": "Score against reduction.",
    "plot reductions": "Layers, FLOPs and time saved.",
    "plot calibration": "What was promised against what was measured.",
    "plot training": "Loss, score, speed and memory of a training.",
    "plot exits": "After which layers samples and words left.",
    "plot modality": "Score by image and text exit layer.",
    "plot depth": "Score read after each layer of each stream.",
    "table": "Print the paper's tables 1 to 4, your rows beside its numbers.",
    "report": "Write a run or a study on one page.",
    "export": "Write a model as Hugging Face's OFA has it.",
    "recipes list": "List the recipes that come with the program.",
    "recipes show": "Print a whole recipe, defaults included.",
    "recipes schema": "Print the JSON Schema of recipes, for editors.",
    "recipes check": "Read a recipe and say whether it is valid.",
    "doctor": "Say what is missing here, how to get it, and what to do next.",
    "study": "Train and evaluate every row of the tables, over seeds.",
    "demo": "Run every step on drawn scenes.",
}
"""A line on every command, for lists."""
_groups = {
    name: typer.Typer(help=about, no_args_is_help=True, context_settings=SETTINGS)
    for name, about in GROUPS.items()
}


def _add(words: str, command: Callable[..., None], examples: Sequence[str]) -> None:
    """Add a command whose help has the examples before the details. words: as it is typed."""
    first, _, details = inspect.cleandoc(command.__doc__ or "").replace("`", "").partition("\n\n")
    group, _, name = words.rpartition(" ")
    place = _groups[group] if group else app
    text = "\n\n".join((first, _shown(examples), details))
    place.command(name, help=text, short_help=ABOUT[words])(friendly(command, words))


_add("prepare shapes", prepare.shapes, prepare.SHAPES_EXAMPLES)
_add("prepare coco", prepare.coco, prepare.COCO_EXAMPLES)
_add("prepare flickr8k", prepare.flickr8k, prepare.FLICKR8K_EXAMPLES)
_add("prepare snli-ve", prepare.snli_ve, prepare.SNLI_VE_EXAMPLES)
_add("finetune", finetune.finetune, finetune.EXAMPLES)
_add("calibrate", calibrate.calibrate, calibrate.EXAMPLES)
_add("evaluate", evaluate.evaluate, evaluate.EXAMPLES)
_add("bench", bench.bench, bench.EXAMPLES)
_add("predict", predict.predict, predict.EXAMPLES)
_add("plot saturation", plot.saturation, plot.SATURATION_EXAMPLES)
_add("plot tradeoff", plot.tradeoff, plot.TRADEOFF_EXAMPLES)
_add("plot reductions", plot.reductions, plot.REDUCTIONS_EXAMPLES)
_add("plot calibration", plot.calibration, plot.CALIBRATION_EXAMPLES)
_add("plot training", plot.training, plot.TRAINING_EXAMPLES)
_add("plot exits", plot.exits, plot.EXITS_EXAMPLES)
_add("plot modality", exit_layers.modality, exit_layers.MODALITY_EXAMPLES)
_add("plot depth", exit_layers.depth, exit_layers.DEPTH_EXAMPLES)
_add("table", table.table, table.EXAMPLES)
_add("report", report.report, report.EXAMPLES)
_add("export", export.export, export.EXAMPLES)
_add("recipes list", recipes.list_recipes, recipes.LIST_EXAMPLES)
_add("recipes show", recipes.show, recipes.SHOW_EXAMPLES)
_add("recipes schema", recipes.schema, recipes.SCHEMA_EXAMPLES)
_add("recipes check", recipes.check, recipes.CHECK_EXAMPLES)
_add("doctor", doctor.doctor, doctor.EXAMPLES)
_add("study", study.study, study.EXAMPLES)
_add("demo", demo.demo, demo.EXAMPLES)
for _name, _group in _groups.items():
    app.add_typer(_group, name=_name)


def show_version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        answer(f"mue {__version__}")
        raise typer.Exit


@app.callback()
@friendly
def options(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Options before the command."""
    if context.invoked_subcommand is None:
        doctor.show_next(WHAT)
        say("all commands: mue --help")
