"""`mue plot`: the paper's figures from a run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mue_cli.commands import options
from mue_cli.commands.bars import bars
from mue_cli.commands.display import answer_figures, say
from mue_cli.errors import RecipeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mue_cli.experiment.run_folder import Run

SATURATION_EXAMPLES = (
    "mue plot saturation",
    "mue plot saturation --recipe shapes-entailment",
)

TRADEOFF_EXAMPLES = (
    "mue plot tradeoff",
    "mue plot tradeoff --paper",
    "mue plot tradeoff --split val --run runs/longer",
)

REDUCTIONS_EXAMPLES = (
    "mue plot reductions",
    "mue plot reductions --run runs/longer",
)

CALIBRATION_EXAMPLES = (
    "mue plot calibration",
    "mue plot calibration --split val --run runs/longer",
)

TRAINING_EXAMPLES = (
    "mue plot training",
    "mue plot training --run runs/longer",
    "mue plot training --run runs/float32 --beside runs/bfloat16",
)

EXITS_EXAMPLES = (
    "mue plot exits",
    "mue plot exits --recipe shapes-entailment",
)


PaperOption = Annotated[bool, typer.Option("--paper", help="The paper's points in a second panel.")]


def saturation(
    recipe: options.Recipe = None,
    overrides: options.Set = None,
    run: options.Run = None,
    device: options.Device = "auto",
    as_json: options.Json = False,
) -> None:
    """Draw how similar each layer's output is to the layer before (Fig. 3 of the paper).

    Reads saturation.npz where it was measured in the same way; otherwise measures it with
    checkpoint.safetensors on val, and writes it. thresholds.yaml is drawn in when it is there and
    holds. Writes plots/saturation.png and plots/saturation.svg in the run folder.
    """
    with bars() as tell:
        here = options.opened(recipe, overrides, run, device, progress=tell)
        from mue_cli.experiment.calibrate import saturation as measured
        from mue_cli.experiment.stated import thresholds_that_hold

        profile = measured(here)
        thresholds = thresholds_that_hold(here, "mue")
    from mue_cli.reports.figures.saturation import saturation as draw

    if here.task.generates:
        # The decoder's decays from word to word (Eq. 11): no one line shows it.
        thresholds.pop("decoder", None)
    answer_figures(draw(profile, here.run.plots / "saturation", thresholds), as_json)


def tradeoff(
    recipe: options.Recipe = None,
    overrides: options.Set = None,
    run: options.Run = None,
    split: options.Split = "test",
    paper: PaperOption = False,
    as_json: options.Json = False,
) -> None:
    """Draw the score against the expected time reduction (Fig. 1 and 4), every method's curve.

    Reads the rows and seeds of the run's study (`mue study`), where it has one that was evaluated.
    Otherwise records.jsonl, and calibration.jsonl where no method was swept: the settings that were
    tried. Writes plots/tradeoff.png and plots/tradeoff.svg in the run folder.
    """
    here = options.opened(recipe, overrides, run)
    from mue_cli.study.points import points_of

    entries, searches = points_of(here.run, split)
    from mue_cli.reports.figures.tradeoff import tradeoff as draw

    answer_figures(draw(entries, here.run.plots / "tradeoff", searches, paper), as_json)
    _say_notes(here.run, split)


def reductions(
    recipe: options.Recipe = None,
    overrides: options.Set = None,
    run: options.Run = None,
    split: options.Split = "test",
    as_json: options.Json = False,
) -> None:
    """Draw what every method saves of the layers (Eq. 14), of the FLOPs, and on the clock.

    Reads what `mue plot tradeoff` reads. Writes plots/reductions.png and plots/reductions.svg in
    the run folder.
    """
    here = options.opened(recipe, overrides, run)
    from mue_cli.study.points import points_of

    entries, _ = points_of(here.run, split)
    from mue_cli.reports.figures.reductions import reductions as draw

    answer_figures(draw(entries, here.run.plots / "reductions"), as_json)
    _say_notes(here.run, split)


def _say_notes(run: "Run", split: str) -> None:
    """Say what a reader of the rows has to know."""
    from mue_cli.study.notes import notes

    for note in notes(run, split):
        say(f"note: {note.text}")


BesideOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--beside",
        parser=options.folder,
        metavar="FOLDER",
        help="Run folder of a training to draw beside; repeatable.",
    ),
]


def training(
    recipe: options.Recipe = None,
    overrides: options.Set = None,
    run: options.Run = None,
    beside: BesideOption = None,
    as_json: options.Json = False,
) -> None:
    """Draw how a training went or goes: loss of every layer, validation score, speed and memory.

    With --beside, a line for each of several trainings. Reads train.jsonl, also while `mue
    finetune` runs. Writes plots/training.png and plots/training.svg in the run folder, with
    --beside plots/trainings.png and plots/trainings.svg.
    """
    here = options.opened(recipe, overrides, run)
    from mue_cli.experiment.run_folder import Run
    from mue_cli.reports.figures import training as figures
    from mue_cli.reports.training_log import read_training_log

    runs = _named([here.run, *(Run(each, f"--run {each}") for each in beside or ())])
    logs = {
        name: read_training_log(each.need(each.train_log, "finetune"))
        for name, each in runs.items()
    }
    metric, plots = here.task.metric, here.run.plots
    if beside:
        drawn = figures.trainings(logs, metric, plots / "trainings")
    else:
        about = f"{here.recipe.name}, {here.recipe.exits.method}"
        (own,) = logs.values()
        drawn = figures.training(own, metric, about, plots / "training")
    answer_figures(drawn, as_json)


def _named(runs: "Sequence[Run]") -> "dict[str, Run]":
    """Return runs by their folder's name, or by its path where two have one name. Raises
    RecipeError for a folder that is there twice.
    """
    short = {each.folder.name: each for each in runs}
    named = short if len(short) == len(runs) else {str(each.folder): each for each in runs}
    if len({each.folder.resolve() for each in runs}) < len(runs):
        raise RecipeError("a run folder would be drawn beside itself", "name another with --beside")
    return named


def exits(
    recipe: options.Recipe = None,
    overrides: options.Set = None,
    run: options.Run = None,
    as_json: options.Json = False,
) -> None:
    """Draw after which layers samples and words left in the last evaluation, and how a word's exit
    depends on its place in the caption.

    Reads traces.jsonl and records.jsonl. Writes plots/exits.png and plots/exits.svg in the run
    folder.
    """
    here = options.opened(recipe, overrides, run)
    from mue_cli.experiment.run_folder import read_traces
    from mue_cli.reports.figures.exits import exits as draw
    from mue_cli.study.report import exits_of, record_of

    evaluated = read_traces(here.run)
    drawn = exits_of(record_of(evaluated, here.run), evaluated)
    answer_figures(draw(drawn, here.run.plots / "exits"), as_json)


def calibration(
    recipe: options.Recipe = None,
    overrides: options.Set = None,
    run: options.Run = None,
    split: options.Split = "test",
    as_json: options.Json = False,
) -> None:
    """Draw what calibrations promised against what evaluations of their thresholds measured.

    Reads promises.jsonl and records.jsonl: for several points run `mue calibrate` and `mue
    evaluate` for several targets. Writes plots/calibration.png and plots/calibration.svg in the run
    folder.
    """
    here = options.opened(recipe, overrides, run)
    from mue_cli.experiment.promises import promises
    from mue_cli.reports.figures.calibration import calibration as draw

    answer_figures(draw(promises(here.run, split), here.run.plots / "calibration"), as_json)
